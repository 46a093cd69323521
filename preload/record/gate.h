/*
 * Keeps forks out of the moments in which this library makes another one hold a lock: the loader's,
 * around dl_iterate_phdr, and libunwind's. A child forked then would find it locked for ever, by a
 * thread that it does not have.
 */
#ifndef RECORD_GATE_H
#define RECORD_GATE_H

/* Around such calls; about 10 ns, may nest. Waits while a fork is under way. Signal safe. */
void gate_enter(void);
void gate_leave(void);
/* Around fork, in the thread that forks: waits, bounded, until nobody else is inside. */
void gate_close(void);
void gate_open(void);
/* In the child instead of gate_open. */
void gate_after_fork(void);

#endif
