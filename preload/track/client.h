/*
 * Handles of client libraries: libcurl's easy, multi and share handles, OpenSSL's SSL objects. From their creation to their
 * end, with the creator's stack; what was made before there is a trace is remembered, bounded, and written when there is one.
 *
 * A handle is known by its address. Everything here is lock-free, allocates nothing with the program's malloc and may be called
 * from any thread and from signal handlers; errno is the wrapper's to save. A handle that nobody saw created is ignored, one
 * that found no place is counted as lost.
 */
#ifndef TRACK_CLIENT_H
#define TRACK_CLIENT_H

#include "track/connection.h"

void client_created(const void *object, enum trace_handle_kind);
/* One more reference: so many client_freed more until it is gone. */
void client_referred(const void *object);
/* Before the real function ends it. */
void client_freed(const void *object);

/* A call that works with the handle: it is busy between the two, and what connection the thread used in between is its. */
struct client_call {
    const void *object; /* NULL: not followed */
    uint64_t operations;
};
void client_begin(struct client_call *, const void *object, bool transfer);
void client_end(const struct client_call *);

/* curl_easy_pause. */
void client_paused(const void *easy, bool paused);
/* curl_easy_reset and the like: used, and not paused any more. */
void client_used(const void *object);
/* multi: the one that it is in from here, NULL: none. */
void client_joined(const void *easy, const void *multi);

/* From tls.c: an SSL object carries this connection, which has ended, starts anew. Objects that nobody saw made: nothing. */
void client_connected(const void *object, const struct connection *);
void client_disconnected(const void *object, const struct connection *);
void client_restarted(const void *object);

/* There is a trace now. */
void client_adopt(void);
void client_after_fork(void);

#endif
