/*
 * Bytes of a connection: wrappers tell what is about to be written or was read; framing, exchanges and bodies follow from it.
 *
 * One call = one token on the wrapper's stack. Nothing is locked between *_before and *_after, so a cancelled or longjmp'ed
 * call leaves nothing behind. All are signal safe and leave errno to the wrapper.
 *
 * Plain sockets: flow_write_before / _after and flow_read_before / _after around the system call, with connection_of_fd.
 * TLS: the same calls with `plain` = the connection of the TLS object: see tls.h. The wire calls nested in it carry ciphertext.
 */
#ifndef TRACK_FLOW_H
#define TRACK_FLOW_H

#include <sys/types.h>
#include <sys/uio.h>

#include "record/stack_memo.h"
#include "track/connection.h"

enum flow_layer { FLOW_WIRE, FLOW_PLAINTEXT };

struct flow_write {
    struct connection *connection; /* NULL: nothing to do */
    uint64_t id;
    enum flow_layer layer;
    uint32_t ring_before, ring_after;
    bool parsed; /* the request parser ran over these bytes */
    bool full;
    bool streams; /* HTTP/2: streams.h */
    uint64_t streams_known;
    enum http1_status status;
    uint64_t parsed_bytes;
    const struct stack_caller *caller; /* until flow_write_before returns */
    struct http1_request snapshot;     /* before this call */
};
struct flow_read {
    struct connection *connection; /* NULL: nothing to do */
    uint64_t id;
    enum flow_layer layer;
};

/* Before a write of these buffers. caller: the program's frame that it comes from, NULL: not known. */
void flow_write_before(struct flow_write *, struct connection *, enum flow_layer,
                       const struct iovec *, int count, const struct stack_caller *caller);
/* After it: the bytes that were taken, or a negative value with the errno. */
void flow_write_after(struct flow_write *, const struct iovec *, int count, ssize_t result,
                      int error);
/* n bytes went out or came in that nobody could look at (sendfile, splice). After the call. */
void flow_write_unseen(struct connection *, uint64_t n);
void flow_read_unseen(struct connection *, uint64_t n);

/* Before a read that consumes (never for MSG_PEEK: pass NULL as connection, or call flow_peek_before). */
void flow_read_before(struct flow_read *, struct connection *, enum flow_layer);
/* After it. result 0 with wanted > 0 is the peer's end; result < 0 carries errno. */
void flow_read_after(struct flow_read *, const struct iovec *, int count, ssize_t result, int error,
                     size_t wanted);
/* A peek consumes nothing but shows that somebody waits: records the attempt (and blocks count as waiting). */
void flow_peek_before(struct flow_read *, struct connection *);
void flow_peek_after(struct flow_read *);

#endif
