/* Workers: who is one, what its role is, and which connection it is dedicated to. */
#include "model/internal.h"

static bool reads_only(const struct trace_worker *raw) {
    return raw->read_ops > 0 && raw->write_ops == 0;
}

static bool writes_only(const struct trace_worker *raw) {
    return raw->write_ops > 0 && raw->read_ops == 0;
}

/* Somebody else does the other direction of the one connection that this worker ever used. */
static bool has_counterpart(const struct model_process *process,
                            const struct model_worker *worker) {
    const struct trace_worker *raw = &worker->raw;
    const struct model_connection *connection = process_connection(process, raw->last_connection);
    if (connection) {
        uint32_t other = reads_only(raw) ? connection->raw.writer_tid : connection->raw.reader_tid;
        if (other != 0 && other != raw->tid) return true;
    }
    for (size_t i = 0; i < process->worker_count; i++) {
        const struct trace_worker *peer = &process->workers[i].raw;
        if (peer->id == raw->id || peer->last_connection != raw->last_connection) continue;
        if (reads_only(raw) ? peer->write_ops > 0 : peer->read_ops > 0) return true;
    }
    /* the connection is gone and the counterpart with it: its I/O was of one kind all its life */
    return !connection;
}

static enum trace_worker_role worker_role(const struct model_process *process,
                                          const struct model_worker *worker) {
    const struct trace_worker *raw = &worker->raw;
    if (raw->declared_role >= TRACE_ROLE_READER && raw->declared_role <= TRACE_ROLE_BOTH)
        return (enum trace_worker_role)raw->declared_role;
    if (raw->connections_used != 1 || !(reads_only(raw) || writes_only(raw)))
        return TRACE_ROLE_BOTH;
    if (!has_counterpart(process, worker)) return TRACE_ROLE_BOTH;
    return reads_only(raw) ? TRACE_ROLE_READER : TRACE_ROLE_WRITER;
}

/* A thread that used only what turned out to speak no HTTP is in no total. */
static bool worker_is_http(const struct model_process *process, const struct model_worker *worker) {
    const struct model_connection *connection =
        process_connection(process, worker->raw.last_connection);
    if (connection) return connection->counted;
    for (size_t i = 0; i < process->site_count; i++)
        if (process->sites[i].host == worker->host) return true;
    return false;
}

static bool is_blocked(const struct trace_worker *raw) {
    return raw->wait != TRACE_WAIT_NONE && raw->wait != TRACE_WAIT_COND &&
           raw->wait != TRACE_WAIT_SEM && raw->wait != TRACE_WAIT_JOIN;
}

void process_judge_workers(struct model_process *process) {
    for (size_t i = 0; i < process->worker_count; i++) {
        struct model_worker *worker = &process->workers[i];
        const struct trace_worker *raw = &worker->raw;
        worker->counted =
            !(raw->flags & TRACE_WORKER_MAIN) &&
            (raw->read_ops + raw->write_ops > 0 || raw->declared_role != TRACE_ROLE_UNDECLARED) &&
            worker_is_http(process, worker);
        worker->role = worker_role(process, worker);
        if (is_blocked(raw)) {
            process->blocked =
                array_grow(process->blocked, process->blocked_count, sizeof *process->blocked);
            process->blocked[process->blocked_count++] = raw;
        }
        if (raw->connections_used == 1)
            worker->dedicated = process_connection(process, raw->last_connection);
    }
}
