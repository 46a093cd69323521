/*
 * A generator of HTTP/1 streams that uses what the grammar allows: cases, blanks, folds,
 * extensions, trailers, line ends.
 */
#include "tests/unit/http1_generate.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t http1_generate_below(struct http1_stream *s, uint64_t n) {
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random % n;
}

static bool one_in(struct http1_stream *s, unsigned n) {
    return http1_generate_below(s, n) == 0;
}

#define PICK(s, ...)                                                                               \
    ((const char *const[]){__VA_ARGS__})[http1_generate_below(                                     \
        s, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))]

static void put(struct http1_stream *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(s->bytes + s->len, sizeof s->bytes - s->len, format, args);
    va_end(args);
    if (n < 0 || s->len + (size_t)n >= sizeof s->bytes) abort();
    s->len += (size_t)n;
}

static void put_bytes(struct http1_stream *s, size_t n) {
    if (n >= sizeof s->bytes - s->len) abort();
    for (size_t i = 0; i < n; i++) /* many line ends: a parser that looks for lines here is lost */
        s->bytes[s->len++] = one_in(s, 8) ? '\n' : (char)http1_generate_below(s, 256);
}

static void put_end(struct http1_stream *s) {
    put(s, one_in(s, 12) ? "\n" : "\r\n");
}

static void put_name(struct http1_stream *s, const char *name) {
    const uint64_t style = http1_generate_below(s, 4);
    for (; *name; name++) {
        const bool letter = (*name | 0x20) >= 'a' && (*name | 0x20) <= 'z';
        const bool flip = letter && (style == 1 || (style == 2 && one_in(s, 2)));
        s->bytes[s->len++] = (char)(flip ? *name ^ 0x20 : *name);
    }
}

static void put_field(struct http1_stream *s, const char *name, const char *value) {
    put_name(s, name);
    put(s, ":%s", PICK(s, " ", " ", "", "\t", "   "));
    put(s, "%s", value);
    put(s, "%s", PICK(s, "", "", "", " ", "\t "));
    put_end(s);
}

/* libhttp-parser knows nothing of blanks or a bare LF behind these values. */
static void put_deciding(struct http1_stream *s, const char *name, const char *value) {
    put_name(s, name);
    put(s, ":%s%s\r\n", PICK(s, " ", "", "\t", "   "), value);
}

/* A field that decides nothing, though it may look so. */
static void put_other(struct http1_stream *s) {
    char value[1200];
    const size_t n = http1_generate_below(s, one_in(s, 20) ? 1100 : 40);
    for (size_t i = 0; i < n; i++)
        value[i] = (char)(' ' + http1_generate_below(s, 95));
    value[n] = 0;
    put_field(s,
              PICK(s, "Accept", "X-Content-Length", "Content-Lengths", "Content-Encoding", "Cookie",
                   "Connections", "Transfer-Encode", "T", "c", "Hosts", "Date", "TE", "Trailer"),
              value);
    if (one_in(s, 10)) {
        s->len -= 1 + (s->bytes[s->len - 2] == '\r');
        put(s, "\r\n%s%s", one_in(s, 2) ? " " : "\t", "Content-Length: 77, close");
        put_end(s);
    }
}

static void put_others(struct http1_stream *s) {
    while (!one_in(s, 3))
        put_other(s);
}

enum body { BODY_NONE, BODY_COUNTED, BODY_CHUNKED, BODY_UNTIL_CLOSE, BODY_BROKEN };

/* The fields that announce it. */
static void put_framing(struct http1_stream *s, enum body body, size_t n) {
    char value[64];
    switch (body) {
    case BODY_COUNTED:
        snprintf(value, sizeof value, "%s%zu", one_in(s, 10) ? "00" : "", n);
        put_deciding(s, "Content-Length", value);
        break;
    case BODY_CHUNKED:
        put_deciding(s, "Transfer-Encoding",
                     PICK(s, "chunked", "chunked", "Chunked", "gzip, chunked", "gzip,chunked"));
        break;
    case BODY_BROKEN:
        put_deciding(s, "Content-Length",
                     PICK(s, "5x", "-1", "+1", "99999999999999999999", "1 2", "0x10"));
        break;
    default: break;
    }
}

static size_t body_size(struct http1_stream *s) {
    return http1_generate_below(s, 2) ? http1_generate_below(s, 30) : http1_generate_below(s, 600);
}

static void put_chunks(struct http1_stream *s) {
    for (uint64_t chunks = http1_generate_below(s, 5); chunks > 0; chunks--) {
        const size_t n = 1 + http1_generate_below(s, one_in(s, 6) ? 400 : 20);
        put(s, one_in(s, 3) ? "%zX" : "%zx", n);
        if (one_in(s, 4)) put(s, "%s", PICK(s, ";a", ";a=b", "; a=\"b c\"", ";a;b=5", ";"));
        put(s, "\r\n");
        put_bytes(s, n);
        if (s->broken && one_in(s, 4)) {
            put(s, "%s",
                PICK(s, "\r\nx\r\n", "\r\n-1\r\n", "\r\n11112222333344445\r\n", "\r\n\r\n"));
            return;
        }
        put(s, "\r\n");
    }
    put(s, "%s", PICK(s, "0", "0", "000", "0;last"));
    put(s, "\r\n");
    while (one_in(s, 4))
        put_field(s, PICK(s, "X-Trailer", "Digest", "Expires"), "some, value");
    put_end(s);
}

static void put_body(struct http1_stream *s, enum body body, size_t n) {
    if (body == BODY_CHUNKED)
        put_chunks(s);
    else
        put_bytes(s, n);
}

static void put_connection(struct http1_stream *s, bool http10, bool last) {
    const char *name = one_in(s, 6) ? "Proxy-Connection" : "Connection";
    if (http10 && (!last || one_in(s, 2)))
        put_deciding(s, name,
                     PICK(s, "keep-alive", "Keep-Alive", "x, keep-alive", "keep-alive , TE"));
    else if (!http10 && last && one_in(s, 3))
        put_deciding(s, name, PICK(s, "close", "Close", "TE, close", "keep-alive,close"));
    else if (!http10 && one_in(s, 4))
        put_deciding(s, name, PICK(s, "keep-alive", "TE", "closed", "x"));
}

static void begin(struct http1_stream *s) {
    s->len = 0;
    s->broken = one_in(s, 6);
    memset(s->asked, 0, sizeof s->asked);
}

/* Cut off; a broken one is not: it is no concern of this when the breach is noticed. */
static void finish(struct http1_stream *s) {
    if (!s->broken && one_in(s, 4)) s->len = http1_generate_below(s, s->len + 1);
}

static void put_target(struct http1_stream *s, bool connect) {
    static const char *const names[] = {"a.example", "B.Example", "127.0.0.1", "[2001:db8::1]",
                                        "x-y.z"};
    const char *name = names[http1_generate_below(s, 5)];
    if (connect) {
        put(s, "%s:%u", name, 1 + (unsigned)http1_generate_below(s, 65535));
        return;
    }
    if (one_in(s, 4)) {
        put(s, "%s://%s%s", PICK(s, "http", "https", "HTTP"), one_in(s, 4) ? "me:pw@" : "", name);
        if (one_in(s, 2)) put(s, ":%u", 1 + (unsigned)http1_generate_below(s, 65535));
        if (one_in(s, 5)) {
            put(s, "%s", one_in(s, 2) ? "" : "?q=/");
            return;
        }
    }
    for (uint64_t parts = 1 + http1_generate_below(s, 4); parts > 0; parts--)
        put(s, "/%s",
            PICK(s, "", "a", "index.html", "%C3%A4", "a;b=c", "x:y@z", "~user", "seg-ment_1"));
    if (one_in(s, 2)) put(s, "?%s", PICK(s, "", "q=1&r=2", "a?b/c", "u=http://x/y"));
}

static void put_request(struct http1_stream *s, bool last) {
    const bool connect = one_in(s, 12), http10 = one_in(s, 8);
    const bool asterisk = !connect && one_in(s, 20);
    const enum body body = s->broken && last && !connect ? BODY_BROKEN
                           : connect                     ? BODY_NONE
                                                         : (enum body)http1_generate_below(s, 3);
    const size_t n = body == BODY_COUNTED ? body_size(s) : 0;
    put(s, "%s ",
        connect    ? "CONNECT"
        : asterisk ? "OPTIONS"
                   : PICK(s, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "M-SEARCH"));
    if (asterisk)
        put(s, "*");
    else
        put_target(s, connect);
    put(s, " HTTP/1.%d", !http10);
    put_end(s);
    put_others(s);
    if (!one_in(s, 6)) put_field(s, "Host", PICK(s, "host.example", "HOST:8080", "[::1]:80"));
    put_framing(s, body, n);
    put_others(s);
    put_connection(s, http10, last);
    put_end(s);
    put_body(s, body, n);
}

void http1_generate_requests(struct http1_stream *s) {
    begin(s);
    for (uint64_t left = 1 + http1_generate_below(s, GENERATE_MESSAGES); left > 0; left--) {
        while (one_in(s, 10))
            put(s, "\r\n");
        put_request(s, left == 1);
    }
    finish(s);
}

static void put_status(struct http1_stream *s, unsigned code, bool http10) {
    put(s, "HTTP/1.%d %03u", !http10, code);
    put(s, "%s", PICK(s, " OK", " Not Found at all", " ", ""));
    put_end(s);
}

static void put_interim(struct http1_stream *s) {
    put_status(s, one_in(s, 2) ? 100 : 103, false);
    put_others(s);
    put_end(s);
}

static void put_response(struct http1_stream *s, size_t place, bool last) {
    const bool http10 = one_in(s, 8);
    s->asked[place] = PICK(s, "G", "G", "G", "H", "C")[0];
    const bool tunnel = last && s->asked[place] == 'C' && one_in(s, 2),
               upgrade = last && !tunnel && one_in(s, 10);
    static const unsigned codes[] = {200, 200, 201, 204, 206, 301, 304, 404, 407, 500, 503};
    unsigned code = codes[http1_generate_below(s, 11)];
    if (s->asked[place] == 'C' && !tunnel && code < 300) code = 502;
    if (tunnel && code >= 300) code = 200;
    const bool none = s->asked[place] == 'H' || code == 204 || code == 304 || tunnel || upgrade;
    enum body body = (enum body)(1 + http1_generate_below(s, last ? 3 : 2));
    if (s->broken && last && !none) body = BODY_BROKEN;
    const size_t n = body == BODY_COUNTED || body == BODY_UNTIL_CLOSE ? body_size(s) : 0;
    if (upgrade) code = 101;
    put_status(s, code, upgrade ? false : http10);
    put_others(s);
    if (upgrade) put(s, "Upgrade: x\r\nConnection: Upgrade\r\n");
    if (!upgrade && (!none || one_in(s, 3)))
        put_framing(s, body, n); /* what HEAD would have brought */
    if (!none && body == BODY_UNTIL_CLOSE && one_in(s, 4))
        put_deciding(s, "Transfer-Encoding", PICK(s, "gzip", "chunked, gzip"));
    put_others(s);
    if (!upgrade) put_connection(s, http10, last);
    put_end(s);
    if (tunnel || upgrade)
        put_bytes(s, 10);
    else if (!none)
        put_body(s, body, n);
}

void http1_generate_responses(struct http1_stream *s) {
    begin(s);
    const size_t count = 1 + http1_generate_below(s, GENERATE_MESSAGES);
    for (size_t i = 0; i < count; i++) {
        while (one_in(s, 10))
            put(s, "\r\n");
        while (one_in(s, 8))
            put_interim(s);
        put_response(s, i, i + 1 == count);
    }
    finish(s);
}
