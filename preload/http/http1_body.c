/* Counting a message body to its end: Content-Length, chunked (RFC 9112 7.1), until close. */
#include "http/http1_body.h"

#include <string.h>

enum body_state {
    BODY_LENGTH,
    BODY_UNTIL_CLOSE,
    BODY_SIZE_FIRST, /* first digit of a chunk's size */
    BODY_SIZE,
    BODY_SIZE_LF,   /* CR was seen behind the size */
    BODY_EXTENSION, /* chunk extensions, up to LF */
    BODY_DATA,
    BODY_DATA_CR, /* behind a chunk's data */
    BODY_DATA_LF,
    BODY_TRAILER_FIRST, /* first byte of a trailer line */
    BODY_TRAILER_LF,    /* CR was the first */
    BODY_TRAILER
};

void http1_body_begin(struct http1_body *body, enum http1_framing framing, uint64_t length) {
    body->remaining = framing == HTTP1_BODY_LENGTH ? length : 0;
    body->state = framing == HTTP1_BODY_CHUNKED       ? BODY_SIZE_FIRST
                  : framing == HTTP1_BODY_UNTIL_CLOSE ? BODY_UNTIL_CLOSE
                                                      : BODY_LENGTH;
}

bool http1_body_take(struct http1_body *body, uint64_t n) {
    if (body->state == BODY_UNTIL_CLOSE) return true;
    if ((body->state != BODY_LENGTH && body->state != BODY_DATA) || n >= body->remaining)
        return false;
    body->remaining -= n;
    return true;
}

bool http1_body_until_close(const struct http1_body *body) {
    return body->state == BODY_UNTIL_CLOSE;
}

static int body_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/*
 * One byte of a chunk's size line or of what stands between chunks; false: no reading of the
 * grammar explains it.
 */
static bool body_framing(struct http1_body *body, char c) {
    int digit;
    switch (body->state) {
    case BODY_SIZE_FIRST:
        if (body_digit(c) < 0) return false;
        body->remaining = 0;
        body->state = BODY_SIZE;
        /* fallthrough */
    case BODY_SIZE:
        digit = body_digit(c);
        if (digit >= 0) {
            if (body->remaining > UINT64_MAX >> 4) return false;
            body->remaining = body->remaining << 4 | (unsigned)digit;
            return true;
        }
        if (c == '\r') {
            body->state = BODY_SIZE_LF;
            return true;
        }
        if (c == ';' || c == ' ' || c == '\t') { /* some servers pad the size with spaces */
            body->state = BODY_EXTENSION;
            return true;
        }
        /* fallthrough */
    case BODY_SIZE_LF:
        body->state = body->remaining > 0 ? BODY_DATA : BODY_TRAILER_FIRST;
        return c == '\n';
    case BODY_DATA_CR:
        if (c == '\r') {
            body->state = BODY_DATA_LF;
            return true;
        }
        /* fallthrough */
    default: /* BODY_DATA_LF */ body->state = BODY_SIZE_FIRST; return c == '\n';
    }
}

/* What runs to the end of its line without anybody reading it. */
static void body_line(const char **p, const char *end, uint8_t *state, uint8_t next) {
    const char *lf = memchr(*p, '\n', (size_t)(end - *p));
    *p = lf ? lf + 1 : end;
    if (lf) *state = next;
}

enum http1_body_result http1_body_feed(struct http1_body *body, const char **p, const char *end,
                                       uint64_t *payload) {
    while (*p < end) {
        uint64_t n = (uint64_t)(end - *p);
        switch (body->state) {
        case BODY_UNTIL_CLOSE:
            *payload += n;
            *p = end;
            break;
        case BODY_LENGTH:
        case BODY_DATA:
            if (n > body->remaining) n = body->remaining;
            *p += n;
            *payload += n;
            body->remaining -= n;
            if (body->remaining > 0) break;
            if (body->state == BODY_LENGTH) return HTTP1_BODY_DONE;
            body->state = BODY_DATA_CR;
            break;
        case BODY_EXTENSION:
            body_line(p, end, &body->state, body->remaining > 0 ? BODY_DATA : BODY_TRAILER_FIRST);
            break;
        case BODY_TRAILER_FIRST:
        case BODY_TRAILER_LF:
            if (**p == '\n') {
                (*p)++;
                return HTTP1_BODY_DONE;
            }
            if (**p == '\r' && body->state == BODY_TRAILER_FIRST) {
                (*p)++;
                body->state = BODY_TRAILER_LF;
            } else {
                body->state = BODY_TRAILER;
            }
            break;
        case BODY_TRAILER: body_line(p, end, &body->state, BODY_TRAILER_FIRST); break;
        default:
            if (!body_framing(body, *(*p)++)) return HTTP1_BODY_BAD;
        }
    }
    return HTTP1_BODY_MORE;
}

enum http1_body_result http1_body_skip(struct http1_body *body, uint64_t n) {
    if (body->state == BODY_UNTIL_CLOSE) return HTTP1_BODY_MORE;
    if ((body->state != BODY_LENGTH && body->state != BODY_DATA) || n > body->remaining)
        return HTTP1_BODY_BAD;
    body->remaining -= n;
    if (body->remaining > 0) return HTTP1_BODY_MORE;
    if (body->state == BODY_LENGTH) return HTTP1_BODY_DONE;
    body->state = BODY_DATA_CR;
    return HTTP1_BODY_MORE;
}

bool http1_body_in_trailer(const struct http1_body *body) {
    return body->state >= BODY_TRAILER_FIRST;
}
