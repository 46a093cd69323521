/*
 * For the tests of HTTP/1 framing: what a stream of bytes makes the parser say, as a line of text,
 * and the ways to cut the stream that must all give the same line.
 *
 *     start head(METHOD PATH @AUTHORITY flags) end                requests
 *     ask head(STATUS FRAMING flags) body=BYTES end               responses
 *
 * and behind them the state: =ok (between messages), =mid, =foreign, =blind, =http2,
 * =tunnel@OFFSET, eof, eof!truncated
 */
#ifndef TESTS_UNIT_HTTP1_LOG_H
#define TESTS_UNIT_HTTP1_LOG_H

#include <check.h>

#include "http/http1.h"

/* ck_assert writes to a file each time, which is too much for every step of every cut. */
#define HTTP1_HOLDS(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg("%s does not hold", #condition);                            \
    } while (0)

struct http1_log {
    const char *asked; /* responses: a letter for each request: G, H(ead), C(onnect) */
    char text[16384];
    size_t len;
    uint64_t body;
};

struct http1_case {
    const char *name;
    const char *bytes;
    size_t len; /* of bytes */
    const char *log;
    const char *asked; /* responses: as above */
    bool eof;          /* responses: the peer ends the stream behind the bytes */
};

extern const struct http1_request_ops http1_log_request_ops;
extern const struct http1_response_ops http1_log_response_ops;

/*
 * The state of the parser, at the end of the line; what a stream that failed said of a started line
 * goes.
 */
void http1_log_request_state(struct http1_log *, const struct http1_request *);
void http1_log_response_state(struct http1_log *, const struct http1_response *, size_t offset);
void http1_log_append(struct http1_log *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * One stream, cut before each offset in cuts (ascending); each piece lies between guard pages,
 * flush at its end or its start.
 */
void http1_log_request(struct http1_log *, const char *bytes, size_t len, const size_t *cuts,
                       size_t count);
void http1_log_response(struct http1_log *, const char *bytes, size_t len, const size_t *cuts,
                        size_t count, const char *asked, bool eof);

/* The bytes of a piece, copied so that the byte behind it (or before it) can't be read. */
const char *http1_log_guard(const char *bytes, size_t len, bool at_start);

/*
 * The case in one piece, in two at every place, byte by byte, in pieces of 2 to 17: all must say
 * what it expects.
 */
void http1_log_check(const struct http1_case *, bool response);

/* The log is what the case expects. */
void http1_log_compare(const struct http1_log *, const struct http1_case *, const char *how,
                       size_t at);

#endif
