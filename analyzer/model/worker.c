/* Workers: who is one, what its role is, and which connection it is dedicated to. */
#include <stdlib.h>

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

/* ---- goroutines: their hooks say what they are for ---- */

static int dedicated_compare(const void *a, const void *b) {
    const struct model_worker *x = *(struct model_worker *const *)a,
                              *y = *(struct model_worker *const *)b;
    return (x->raw.dedicated > y->raw.dedicated) - (x->raw.dedicated < y->raw.dedicated);
}

/* Since when the connections of those that were left behind are gone; the journal knows, as far back as it goes. */
static void note_gone(struct model_process *process, struct model_worker **gone, size_t count) {
    struct trace_journal journal;
    struct trace_event event;
    qsort(gone, count, sizeof *gone, dedicated_compare);
    trace_journal_begin(&journal, process->file);
    while (trace_journal_next(&journal, &event)) {
        if (event.type != TRACE_EVENT_CONNECTION_CLOSE) continue;
        size_t low = 0, high = count;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (gone[middle]->raw.dedicated < event.connection)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < count && gone[low]->raw.dedicated == event.connection; low++)
            gone[low]->gone_ns = event.time_ns;
    }
}

static void judge_goroutines(struct model_process *process) {
    struct model_worker **gone = NULL;
    size_t count = 0;
    for (size_t i = 0; i < process->worker_count; i++) {
        struct model_worker *worker = &process->workers[i];
        if (!worker->goroutine) continue;
        worker->dedicated = process_connection(process, worker->raw.dedicated);
        if (worker->dedicated || worker->raw.dedicated == 0) continue;
        gone = array_grow(gone, count, sizeof *gone);
        gone[count++] = worker;
    }
    if (count) note_gone(process, gone, count);
    free(gone);
}

void process_judge_workers(struct model_process *process) {
    judge_goroutines(process);
    for (size_t i = 0; i < process->worker_count; i++) {
        struct model_worker *worker = &process->workers[i];
        const struct trace_worker *raw = &worker->raw;
        if (worker->goroutine) {
            worker->counted = !worker->dedicated || worker->dedicated->counted;
            worker->role = worker_role(process, worker);
            continue;
        }
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
