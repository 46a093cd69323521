/*
 * Passive HTTP/2 framing (RFC 9113): bytes of one direction go in, on any split, events come out.
 *
 * As with http1.h: it knows no socket and no connection, keeps nothing outside of the struct and of the memory that the header
 * fields' table is given (hpack.h), never recurses, and may run in a signal handler. One struct is one direction of one
 * connection; whoever feeds it sees to it that nobody else does at the same time. What no reading of RFC 9113 explains ends the
 * following: the parser is dead then, returns the same status ever after and tells nothing.
 *
 * Of header fields it looks at method, path, authority (or host), status, content-type and content-length; the others are
 * decoded, since the table depends on them, and passed over.
 *
 * What it does not judge, because it changes nothing of what is followed: SETTINGS_HEADER_TABLE_SIZE (the encoder says itself
 * what it makes of it, RFC 7541 4.2), the order of pseudo-header fields, priorities, windows that a sender does not heed.
 */
#ifndef HTTP_HTTP2_H
#define HTTP_HTTP2_H

#include "http/hpack.h"
#include "http/http1.h"

#define HTTP2_PREFACE_SIZE 24u
#define HTTP2_FRAME_HEAD 9u
#define HTTP2_FRAME_LEAST 16384u /* SETTINGS_MAX_FRAME_SIZE before anybody said otherwise */
#define HTTP2_WINDOW_FIRST                                                                         \
    65535 /* SETTINGS_INITIAL_WINDOW_SIZE likewise, and the connection's window */
#define HTTP2_BLOCK_MAX (512u << 10) /* a longer header block is not followed */
#define HTTP2_EMPTY_MAX 512u         /* so many empty frames in a row are a flood */

enum http2_status {
    HTTP2_OK,
    HTTP2_FOREIGN, /* sent: no preface. received: no SETTINGS to begin with */
    HTTP2_BLIND,   /* was HTTP/2, can't be followed any more */
};
enum http2_side { HTTP2_SENT, HTTP2_RECEIVED }; /* by the client */
enum http2_setting { HTTP2_SETTING_WINDOW = 4, HTTP2_SETTING_FRAME_SIZE = 5 };

/*
 * Each is called inside the feed, in the order of the byte stream; those that return a bool say false for what cannot be (a
 * stream that nobody opened): HTTP2_BLIND. NULL: not of interest.
 */
struct http2_ops {
    /* A header block begins that may be a request's. */
    void (*start)(void *ctx);
    /* SENT: a request. offset: of the byte behind it, see struct http2. */
    bool (*request)(void *ctx, uint32_t stream, const struct http1_request_head *, uint64_t offset);
    /* RECEIVED: a response, interim ones too. framing NONE: no body, by what the response itself says (not by its request). */
    bool (*response)(void *ctx, uint32_t stream, const struct http1_response_head *);
    /* A DATA frame begins: bytes of it that count against the windows, padding included. */
    bool (*frame)(void *ctx, uint32_t stream, uint32_t bytes);
    /* Payload of it went by, never 0. */
    void (*data)(void *ctx, uint32_t stream, uint64_t bytes);
    /* END_STREAM: behind the head, the last payload or the trailers. */
    bool (*end)(void *ctx, uint32_t stream);
    bool (*reset)(void *ctx, uint32_t stream);
    /* stream 0: the connection's */
    bool (*window)(void *ctx, uint32_t stream, uint32_t increment);
    void (*setting)(void *ctx, enum http2_setting, uint32_t value);
    /* Streams beyond last are not looked at any more. */
    void (*goaway)(void *ctx, uint32_t last);
    bool (*promise)(void *ctx, uint32_t stream);
};

struct http2_head { /* a header block under way */
    bool method, status, length_bad, authority;
    uint16_t code;
    uint64_t length;
    bool has_length;
    bool event_stream, grpc;
    struct http1_request_head request;
};

struct http2 {
    uint8_t status; /* enum http2_status */
    uint8_t side;   /* enum http2_side */
    uint8_t state;
    uint8_t type, flags;   /* of the frame under way */
    uint8_t used;          /* of bytes, or of the preface */
    bool settled;          /* the first SETTINGS went by */
    bool block;            /* a header block is open: CONTINUATION must follow */
    bool block_end_stream; /* ... and ends its stream */
    bool promised;         /* ... and is a PUSH_PROMISE's */
    uint32_t stream;       /* of the frame under way */
    uint32_t remaining;    /* bytes of it, padding not counted */
    uint32_t padding;
    uint32_t block_bytes;
    uint32_t empty; /* in a row */
    uint32_t frame_max;
    uint64_t offset; /* bytes that went by, up to the feed under way */
    uint8_t bytes[HTTP2_FRAME_HEAD];
    struct hpack hpack;
    struct http2_head head;
};

/* preface: bytes of it that went by before (0 for RECEIVED). false: no memory. */
bool http2_begin(struct http2 *, enum http2_side, unsigned preface, hpack_more *, void *ctx);
/* The next len bytes. */
enum http2_status http2_feed(struct http2 *, const void *buf, size_t len, const struct http2_ops *,
                             void *ctx);
/*
 * The quick way through a DATA frame: n bytes that are all payload, with more of the frame to come, are counted without being
 * looked at, and *stream is whose they are. false: nothing was done, feed them. No operation is called.
 */
bool http2_take(struct http2 *, uint64_t n, uint32_t *stream);
/* n bytes went by unseen (sendfile): all right inside the payload of a DATA frame, else HTTP2_BLIND. */
enum http2_status http2_skip(struct http2 *, uint64_t n, const struct http2_ops *, void *ctx);
/* The receiver of this direction takes frames of this size; never less than before. From any thread. */
void http2_allow(struct http2 *, uint32_t frame_max);
/* These are the first bytes of a server that speaks HTTP/2 and has not been spoken to. */
bool http2_is_server_first(const void *bytes, size_t n);

/* http2_head.c: what a header block says. */
void http2_head_begin(struct http2_head *);
hpack_field http2_head_field; /* ctx: struct http2_head */
/* A request, if it is one (trailers are none). */
bool http2_head_request(struct http2_head *);
/* A response, if it is one; false with *bad: none that can be. */
bool http2_head_response(const struct http2_head *, bool end, struct http1_response_head *,
                         bool *bad);

#endif
