/* Thread creation, join and detach: start blocks from a pool of our own, and the table of threads
 * by pthread_t. */
#include "track/start.h"

#include <string.h>

#include "record/loader.h"
#include "record/options.h"
#include "record/sys.h"
#include "track/process.h"

/* ---- start blocks: a lock-free list of free ones; the tag in the upper half of its head defeats
 * ABA ---- */

#define STARTS 4096u
static struct thread_start *starts; /* made with the first thread */
static uint32_t start_next[STARTS]; /* index + 1 of the next free one */
static uint64_t start_free;         /* tag << 32 | index + 1 */
static uint32_t starts_used;

static struct thread_start *start_take(void) {
    if (!sys_memory_once(&starts, STARTS * sizeof *starts)) return NULL;
    uint64_t head = __atomic_load_n(&start_free, __ATOMIC_ACQUIRE);
    while ((uint32_t)head != 0) {
        const uint32_t index = (uint32_t)head - 1;
        const uint64_t next = (head & ~UINT64_C(0xffffffff)) + (UINT64_C(1) << 32) +
                              __atomic_load_n(&start_next[index], __ATOMIC_RELAXED);
        if (__atomic_compare_exchange_n(&start_free, &head, next, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return &starts[index];
    }
    uint32_t used = __atomic_load_n(&starts_used, __ATOMIC_RELAXED);
    while (used < STARTS)
        if (__atomic_compare_exchange_n(&starts_used, &used, used + 1, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return &starts[used];
    return NULL;
}

struct thread_start *worker_start_new(void *(*function)(void *), int (*c11_function)(void *),
                                      void *argument, bool detached) {
    if (!process_active) return NULL;
    loader_find_lock();
    struct thread_start *start = start_take();
    if (!start) return NULL;
    start->function = function;
    start->c11_function = c11_function;
    start->argument = argument;
    start->creator_tid = thread_tid();
    start->detached = detached;
    start->created_ns = clock_now();
    start->count = stack_capture(start->pcs, options.stack_depth);
    return start;
}

void worker_start_drop(struct thread_start *start) {
    const uint32_t index = (uint32_t)(start - starts);
    uint64_t head = __atomic_load_n(&start_free, __ATOMIC_RELAXED), mine;
    do {
        __atomic_store_n(&start_next[index], (uint32_t)head, __ATOMIC_RELAXED);
        mine = (head & ~UINT64_C(0xffffffff)) + (UINT64_C(1) << 32) + index + 1;
    } while (!__atomic_compare_exchange_n(&start_free, &head, mine, false, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
}

/* ---- threads by pthread_t ---- */

enum { KNOWN_ENDED = 1, KNOWN_DETACHED = 2, KNOWN_CANCELLED = 4 };

struct known {
    uint64_t thread; /* pthread_t; 0: free */
    uint32_t tid;    /* 0: detached before it came to say who it is */
    uint32_t slot;   /* index + 1, 0: none */
    uint32_t flags;
    uint32_t unjoined; /* site that it is counted at, 0: none */
};
#define KNOWN 4096u
#define PROBES 16u
static struct known known[KNOWN];
static bool known_touched;

#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
#define STORE(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELEASE)

static uint32_t known_hash(uint64_t thread) {
    return (uint32_t)((thread >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

static struct known *known_find(pthread_t thread) {
    const uint32_t hash = known_hash((uint64_t)thread);
    for (uint32_t i = 0; i < PROBES; i++) {
        struct known *k = &known[(hash + i) % KNOWN];
        if (LOAD(k->thread) == (uint64_t)thread) return k;
    }
    return NULL;
}

/*
 * NULL when there is no place: then nothing is known of its join. A thread that begins and its
 * creator, who detaches it, may be here at once: both look at the places in one order, so the
 * second one finds what the first one put where it was about to.
 */
static struct known *known_put(pthread_t thread) {
    struct known *k = known_find(thread);
    if (k) return k;
    const uint32_t hash = known_hash((uint64_t)thread);
    for (uint32_t i = 0; i < PROBES; i++) {
        k = &known[(hash + i) % KNOWN];
        uint64_t there = 0;
        if (__atomic_compare_exchange_n(&k->thread, &there, (uint64_t)thread, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            STORE(known_touched, true);
            return k;
        }
        if (there == (uint64_t)thread) return k;
    }
    return NULL;
}

/* Joined or detached after all. */
static void known_settle(struct known *k) {
    const uint32_t site = __atomic_exchange_n(&k->unjoined, 0, __ATOMIC_ACQ_REL);
    if (site) counter_add(&site_at(site)->workers_unjoined, (uint64_t)-1);
}

static void known_remove(struct known *k) {
    known_settle(k);
    STORE(k->tid, 0);
    STORE(k->slot, 0);
    STORE(k->flags, 0);
    STORE(k->thread, 0);
}

static uint32_t known_flags(pthread_t thread) {
    const struct known *k = known_find(thread);
    return k ? LOAD(k->flags) : 0;
}

void start_known_slot(pthread_t thread, uint32_t slot) {
    struct known *k = known_find(thread);
    if (k) STORE(k->slot, slot);
}

uint32_t start_known_slot_of(pthread_t thread) {
    const struct known *k = known_find(thread);
    return k ? LOAD(k->slot) : 0;
}

bool start_known_cancelled(pthread_t thread) {
    return known_flags(thread) & KNOWN_CANCELLED;
}

bool start_known_detached(pthread_t thread) {
    return known_flags(thread) & KNOWN_DETACHED;
}

void start_known_unjoined(pthread_t thread, uint32_t site) {
    struct known *k = known_find(thread);
    if (!k || site == 0 || !site_at(site)) return;
    counter_add(&site_at(site)->workers_unjoined, 1);
    __atomic_store_n(&site_at(site)->unjoined_ns, clock_now(), __ATOMIC_RELAXED);
    STORE(k->unjoined, site);
}

/* Whoever comes second, the end or the detach, takes the thread out. */
void start_known_end(pthread_t thread) {
    struct known *k = known_find(thread);
    if (!k) return;
    STORE(k->slot, 0);
    if (__atomic_fetch_or(&k->flags, KNOWN_ENDED, __ATOMIC_ACQ_REL) & KNOWN_DETACHED)
        known_remove(k);
}

void start_after_fork(void) {
    starts_used = 0;
    start_free = 0;
    if (known_touched)
        memset(known, 0, sizeof known); /* a shell's children shall not pay for these pages */
    known_touched = false;
}

/* ---- the new thread's first steps ---- */

/*
 * The thread's descriptor lies at the upper end of its stack (glibc, musl), itself and the guard
 * page taken from the size that was asked for. Of a default one more than this is there.
 */
#define STACK_DEFAULT_LEAST (128u << 10)
#define STACK_TAKEN 8192u

static void stack_known(size_t size) {
    const uintptr_t high = (uintptr_t)pthread_self();
    if (size == 0) size = STACK_DEFAULT_LEAST;
    stack_of_thread(high - size + STACK_TAKEN, high);
}

static void thread_begins(struct thread_start *start) {
    thread_self.start = start;
    stack_known(start->stack_size);
    struct known *k = known_put(pthread_self());
    if (k) {
        if (LOAD(k->flags) & KNOWN_ENDED) { /* another one's: joined where nobody could see it */
            known_settle(k);
            STORE(k->slot, 0);
            STORE(k->flags, 0);
        }
        STORE(k->tid, thread_tid());
        if (start->detached) __atomic_fetch_or(&k->flags, KNOWN_DETACHED, __ATOMIC_ACQ_REL);
    }
    worker_arm(true);
}

void *worker_trampoline(void *argument) {
    struct thread_start *start = argument;
    thread_begins(start);
    void *result = start->function(start->argument);
    thread_self.way = WAY_RETURN;
    return result;
}

int worker_trampoline_c11(void *argument) {
    struct thread_start *start = argument;
    thread_begins(start);
    const int result = start->c11_function(start->argument);
    thread_self.way = WAY_RETURN;
    return result;
}

/* ---- what others do with it ---- */

static void note(enum trace_event_type type, uint32_t tid) {
    if (!trace || tid == 0) return;
    struct trace_event event = {.type = (uint16_t)type, .a = tid};
    journal_append(&event, clock_now(), thread_tid());
}

uint32_t worker_tid_of(pthread_t thread) {
    const struct known *k = known_find(thread);
    return k ? LOAD(k->tid) : 0;
}

void worker_joined(uint32_t tid, pthread_t thread) {
    struct known *k = known_find(thread);
    /* It may have come to say who it is after the join began; then it is the one here that has ended. */
    if (k && (tid ? LOAD(k->tid) == tid : LOAD(k->flags) & KNOWN_ENDED)) known_remove(k);
    note(TRACE_EVENT_WORKER_JOIN, tid);
}

/* Before the real call: after it a thread that has ended is gone, and its identity may be
 * another's. */
void worker_detached(pthread_t thread) {
    struct known *k = known_put(thread);
    if (!k) return;
    const uint32_t tid = LOAD(k->tid), slot = LOAD(k->slot);
    if (__atomic_fetch_or(&k->flags, KNOWN_DETACHED, __ATOMIC_ACQ_REL) & KNOWN_ENDED)
        known_remove(k);
    else if (trace && slot && slot <= trace->worker_limit)
        __atomic_fetch_or(&trace->workers[slot - 1].flags, TRACE_WORKER_DETACHED, __ATOMIC_RELAXED);
    note(TRACE_EVENT_WORKER_DETACH, tid);
}

void worker_cancelled(pthread_t thread) {
    struct known *k = known_find(thread);
    if (k) __atomic_fetch_or(&k->flags, KNOWN_CANCELLED, __ATOMIC_ACQ_REL);
}
