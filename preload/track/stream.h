/* What frames do to streams, for streams.c: the operations of both directions. Inside a half and the lock of the streams. */
#ifndef TRACK_STREAM_H
#define TRACK_STREAM_H

#include "track/body.h"
#include "track/stream_table.h"

struct stream_feed { /* context of the operations */
    struct connection *c;
    struct streams *t;
    uint64_t now;   /* coarse */
    bool full;      /* a request found no place */
    uint32_t stack; /* of the requests in this write; 0: none yet */
    const struct stack_caller *caller;
};

extern const struct http2_ops stream_sent_ops, stream_received_ops;

/* Payload that was taken the quick way. */
void stream_data(void *feed, uint32_t id, uint64_t bytes);
/* Counts those whose requests have gone out, up to t->taken. */
void stream_commit(struct stream_feed *);

#endif
