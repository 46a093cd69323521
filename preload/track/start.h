/*
 * Threads before and after they are workers: what the creator knows travels with the start, and a
 * bounded table tells which pthread_t is which thread, from its start until it is joined. For
 * worker.c; wrappers use worker.h.
 */
#ifndef TRACK_START_H
#define TRACK_START_H

#include "track/worker.h"

/* slot: index + 1 of the thread's worker slot. Does nothing for a thread that is not in the table.
 */
void start_known_slot(pthread_t, uint32_t slot);
uint32_t start_known_slot_of(pthread_t); /* 0: none */
bool start_known_cancelled(pthread_t);
bool start_known_detached(pthread_t); /* by somebody else, since it started */
/* It was a worker and ends joinable: counted at the site until somebody joins or detaches it. */
void start_known_unjoined(pthread_t, uint32_t site);
/* The thread ends: stays known until joined, unless it is detached. */
void start_known_end(pthread_t);
void start_after_fork(void);
/* Sets the key whose destructor ends the worker. anywhere: this is no signal handler, it may
 * allocate. */
void worker_arm(bool anywhere);

#endif
