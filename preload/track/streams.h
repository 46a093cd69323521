/*
 * HTTP/2 on a connection: its streams are the exchanges, each with a body of its own.
 *
 * What is written is parsed before the send, as with HTTP/1, but cannot be taken back: the tables of header fields have moved on.
 * It need not be. Bytes that a send did not take are said again by the next one, since what the sender's own tables said is said
 * for good; they are passed over then, and must be the same (a hash tells), else the connection is blind. A request counts once
 * the bytes behind it were taken, or its answer is there.
 *
 * Both halves work on the streams; the lock of the streams is taken inside a half's, never the other way round, and held for the
 * length of a feed. Memory is mapped with the connection's first HTTP/2 byte and given back with its end.
 */
#ifndef TRACK_STREAMS_H
#define TRACK_STREAMS_H

#include "track/flow.h"

/* Inside the writing half: preface bytes went out before this write. false: no memory. */
bool streams_begin(struct connection *, unsigned preface);
/* Inside the reading half: 101 was answered to the oldest exchange of the ring, which is stream 1 from here on. */
bool streams_upgrade(struct connection *);
/* Inside the reading half: the server spoke first, and what it said may be HTTP/2's SETTINGS. */
bool streams_server_first(struct connection *, const void *bytes, size_t n);

/* flow_write_before and _after, inside the writing half. */
void streams_write_before(struct flow_write *, const struct iovec *, int count);
void streams_write_after(struct flow_write *, const struct iovec *, int count, uint64_t taken);
void streams_write_unseen(struct connection *, uint64_t n);
/* n bytes were read, from byte `skip` of these buffers on. Inside the reading half. */
void streams_read(struct connection *, const struct iovec *, int count, size_t skip, uint64_t n,
                  uint64_t now);
void streams_read_unseen(struct connection *, uint64_t n, uint64_t now);
/* The peer, or the network, ended it: what is open has failed. Inside the reading half. */
void streams_eof(struct connection *, uint64_t now);

/* The connection can't be followed any more: open bodies leave all totals. From anywhere. */
void streams_withdraw(struct connection *);
/* The connection ends, with both halves held: what is open is discarded (or leaves, withdrawn), the memory goes. */
void streams_end(struct connection *, bool withdrawn, uint64_t now);

#endif
