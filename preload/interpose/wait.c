/* Wrappers of waiting: poll, select and epoll on connections, condition variables and semaphores of
 * threads that have some. */
#include <errno.h>

#include "interpose/real.h"
#include "track/process.h"
#include "track/wait.h"
#include "track/worker.h"

/* The C library declares that poll only writes to its list; it reads what is asked for there, and
 * so do we. */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

/* ---- descriptors ---- */

/* The hooks around a wait: `begin` says whether there is anything of ours in it. */
#define WAITING(begin, end, call)                                                                  \
    ({                                                                                             \
        const int before_ = errno;                                                                 \
        const bool ours_ = (begin);                                                                \
        errno = before_;                                                                           \
        const int result_ = (call);                                                                \
        if (ours_) {                                                                               \
            const int error_ = errno;                                                              \
            end;                                                                                   \
            errno = error_;                                                                        \
        }                                                                                          \
        result_;                                                                                   \
    })
#define POLLING(call) WAITING(wait_poll_begin(fds, n), wait_poll_end(fds, n, result_), call)

HTTPLEAK_EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout) {
    if (!trace) return REAL(poll)(fds, n, timeout);
    return POLLING(REAL(poll)(fds, n, timeout));
}

HTTPLEAK_EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t room) {
    if (!trace) return REAL(__poll_chk)(fds, n, timeout, room);
    return POLLING(REAL(__poll_chk)(fds, n, timeout, room));
}

HTTPLEAK_EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                          const sigset_t *mask) {
    if (!trace) return REAL(ppoll)(fds, n, timeout, mask);
    return POLLING(REAL(ppoll)(fds, n, timeout, mask));
}

HTTPLEAK_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                                const sigset_t *mask, size_t room) {
    if (!trace) return REAL(__ppoll_chk)(fds, n, timeout, mask, room);
    return POLLING(REAL(__ppoll_chk)(fds, n, timeout, mask, room));
}

#define SELECTING(call)                                                                            \
    WAITING(wait_select_begin(n, in, out), wait_select_end(n, in, out, result_), call)

HTTPLEAK_EXPORT int select(int n, fd_set *in, fd_set *out, fd_set *exceptional,
                           struct timeval *timeout) {
    if (!trace) return REAL(select)(n, in, out, exceptional, timeout);
    return SELECTING(REAL(select)(n, in, out, exceptional, timeout));
}

HTTPLEAK_EXPORT int pselect(int n, fd_set *in, fd_set *out, fd_set *exceptional,
                            const struct timespec *timeout, const sigset_t *mask) {
    if (!trace) return REAL(pselect)(n, in, out, exceptional, timeout, mask);
    return SELECTING(REAL(pselect)(n, in, out, exceptional, timeout, mask));
}

HTTPLEAK_EXPORT int epoll_ctl(int set, int operation, int fd, struct epoll_event *event) {
    const int r = REAL(epoll_ctl)(set, operation, fd, event);
    if (r != 0) return r;
    if (fd_is_ours(fd))
        wait_epoll_ctl(set, operation, fd, event);
    else if (process_active)
        wait_epoll_early(set, operation, fd, event);
    return r;
}

#define EPOLLING(call) WAITING(wait_epoll_begin(set), wait_epoll_end(set), call)

HTTPLEAK_EXPORT int epoll_wait(int set, struct epoll_event *events, int most, int timeout) {
    if (!fd_is_ours(set)) return REAL(epoll_wait)(set, events, most, timeout);
    return EPOLLING(REAL(epoll_wait)(set, events, most, timeout));
}

HTTPLEAK_EXPORT int epoll_pwait(int set, struct epoll_event *events, int most, int timeout,
                                const sigset_t *mask) {
    if (!fd_is_ours(set)) return REAL(epoll_pwait)(set, events, most, timeout, mask);
    return EPOLLING(REAL(epoll_pwait)(set, events, most, timeout, mask));
}

HTTPLEAK_EXPORT int epoll_pwait2(int set, struct epoll_event *events, int most,
                                 const struct timespec *timeout, const sigset_t *mask) {
    if (!fd_is_ours(set)) return REAL(epoll_pwait2)(set, events, most, timeout, mask);
    return EPOLLING(REAL(epoll_pwait2)(set, events, most, timeout, mask));
}

/* ---- threads parked until another one wakes them ---- */

#define PARKED(kind, address, call)                                                                \
    ({                                                                                             \
        const bool waits_ = worker_waits();                                                        \
        if (waits_) worker_wait_begin(kind, 0, address, clock_coarse());                           \
        const int result_ = (call);                                                                \
        if (waits_) worker_wait_end();                                                             \
        result_;                                                                                   \
    })

HTTPLEAK_EXPORT int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex) {
    return PARKED(TRACE_WAIT_COND, cond, REAL(pthread_cond_wait)(cond, mutex));
}

HTTPLEAK_EXPORT int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                           const struct timespec *until) {
    return PARKED(TRACE_WAIT_COND, cond, REAL(pthread_cond_timedwait)(cond, mutex, until));
}

HTTPLEAK_EXPORT int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                           clockid_t clock, const struct timespec *until) {
    return PARKED(TRACE_WAIT_COND, cond, REAL(pthread_cond_clockwait)(cond, mutex, clock, until));
}

HTTPLEAK_EXPORT int cnd_wait(cnd_t *cond, mtx_t *mutex) {
    return PARKED(TRACE_WAIT_COND, cond, REAL(cnd_wait)(cond, mutex));
}

HTTPLEAK_EXPORT int cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until) {
    return PARKED(TRACE_WAIT_COND, cond, REAL(cnd_timedwait)(cond, mutex, until));
}

HTTPLEAK_EXPORT int sem_wait(sem_t *semaphore) {
    return PARKED(TRACE_WAIT_SEM, semaphore, REAL(sem_wait)(semaphore));
}

HTTPLEAK_EXPORT int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
    return PARKED(TRACE_WAIT_SEM, semaphore, REAL(sem_timedwait)(semaphore, until));
}

HTTPLEAK_EXPORT int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until) {
    return PARKED(TRACE_WAIT_SEM, semaphore, REAL(sem_clockwait)(semaphore, clock, until));
}
