/*
 * Closes that hit a connection which the closer cannot have meant: a thread closes a descriptor that it has closed before, and
 * by now the number is another thread's connection. That much is a suspicion: threads that sweep a pool do the same. It is
 * written down when the other thread comes to close its connection and finds it gone.
 *
 * Not for loops that close every number, nor for fork children. Lock-free, bounded, signal safe; errno is the wrapper's.
 */
#ifndef TRACK_BAD_CLOSE_H
#define TRACK_BAD_CLOSE_H

#include "track/connection.h"

/* Before close(fd) of a number that is ours. */
void bad_close_before(int fd);
/* close(fd) failed with that error. */
void bad_close_failed(int fd, int error);
void bad_close_after_fork(void);

#endif
