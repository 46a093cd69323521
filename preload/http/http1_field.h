/*
 * Header fields that decide where a message ends, whom it is for and whether the connection lives
 * on.
 */
#ifndef HTTP_HTTP1_FIELD_H
#define HTTP_HTTP1_FIELD_H

#include "http/http1_line.h"

enum http1_length_state { HTTP1_LENGTH_NONE, HTTP1_LENGTH_VALID, HTTP1_LENGTH_BAD };
/* The final transfer coding. */
enum http1_coding { HTTP1_CODING_NONE, HTTP1_CODING_CHUNKED, HTTP1_CODING_OTHER };

/* Takes note of a header line. true: it is Host, and *value is what it says. */
bool http1_field_read(struct http1_fields *, const struct http1_span *line,
                      struct http1_span *value);

/* Persistence (RFC 9112 9.3). */
bool http1_field_persistent(const struct http1_fields *, bool http10);

#endif
