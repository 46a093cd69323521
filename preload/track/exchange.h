/*
 * Exchanges of a connection: requests queue up as they are written, responses take them off.
 *
 * A request is queued before the send that carries it and committed (counted, journaled) after it, by the writer, or by the
 * reader if the answer was quicker than send's return. The ring has one writer (inside the writing half) and one reader
 * (inside the reading half); the slot's exchange line and commits belong to the writing half.
 */
#ifndef TRACK_EXCHANGE_H
#define TRACK_EXCHANGE_H

#include "track/connection.h"

/* Inside the writing half: a request head is complete. False: the ring is full, the connection is blind now. */
bool exchange_queue(struct connection *, const struct http1_request_head *);
/* The same exchange as a stream's, with its start's stack and thread, in no queue. */
void exchange_describe(struct connection *, struct exchange *, const struct http1_request_head *);
/* Counts it, once; oldest: no older one is unanswered. */
void exchange_count(struct connection *, struct exchange *, bool oldest);
/* The slot's line of the oldest unanswered request; NULL: there is none, idle since then (0: not idle). */
void exchange_show_pending(struct connection *, const struct exchange *, uint64_t idle_since);
/* One more is answered; number: which request of the connection it was. said: the end of its body told the journal. */
void exchange_answered(struct connection *, uint64_t number, bool said, uint64_t now);
/* Inside the writing half: counts those of [from, ring_head) that are not yet. */
void exchange_commit(struct connection *, uint32_t from);
/* Inside the reading half: the oldest outstanding one, committed by now; NULL if nobody asked. */
struct exchange *exchange_oldest(struct connection *);
/* Inside the reading half: it got an answer that grants nothing. A CONNECT is an exchange then, and no tunnel (RFC 9110 9.3.6). */
void exchange_refused(struct connection *, const struct exchange *, uint64_t now);
/* Inside the reading half: its response is complete; said as above. */
void exchange_done(struct connection *, bool said, uint64_t now);

#endif
