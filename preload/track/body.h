/* Response bodies: from the response head to their end, on the wire. Handles are handle.h's. */
#ifndef TRACK_BODY_H
#define TRACK_BODY_H

#include "track/connection.h"

enum body_outcome { BODY_DRAINED, BODY_DISCARDED, BODY_FAILED };

/* All are called inside the reading half (or by a connection's end). */
void body_open(struct connection *, const struct exchange *, const struct http1_response_head *,
               uint64_t now);
void body_progress(struct connection *, uint64_t bytes, uint64_t now);
/* Does nothing if no body is open. */
void body_end(struct connection *, enum body_outcome, uint64_t now);
/* The connection can't be followed any more: its open body leaves all totals. */
void body_withdraw(struct connection *);

void body_after_fork(void);

#endif
