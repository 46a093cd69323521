/*
 * Probes of timers: time.After, NewTimer, NewTicker, AfterFunc all come to the same few functions (time/sleep.go, runtime/time.go).
 * A timer is known by its runtime.timer; the runtime's own ones (sleeping, deadlines of sockets) are never started here.
 */
#include "golang/probe.h"

#include "record/clock.h"
#include "record/trace.h"
#include "track/timer.h"

#define SINCE_HEADS                                                                                \
    23 /* since then time.Timer is the head of a runtime.timeTimer, and one with a channel can be collected */
/* so many pending make a trace, in a program without a connection */
#define PILE_WITHOUT_TRACE 1000u
enum { STATE_HEAPED = 1 };                                  /* runtime.timer.state, timerHeaped */
enum { TYPE_KIND = 23, KIND_MASK = 31, KIND_CHANNEL = 18 }; /* internal/abi/type.go */

/* The runtime.timer behind what the time package holds. */
static uint64_t timer_of(uint64_t head) {
    return golang_program.minor >= SINCE_HEADS ? head + (uint64_t)golang_offset.head_timer : head;
}

/* It sends on a channel (else it calls a function): its argument says so. */
static bool has_channel(uint64_t timer) {
    const uint64_t type = golang_word(timer, golang_offset.timer_arg);
    return type && (((const uint8_t *)type)[TYPE_KIND] & KIND_MASK) == KIND_CHANNEL;
}

static bool is_collectable(uint64_t timer) {
    return golang_program.minor >= SINCE_HEADS && golang_offset.timer_is_channel >= 0 &&
           (uint8_t)golang_word(timer, golang_offset.timer_is_channel);
}

/* Rounded, since `when` was computed a moment ago: to 100 ms from ten seconds on, else to 1 ms. */
static uint64_t duration_of(uint64_t when, uint64_t now) {
    if ((int64_t)when <= (int64_t)now) return 0;
    const uint64_t duration = when - now;
    if (duration >> 62) return 0;
    const uint64_t unit = duration >= UINT64_C(10000000000) ? 100000000u : 1000000u;
    return (duration + unit / 2) / unit * unit;
}

/* Before there is a trace timers are only known, so that a pile of them is noticed. */
static void start(const struct golang_registers *r, uint64_t timer, uint64_t when) {
    const uint64_t now = clock_coarse();
    const bool quiet = !trace && (is_collectable(timer) || timer_pending() < PILE_WITHOUT_TRACE);
    if (quiet && is_collectable(timer)) return;
    const struct timer_start started = {
        .key = timer_key_go(timer),
        .kind = golang_word(timer, golang_offset.timer_period) ? TRACE_TIMER_GO_TICKER
                : has_channel(timer)                           ? TRACE_TIMER_GO_CHANNEL
                                                               : TRACE_TIMER_GO_FUNC,
        .stack = quiet ? 0 : golang_stack(r),
        .duration_ns = duration_of(when, now),
        .collectable = is_collectable(timer),
        .now = now,
    };
    timer_started(&started);
}

/* startTimer(t) */
void probe_timer_start(const struct golang_registers *r) {
    start(r, r->ax, golang_word(r->ax, golang_offset.timer_when));
}

/* newTimer returned its head */
void probe_timer_new(const struct golang_registers *r) {
    const uint64_t timer = r->ax ? timer_of(r->ax) : 0;
    if (!timer) return;
    start(r, timer, golang_word(timer, golang_offset.timer_when));
    /* It may have fired before we came; it is in no heap then, where those with a channel need not be anyway. */
    if (golang_offset.timer_state >= 0 && !is_collectable(timer) &&
        !(golang_word(timer, golang_offset.timer_state) & STATE_HEAPED))
        timer_fired(timer_key_go(timer));
}

/* stopTimer(t) */
void probe_timer_stop(const struct golang_registers *r) {
    timer_stopped(timer_key_go(timer_of(r->ax)));
}

/* resetTimer(t, when): one that is pending stays what it is. */
void probe_timer_reset(const struct golang_registers *r) {
    const uint64_t timer = timer_of(r->ax);
    if (!timer_is_known(timer_key_go(timer))) start(r, timer, r->bx);
}

static void fired(uint64_t timer) {
    if (!golang_word(timer, golang_offset.timer_period)) timer_fired(timer_key_go(timer));
}

/* runOneTimer(pp, t, now) */
void probe_timer_run(const struct golang_registers *r) {
    fired(r->bx);
}

/* unlockAndRun(t, now...) */
void probe_timer_unlock_and_run(const struct golang_registers *r) {
    fired(r->ax);
}
