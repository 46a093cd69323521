/*
 * Body handles as annotated clients (and later the Go hooks) show them: which handle stands for which body, and whether a
 * drained body's handle was ever closed.
 */
#ifndef TRACK_HANDLE_H
#define TRACK_HANDLE_H

#include "track/connection.h"

/* The client gave its user a handle for the body that is open on fd's connection, or that ended there last. */
void handle_opened(const void *handle, int fd);
/* The handle gave EOF. */
void handle_drained(const void *handle);
void handle_closed(const void *handle);
/* From body.c: its body ended on the wire. True if it was drained and now counts as drained_unclosed. */
bool handle_body_ended(const void *handle, uint64_t body_id, bool drained);
void handle_after_fork(void);

#endif
