/* The states of an open body, and the evidence for each: who waits, what waits, who went on. */
#include "rules/context.h"

#define BURSTS_OF_A_PAUSED_READER 2u
#define READS_OF_A_PAUSED_READER 8u  /* one burst, but a long one: it was on its way */
#define MUCH_IN_ONE_BURST 262144u    /* bytes: or few reads, but of much each */
#define BETWEEN_READS_NS 1000000000u /* and a reader may be away for so long at the end */
#define SOON_NS 50000000u            /* of a reader that was never away before */

uint64_t rules_age(const struct model_process *process, uint64_t since_ns) {
    return process->now_ns > since_ns ? process->now_ns - since_ns : 0;
}

uint64_t rules_grace(const struct rules_context *context, const struct model_process *process) {
    return process->orderly ? 0 : context->grace_ns;
}

uint64_t rules_last_try(const struct model_connection *connection) {
    return later(connection->raw.read_attempt_ns, connection->raw.wait_ns);
}

/* Who asks for the next stream has not gone on from this one. */
static bool is_stream(const struct model_body *body) {
    return rules_is_wire_stream(&body->raw);
}

/*
 * A thread blocks in a read of it, in a poll that has it in its read set, or in an epoll set that does. Bytes that wait have come
 * this moment then, but for an edge-triggered set, which tells of them once: see is_in_event_loop.
 */
static bool is_blocked_on(const struct model_connection *connection) {
    const struct model_process *process = connection->process;
    const struct trace_connection *raw = &connection->raw;
    for (size_t i = 0; i < process->blocked_count; i++) {
        const struct trace_worker *worker = process->blocked[i];
        if ((worker->wait == TRACE_WAIT_READ || worker->wait == TRACE_WAIT_CONNECT) &&
            worker->wait_connection == raw->id)
            return true;
        if (worker->wait == TRACE_WAIT_EPOLL && raw->epoll_interest &&
            worker->wait_address == raw->epoll_set &&
            (connection->bytes != MODEL_BYTES_WAIT || !raw->epoll_edge))
            return true;
        if (worker->wait == TRACE_WAIT_POLL && worker->tid == raw->poll_tid && raw->wait_ns != 0 &&
            worker->wait_since_ns == raw->wait_ns)
            return true;
    }
    return false;
}

/* An event loop that has it in its set came round after the last thing that happened to it, or did so lately. */
static bool is_in_event_loop(const struct rules_context *context,
                             const struct model_connection *connection) {
    const struct trace_connection *raw = &connection->raw;
    if (!raw->epoll_interest || raw->epoll_wait_ns == 0) return false;
    bool lately = rules_age(connection->process, raw->epoll_wait_ns) <= context->grace_ns;
    if (raw->epoll_wait_ns < later(raw->read_progress_ns, raw->epoll_change_ns) && !lately)
        return false;
    if (connection->bytes != MODEL_BYTES_WAIT) return true;
    /* Bytes wait. Level triggered, the next wait will tell; edge triggered, the program was told once, and let it be. */
    if (raw->epoll_edge)
        return rules_age(connection->process, raw->read_progress_ns) <= context->grace_ns;
    return lately;
}

/*
 * The event loop itself was closed around it a moment before the end, or it was taken out of the
 * loop while nothing waited to be read, as programs do that stop in order with requests in flight.
 * A thread that asked for something after that went on without it.
 */
static bool is_in_loop_that_ended(const struct rules_context *context,
                                  const struct model_connection *connection) {
    const struct trace_connection *raw = &connection->raw;
    const struct model_process *process = connection->process;
    if (!process->orderly || raw->epoll_interest || raw->epoll_wait_ns == 0) return false;
    bool starved =
        connection->bytes == MODEL_BYTES_NONE && raw->epoll_wait_ns >= raw->read_progress_ns;
    if (raw->epoll_set == 0 && !starved) return false;
    for (const struct model_body *body = connection->body; body; body = body->sibling)
        if (!is_stream(body) && body->asker_last_ns > raw->epoll_change_ns) return false;
    return rules_age(process, raw->epoll_change_ns) <= context->grace_ns &&
           rules_age(process, raw->epoll_wait_ns) <= context->grace_ns;
}

bool rules_is_waited_for(const struct rules_context *context,
                         const struct model_connection *connection) {
    return is_blocked_on(connection) || is_in_event_loop(context, connection) ||
           is_in_loop_that_ended(context, connection);
}

static bool is_writing_elsewhere(const struct model_process *process, uint32_t tid) {
    for (size_t i = 0; tid != 0 && i < process->blocked_count; i++)
        if (process->blocked[i]->tid == tid && process->blocked[i]->wait == TRACE_WAIT_OTHER_WRITE)
            return true;
    return false;
}

static bool anybody_writes_elsewhere(const struct model_process *process) {
    for (size_t i = 0; i < process->blocked_count; i++)
        if (process->blocked[i]->wait == TRACE_WAIT_OTHER_WRITE) return true;
    return false;
}

/* After the last payload somebody asked for more and was told that there is none. */
static bool has_tried_since(const struct model_connection *connection, uint64_t progress) {
    return rules_last_try(connection) > progress || connection->raw.read_result == TRACE_READ_AGAIN;
}

static struct body_judgement abandoned(const struct model_body *body, bool went_on) {
    bool proven = body->connection->bytes == MODEL_BYTES_WAIT ||
                  (body->raw.flags & TRACE_BODY_HANDLE_SEEN) || went_on;
    return (struct body_judgement){BODY_ABANDONED,
                                   proven ? CONFIDENCE_PROVEN : CONFIDENCE_INFERRED};
}

static uint64_t body_progress(const struct model_body *body) {
    return later(body->raw.progress_ns, body->raw.opened_ns);
}

/* The thread that asked for it asked for something else after the last payload. */
static bool went_on(const struct model_body *body) {
    return !is_stream(body) &&
           body->asker_last_ns > later(body_progress(body), body->raw.requested_ns);
}

static const struct trace_worker *worker_of(const struct model_process *process, uint32_t tid) {
    for (size_t i = 0; i < process->worker_count; i++)
        if (process->workers[i].raw.tid == tid) return &process->workers[i].raw;
    return NULL;
}

/* The thread is there and not parked: it sleeps, computes, or waits for something else. */
static bool is_about(const struct trace_worker *worker) {
    return worker && (worker->wait == TRACE_WAIT_NONE || worker->wait == TRACE_WAIT_POLL ||
                      worker->wait == TRACE_WAIT_EPOLL);
}

/* The thread is there, and not busy with another descriptor or waiting for another thread's end. */
static bool is_free(const struct trace_worker *worker) {
    return is_about(worker) ||
           (worker && (worker->wait == TRACE_WAIT_COND || worker->wait == TRACE_WAIT_SEM));
}

/* Its reader came back to it, often or after pauses. */
static bool is_read_in_parts(const struct trace_body *raw) {
    return raw->reads >= READS_OF_A_PAUSED_READER || raw->bursts >= BURSTS_OF_A_PAUSED_READER;
}

/*
 * The process ended while another thread was at it: between two reads, as ever up to then (asleep, which is a wait for a condition
 * in Java, or waiting for Python's lock). One that has ended, asks for something else or ended the process itself has left it, and
 * so has one that was away for much longer than before.
 */
static bool is_being_read(const struct model_body *body, uint64_t progress) {
    const struct trace_body *raw = &body->raw;
    const struct model_process *process = body->process;
    const uint64_t usual = 2 * raw->max_stall_ns;
    const uint64_t away = rules_age(process, later(progress, rules_last_try(body->connection)));
    return is_read_in_parts(raw) && process->ended_by_tid != 0 &&
           process->ended_by_tid != raw->reader_tid && !went_on(body) &&
           is_free(worker_of(process, raw->reader_tid)) && away < BETWEEN_READS_NS &&
           away <= later(usual, SOON_NS);
}

/* The process ended in order: what is open now stays open, whatever its age. */
static struct body_judgement judge_at_exit(const struct rules_context *context,
                                           const struct model_body *body, uint64_t progress) {
    const struct model_connection *connection = body->connection;
    const struct model_process *process = body->process;
    if (rules_is_waited_for(context, connection))
        return (struct body_judgement){BODY_STARVED, CONFIDENCE_PROVEN};
    if (connection->bytes == MODEL_BYTES_NONE && has_tried_since(connection, progress))
        return (struct body_judgement){BODY_STARVED, CONFIDENCE_PROVEN};
    if (is_being_read(body, progress))
        return (struct body_judgement){BODY_PROGRESSING, CONFIDENCE_INFERRED};
    if (is_writing_elsewhere(process, body->raw.reader_tid) ||
        is_writing_elsewhere(process, body->raw.asker_tid))
        return (struct body_judgement){BODY_PAUSED, CONFIDENCE_INFERRED};
    if (body->raw.bursts >= BURSTS_OF_A_PAUSED_READER &&
        (connection->raw.epoll_interest || anybody_writes_elsewhere(process)))
        return (struct body_judgement){BODY_PAUSED, CONFIDENCE_INFERRED};
    return abandoned(body, false);
}

/*
 * It took much at once, and since then nothing: a limit on its rate (curl --limit-rate), a player
 * with a full buffer, a proxy whose client is slow. Not if its thread has ended, was parked or went
 * on to other requests, or that of another body from the same place did: such a place breaks off.
 * Nor if an event loop let it go.
 */
static bool is_on_its_way(const struct rules_context *context, const struct model_body *body) {
    const struct model_process *process = body->process;
    const struct trace_body *raw = &body->raw;
    const bool much = raw->reads >= READS_OF_A_PAUSED_READER ||
                      (raw->reads > 1 && raw->bytes_read >= MUCH_IN_ONE_BURST);
    if (!much || went_on(body) || !is_about(worker_of(process, raw->reader_tid))) return false;
    if (body->connection->raw.epoll_change_ns != 0 && !body->connection->raw.epoll_interest)
        return false;
    for (size_t i = 0; i < process->body_count; i++) {
        const struct model_body *other = &process->bodies[i];
        if (other->raw.request_stack == body->raw.request_stack && went_on(other) &&
            rules_age(process, body_progress(other)) >= context->grace_ns)
            return false;
    }
    return true;
}

/* It runs, or it was killed, or it vanished. */
static struct body_judgement judge_in_flight(const struct rules_context *context,
                                             const struct model_body *body, uint64_t progress) {
    const struct model_connection *connection = body->connection;
    const struct model_process *process = body->process;
    uint64_t age = rules_age(process, later(progress, rules_last_try(connection)));
    if (age < context->grace_ns)
        return (struct body_judgement){BODY_PROGRESSING, CONFIDENCE_PROVEN};
    if (rules_is_waited_for(context, connection))
        return (struct body_judgement){BODY_STARVED, CONFIDENCE_PROVEN};
    if (connection->bytes == MODEL_BYTES_NONE && has_tried_since(connection, progress))
        return (struct body_judgement){BODY_STARVED, CONFIDENCE_PROVEN};
    if (body->raw.bursts >= BURSTS_OF_A_PAUSED_READER || is_on_its_way(context, body) ||
        is_writing_elsewhere(process, body->raw.reader_tid) ||
        is_writing_elsewhere(process, body->raw.asker_tid)) {
        if (rules_age(process, progress) < RULES_PAUSED_GRACES * context->grace_ns)
            return (struct body_judgement){BODY_PROGRESSING, CONFIDENCE_INFERRED};
        return (struct body_judgement){BODY_PAUSED, CONFIDENCE_INFERRED};
    }
    return abandoned(body, went_on(body));
}

/*
 * The goroutine that reads it went on: to another request, or to the end of the program. Go's clocks are coarse: within one tick
 * the order in which it asked decides.
 */
static bool go_went_on(const struct model_body *body) {
    const struct trace_body *raw = &body->raw;
    const struct model_process *process = body->process;
    if (went_on(body)) return true;
    if (process->ended_by != 0 && (uint32_t)process->ended_by == raw->reader_tid) return true;
    return raw->reader_tid == raw->asker_tid && body->asker_last_body > raw->id &&
           body->asker_last_ns == body_progress(body);
}

/*
 * A Go body is judged by its handle: Read and Close of it are seen. A goroutine inside Read waits for it; one that reads in a loop
 * may be between two Reads at the very end of the program. Whether bytes wait says nothing: the transport reads ahead.
 */
static struct body_judgement judge_go(const struct rules_context *context,
                                      const struct model_body *body) {
    const struct model_process *process = body->process;
    const struct trace_body *raw = &body->raw;
    uint64_t progress = body_progress(body), last = later(progress, raw->attempt_ns);
    bool reads_on = is_read_in_parts(raw) && !go_went_on(body);
    if (raw->attempts_now > 0) return (struct body_judgement){BODY_STARVED, CONFIDENCE_PROVEN};
    if (process->orderly) {
        if (reads_on && rules_age(process, last) < BETWEEN_READS_NS)
            return (struct body_judgement){BODY_PROGRESSING, CONFIDENCE_INFERRED};
        return (struct body_judgement){BODY_ABANDONED, CONFIDENCE_PROVEN};
    }
    if (rules_age(process, last) < context->grace_ns)
        return (struct body_judgement){BODY_PROGRESSING, CONFIDENCE_PROVEN};
    if (raw->bursts >= BURSTS_OF_A_PAUSED_READER || reads_on) {
        if (rules_age(process, last) < RULES_PAUSED_GRACES * context->grace_ns)
            return (struct body_judgement){BODY_PROGRESSING, CONFIDENCE_INFERRED};
        return (struct body_judgement){BODY_PAUSED, CONFIDENCE_INFERRED};
    }
    return (struct body_judgement){BODY_ABANDONED, CONFIDENCE_PROVEN};
}

/*
 * HTTP/2: the peer has more to send, and may not, because the program does not give back what came (RFC 9113 5.2): bytes wait,
 * but at the peer. A connection's window that is shut accuses only those that hold more than half of it: a client gives back the
 * other half late, and then all streams on it starve.
 */
static bool is_shut(const struct model_body *body) {
    const struct trace_connection *connection = &body->connection->raw;
    if (!is_stream(body) || body->raw.held == 0 || body->raw.bytes_read == body->raw.expected)
        return false;
    return body->raw.window == 0 ||
           (connection->window == 0 && body->raw.held > connection->held / 2);
}

static struct body_judgement judge_shut(const struct rules_context *context,
                                        const struct model_body *body) {
    const struct model_process *process = body->process;
    const uint64_t progress = later(body_progress(body), body->raw.attempt_ns);
    const uint64_t age = rules_age(process, progress);
    /* It took some of it, and gave that back: a reader that rests. */
    const bool rests =
        body->raw.attempt_ns != 0 || is_writing_elsewhere(process, body->raw.reader_tid);
    const enum report_confidence confidence =
        body->raw.expected != TRACE_UNKNOWN ? CONFIDENCE_PROVEN : CONFIDENCE_INFERRED;
    if (!process->orderly && age < context->grace_ns * (rests ? RULES_PAUSED_GRACES : 1))
        return (struct body_judgement){BODY_PROGRESSING, confidence};
    return (struct body_judgement){rests ? BODY_PAUSED : BODY_ABANDONED, confidence};
}

struct body_judgement rules_judge_body(const struct rules_context *context,
                                       const struct model_body *body) {
    const struct model_connection *connection = body->connection;
    /* event streams and gRPC have no end to read to; what is shared or blind is not ours to judge */
    if (!connection ||
        (body->raw.flags &
         (TRACE_BODY_EVENT_STREAM | TRACE_BODY_GRPC | TRACE_BODY_HANDLE_CLOSED)) ||
        (connection->raw.flags & (TRACE_CONNECTION_BLIND | TRACE_CONNECTION_SHARED)))
        return (struct body_judgement){BODY_EXEMPT, CONFIDENCE_PROVEN};
    /* the goroutines behind a Go body stay, whatever the peer did meanwhile */
    if (body->raw.flags & TRACE_BODY_GO) return judge_go(context, body);
    if (connection->raw.eof_ns != 0) return (struct body_judgement){BODY_EXEMPT, CONFIDENCE_PROVEN};
    if (is_shut(body)) return judge_shut(context, body);
    uint64_t progress = body_progress(body);
    return body->process->orderly ? judge_at_exit(context, body, progress)
                                  : judge_in_flight(context, body, progress);
}

bool rules_sent_by_own_worker(const struct model_connection *connection, uint32_t tid) {
    const struct model_process *process = connection->process;
    if (connection->go || tid == 0 || tid == connection->raw.opener_tid ||
        connection->raw.connect_stack == 0)
        return false;
    for (size_t i = 0; i < process->worker_count; i++) {
        const struct trace_worker *raw = &process->workers[i].raw;
        if (raw->tid == tid && process->workers[i].counted)
            return raw->connections_used == 1 && raw->last_connection == connection->raw.id;
    }
    return false;
}
