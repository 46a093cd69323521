/*
 * The trace file as the recorder's memory: created, mapped, grown, and its regions handed out.
 *
 * `trace` is NULL until the first client connect (trace_open) and for ever in a process that is left out. Everything below is
 * lock-free or bounded, allocates nothing with the program's malloc, and may be called from signal handlers; a failure is
 * counted in header.lost and never waited for.
 */
#ifndef RECORD_TRACE_H
#define RECORD_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "httpleak/trace.h"

#pragma GCC visibility push(hidden) /* the compiler need not ask where they are */

struct trace_map {
    struct trace_header *header;
    uint8_t *base; /* = header */
    /* region starts, for speed */
    struct trace_connection *connections;
    struct trace_body *bodies;
    struct trace_worker *workers;
    struct trace_handle *handles;
    struct trace_site *sites;
    struct trace_host *hosts;
    struct trace_module *modules;
    struct trace_timer *timers;
    uint8_t *strings, *stacks;
    struct trace_event *journal;
    uint32_t connection_limit, body_limit, worker_limit, handle_limit;
    uint64_t journal_limit; /* places */
};
extern struct trace_map *trace; /* read it once per hook */
/* What the file is (will be) called, absolute; "" before. For the summary. */
extern char trace_path[];

/* Remembers what must be known from the start: pid, times, exe, argv, working directory. From the constructor. */
void trace_prepare(int argc, char **argv);
/* The executable's base name; after trace_prepare. */
const char *trace_program(void);
/*
 * Creates and maps the file if it is not there; true when there is a trace. Safe to call from several threads: one creates,
 * the others wait bounded. After a failure it is not tried again (one warning is said).
 */
bool trace_open(void);
/* The same from where nothing of libc can be called: the executable is the only module that is known then (module_main_set). */
bool trace_open_inside(void);
/* A connection will not be seen, since there is no trace for it yet: counted in the one that comes (or is there by now). */
void trace_lose_connection(void);
/* What became of the Go program inside, for the header. The texts are NUL terminated and stay where they are. */
void trace_go(enum trace_go, const char *version, const char *reason);
/* In a fork child: forget the parent's trace without touching it; the next trace_open makes our own. Keeps `trace` NULL. */
void trace_after_fork(void);
/* The mapping of the parent's trace in a fork child (to mark shared connections), NULL otherwise. */
extern struct trace_map *trace_of_parent;
/* For a trace that was made early (chroot, setuid, seccomp) and saw no connection: remove the file again. */
void trace_discard_if_unused(void);

/*
 * seccomp, in two steps. Before: blocks for a few hundred connections and some thousand transitions are fetched. After: nothing
 * grows any more and no trace is created, here and in children, because a filter may kill for the calls that it takes; the
 * journal's ring closes where its blocks end.
 */
void trace_reserve(void);
void trace_restrict(void);

/* Makes sure that bytes [0, end) of the region have blocks behind them; false: they can't be had. O(1) when they are. */
bool trace_populate(enum trace_region_kind, uint64_t end);
/* Next record of a table or slot region never handed out before: its index, or UINT32_MAX (full; not counted as lost here). */
uint32_t trace_take_record(enum trace_region_kind);
/* bytes (rounded up to 8) from a heap: id = offset / 8, 0: none left. */
uint32_t trace_take_heap(enum trace_region_kind, uint64_t bytes);
void trace_lose(enum trace_lost);

/* Slots: an index into the region's array, UINT32_MAX if there is none (counted as lost). The slot is zeroed; its state is 0. */
uint32_t slot_take(enum trace_region_kind); /* CONNECTION, BODY, WORKER, HANDLE only */
/* Ids of objects: 1, 2, ... in the order of asking; none comes twice in a trace. */
uint64_t slot_id(enum trace_region_kind); /* CONNECTION, BODY, WORKER only */
/* The caller has set state to 0 before. */
void slot_give(enum trace_region_kind, uint32_t index);
/*
 * Soon one is taken: fetches the cache lines that this will write. A locked instruction waits for all that was written before it,
 * so what is not in the cache is waited for line by line, unless it is asked for at once. As all of these *_expect: only that.
 */
void slot_expect(enum trace_region_kind);

/*
 * Half updates: begin makes the sequence odd, end even again. One writer at a time per half is the rule; should two ever
 * meet (a signal handler on top of a hook), the last one out still leaves it even.
 */
static inline void slot_begin(uint32_t *seq) {
    __atomic_store_n(seq, __atomic_load_n(seq, __ATOMIC_RELAXED) | 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}
static inline void slot_end(uint32_t *seq) {
    __atomic_store_n(seq, (__atomic_load_n(seq, __ATOMIC_RELAXED) | 1) + 1, __ATOMIC_RELEASE);
}
static inline void counter_add(uint64_t *counter, uint64_t n) {
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/*
 * Journal: fills time, tid and sequence itself (0: there was no room). e needs type and whatever belongs to it. Never blocks; about
 * 40 ns.
 */
void journal_append(struct trace_event *e, uint64_t now, uint32_t tid);
/* TRACE_EVENT_DRAINED or _CLOSED for the record with that seq; false: it is not of that moment and thread, or gone. */
bool journal_mark(uint64_t seq, uint64_t now, uint32_t tid, uint16_t mark);
/*
 * Instead of a new record: the BODY_OPEN with that seq takes a request like its own, or that one's body, as the same exchange again.
 * e: what would be appended else; method and path are the caller's to compare. False: it is not the newest, not of that moment and
 * thread, not over yet, or something differs.
 */
bool journal_again(uint64_t seq, const struct trace_event *e, uint64_t now, uint32_t tid);
/* Soon something is appended. */
void journal_expect(void);

#pragma GCC visibility pop

#endif
