/* Streams of stdio that stand on a connection: which they are, and what was taken from them. */
#ifndef INTERPOSE_STREAM_H
#define INTERPOSE_STREAM_H

#include "interpose/hooks.h"
#include "interpose/real.h"

/*
 * Some stream may stand on a connection: one was opened on a socket, or a connection got a second
 * number. Until then stdio costs a program one load and one test a call.
 */
extern bool stream_seen __attribute__((visibility("hidden")));

/* The fd under a stream if it is one of ours, else -1. Keeps errno. */
int stream_lookup(FILE *);
static inline int stream_fd(FILE *stream) {
    return __builtin_expect(stream_seen, 0) ? stream_lookup(stream) : -1;
}

/*
 * After a read of `wanted` bytes that gave `got` (before them: io_read_before). What fills up to
 * wanted and did not come is the stream's end or its error. Bytes that were pushed back are not
 * told twice.
 */
void stream_read_after(struct io_read *, FILE *, int fd, const void *bytes, size_t got,
                       size_t wanted);
void stream_pushed_back(FILE *);
/* The stream is about to be closed. */
void stream_closing(FILE *);

#endif
