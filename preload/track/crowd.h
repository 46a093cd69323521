/*
 * How many live workers each place in the program has made: the number that a worker's slot remembers as its siblings. Lock-free,
 * bounded (places beyond the table are not counted), may be called from signal handlers.
 */
#ifndef TRACK_CROWD_H
#define TRACK_CROWD_H

#include <stdint.h>

/* One more of that creation stack (an interned id): how many there are now, itself included; 0: not known. */
uint32_t crowd_enter(uint32_t stack);
void crowd_leave(uint32_t stack);
void crowd_after_fork(void);

#endif
