/* The two halves' locks: short, bounded, owned by a thread, and the last one out carries out a pending end. */
#include "track/half.h"

#include "record/clock.h"

/*
 * A hook holds a half for well under a microsecond, so waiting longer than the spins means that its owner was preempted, and gets
 * the processor back, or that a signal handler interrupted it. After that time the caller gives the connection up as blind:
 * silence, never a stall.
 */
#define SPINS 1000
#define PREEMPTED_NS 50000000u

bool half_lock_slowly(uint32_t *lock, uint32_t me) {
    uint64_t since = 0;
    for (unsigned tries = 0;; tries++) {
        uint32_t owner = 0;
        if (__atomic_compare_exchange_n(lock, &owner, me, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED))
            return true;
        if (owner == me) return false; /* we are a signal handler on top of our own hook */
        __builtin_ia32_pause();
        if (tries < SPINS) continue;
        if (since == 0) since = clock_now();
        if (!clock_wait(since, PREEMPTED_NS)) return false;
    }
}

void connection_end_now(struct connection *); /* connection.c; both halves are held */

void connection_end_if_free(struct connection *c) {
    while (__atomic_load_n(&c->ending, __ATOMIC_SEQ_CST) != END_NOT) {
        if (!half_lock(&c->read_lock)) return; /* its owner comes by here when he leaves */
        if (!half_lock(&c->write_lock)) {
            __atomic_store_n(&c->read_lock, 0, __ATOMIC_SEQ_CST);
            /* The owner of the writing half may have passed by while we held the other: look again, else he will. */
            if (__atomic_load_n(&c->write_lock, __ATOMIC_SEQ_CST) != 0) return;
            continue;
        }
        if (c->ending != END_NOT && c->id != 0) connection_end_now(c);
        __atomic_store_n(&c->write_lock, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&c->read_lock, 0, __ATOMIC_SEQ_CST);
    }
}

void connection_end(struct connection *c, enum connection_end how) {
    uint32_t none = END_NOT;
    if (__atomic_compare_exchange_n(&c->ending, &none, how, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_RELAXED))
        connection_end_if_free(c);
}
