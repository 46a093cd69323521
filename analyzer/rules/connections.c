/* Rules about connections: response-abandoned, peer-closed, connection-abandoned. */
#include <stdlib.h>

#include "rules/context.h"

#define TCP_STATE_ESTABLISHED 1u /* linux/tcp.h */
#define TCP_STATE_CLOSE_WAIT 8u
#define CLOSE_WAIT_WARNING                                                                         \
    10u /* idle ones whose peer has closed: more of them in a process are a warning */
#define ABANDONED_MIN 3u /* silent connections of one call site, fewer are no finding */

/* ---- response-abandoned ---- */

/* At an orderly end the age does not matter, but somebody who tried a moment ago was waiting. */
static bool was_waited_for(const struct rules_context *context,
                           const struct model_connection *connection, uint64_t since) {
    const struct trace_connection *raw = &connection->raw;
    const struct model_process *process = connection->process;
    if (rules_is_waited_for(context, connection)) return true;
    if (!process->orderly) return false;
    bool polled = raw->wait_ns >= since && raw->wait_ns != 0;
    bool read = raw->read_result == TRACE_READ_AGAIN && raw->read_attempt_ns >= since;
    return (polled || read) && rules_age(process, rules_last_try(connection)) <= context->grace_ns;
}

static bool is_old(const struct rules_context *context, const struct model_connection *connection,
                   uint64_t since) {
    const struct model_process *process = connection->process;
    uint64_t grace = rules_grace(context, process);
    return rules_age(process, since) >= grace &&
           rules_age(process, rules_last_try(connection)) >= grace;
}

/* The oldest request without an answer; its line may be on its way between the two threads of a connection. */
static uint64_t asked_ns(const struct trace_connection *raw) {
    return raw->pending_ns ? raw->pending_ns : raw->request_ns;
}

static bool is_answer_abandoned(const struct rules_context *context,
                                const struct model_connection *connection) {
    const struct trace_connection *raw = &connection->raw;
    /* UNKNOWN with a request: a CONNECT that the proxy has not answered */
    bool http = raw->protocol != TRACE_PROTOCOL_TUNNEL;
    if (raw->state != TRACE_CONNECTION_ESTABLISHED || !http || raw->eof_ns) return false;
    if (raw->requests <= raw->responses || connection->body || raw->body_slot || !asked_ns(raw))
        return false;
    return is_old(context, connection, asked_ns(raw)) &&
           !was_waited_for(context, connection, asked_ns(raw));
}

static bool is_connect_abandoned(const struct rules_context *context,
                                 const struct model_connection *connection) {
    const struct trace_connection *raw = &connection->raw;
    if (raw->state != TRACE_CONNECTION_CONNECTING || raw->tcp_state == TCP_STATE_ESTABLISHED)
        return false;
    return is_old(context, connection, raw->opened_ns) &&
           !was_waited_for(context, connection, raw->opened_ns);
}

/* A connect that is a finding counts as opened and live: otherwise the report would name what its totals do not have. */
static void count_connecting(struct rules_context *context, struct model_connection *connection) {
    context->totals[connection->host->order].connections.opened++;
    context->totals[connection->host->order].connections.live++;
}

static void response_abandoned(struct rules_context *context) {
    for (struct model_process *process = context->model->processes; process;
         process = process->next) {
        for (size_t i = 0; i < process->connection_count; i++) {
            struct model_connection *connection = &process->connections[i];
            const struct trace_connection *raw = &connection->raw;
            /* a Go transport's caller waits in a goroutine, and gives the connection up with the request */
            if (raw->flags &
                (TRACE_CONNECTION_BLIND | TRACE_CONNECTION_SHARED | TRACE_CONNECTION_GO))
                continue;
            bool connecting = is_connect_abandoned(context, connection);
            if (!connecting && !is_answer_abandoned(context, connection)) continue;
            struct rules_object object = {
                .process = process,
                .host = connection->host,
                .severity = SEVERITY_ERROR,
                .confidence =
                    process->alive || process->orderly ? CONFIDENCE_PROVEN : CONFIDENCE_INFERRED,
                .connect_stack = raw->connect_stack,
                .bytes_expected = TRACE_UNKNOWN,
                .since_ns = connecting ? raw->opened_ns : asked_ns(raw),
                .connection = connection,
                .root = connection->root,
            };
            if (connecting) {
                object.message = "{n} {connect|connects} to {host} never succeeded, nobody waits "
                                 "for {it|them} any more, "
                                 "and the {socket is|sockets are} kept";
                object.advice = "Close the socket when a connect fails or times out.";
                object.detail = "connect";
            } else {
                object.by_connect_stack = rules_sent_by_own_worker(
                    connection, raw->pending_ns ? raw->pending_tid : raw->request_tid);
                object.request_stack = raw->pending_ns ? raw->pending_stack : raw->request_stack;
                object.method = raw->pending_ns ? raw->pending_method : raw->request_method;
                object.path = raw->pending_ns ? raw->pending_path : raw->request_path;
            }
            if (rules_add(context, &object) && connecting) count_connecting(context, connection);
        }
    }
}

const struct rule rule_response_abandoned = {
    .id = "response-abandoned",
    .severity = SEVERITY_ERROR,
    .message = "{n} {request|requests} to {host} {was|were} sent, nobody waits for the "
               "{answer|answers} any more, and the "
               "{connection is|connections are} kept",
    .advice = "Close the connection when a request is given up (timeout, cancellation): its answer "
              "may still come.",
    .meaning = "A request went out (or a connect was begun) and no complete answer came; no thread "
               "blocks on the connection, "
               "no poll and no event loop has it in its set, and nobody has tried to read for the "
               "grace. The descriptor is "
               "still open.",
    .mistake = "A timeout or a cancellation forgets the request but not the socket.",
    .mend = "Close the connection on the path that gives the request up.",
    .evaluate = response_abandoned,
};

/* ---- peer-closed ---- */

/* A program that asks one thing, reads to the peer's end and exits has not leaked: the exit comes right behind the end. */
static bool is_one_shot(const struct rules_context *context,
                        const struct model_connection *connection) {
    const struct model_process *process = connection->process;
    const struct trace_connection *raw = &connection->raw;
    if (!process->orderly || raw->requests > raw->responses ||
        rules_age(process, raw->eof_ns) > context->grace_ns)
        return false;
    size_t same = 0;
    for (size_t i = 0; i < process->connection_count && same < 2; i++) {
        const struct trace_connection *other = &process->connections[i].raw;
        same += other->eof_ns != 0 && other->connect_stack == raw->connect_stack;
    }
    return same == 1;
}

/* Of TLS that hides what goes on inside nobody knows whether it waits in a pool: it gets the benefit of the doubt. */
static bool may_be_idle(const struct model_connection *connection) {
    return connection->idle || (connection->opaque_tls && connection->raw.eof_ns == 0);
}

static size_t unseen_ends(const struct model_process *process) {
    size_t count = 0;
    for (size_t i = 0; i < process->connection_count; i++) {
        const struct model_connection *connection = &process->connections[i];
        count += may_be_idle(connection) && connection->raw.tcp_state == TCP_STATE_CLOSE_WAIT;
    }
    return count;
}

static void peer_closed(struct rules_context *context) {
    for (struct model_process *process = context->model->processes; process;
         process = process->next) {
        bool many = unseen_ends(process) > CLOSE_WAIT_WARNING;
        for (size_t i = 0; i < process->connection_count; i++) {
            struct model_connection *connection = &process->connections[i];
            const struct trace_connection *raw = &connection->raw;
            if (!(raw->flags & TRACE_CONNECTION_COUNTED) && !connection->opaque_tls) continue;
            if (raw->flags & TRACE_CONNECTION_SHARED) continue;
            bool seen = raw->eof_ns != 0;
            if (seen && (rules_age(process, raw->eof_ns) < rules_grace(context, process) ||
                         is_one_shot(context, connection)))
                continue;
            if (!seen && !(may_be_idle(connection) && raw->tcp_state == TCP_STATE_CLOSE_WAIT))
                continue;
            struct rules_object object = {
                .process = process,
                .host = connection->host,
                .severity = seen   ? SEVERITY_ERROR
                            : many ? SEVERITY_WARNING
                                   : SEVERITY_NOTE,
                .confidence = connection->opaque ? CONFIDENCE_INFERRED : CONFIDENCE_PROVEN,
                .request_stack = raw->request_stack,
                .connect_stack = raw->connect_stack,
                .method = raw->request_method,
                .path = raw->request_path,
                .status = raw->last_status,
                .since_ns = seen ? raw->eof_ns : raw->idle_since_ns,
                .bytes_read = raw->read_app_bytes,
                .bytes_expected = TRACE_UNKNOWN,
                .connection = connection,
                .root = connection->root,
            };
            if (!seen) {
                object.detail = "idle";
                object.message = "{n} idle {connection|connections} to {host} {was|were} closed by "
                                 "the peer while waiting "
                                 "to be used again";
                object.advice = "Harmless while few: a pool notices at the next use. Many mean a "
                                "pool that is never swept.";
            }
            rules_add(context, &object);
        }
    }
}

const struct rule rule_peer_closed = {
    .id = "peer-closed",
    .severity = SEVERITY_ERROR,
    .message = "{n} {connection|connections} to {host} {was|were} closed by the peer, the program "
               "saw it, and still keeps "
               "{it|them} (CLOSE_WAIT)",
    .advice = "Close the descriptor when a read gives 0 or an error: the peer has gone, nothing "
              "will come any more.",
    .meaning = "The peer ended the connection; the program read that end (0 bytes, or a reset) and "
               "kept the descriptor for the "
               "grace. The kernel keeps such a socket in CLOSE_WAIT for as long as the descriptor "
               "lives. An idle pooled "
               "connection whose end nobody has read yet is a note only, and a warning when a "
               "process has more than ten.",
    .mistake = "The end of the data is taken for the end of the work: the loop leaves, the close "
               "is forgotten.",
    .mend = "Close on every way out of the read loop, end of file and errors included.",
    .evaluate = peer_closed,
};

/* ---- connection-abandoned ---- */

static bool is_silent(const struct rules_context *context,
                      const struct model_connection *connection) {
    const struct trace_connection *raw = &connection->raw;
    const struct model_process *process = connection->process;
    bool established =
        raw->state == TRACE_CONNECTION_ESTABLISHED || raw->tcp_state == TCP_STATE_ESTABLISHED;
    if (!established || raw->requests || raw->read_bytes || raw->write_bytes || raw->eof_ns)
        return false;
    /* Go dials for a request that another connection may answer first: then it waits in the pool */
    if (raw->flags & (TRACE_CONNECTION_SERVER_FIRST | TRACE_CONNECTION_SHARED |
                      TRACE_CONNECTION_BLIND | TRACE_CONNECTION_GO))
        return false;
    return rules_age(process, raw->opened_ns) >= rules_grace(context, process);
}

/* Silent ones beside as many that were used: happy eyeballs, preconnect. */
static size_t used_of_stack(const struct model_process *process, uint32_t stack) {
    size_t used = 0;
    for (size_t i = 0; i < process->site_count; i++)
        if (process->sites[i].raw.stack == stack)
            used += (size_t)process->sites[i].raw.connections_closed;
    for (size_t i = 0; i < process->connection_count; i++) {
        const struct trace_connection *raw = &process->connections[i].raw;
        used += raw->connect_stack == stack && (raw->read_bytes || raw->write_bytes);
    }
    return used;
}

static int stack_compare(const void *a, const void *b) {
    const struct model_connection *x = *(struct model_connection *const *)a,
                                  *y = *(struct model_connection *const *)b;
    if (x->raw.connect_stack != y->raw.connect_stack)
        return x->raw.connect_stack < y->raw.connect_stack ? -1 : 1;
    return (x->raw.id > y->raw.id) - (x->raw.id < y->raw.id);
}

static void connection_abandoned(struct rules_context *context) {
    for (struct model_process *process = context->model->processes; process;
         process = process->next) {
        struct model_connection **silent = NULL;
        size_t count = 0;
        for (size_t i = 0; i < process->connection_count; i++) {
            if (!is_silent(context, &process->connections[i])) continue;
            silent = array_grow(silent, count, sizeof *silent);
            silent[count++] = &process->connections[i];
        }
        if (count) qsort(silent, count, sizeof *silent, stack_compare);
        for (size_t first = 0, end; first < count; first = end) {
            uint32_t stack = silent[first]->raw.connect_stack;
            for (end = first; end < count && silent[end]->raw.connect_stack == stack;)
                end++;
            if (end - first < ABANDONED_MIN || used_of_stack(process, stack) >= end - first)
                continue;
            for (size_t i = first; i < end; i++) {
                struct model_connection *connection = silent[i];
                const bool added = rules_add(context, &(struct rules_object){
                                                          .process = process,
                                                          .host = connection->host,
                                                          .severity = SEVERITY_ERROR,
                                                          .confidence = CONFIDENCE_PROVEN,
                                                          .connect_stack = stack,
                                                          .since_ns = connection->raw.opened_ns,
                                                          .bytes_expected = TRACE_UNKNOWN,
                                                          .connection = connection,
                                                          .root = connection->root,
                                                      });
                if (added && connection->raw.state == TRACE_CONNECTION_CONNECTING)
                    count_connecting(context, connection);
            }
        }
        free(silent);
    }
}

const struct rule rule_connection_abandoned = {
    .id = "connection-abandoned",
    .severity = SEVERITY_ERROR,
    .message = "{n} {connection|connections} to {host} {was|were} opened and never used",
    .advice = "Close connections that are not needed after all, or hand them to the pool that "
              "opened them.",
    .meaning = "At least three connections of one call site were established, nothing was ever "
               "sent or received on them, and "
               "they are still open after the grace. Connections that a client opens in advance, "
               "beside others that it "
               "uses, are no finding, nor are protocols in which the server speaks first.",
    .mistake = "The request fails between connect and send, and the socket is forgotten; a health "
               "check that only connects.",
    .mend = "Close the socket on every path that leaves before the request is sent.",
    .evaluate = connection_abandoned,
};
