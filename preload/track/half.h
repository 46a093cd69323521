/*
 * The two halves' locks: reading and writing each have one, so that two threads can work on one connection. They are held for the
 * length of a hook, never across a call of the program's, and taking one never waits long: false means that somebody else is
 * inside and stays there, or that we are a signal handler on top of our own hook. Who leaves a half last carries out a pending end.
 */
#ifndef TRACK_HALF_H
#define TRACK_HALF_H

#include "track/connection.h"
#include "track/worker.h"

bool half_lock_slowly(uint32_t *lock, uint32_t tid);
void connection_end_if_free(struct connection *);

static inline bool half_lock(uint32_t *lock) {
    const uint32_t tid = thread_tid();
    uint32_t nobody = 0;
    if (__builtin_expect(__atomic_compare_exchange_n(lock, &nobody, tid, false, __ATOMIC_SEQ_CST,
                                                     __ATOMIC_RELAXED),
                         1))
        return true;
    return half_lock_slowly(lock, tid);
}
static inline void half_unlock(struct connection *c, uint32_t *lock) {
    __atomic_store_n(lock, 0, __ATOMIC_SEQ_CST);
    if (__builtin_expect(__atomic_load_n(&c->ending, __ATOMIC_SEQ_CST) != END_NOT, 0))
        connection_end_if_free(c);
}

static inline bool connection_lock_read(struct connection *c) {
    return half_lock(&c->read_lock);
}
static inline void connection_unlock_read(struct connection *c) {
    half_unlock(c, &c->read_lock);
}
static inline bool connection_lock_write(struct connection *c) {
    return half_lock(&c->write_lock);
}
static inline void connection_unlock_write(struct connection *c) {
    half_unlock(c, &c->write_lock);
}

#endif
