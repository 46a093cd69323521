/* Response bodies: from the response head to their end, on the wire. Handles are handle.h's. */
#ifndef TRACK_BODY_H
#define TRACK_BODY_H

#include "track/connection.h"

enum body_outcome { BODY_DRAINED, BODY_DISCARDED, BODY_FAILED };

/*
 * All are called inside the reading half (or by a connection's end). Opening one says in the journal that the response's head,
 * which has this number on the connection, came; false: there is no slot, and nothing was said.
 */
bool body_open(struct connection *, const struct exchange *, const struct http1_response_head *,
               uint64_t number, uint64_t now);
void body_progress(struct connection *, uint64_t bytes, uint64_t now);
/* answered: the exchange is complete with it. False: no body is open, and nothing was said of that. */
bool body_end(struct connection *, enum body_outcome, bool answered, uint64_t now);
/* The connection can't be followed any more: its open body leaves all totals. */
void body_withdraw(struct connection *);

/*
 * The same for one of many (HTTP/2): who holds the pointer is the caller's business, and nobody else ends it meanwhile. NULL:
 * there is no slot.
 */
struct trace_body *body_new(struct connection *, const struct exchange *,
                            const struct http1_response_head *, uint64_t number, uint64_t now);
void body_took(struct trace_body *, const struct connection *, uint64_t bytes, uint64_t now);
void body_over(struct connection *, struct trace_body *, enum body_outcome, bool answered,
               uint64_t now);
void body_drop(struct trace_body *);

#endif
