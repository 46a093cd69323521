/*
 * Threads: who they are, who made them, what they did on client connections, where they wait.
 *
 * `thread_self` is initial-exec thread-local storage. A worker slot is taken at the first dealing
 * with a client connection.
 */
#ifndef TRACK_WORKER_H
#define TRACK_WORKER_H

#include <pthread.h>

#include "track/connection.h"
#include "track/process.h"

#pragma GCC visibility push(hidden) /* the compiler need not ask where they are */

struct thread_start { /* what the creator knows; lives from pthread_create to the thread's end, in
                         memory of our own */
    void *(*function)(void *);
    int (*c11_function)(void *); /* instead of function, for thrd_create */
    void *argument;
    uint32_t creator_tid;
    uint32_t count; /* of pcs */
    bool detached;
    uint64_t created_ns;
    size_t stack_size; /* 0: the default */
    void *pcs[TRACE_STACK_DEPTH_MAX];
};

enum thread_way { WAY_UNKNOWN, WAY_RETURN, WAY_EXIT, WAY_CANCEL }; /* how a thread ended */

struct thread {
    uint32_t tid;        /* 0: not asked yet */
    uint32_t generation; /* fork generation in which tid is valid */
    struct trace_worker *slot;
    uint32_t slot_index;
    uint32_t iterations; /* of the key destructor */
    bool ended;          /* no slot any more */
    bool tried; /* a slot was asked for (one try a thread, and none from a signal handler on top of
                   it) */
    enum thread_way way;
    enum trace_worker_role role; /* declared before there was a slot */
    struct thread_start *start;
    /* the TLS call under way, see tls.h */
    const void *tls_object;
    uintptr_t tls_frame;
};
extern __thread struct thread thread_self
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

uint32_t thread_tid_ask(void);
static inline uint32_t thread_tid(void) {
    if (__builtin_expect(thread_self.tid != 0 && thread_self.generation == process_generation, 1))
        return thread_self.tid;
    return thread_tid_ask();
}

/* pthread_create, thrd_create: a start block (NULL: none to be had, call the real function with the
 * program's own arguments). */
struct thread_start *worker_start_new(void *(*)(void *), int (*)(void *), void *argument,
                                      bool detached);
void worker_start_drop(struct thread_start *); /* the creation failed */
void *worker_trampoline(void *start);          /* pass these to the real functions */
int worker_trampoline_c11(void *start);
uint32_t worker_tid_of(
    pthread_t); /* 0: not known. Ask before a join: the identity may be used anew right after it */
void worker_joined(uint32_t tid, pthread_t);
void worker_detached(pthread_t);
void worker_named(pthread_t, const char *name);
void worker_exits(void);          /* pthread_exit was called */
void worker_cancelled(pthread_t); /* a cancellation was asked for */
void worker_role(enum trace_worker_role);

void worker_after_fork(void);

/* This thread deals with a client connection now: take its slot. NULL when there is none. */
struct trace_worker *worker_take(void);
static inline struct trace_worker *worker_here(void) {
    return __builtin_expect(thread_self.slot != NULL, 1) ? thread_self.slot : worker_take();
}
/* Application I/O: one attempt. bytes are added when it is over; connection: NULL if it is gone by
 * then. */
void worker_io_begin(struct connection *, bool writing);
void worker_io_end(const struct connection *, bool writing, uint64_t bytes, uint64_t now);

/* Waits. begin only if thread_self.slot is there (test it in the wrapper: that is the fast way
 * out). Nothing is needed after a cancelled one: the slot is freed by the thread's end or
 * overwritten by the next wait. */
extern bool
    worker_seen; /* some thread took a slot: before that, thread-locals need not even be there */
static inline bool worker_waits(void) {
    return __builtin_expect(__atomic_load_n(&worker_seen, __ATOMIC_RELAXED), 0) &&
           thread_self.slot != 0;
}
void worker_wait_begin(enum trace_wait, uint64_t connection_id, const volatile void *address,
                       uint64_t now);
static inline void worker_wait_end(void) {
    struct trace_worker *w = thread_self.slot;
    if (w) __atomic_store_n(&w->wait, TRACE_WAIT_NONE, __ATOMIC_RELAXED);
}

#pragma GCC visibility pop

#endif
