/*
 * Streams of HTTP/1 messages at random, for comparing parsers: valid ones, cut off ones and broken
 * ones.
 */
#ifndef TESTS_UNIT_HTTP1_GENERATE_H
#define TESTS_UNIT_HTTP1_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GENERATE_MESSAGES = 8, GENERATE_BYTES = 1 << 15 };

struct http1_stream {
    uint64_t random; /* state; not 0 */
    char bytes[GENERATE_BYTES];
    size_t len;
    char asked[GENERATE_MESSAGES +
               1]; /* responses: what kind of request each final one answers: G, H, C */
    bool broken;   /* one place in it is wrong: no parser may go on behind it */
};

void http1_generate_requests(struct http1_stream *);
void http1_generate_responses(struct http1_stream *);
/* A number below n. */
uint64_t http1_generate_below(struct http1_stream *, uint64_t n);

#endif
