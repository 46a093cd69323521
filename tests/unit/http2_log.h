/*
 * For the tests of HTTP/2 framing: frames as bytes, and what a stream of bytes makes the parser say, as a line of text, whatever
 * the cuts:
 *
 *     start req(STREAM METHOD PATH @AUTHORITY)@OFFSET end(STREAM)             sent
 *     start res(STREAM STATUS FRAMING flags) frame(STREAM BYTES) body(STREAM)=BYTES end(STREAM)       received
 *     reset(STREAM) window(STREAM +BYTES) set(ID VALUE) goaway(LAST) promise(STREAM)
 *
 * and behind them the state: =ok (between frames), =mid, =foreign, =blind
 */
#ifndef TESTS_UNIT_HTTP2_LOG_H
#define TESTS_UNIT_HTTP2_LOG_H

#include "http/http2.h"

struct http2_bytes {
    uint8_t bytes[1 << 17];
    size_t len;
};
void http2_put(struct http2_bytes *, const void *, size_t);
void http2_put_text(struct http2_bytes *, const char *);
void http2_put_head(struct http2_bytes *, uint32_t length, uint8_t type, uint8_t flags,
                    uint32_t stream);
void http2_put_frame(struct http2_bytes *, uint8_t type, uint8_t flags, uint32_t stream,
                     const void *payload, size_t);
/* "name: value\n" lines as a header block of literals that are not indexed; gives its size. */
size_t http2_block(uint8_t *out, const char *lines);
void http2_put_headers(struct http2_bytes *, uint8_t flags, uint32_t stream, const char *lines);

struct http2_log {
    char text[65536];
    size_t len;
    uint32_t refuse; /* the operations say false of this stream */
    uint32_t body_stream;
    uint64_t body;
};
extern const struct http2_ops http2_log_ops;
void http2_log_append(struct http2_log *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Memory for header fields' tables, all of it given back by the next call of http2_log_memory_reset. */
void *http2_log_memory(void *ctx, size_t size);
void http2_log_memory_reset(void);

/* One stream, cut before each offset in cuts; pieces of a DATA frame's inside go the quick way if quick. */
void http2_log_run(struct http2_log *, enum http2_side, const uint8_t *bytes, size_t len,
                   const size_t *cuts, size_t count, bool quick);
/* In one piece, in two at every place, in pieces of 1 to 17: all must say what is expected. */
void http2_log_check(const char *name, enum http2_side, const struct http2_bytes *,
                     const char *expected, uint32_t refuse);

#endif
