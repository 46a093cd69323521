/* Threads as workers: the slot of each, its I/O on client connections, and where it waits. */
#include "track/worker.h"

#include <limits.h>
#include <string.h>
#include <sys/prctl.h>

#include "record/clock.h"
#include "record/stack_memo.h"
#include "record/sys.h"
#include "track/crowd.h"
#include "track/process.h"
#include "track/start.h"

__thread struct thread thread_self;
bool worker_seen;

static pthread_key_t key;
#define KEY_WAIT_NS 50000000u /* its maker may be the thread that a signal handler is on top of */
static enum { KEY_NONE, KEY_BEING_MADE, KEY_MADE, KEY_REFUSED } key_state;

uint32_t thread_tid_ask(void) {
    thread_self.tid = sys_gettid();
    thread_self.generation = process_generation;
    return thread_self.tid;
}

/* ---- the slot ---- */

static void worker_fill(struct trace_map *t, struct trace_worker *w) {
    const struct thread_start *start = thread_self.start;
    w->id = slot_id(TRACE_REGION_WORKER);
    w->tid = thread_tid();
    w->declared_role = thread_self.role;
    if (w->tid == t->header->pid) {
        w->flags = TRACE_WORKER_MAIN;
        w->started_ns = t->header->started_ns;
    } else if (start) {
        w->creator_tid = start->creator_tid;
        w->started_ns = start->created_ns;
        w->created_stack = intern_stack(start->pcs, start->count);
        w->flags =
            start->detached || start_known_detached(pthread_self()) ? TRACE_WORKER_DETACHED : 0;
        w->siblings = crowd_enter(w->created_stack);
    } else {
        w->flags = TRACE_WORKER_FOREIGN;
        w->started_ns = clock_now();
    }
    if (!sys_is_confined()) sys_call(SYS_prctl, PR_GET_NAME, w->name);
    w->name[sizeof w->name - 1] = 0;
}

struct trace_worker *worker_take(void) {
    process_check_fork();
    struct trace_map *t = trace;
    if (!t || thread_self.ended || thread_self.tried || process_is_vfork_child()) return NULL;
    thread_self.tried = true;
    const uint32_t index = slot_take(TRACE_REGION_WORKER);
    if (index == UINT32_MAX) return NULL;
    struct trace_worker *w = &t->workers[index];
    slot_begin(&w->seq);
    worker_fill(t, w);
    w->state = TRACE_WORKER_LIVE;
    slot_end(&w->seq);
    thread_self.slot_index = index;
    thread_self.slot = w;
    __atomic_store_n(&worker_seen, true, __ATOMIC_RELAXED);
    worker_arm(false);
    start_known_slot(pthread_self(), index + 1);

    struct trace_event event = {
        .type = TRACE_EVENT_WORKER_START, .object = w->id, .a = w->tid, .stack = w->created_stack};
    journal_append(&event, clock_now(), w->tid);
    return w;
}

/* The thread's end: the slot is given back, and a worker is counted at the host that it worked for
 * last. */
static void worker_end(void) {
    struct trace_map *t = trace;
    struct trace_worker *w = thread_self.slot;
    thread_self.ended = true;
    thread_self.slot = NULL;
    if (!t || !w) return;
    crowd_leave(w->created_stack);
    struct trace_event event = {.type = TRACE_EVENT_WORKER_END,
                                .object = w->id,
                                .a = w->tid,
                                .arg = (uint16_t)thread_self.way};
    if (w->read_ops + w->write_ops > 0 && !(w->flags & TRACE_WORKER_MAIN)) {
        event.b = intern_site(w->last_host, 0);
        counter_add(&site_at((uint32_t)event.b)->workers_exited, 1);
        counter_add(&t->header->workers_exited, 1);
        if (!(w->flags & (TRACE_WORKER_DETACHED | TRACE_WORKER_FOREIGN)))
            start_known_unjoined(pthread_self(), intern_site(w->last_host, w->created_stack));
    }
    journal_append(&event, clock_now(), w->tid);
    slot_begin(&w->seq);
    w->state = TRACE_WORKER_FREE;
    slot_end(&w->seq);
    slot_give(TRACE_REGION_WORKER, thread_self.slot_index);
}

/*
 * Destructors of other keys may still do I/O (TLS sessions, connection pools), so ours arms itself
 * again, though not for the last round that POSIX promises: that one is where sanitizers' runtimes
 * end a thread, and they may be under our feet.
 */
#define LAST_ROUND (PTHREAD_DESTRUCTOR_ITERATIONS - 1)

static void worker_leave(void *self) {
    process_check_fork();
    if (++thread_self.iterations < LAST_ROUND && pthread_setspecific(key, self) == 0) return;
    if (thread_self.way == WAY_UNKNOWN && start_known_cancelled(pthread_self()))
        thread_self.way = WAY_CANCEL;
    worker_end();
    start_known_end(pthread_self());
    stack_memo_thread_over();
    if (thread_self.start) worker_start_drop(thread_self.start);
    thread_self.start = NULL;
}

/* Made when first needed, since most programs need none; by one thread, for which others wait, as
 * long as it takes to get a processor back. */
static bool key_ready(void) {
    __typeof__(key_state) none = KEY_NONE;
    if (__builtin_expect(__atomic_load_n(&key_state, __ATOMIC_ACQUIRE) == KEY_MADE, 1)) return true;
    if (__atomic_compare_exchange_n(&key_state, &none, KEY_BEING_MADE, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_ACQUIRE)) {
        const bool made = pthread_key_create(&key, worker_leave) == 0;
        __atomic_store_n(&key_state, made ? KEY_MADE : KEY_REFUSED, __ATOMIC_RELEASE);
    }
    const uint64_t start = clock_now();
    while (__atomic_load_n(&key_state, __ATOMIC_ACQUIRE) == KEY_BEING_MADE &&
           clock_wait(start, KEY_WAIT_NS))
        continue;
    return __atomic_load_n(&key_state, __ATOMIC_ACQUIRE) == KEY_MADE;
}

void worker_arm(bool anywhere) {
    /* Only the first keys live in the thread's own block: setting any other one allocates, which a
     * signal handler must not. */
    if (key_ready() && (anywhere || key < 32)) pthread_setspecific(key, &thread_self);
}

void worker_after_fork(void) {
    memset(&thread_self, 0, sizeof thread_self);
    worker_seen = false;
    start_after_fork();
    crowd_after_fork();
}

/* ---- what is known of it ---- */

void worker_named(pthread_t thread, const char *name) {
    if (!trace) return;
    const uint32_t slot = start_known_slot_of(thread);
    if (slot == 0 || slot > trace->worker_limit) return;
    struct trace_worker *w = &trace->workers[slot - 1];
    const size_t n = strnlen(name, sizeof w->name - 1);
    slot_begin(&w->seq);
    memset(w->name, 0, sizeof w->name);
    memcpy(w->name, name, n);
    slot_end(&w->seq);
}

void worker_role(enum trace_worker_role role) {
    thread_self.role = role;
    if (worker_waits()) __atomic_store_n(&thread_self.slot->declared_role, role, __ATOMIC_RELAXED);
}

void worker_exits(void) {
    thread_self.way = WAY_EXIT;
}

/* ---- I/O and waits ---- */

static void wait_set(struct trace_worker *w, enum trace_wait wait, uint64_t connection,
                     uint64_t address, uint64_t now) {
    slot_begin(&w->wait_seq);
    w->wait = wait;
    w->wait_since_ns = now;
    w->wait_connection = connection;
    w->wait_address = address;
    slot_end(&w->wait_seq);
}

void worker_io_begin(struct connection *c, bool writing) {
    struct trace_worker *w = worker_here();
    if (!w) return;
    slot_begin(&w->io_seq);
    if (writing)
        w->write_ops++;
    else
        w->read_ops++;
    if (w->last_connection != c->id) {
        w->last_connection = c->id;
        w->connections_used++;
        if (w->first_connection == 0) w->first_connection = c->id;
    }
    w->last_host = c->slot->host;
    slot_end(&w->io_seq);
    /* A read's attempt has just been written down. */
    if (writing)
        wait_set(w, TRACE_WAIT_WRITE, c->id, 0, clock_coarse());
    else
        wait_set(w, TRACE_WAIT_READ, c->id, 0, c->slot->read_attempt_ns);
}

void worker_io_end(const struct connection *c, bool writing, uint64_t bytes, uint64_t now) {
    struct trace_worker *w = thread_self.slot;
    if (!w) return;
    __atomic_store_n(&w->wait, TRACE_WAIT_NONE, __ATOMIC_RELEASE);
    slot_begin(&w->io_seq);
    if (writing)
        w->write_bytes += bytes;
    else
        w->read_bytes += bytes;
    w->last_io_ns = now;
    if (c) w->last_host = c->slot->host; /* the first request has named it by now */
    slot_end(&w->io_seq);
}

void worker_wait_begin(enum trace_wait wait, uint64_t connection, const volatile void *address,
                       uint64_t now) {
    process_check_fork();
    struct trace_worker *w = thread_self.slot;
    if (w) wait_set(w, wait, connection, (uint64_t)(uintptr_t)address, now);
}
