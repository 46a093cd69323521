/*
 * Threads: who they are, who made them, what they did on client connections, where they wait.
 *
 * `thread_self` is initial-exec thread-local storage. A worker slot is taken at the first dealing with a client connection.
 */
#ifndef TRACK_WORKER_H
#define TRACK_WORKER_H

#include <pthread.h>

#include "track/connection.h"

struct thread_start { /* what the creator knows; lives from pthread_create to the thread's end, in memory of our own */
    void *(*function)(void *);
    int (*c11_function)(void *); /* instead of function, for thrd_create */
    void *argument;
    uint32_t creator_tid;
    uint32_t count; /* of pcs */
    int detached;
    uint64_t created_ns;
    void *pcs[TRACE_STACK_DEPTH_MAX];
};

struct thread {
    uint32_t tid;        /* 0: not asked yet */
    uint32_t generation; /* fork generation in which tid and slot are valid */
    struct trace_worker *slot;
    uint32_t slot_index;
    uint32_t iterations; /* of the key destructor */
    uint32_t ended;      /* no slot any more */
    struct thread_start *start;
    uint64_t last_connection;
    char name[16]; /* by setname, before there is a slot */
    /* the TLS call under way, see tls.h */
    const void *tls_object;
    uintptr_t tls_frame;
};
extern __thread struct thread thread_self __attribute__((tls_model("initial-exec"), visibility("hidden")));

uint32_t thread_tid(void);

/* pthread_create, thrd_create: a start block (NULL: none to be had, call the real function with the program's own arguments). */
struct thread_start *worker_start_new(void *(*)(void *), int (*)(void *), void *argument, int detached);
void worker_start_drop(struct thread_start *); /* the creation failed */
void *worker_trampoline(void *start);          /* pass these to the real functions */
int worker_trampoline_c11(void *start);
void worker_joined(uint32_t tid_or_0, pthread_t);
void worker_detached(pthread_t);
void worker_named(pthread_t, const char *name);
void worker_role(enum trace_worker_role);

/* From the constructor: the key whose destructor ends a worker. */
void worker_init(void);
void worker_after_fork(void);

/* This thread deals with a client connection now: take its slot. NULL when there is none. */
struct trace_worker *worker_here(void);
/* Application I/O: one attempt. bytes are added when it is over. */
void worker_io_begin(struct connection *, bool writing);
void worker_io_end(bool writing, uint64_t bytes, uint64_t now);

/* Waits. begin only if thread_self.slot is there (test it in the wrapper: that is the fast way out). Nothing is needed after a
 * cancelled one: the slot is freed by the thread's end or overwritten by the next wait. */
static inline bool worker_waits(void) {
    return __builtin_expect(thread_self.slot != 0, 0);
}
void worker_wait_begin(enum trace_wait, uint64_t connection_id, const volatile void *address, uint64_t now);
void worker_wait_end(void);

#endif
