/* Wrappers of timers: where they are made and how they end. The close of a timer's descriptor is seen where all are. */
#include <errno.h>

#include "interpose/real.h"
#include "record/clock.h"
#include "record/intern.h"
#include "track/connection.h"
#include "track/process.h"
#include "track/timer.h"
#include "track/wait.h"

/* Only programs with a connection have a trace, and only what is made from then on is followed. */
static bool timer_is_followed(void) {
    if (!process_active || !trace) return false;
    process_check_fork();
    return trace && !process_is_vfork_child();
}

static void timer_made(uint64_t key, enum trace_timer_kind kind) {
    timer_started(&(struct timer_start){
        .key = key, .kind = kind, .stack = stack_here(), .now = clock_coarse()});
}

HTTPLEAK_EXPORT int timer_create(clockid_t clock, struct sigevent *event, timer_t *timer) {
    const int r = REAL(timer_create)(clock, event, timer);
    if (r != 0 || !timer_is_followed()) return r;
    const int error = errno;
    timer_made(timer_key_posix(*timer), TRACE_TIMER_POSIX);
    errno = error;
    return r;
}

/* Before the real one: the id may be another timer's the moment it is free. One that cannot be deleted is not pending either. */
HTTPLEAK_EXPORT int timer_delete(timer_t timer) {
    if (timer_is_followed()) timer_stopped(timer_key_posix(timer));
    return REAL(timer_delete)(timer);
}

HTTPLEAK_EXPORT int timerfd_create(int clock, int flags) {
    const int fd = REAL(timerfd_create)(clock, flags);
    if (fd < 0) return fd;
    const int error = errno;
    connection_fd_new(fd);
    wait_epoll_forget(fd);
    if (timer_is_followed() && connection_fd_timer(fd))
        timer_made(timer_key_fd(fd), TRACE_TIMER_FD);
    errno = error;
    return fd;
}
