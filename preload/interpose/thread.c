/* Wrappers of threads: creation with the creator's stack, join, detach, names, and how they end. */
#include <errno.h>
#include <string.h>

#include "interpose/real.h"
#include "track/process.h"
#include "track/worker.h"

/* ---- POSIX threads; one unversioned name serves both versions of glibc's symbol ---- */

HTTPLEAK_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                                   void *(*function)(void *), void *argument) {
    const int saved = errno; /* which libunwind may change */
    int state = PTHREAD_CREATE_JOINABLE;
    if (attributes) pthread_attr_getdetachstate(attributes, &state);
    struct thread_start *start =
        worker_start_new(function, NULL, argument, state == PTHREAD_CREATE_DETACHED);
    errno = saved;
    if (!start) return REAL(pthread_create)(thread, attributes, function, argument);
    start->stack_size = 0;
    if (attributes) pthread_attr_getstacksize(attributes, &start->stack_size);
    const int r = REAL(pthread_create)(thread, attributes, worker_trampoline, start);
    if (r != 0) worker_start_drop(start);
    return r;
}

#define JOINING(thread, done, call)                                                                \
    ({                                                                                             \
        const pthread_t joined_ = (thread);                                                        \
        const uint32_t tid_ = worker_tid_of(joined_);                                              \
        const bool waits_ = worker_waits();                                                        \
        if (waits_) worker_wait_begin(TRACE_WAIT_JOIN, 0, (void *)joined_, clock_coarse());        \
        const int result_ = (call);                                                                \
        if (waits_) worker_wait_end();                                                             \
        if (result_ == (done)) worker_joined(tid_, joined_);                                       \
        result_;                                                                                   \
    })

HTTPLEAK_EXPORT int pthread_join(pthread_t thread, void **result) {
    return JOINING(thread, 0, REAL(pthread_join)(thread, result));
}

HTTPLEAK_EXPORT int pthread_tryjoin_np(pthread_t thread, void **result) {
    return JOINING(thread, 0, REAL(pthread_tryjoin_np)(thread, result));
}

HTTPLEAK_EXPORT int pthread_timedjoin_np(pthread_t thread, void **result,
                                         const struct timespec *until) {
    return JOINING(thread, 0, REAL(pthread_timedjoin_np)(thread, result, until));
}

HTTPLEAK_EXPORT int pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock,
                                         const struct timespec *until) {
    return JOINING(thread, 0, REAL(pthread_clockjoin_np)(thread, result, clock, until));
}

HTTPLEAK_EXPORT int pthread_detach(pthread_t thread) {
    if (process_active) worker_detached(thread);
    return REAL(pthread_detach)(thread);
}

HTTPLEAK_EXPORT void pthread_exit(void *result) {
    if (process_active) worker_exits();
    REAL(pthread_exit)(result);
    __builtin_unreachable();
}

HTTPLEAK_EXPORT int pthread_cancel(pthread_t thread) {
    if (process_active) worker_cancelled(thread);
    return REAL(pthread_cancel)(thread);
}

HTTPLEAK_EXPORT int pthread_setname_np(pthread_t thread, const char *name) {
    const int r = REAL(pthread_setname_np)(thread, name);
    if (r == 0 && worker_seen) worker_named(thread, name);
    return r;
}

/* ---- C11 threads, which do not go through pthread_create; thrd_t and pthread_t are one type in
 * glibc and musl ---- */

HTTPLEAK_EXPORT int thrd_create(thrd_t *thread, thrd_start_t function, void *argument) {
    const int saved = errno;
    struct thread_start *start = worker_start_new(NULL, function, argument, false);
    errno = saved;
    if (!start) return REAL(thrd_create)(thread, function, argument);
    start->stack_size = 0;
    const int r = REAL(thrd_create)(thread, worker_trampoline_c11, start);
    if (r != thrd_success) worker_start_drop(start);
    return r;
}

HTTPLEAK_EXPORT int thrd_join(thrd_t thread, int *result) {
    return JOINING((pthread_t)thread, thrd_success, REAL(thrd_join)(thread, result));
}

HTTPLEAK_EXPORT int thrd_detach(thrd_t thread) {
    if (process_active) worker_detached((pthread_t)thread);
    return REAL(thrd_detach)(thread);
}

HTTPLEAK_EXPORT void thrd_exit(int result) {
    if (process_active) worker_exits();
    REAL(thrd_exit)(result);
    __builtin_unreachable();
}
