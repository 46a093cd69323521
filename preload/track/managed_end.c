/* The process of a managed client as a whole: its trace, its end. */
#include "record/summary.h"
#include "record/sys.h"
#include "track/managed_inside.h"

bool managed_trace(void) {
    return __builtin_expect(trace != NULL, 1) || trace_open_inside();
}

static void header_end(struct trace_header *header, enum trace_end end, int status, uint64_t now) {
    header->status = status;
    header->status_known = 1;
    header->ended_ns = now;
    __atomic_store_n(&header->end, end, __ATOMIC_RELEASE);
}

void managed_exit(int status, uint64_t goid) {
    struct trace_map *t = trace;
    if (!t) return;
    const uint64_t now = clock_now();
    managed_sample_all();
    header_end(t->header, TRACE_END_EXIT, status & 0xff, now);
    struct trace_event event = {
        .type = TRACE_EVENT_END, .arg = TRACE_END_EXIT, .a = (uint64_t)(status & 0xff), .b = goid};
    managed_note(&event, 0, now, goid);
    trace_discard_if_unused();
    summary_print();
}

void managed_exec(bool begins) {
    struct trace_map *t = trace;
    if (!t || (!begins && t->header->end != TRACE_END_EXEC)) return;
    const uint64_t now = clock_now();
    if (begins) managed_sample_all();
    header_end(t->header, begins ? TRACE_END_EXEC : TRACE_END_RUNNING, 0, begins ? now : 0);
    struct trace_event event = {.type = TRACE_EVENT_EXEC, .arg = begins ? 1 : 2};
    managed_note(&event, 0, now, 0);
}

void managed_after_fork(void) {
    managed_map_reset(&managed_connections);
    managed_bodies_reset();
    managed_contexts_reset();
    managed_workers_reset();
}
