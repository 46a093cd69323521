/*
 * Passive HTTP/1.0 and 1.1 framing (RFC 9112): bytes of one direction go in, on any split, events
 * come out.
 *
 * It knows no socket and no connection, allocates nothing, keeps nothing outside the two structs
 * below, never recurses and calls nothing but memchr, memcpy, memmove, memcmp and memset: it may
 * run in a signal handler. One struct is one direction of one connection; whoever feeds it sees to
 * it that nobody else does at the same time.
 *
 * What goes by is never a guess: bytes that no reading of RFC 9112 explains end the following with
 * HTTP1_FOREIGN or HTTP1_BLIND, and a parser that returned another status than HTTP1_OK is dead: it
 * returns the same one ever after, consumes nothing and calls nothing. Zeroed memory is the start
 * state of both structs.
 *
 * The operations (ops) run inside the feed, in the order of the byte stream. They must not touch
 * the struct that is being fed; the head they are given is gone when they return.
 */
#ifndef HTTP_HTTP1_H
#define HTTP_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http1_method_kind { HTTP1_METHOD_OTHER, HTTP1_METHOD_HEAD, HTTP1_METHOD_CONNECT };

enum http1_status {
    HTTP1_OK,
    HTTP1_FOREIGN, /* the first bytes are not HTTP/1, or the server spoke first */
    HTTP1_BLIND,   /* was HTTP, can't be followed any more */
    HTTP1_TUNNEL,  /* responses: 101, or 2xx to CONNECT: another protocol begins at *consumed */
    HTTP1_HTTP2,   /* requests: the stream began with the preface of HTTP/2 */
};

enum http1_framing {
    HTTP1_BODY_NONE, /* the head is all; Content-Length 0 too */
    HTTP1_BODY_LENGTH,
    HTTP1_BODY_CHUNKED,
    HTTP1_BODY_UNTIL_CLOSE, /* responses only */
};

#define HTTP1_METHOD_SIZE 16u /* one longer is not taken for HTTP */
#define HTTP1_PATH_SIZE 192u
#define HTTP1_AUTHORITY_SIZE 272u
#define HTTP1_LINE_SIZE 512u /* longer ones are read over; HTTP1_BLIND if they decide the framing */
#define HTTP1_START_LINE_MAX 65536u

/*
 * Strings are NUL terminated; what is in them comes from the program and may be any byte but NUL
 * and the line ends.
 */
struct http1_request_head {
    enum http1_method_kind kind;
    bool http10;
    bool close; /* not persistent (RFC 9112 9.3): close was asked, or HTTP/1.0 without keep-alive */
    bool upgrade; /* Upgrade with "Connection: upgrade": the answer may be 101 */
    bool h2c;     /* ... to HTTP/2, which is an offer: nothing is refused by an answer in HTTP/1.1 */
    bool path_truncated;
    char method[HTTP1_METHOD_SIZE];
    char path[HTTP1_PATH_SIZE]; /* no query, no fragment, no authority; "*" stays, CONNECT: "" */
    /*
     * Who is asked (absolute-form target, CONNECT's target, else Host), lower case, with its port
     * if one is written there, without user information; "" if nobody is named or the name is too
     * long.
     */
    char authority[HTTP1_AUTHORITY_SIZE];
};

struct http1_response_head {
    uint16_t status;
    bool http10;
    bool is_final; /* false: 1xx other than 101, the real answer is still to come */
    bool tunnel;   /* 101, or 2xx to CONNECT: the feed returns HTTP1_TUNNEL next */
    bool upgrade;  /* 101 */
    bool h2c;      /* ... to HTTP/2 */
    bool keep_alive;
    bool event_stream; /* text/event-stream */
    bool grpc;         /* application/grpc and its kin */
    enum http1_framing framing;
    uint64_t length; /* with HTTP1_BODY_LENGTH, else 0 */
};

struct http1_request_ops {
    /* A request line began; a stream that turns out to be foreign in a later feed had one, too. */
    void (*start)(void *ctx);
    void (*head)(void *ctx, const struct http1_request_head *);
    void (*end)(void *ctx); /* the last byte of the request went by */
};

struct http1_response_ops {
    /* A response begins, or an interim one: to what kind of request? false: nobody has asked. */
    bool (*request)(void *ctx, enum http1_method_kind *kind);
    void (*head)(void *ctx, const struct http1_response_head *);
    /* Payload without chunk framing, never 0; at most once a feed for each body. */
    void (*body)(void *ctx, uint64_t bytes);
    /* Complete; right after head if there is no body. Not for interim responses and tunnels. */
    void (*end)(void *ctx);
};

/* ---- the inside; only for the size ----------------------------------------------------------- */

/* A line whose end was not in the feed it began in; text is last, and `used` bytes of it count. */
struct http1_line {
    uint32_t total; /* bytes of a start line so far */
    uint16_t used;
    bool over;     /* longer than text */
    bool complete; /* its end was seen, but not whether the next line continues it */
    char text[HTTP1_LINE_SIZE];
};

struct http1_fields { /* what the header fields of one message said */
    uint64_t length;
    uint8_t length_state;
    uint8_t coding;
    bool close, keep_alive, option_upgrade, upgrade;
    bool overlong; /* a field that decides the framing did not fit a line buffer */
    bool h2c;      /* Upgrade names it */
    bool event_stream, grpc;
};

struct http1_body {
    uint64_t remaining;
    uint8_t state;
};

struct http1_request {
    uint8_t status; /* enum http1_status */
    uint8_t state;
    bool seen;       /* one request line was understood: what fails now was HTTP before */
    bool started;    /* ops->start was called for this message */
    bool blank;      /* empty lines went by between messages */
    uint8_t preface; /* with HTTP1_HTTP2: bytes of it that came before the feed that said so */
    struct http1_body body;
    struct http1_fields fields; /* from here on only used inside a head: http1_request_copy */
    struct http1_request_head head;
    struct http1_line line;
};

struct http1_response {
    uint8_t status; /* enum http1_status */
    uint8_t state;
    bool seen;
    bool asked;
    bool http10;
    uint8_t kind; /* enum http1_method_kind of the request */
    uint16_t code;
    uint16_t unasked;
    struct http1_body body;
    struct http1_fields fields;
    struct http1_line line;
};

/* ---- requests -------------------------------------------------------------------------------- */

/*
 * The next len bytes that the client sends. *consumed: how many of them the parser went over; all
 * of them with HTTP1_OK. With HTTP1_HTTP2 it is 0: the preface began with the first byte that this
 * struct was ever fed.
 */
enum http1_status http1_request_feed(struct http1_request *, const void *buf, size_t len,
                                     size_t *consumed, const struct http1_request_ops *, void *ctx);
/* n bytes went by unseen (sendfile): all right inside counted bytes of a body, else HTTP1_BLIND. */
enum http1_status http1_request_skip(struct http1_request *, uint64_t n,
                                     const struct http1_request_ops *, void *ctx);
/* Between two messages, and alive. */
bool http1_request_idle(const struct http1_request *);
/* A cheap snapshot: copies what the state makes use of. dst need not be initialised. */
void http1_request_copy(struct http1_request *dst, const struct http1_request *src);

/* ---- responses ------------------------------------------------------------------------------- */

/* The next len bytes that the server sent. With HTTP1_TUNNEL the tunnel begins at *consumed. */
enum http1_status http1_response_feed(struct http1_response *, const void *buf, size_t len,
                                      size_t *consumed, const struct http1_response_ops *,
                                      void *ctx);
/*
 * The quick way through a body: n bytes that are all payload, with more of it to come, are counted
 * without being looked at. False: nothing was done, feed them. The caller tells whom it concerns;
 * no operation is called.
 */
bool http1_response_take(struct http1_response *, uint64_t n);
enum http1_status http1_response_skip(struct http1_response *, uint64_t n,
                                      const struct http1_response_ops *, void *ctx);
/*
 * The peer ended the stream. Completes a body that lasts until close; in the middle of another
 * message *truncated is set to true, otherwise to false. Bytes that come after it all the same are
 * HTTP1_BLIND.
 */
enum http1_status http1_response_eof(struct http1_response *, bool *truncated,
                                     const struct http1_response_ops *, void *ctx);
bool http1_response_idle(const struct http1_response *);
/*
 * All payload of a chunked body went by, its trailer section has not: a client that throws the
 * connection away now has had the whole body.
 */
bool http1_response_payload_over(const struct http1_response *);
/*
 * Why HTTP1_BLIND: the status code of an answer that nobody had asked for (408: a server gives up
 * an idle connection, which is no fault of anybody), 0 if that is not the reason.
 */
uint16_t http1_response_unasked(const struct http1_response *);

#endif
