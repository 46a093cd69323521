/*
 * The body of a message: counts bytes up to its end, without looking at more of them than chunk
 * framing needs.
 */
#ifndef HTTP_HTTP1_BODY_H
#define HTTP_HTTP1_BODY_H

#include "http/http1.h"

enum http1_body_result { HTTP1_BODY_MORE, HTTP1_BODY_DONE, HTTP1_BODY_BAD };

void http1_body_begin(struct http1_body *, enum http1_framing, uint64_t length);
/*
 * Moves *p; *payload is increased by the bytes that are not framing. Stops behind the last byte of
 * the message.
 */
enum http1_body_result http1_body_feed(struct http1_body *, const char **p, const char *end,
                                       uint64_t *payload);
/* n > 0 bytes of payload that nobody saw; BAD if it cannot have been payload alone. */
enum http1_body_result http1_body_skip(struct http1_body *, uint64_t n);
/* n bytes that are payload and not the end of it; false: nothing was done. */
bool http1_body_take(struct http1_body *, uint64_t n);
bool http1_body_until_close(const struct http1_body *);
/* The last chunk went by; only the trailer section is missing (RFC 9112 7.1.2). */
bool http1_body_in_trailer(const struct http1_body *);

#endif
