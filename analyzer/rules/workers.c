/* The rule about threads and goroutines: stranded-worker. */
#include "rules/context.h"

#define LEAVING_NS                                                                                 \
    1000000000u /* goroutines of a connection that was closed a moment ago are on their way out */

static bool is_error(const struct report_finding *finding) {
    return finding && finding->severity == SEVERITY_ERROR;
}

static bool is_blocked_in_io(const struct trace_worker *raw) {
    return (raw->wait == TRACE_WAIT_READ || raw->wait == TRACE_WAIT_WRITE) &&
           raw->wait_connection != 0;
}

static bool is_parked(const struct trace_worker *raw) {
    return raw->wait == TRACE_WAIT_COND || raw->wait == TRACE_WAIT_SEM;
}

/* It waits for a pair's business, not for the next job of a pool: nobody but the pair waits at that place. */
static bool is_parked_with_counterpart(const struct model_process *process,
                                       const struct model_worker *worker) {
    const struct trace_worker *raw = &worker->raw;
    bool counterpart = false;
    if (!is_parked(raw) || raw->connections_used != 1 || worker->role == TRACE_ROLE_BOTH)
        return false;
    for (size_t i = 0; i < process->worker_count; i++) {
        const struct model_worker *other = &process->workers[i];
        if (other == worker) continue;
        bool pair = other->counted && other->raw.connections_used == 1 &&
                    other->raw.first_connection == raw->first_connection &&
                    other->role != worker->role && other->role != TRACE_ROLE_BOTH &&
                    is_parked(&other->raw);
        counterpart |= pair;
        if (!pair && is_parked(&other->raw) && other->raw.wait_address == raw->wait_address)
            return false;
    }
    return counterpart;
}

/* A connection that this worker is stranded behind and that is there no more. */
static bool is_behind_gone_connection(const struct rules_context *context,
                                      const struct model_process *process,
                                      const struct model_worker *worker) {
    const struct trace_worker *raw = &worker->raw;
    if (worker->goroutine) {
        uint64_t grace = process->orderly ? LEAVING_NS : context->grace_ns;
        return raw->dedicated != 0 && !worker->dedicated &&
               rules_age(process, later(worker->gone_ns, raw->started_ns)) >= grace;
    }
    if (worker->role == TRACE_ROLE_BOTH || raw->connections_used != 1 || worker->dedicated)
        return false;
    if (is_blocked_in_io(raw)) return raw->wait_connection == raw->last_connection;
    return is_parked_with_counterpart(process, worker);
}

/* HTTP/2: as long as one stream goes on, whoever serves the connection is not stranded behind another one. */
static bool serves_others(const struct rules_context *context,
                          const struct model_connection *connection) {
    const struct trace_connection *raw = &connection->raw;
    if (raw->protocol != TRACE_PROTOCOL_HTTP2 || connection->go) return false;
    uint64_t open = 0;
    for (const struct model_body *body = connection->body; body; body = body->sibling)
        open++;
    return raw->requests - raw->responses != open ||
           rules_age(connection->process, raw->read_progress_ns) < context->grace_ns;
}

/*
 * A pool's thread between jobs: it is parked, and who does the other direction of its connection serves several, as an event loop
 * does that hands out the rest (Java's HttpClient writes by whichever thread its executor has).
 */
static bool waits_for_next_job(const struct model_process *process,
                               const struct model_worker *worker,
                               const struct model_connection *connection) {
    const uint32_t other =
        worker->role == TRACE_ROLE_WRITER ? connection->raw.reader_tid : connection->raw.writer_tid;
    if (worker->goroutine || !is_parked(&worker->raw)) return false;
    bool shared = false;
    for (size_t i = 0; i < process->worker_count; i++) {
        const struct model_worker *counterpart = &process->workers[i];
        if (counterpart == worker || !counterpart->counted) continue;
        if (counterpart->dedicated == connection && counterpart->role != worker->role)
            return false; /* a pair of its own */
        shared |= counterpart->raw.tid == other && counterpart->raw.connections_used > 1;
    }
    return shared;
}

/* The finding that the worker is stranded behind, NULL if none. */
static struct report_finding *worker_cause(const struct rules_context *context,
                                           const struct model_process *process,
                                           const struct model_worker *worker,
                                           struct model_connection **connection) {
    struct model_connection *blocked_on =
        is_blocked_in_io(&worker->raw) ? process_connection(process, worker->raw.wait_connection)
                                       : NULL;
    *connection = blocked_on                        ? blocked_on
                  : worker->role == TRACE_ROLE_BOTH ? NULL
                                                    : worker->dedicated;
    if (!*connection || !is_error((*connection)->root) || serves_others(context, *connection))
        return NULL;
    if (waits_for_next_job(process, worker, *connection)) return NULL;
    return (*connection)->root;
}

static void count_stranded(struct rules_context *context, const struct model_worker *worker) {
    struct report_totals *totals = &context->totals[worker->host->order];
    totals->workers.readers_stranded += worker->role == TRACE_ROLE_READER;
    totals->workers.writers_stranded += worker->role == TRACE_ROLE_WRITER;
    totals->workers.both_stranded += worker->role == TRACE_ROLE_BOTH;
}

/*
 * All transports start their goroutines at the same two places: what tells them apart is who left them behind, which is who asked
 * for the body, or for the connection.
 */
static void speak_go(struct rules_object *object, const struct model_connection *connection) {
    object->since_ns = object->worker->raw.started_ns;
    if (!object->root) return;
    object->message = "{n} {role} {goroutine is|goroutines are} stranded behind {a "
                      "connection|connections} to {host}";
    object->advice = "Mend what the connection waits for; its goroutines go with it.";
    object->by_worker_stack = false;
    object->request_stack = connection->body ? connection->body->raw.request_stack : 0;
}

static void stranded_worker(struct rules_context *context) {
    for (struct model_process *process = context->model->processes; process;
         process = process->next) {
        for (size_t i = 0; i < process->worker_count; i++) {
            const struct model_worker *worker = &process->workers[i];
            struct model_connection *connection = NULL;
            if (!worker->counted) continue;
            struct report_finding *root = worker_cause(context, process, worker, &connection);
            if (!root && !is_behind_gone_connection(context, process, worker)) continue;
            struct rules_object object = {
                .process = process,
                .host = root ? connection->host : worker->host,
                .severity = SEVERITY_ERROR,
                .confidence = root ? root->confidence : CONFIDENCE_INFERRED,
                .worker_stack = worker->raw.created_stack,
                .by_worker_stack = true,
                .since_ns = later(worker->raw.wait_since_ns, worker->raw.last_io_ns),
                .bytes_expected = TRACE_UNKNOWN,
                .connection = root ? connection : NULL,
                .worker = worker,
                .role = worker->role,
                .root = root,
            };
            if (root) {
                object.connect_stack = connection->raw.connect_stack;
            } else {
                object.detail = "gone";
                object.message = worker->goroutine
                                     ? "{n} {role} {goroutine stays|goroutines stay} though {its "
                                       "connection|their connections} to {host} {is|are} gone"
                                     : "{n} {role} {thread waits|threads wait} for {a "
                                       "connection|connections} to {host} that "
                                       "{is|are} gone";
            }
            if (worker->goroutine) speak_go(&object, connection);
            if (rules_add(context, &object)) count_stranded(context, worker);
        }
    }
}

const struct rule rule_stranded_worker = {
    .id = "stranded-worker",
    .severity = SEVERITY_ERROR,
    .message =
        "{n} {role} {thread is|threads are} stranded behind {a connection|connections} to {host}",
    .advice = "Mend what the connection waits for; its threads go with it.",
    .meaning = "A thread serves a connection that is itself a finding, or one that is gone, so "
               "nothing will ever wake it. A "
               "reader only reads, a writer only writes a connection that another thread serves in "
               "the other direction; a "
               "thread that does both counts only while it is blocked on such a connection. "
               "Threads of a pool that wait "
               "for their next job are no finding.",
    .mistake = "It is mostly a consequence: the body, or the answer, that its connection waits for "
               "was forgotten.",
    .mend = "Mend the finding that it is folded under. Where the connection is gone: end the "
            "threads when closing it.",
    .evaluate = stranded_worker,
};
