/*
 * Timers, counted for each place that makes them (struct trace_timer): made, fired, stopped, pending, and how the most that were
 * pending at once grew.
 *
 * Lock-free, bounded, without thread-locals, libc or vector registers: also called by the probes in Go programs. Signal safe.
 * Nothing is counted before there is a trace, but timers made before are known, so that timer_pending says how many there are.
 */
#ifndef TRACK_TIMER_H
#define TRACK_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "httpleak/trace.h"

/* What tells timers apart while they are pending: never 0, 1 or 2, and different for each kind. */
static inline uint64_t timer_key_posix(const void *timer) {
    return ((uint64_t)(uintptr_t)timer << 2 | 1) + 16;
}
static inline uint64_t timer_key_fd(int fd) {
    return ((uint64_t)(uint32_t)fd << 2 | 2) + 16;
}
static inline uint64_t timer_key_go(uint64_t address) {
    return address; /* of runtime.timer, a multiple of 8 */
}

struct timer_start {
    uint64_t key;
    enum trace_timer_kind kind;
    uint32_t stack;       /* id of the caller's, 0: not known */
    uint64_t duration_ns; /* 0: not known */
    bool collectable;     /* it goes with its last reference: its end may not be seen */
    uint64_t now;
};
/* A timer is pending from here. A key that is known already stands for a new timer: the old one is gone. */
void timer_started(const struct timer_start *);
/* It is not pending any more; nothing happens for a key that is not known. */
void timer_fired(uint64_t key);
void timer_stopped(uint64_t key);
/* Whether that timer is pending, as far as is known. */
bool timer_is_known(uint64_t key);
/* How many are. */
uint32_t timer_pending(void);
/* In a fork child. */
void timer_after_fork(void);

#endif
