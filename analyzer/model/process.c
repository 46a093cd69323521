/* How a traced process ended, and the moment that its evidence is judged at. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "model/internal.h"

/* State and start time (fields 3 and 22) of /proc/PID/stat; the name before them may hold anything, so from the last ')'. */
static bool stat_read(uint32_t pid, char *state, uint64_t *start_ticks) {
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    size_t n = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[n] = 0;
    const char *at = strrchr(line, ')');
    if (!at || sscanf(at + 1, " %c", state) != 1) return false;
    for (int field = 2; field < 22 && at; field++)
        at = strchr(at + 1, ' ');
    return at && sscanf(at, "%" SCNu64, start_ticks) == 1;
}

/* true when the process of this trace is still there (the same one: pids are used again). */
static bool process_is_alive(const struct trace_header *header) {
    char state;
    uint64_t ticks;
    if (header->pid == 0 || !stat_read(header->pid, &state, &ticks)) return false;
    if (state == 'Z' || state == 'X') return false;
    if (header->process_start_ticks) return ticks == header->process_start_ticks;
    /* start not known (a sandbox): the same executable is the best that can be said */
    char path[64], exe[sizeof header->exe];
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/exe", header->pid);
    ssize_t n = readlink(path, exe, sizeof exe - 1);
    if (n < 0) return false;
    exe[n] = 0;
    return strcmp(exe, header->exe) == 0;
}

/* The newest time that anything in the trace tells. */
static uint64_t last_moment(const struct model_process *process) {
    uint64_t last = max_u64(process->header->last_moment_ns, process->header->created_ns);
    for (size_t i = 0; i < process->connection_count; i++) {
        const struct trace_connection *raw = &process->connections[i].raw;
        last = max_u64(
            last, max_u64(raw->opened_ns, max_u64(raw->read_attempt_ns, raw->write_attempt_ns)));
        last =
            max_u64(last, max_u64(raw->wait_ns, max_u64(raw->epoll_wait_ns, raw->epoll_change_ns)));
    }
    for (size_t i = 0; i < process->body_count; i++) {
        const struct trace_body *raw = &process->bodies[i].raw;
        last = max_u64(last, max_u64(raw->opened_ns, max_u64(raw->progress_ns, raw->attempt_ns)));
    }
    for (size_t i = 0; i < process->worker_count; i++)
        last = max_u64(last, max_u64(process->workers[i].raw.last_io_ns,
                                     process->workers[i].raw.wait_since_ns));
    return last;
}

static uint64_t clock_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void process_judge_end(struct model_process *process, const struct process_fate *fate,
                       const struct model_options *options) {
    const struct trace_header *header = process->header;
    bool waited = fate && fate->waited;
    uint64_t last = last_moment(process);
    process->now_ns = header->ended_ns ? header->ended_ns : last;
    process->status_known = header->status_known;
    process->status = header->status;
    switch ((enum trace_end)header->end) {
    case TRACE_END_EXIT:
        process->end = REPORT_END_EXIT;
        process->orderly = true;
        if (!process->status_known && waited && fate->signal == 0) {
            process->status_known = true;
            process->status = fate->status;
        }
        return;
    case TRACE_END_EXEC: process->end = REPORT_END_EXEC; return;
    case TRACE_END_SIGNAL: process->end = REPORT_END_SIGNAL; return;
    case TRACE_END_RUNNING: break;
    }
    process->status_known = false;
    process->status = 0;
    /* a clock that stands behind the trace is that of another machine, or of another boot */
    uint64_t now = options->now_ns ? options->now_ns : clock_now();
    if (!waited && process_is_alive(header) && now >= header->created_ns) {
        process->end = REPORT_END_RUNNING;
        process->alive = true;
        process->now_ns = max_u64(now, last);
        return;
    }
    process->now_ns = fate && fate->ended_ns ? max_u64(fate->ended_ns, last) : last;
    process->end = REPORT_END_LOST;
    if (waited) {
        /* Go leaves with 2 after a panic or a fatal error, and that is no exit: an exit would have been recorded. */
        const bool panicked =
            header->go_state == TRACE_GO_FOLLOWED && fate->signal == 0 && fate->status == 2;
        process->end = fate->signal || panicked ? REPORT_END_SIGNAL : REPORT_END_EXIT;
        process->status = fate->signal ? fate->signal : fate->status;
        process->status_known = !panicked;
    }
}
