/* The streams of one connection: found by their number, kept in the order of their requests. For streams.c and stream.c. */
#ifndef TRACK_STREAM_TABLE_H
#define TRACK_STREAM_TABLE_H

#include "http/http2.h"
#include "track/connection.h"

#define STREAM_CHUNK 32u
#define STREAM_CHUNKS 128u /* more streams at once than these hold: blind */
#define STREAM_BUCKETS 256u
#define STREAM_CANCELLED 64u /* of so many the answers that were under way are still expected */
#define STREAM_BLOCKS (STREAM_CHUNKS + 64u)
#define STREAM_SPARE (2 * HPACK_CHUNK)

struct stream {
    uint32_t id;
    uint16_t place;               /* of itself, + 1 */
    uint16_t chain, older, newer; /* places, 0: none */
    bool answered;                /* its final response head came */
    uint64_t offset; /* of the byte behind its request: it went out when so many were taken */
    uint64_t number; /* which request of the connection it is, once it is counted */
    int64_t window;  /* what the peer may still send on it */
    uint64_t held;
    struct trace_body *body;
    struct exchange exchange;
};

struct streams {
    uint32_t lock;
    struct http2 sent, received;
    /* what is sent, in bytes since the preface */
    uint64_t parsed, taken;
    uint64_t rest;      /* hash of the bytes in between */
    bool in_flight;     /* a send is under way */
    uint32_t uncounted; /* streams whose request has not gone out, as far as is known */
    uint32_t newest_id, promised_id;
    int64_t first_window; /* of a new stream */
    int64_t window;       /* of the connection */
    uint64_t held;
    uint32_t cancelled[STREAM_CANCELLED];
    uint32_t cancelled_count;
    uint16_t buckets[STREAM_BUCKETS];
    uint16_t oldest, newest, spare_stream; /* places */
    uint16_t used;                         /* places ever handed out */
    struct stream *chunks[STREAM_CHUNKS];
    struct stream first[STREAM_CHUNK];
    struct {
        void *memory;
        size_t size;
    } blocks[STREAM_BLOCKS];
    unsigned block_count;
    size_t spare_used;
    uint8_t spare[STREAM_SPARE] __attribute__((aligned(16))); /* for the tables of header fields */
};

/* NULL: no memory. */
struct streams *stream_table_new(unsigned preface);
void stream_table_free(struct streams *);

static inline struct stream *stream_at(const struct streams *t, uint16_t place) {
    if (place == 0) return NULL;
    return &t->chunks[(place - 1u) / STREAM_CHUNK][(place - 1u) % STREAM_CHUNK];
}
struct stream *stream_find(const struct streams *, uint32_t id);
/* The newest of them all; zeroed but for its id. NULL: no place. */
struct stream *stream_new(struct streams *, uint32_t id);
void stream_free(struct streams *, struct stream *);

/* An answer on a stream that is not there may still come: it was cancelled, or promised by the peer. */
void stream_cancelled(struct streams *, uint32_t id);
bool stream_is_excused(const struct streams *, uint32_t id);

#endif
