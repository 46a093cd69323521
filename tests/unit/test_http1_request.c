/*
 * HTTP/1 requests: what is said of each stream, however it is cut; snapshots, unseen bytes, long
 * lines.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/http1_log.h"
#include "tests/unit/suite.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_LOG "start head(GET / @a) end "
#define POST(fields) "POST /p HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define POST_LOG "start head(POST /p @a) "
#define LINE(target, fields) "GET " target " HTTP/1.1\r\n" fields "\r\n"
#define CASE(n, b, l)                                                                              \
    { .name = (n), .bytes = (b), .len = sizeof(b) - 1, .log = (l) }

static const struct http1_case cases[] = {
    /* boundaries */
    CASE("plain", GET, GET_LOG "=ok"),
    CASE("no header at all", "GET / HTTP/1.1\r\n\r\n", "start head(GET / @) end =ok"),
    CASE("pipelined", GET GET GET, GET_LOG GET_LOG GET_LOG "=ok"),
    CASE("bare LF", "GET /x HTTP/1.1\nHost: a\n\n" GET, "start head(GET /x @a) end " GET_LOG "=ok"),
    CASE("length", POST("Content-Length: 5\r\n") "hello" GET, POST_LOG "end " GET_LOG "=ok"),
    CASE("length, body looks like a request", POST("Content-Length: 27\r\n") GET GET,
         POST_LOG "end " GET_LOG "=ok"),
    CASE("length 0", POST("Content-Length: 0\r\n") GET, POST_LOG "end " GET_LOG "=ok"),
    CASE("length, not complete", POST("Content-Length: 6\r\n") "hello", POST_LOG "=mid"),
    CASE("head, not complete", "GET / HTTP/1.1\r\nHost: a\r\n", "start =mid"),
    CASE("line, not complete", "GET / HT", "start =mid"),
    CASE("chunked",
         POST("Transfer-Encoding: chunked\r\n") "5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n" GET,
         POST_LOG "end " GET_LOG "=ok"),
    CASE("chunked, bare LF", POST("Transfer-Encoding: chunked\r\n") "5\nhello\n0\n\n" GET,
         POST_LOG "end " GET_LOG "=ok"),
    CASE("chunk extensions and trailers",
         POST("Transfer-Encoding: chunked\r\n") "5;a=\"b;c\"\r\nhello\r\n"
                                                "5 ;x\r\nhello\r\n"
                                                "000;l\r\n"
                                                "X: y\r\n z\r\n\r\r\n\rT: 1\r\n\r\n" GET,
         POST_LOG "end " GET_LOG "=ok"),
    CASE("chunked beats length",
         POST("Content-Length: 99\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n" GET,
         POST_LOG "end " GET_LOG "=ok"),
    CASE("chunked beats a bad length",
         POST("Content-Length: x\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n",
         POST_LOG "end =ok"),
    CASE("codings, chunked last",
         POST("Transfer-Encoding: gzip ;q=\"1,2\" ,, Chunked\r\n") "0\r\n\r\n", POST_LOG "end =ok"),
    CASE("codings on two lines",
         POST("Transfer-Encoding: gzip\r\nTRANSFER-ENCODING:chunked\r\n") "0\r\n\r\n",
         POST_LOG "end =ok"),
    CASE("equal lengths", POST("Content-Length: 5, 5\r\ncontent-length:5\r\n") "hello",
         POST_LOG "end =ok"),
    CASE("lines between messages", GET "\r\n\n\r\n" GET "\r\n", GET_LOG GET_LOG "=ok"),
    CASE("line before the first", "\r\n" GET, GET_LOG "=ok"),
    CASE("line behind a body", POST("Content-Length: 2\r\n") "ab\r\n" GET,
         POST_LOG "end " GET_LOG "=ok"),
    CASE("folded field", POST("X-Long: a\r\n b\r\n\tc\r\nContent-Length: 2\r\n") "ab",
         POST_LOG "end =ok"),
    CASE("folded coding", POST("Transfer-Encoding:\r\n gzip,\r\n chunked\r\n") "0\r\n\r\n",
         POST_LOG "end =ok"),
    CASE("folded length is a bad one", POST("Content-Length: 1\r\n 2\r\n"), "=blind"),
    CASE("fold of blanks alone", POST("X: a\r\n \r\nContent-Length: 2\r\n") "ab",
         POST_LOG "end =ok"),
    CASE("blank before the first field", "GET / HTTP/1.1\r\n Host: b\r\nHost: a\r\n\r\n",
         GET_LOG "=ok"),
    CASE("names in any case", "POST /p HTTP/1.1\r\nhOST:a\r\ncOnTeNt-lEnGtH:2\r\n\r\nab",
         POST_LOG "end =ok"),
    CASE("blank before the colon", POST("Content-Length : 2\r\n") "ab", POST_LOG "end =ok"),
    CASE("nearly the name",
         POST("Content-Lengthy: 2\r\n"
              "Content\rLength: 2\r\n"
              "Content=Length: 2\r\n"
              "Condend-Length: 2\r\n"
              "XContent-Length: 2\r\n"
              "Content-Lengt: 2\r\n"),
         POST_LOG "end =ok"),
    CASE("lines without sense", POST("no colon\r\n:\r\n: x\r\n\r\r\nc\r\nh\r\n"),
         POST_LOG "end =ok"),
    /* lengths that nobody can know */
    CASE("different lengths", POST("Content-Length: 5\r\nContent-Length: 6\r\n") "hello", "=blind"),
    CASE("different lengths in one field", POST("Content-Length: 5,6\r\n") "hello", "=blind"),
    CASE("good behind bad", POST("Content-Length: x\r\nContent-Length: 5\r\n") "hello", "=blind"),
    CASE("length with a sign", POST("Content-Length: +5\r\n") "hello", "=blind"),
    CASE("length with a tail", POST("Content-Length: 5x\r\n") "hello", "=blind"),
    CASE("empty length", POST("Content-Length: \r\n"), "=blind"),
    CASE("length with an empty member", POST("Content-Length: 5,\r\n"), "=blind"),
    CASE("length overflows", POST("Content-Length: 18446744073709551616\r\n"), "=blind"),
    CASE("longest length", POST("Content-Length: 18446744073709551615\r\n"), POST_LOG "=mid"),
    CASE("coding not chunked", POST("Transfer-Encoding: gzip\r\n"), "=blind"),
    CASE("chunked not last", POST("Transfer-Encoding: chunked, gzip\r\n"), "=blind"),
    CASE("chunk size overflows", POST("Transfer-Encoding: chunked\r\n") "10000000000000000\r\n",
         POST_LOG "=blind"),
    CASE("longest chunk", POST("Transfer-Encoding: chunked\r\n") "0FffffffFFFFFFFFf\r\n",
         POST_LOG "=mid"),
    CASE("no chunk size", POST("Transfer-Encoding: chunked\r\n") "\r\n", POST_LOG "=blind"),
    CASE("chunk size is none", POST("Transfer-Encoding: chunked\r\n") "5g\r\n", POST_LOG "=blind"),
    CASE("CR without LF behind a size", POST("Transfer-Encoding: chunked\r\n") "5\rhello",
         POST_LOG "=blind"),
    CASE("chunk too long", POST("Transfer-Encoding: chunked\r\n") "5\r\nhello!\r\n",
         POST_LOG "=blind"),
    CASE("CR without LF behind a chunk", POST("Transfer-Encoding: chunked\r\n") "5\r\nhello\r5\r\n",
         POST_LOG "=blind"),
    CASE("no HTTP behind a request", GET "\x16\x03\x01", GET_LOG "=blind"),
    CASE("half a request line behind one", GET "GET foo\r\n", GET_LOG "=blind"),
    /* the target */
    CASE("query and fragment go", LINE("/a/b%20c;d?token=secret#f", "Host: a\r\n"),
         "start head(GET /a/b%20c;d @a) end =ok"),
    CASE("fragment goes", LINE("/a#f?x", "Host: a\r\n"), "start head(GET /a @a) end =ok"),
    CASE("absolute form has the say", LINE("http://User:Pw@B.Example:81/x?y", "Host: a\r\n"),
         "start head(GET /x @b.example:81) end =ok"),
    CASE("absolute form without a path", LINE("HTTP://b?q=/x", "Host: a\r\n"),
         "start head(GET / @b) end =ok"),
    CASE("absolute form, nothing behind", LINE("http://[::1]:8080", ""),
         "start head(GET / @[::1]:8080) end =ok"),
    CASE("absolute form without a name", LINE("http:///x", "Host: a\r\n"),
         "start head(GET /x @a) end =ok"),
    CASE("asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "start head(OPTIONS * @a) end =ok"),
    CASE("CONNECT", "CONNECT B.example:443 HTTP/1.1\r\nHost: a:1\r\n\r\n",
         "start head(CONNECT  @b.example:443 CONNECT) end =ok"),
    CASE("CONNECT has no body", "CONNECT b:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\n" GET,
         "start head(CONNECT  @b:443 CONNECT) end " GET_LOG "=ok"),
    CASE("TLS behind CONNECT, not asked for yet", "CONNECT b:443 HTTP/1.1\r\n\r\n\x16\x03\x01",
         "start head(CONNECT  @b:443 CONNECT) end =blind"),
    CASE("HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "start head(HEAD / @a HEAD) end =ok"),
    CASE("blanks in a target", LINE("/a b  c?d e", "Host: a\r\n"),
         "start head(GET /a b  c @a) end =ok"),
    CASE("target of another kind", LINE("x:y//z", "Host: a\r\n"),
         "start head(GET x:y//z @a) end =ok"),
    CASE("bytes that are no ASCII", LINE("/\xc3\xa4\xff", "Host: a\r\n"),
         "start head(GET /\xc3\xa4\xff @a) end =ok"),
    CASE("method with other signs", "M-SEARCH_X * HTTP/1.1\r\n\r\n",
         "start head(M-SEARCH_X * @) end =ok"),
    CASE("longest method", "ABCDEFGHIJKLMNO / HTTP/1.1\r\n\r\n",
         "start head(ABCDEFGHIJKLMNO / @) end =ok"),
    /* the host */
    CASE("host in lower case", LINE("/", "HOST:  \tWWW.Example.COM:80 \t \r\n"),
         "start head(GET / @www.example.com:80) end =ok"),
    CASE("no host", LINE("/", "Host:\r\n"), "start head(GET / @) end =ok"),
    CASE("first host counts", LINE("/", "Host: a\r\nHost: b\r\n"), GET_LOG "=ok"),
    CASE("host with a blank is none", LINE("/", "Host: a b\r\n"), "start head(GET / @) end =ok"),
    CASE("host with a control byte is none", LINE("/", "Host: a\tb\r\n"),
         "start head(GET / @) end =ok"),
    CASE("no host of the message before", LINE("http://b/", "") LINE("/", ""),
         "start head(GET / @b) end start head(GET / @) end =ok"),
    /* persistence */
    CASE("close", LINE("/", "Host: a\r\nConnection: x, Close\r\n"),
         "start head(GET / @a close) end =ok"),
    CASE("close wins", LINE("/", "Host: a\r\nConnection: keep-alive\r\nConnection: close\r\n"),
         "start head(GET / @a close) end =ok"),
    CASE("closer is not close", LINE("/", "Host: a\r\nConnection: closer, clos\r\n"),
         GET_LOG "=ok"),
    CASE("1.0", "GET / HTTP/1.0\r\n\r\n", "start head(GET / @ 1.0 close) end =ok"),
    CASE("1.0 with keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
         "start head(GET / @ 1.0) end =ok"),
    CASE("1.0 through a proxy", "GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n",
         "start head(GET / @ 1.0) end =ok"),
    CASE("options do not outlive their message", LINE("/", "Host: a\r\nConnection: close\r\n") GET,
         "start head(GET / @a close) end " GET_LOG "=ok"),
    CASE("upgrade", LINE("/", "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"),
         "start head(GET / @a upgrade) end =ok"),
    CASE("h2c is an upgrade",
         LINE("/", "Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"),
         "start head(GET / @a upgrade) end =ok"),
    CASE("upgrade without the option", LINE("/", "Host: a\r\nUpgrade: websocket\r\n"),
         GET_LOG "=ok"),
    /* what is no HTTP/1 */
    CASE("preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "=http2"),
    CASE("preface, cut off", "PRI * HTTP/2.0", "=http2"),
    CASE("preface behind an empty line", "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "=foreign"),
    CASE("preface, not the first", GET "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", GET_LOG "=blind"),
    CASE("no version", "GET /\r\n", "=foreign"),
    CASE("memcached", "GET foo\r\n", "=foreign"),
    CASE("memcached, lower case", "get foo\r\n", "=foreign"),
    CASE("redis, inline", "PING\r\n", "=foreign"),
    CASE("redis", "*1\r\n$4\r\nPING\r\n", "=foreign"),
    CASE("SMTP", "EHLO x\r\n", "=foreign"),
    CASE("POP3", "USER a b\r\n", "=foreign"),
    CASE("SSH", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "=foreign"),
    CASE("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "=foreign"),
    CASE("PostgreSQL", "\x00\x00\x00\x08\x04\xd2\x16\x2f", "=foreign"),
    CASE("RTSP", "OPTIONS rtsp://x/ RTSP/1.0\r\n", "=foreign"),
    CASE("HTTP/1.2", "GET / HTTP/1.2\r\n\r\n", "=foreign"),
    CASE("HTTP/2.0", "GET / HTTP/2.0\r\n\r\n", "=foreign"),
    CASE("version with a tail", "GET / HTTP/1.1 \r\n\r\n", "=foreign"),
    CASE("no target", "GET  HTTP/1.1\r\n\r\n", "=foreign"),
    CASE("nothing but a version", "HTTP/1.1\r\n", "=foreign"),
    CASE("two spaces", "GET  / HTTP/1.1\r\n\r\n", "=foreign"),
    CASE("method too long", "ABCDEFGHIJKLMNOP / HTTP/1.1\r\n\r\n", "=foreign"),
    CASE("no method", " / HTTP/1.1\r\n\r\n", "=foreign"),
    CASE("control byte in a path", "GET /a\tb HTTP/1.1\r\n\r\n", "=foreign"),
    CASE("NUL in a path", "GET /a\0b HTTP/1.1\r\n\r\n", "=foreign"),
};

START_TEST(a_stream_says_the_same_however_it_is_cut) {
    http1_log_check(&cases[_i], false);
}
END_TEST

/* Decided with the first byte that no request line can have, not with the end of a line. */
START_TEST(foreign_bytes_are_told_at_once) {
    static const struct {
        const char *bytes;
        size_t at;
    } first[] = {{"\x16\x03", 1}, {"*1\r", 1}, {"PING\r", 5}, {"get foo", 1},
                 {"GET  x", 5},   {"{\"", 1},  {"SSH-2.0", 5}};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        struct http1_request request = {0};
        struct http1_log log = {.len = 0};
        size_t consumed, at = 0;
        while (http1_request_feed(&request, first[i].bytes + at, 1, &consumed,
                                  &http1_log_request_ops, &log) == HTTP1_OK) {
            at++;
            ck_assert_msg(first[i].bytes[at], "%s is waited for", first[i].bytes);
        }
        ck_assert_uint_eq(at + 1, first[i].at);
        ck_assert_int_eq(request.status, HTTP1_FOREIGN);
    }
}
END_TEST

/* head, then n times fill, then tail; freed by the next call */
static struct http1_case padded(const char *head, size_t n, const char *tail) {
    static char *bytes;
    free(bytes);
    const size_t a = strlen(head), b = strlen(tail);
    bytes = malloc(a + n + b + 1);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, head, a);
    memset(bytes + a, 'x', n);
    memcpy(bytes + a + n, tail, b + 1);
    return (struct http1_case){.name = head, .bytes = bytes, .len = a + n + b};
}

START_TEST(long_lines) {
    char log[1024], fill[HTTP1_AUTHORITY_SIZE];
    struct http1_case c;
    memset(fill, 'x', sizeof fill);

    c = padded("GET /", HTTP1_PATH_SIZE - 2, " HTTP/1.1\r\n\r\n"); /* the longest path */
    snprintf(log, sizeof log, "start head(GET /%.*s @) end =ok", (int)HTTP1_PATH_SIZE - 2, fill);
    c.log = log;
    http1_log_check(&c, false);
    c = padded("GET /", HTTP1_PATH_SIZE - 1, "?q HTTP/1.1\r\n\r\n"); /* one more */
    snprintf(log, sizeof log, "start head(GET /%.*s... @) end =ok", (int)HTTP1_PATH_SIZE - 2, fill);
    c.log = log;
    http1_log_check(&c, false);
    for (size_t n = 440; n < 560; n += n >= 470 && n < 530 ? 1 : 10) { /* around the line buffer */
        c = padded("GET /a?", n, " HTTP/1.1\r\nHost: a\r\n\r\n" GET);
        c.log = "start head(GET /a @a) end " GET_LOG "=ok";
        http1_log_check(&c, false);
        c = padded("GET /a?", n, " HTTP/1.7\r\nHost: a\r\n\r\n" GET);
        c.log = "=foreign";
        http1_log_check(&c, false);
        c = padded("GET / HTTP/1.1\r\nHost: a\r\nCookie: ", n,
                   "\r\n\r\n" GET); /* long, and nobody's concern */
        c.log = GET_LOG GET_LOG "=ok";
        http1_log_check(&c, false);
        c = padded("GET / HTTP/1.1\r\nHost: a\r\nX: ", n, "\r\n folded\r\n\tagain\r\n\r\n");
        c.log = GET_LOG "=ok";
        http1_log_check(&c, false);
        c = padded("GET / HTTP/1.1\r\nHost: ", n, "\r\n\r\n");
        c.log = "start head(GET / @) end =ok";
        http1_log_check(&c, false);
        c = padded("POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ", n,
                   ", chunked\r\n\r\n0\r\n\r\n");
        const size_t line = strlen("Transfer-Encoding: , chunked\r") + n;
        c.log = line <= HTTP1_LINE_SIZE ? POST_LOG "end =ok" : "=blind";
        http1_log_check(&c, false);
    }
    c = padded("GET / HTTP/1.1\r\nHost: ", 501,
               "abc.example\r\n\r\n"); /* a name cut off is no name */
    memset(memchr(c.bytes, 'x', c.len), ' ', 501);
    c.log = "start head(GET / @) end =ok";
    http1_log_check(&c, false);
    c = padded("GET http://", HTTP1_AUTHORITY_SIZE - 1,
               "/p HTTP/1.1\r\n\r\n"); /* the longest name, and one more */
    snprintf(log, sizeof log, "start head(GET /p @%.*s) end =ok", (int)HTTP1_AUTHORITY_SIZE - 1,
             fill);
    c.log = log;
    http1_log_check(&c, false);
    c = padded("GET http://", HTTP1_AUTHORITY_SIZE, "/p HTTP/1.1\r\n\r\n");
    c.log = "start head(GET /p @) end =ok";
    http1_log_check(&c, false);
    c = padded("GET http://", 600, "/p HTTP/1.1\r\n\r\n"); /* the path begins behind what is kept */
    c.log = "start head(GET /... @) end =ok";
    http1_log_check(&c, false);
    c = padded("CONNECT ", 600, ":443 HTTP/1.1\r\n\r\n");
    c.log = "start head(CONNECT  @ CONNECT) end =ok";
    http1_log_check(&c, false);
    c = padded("GET /?", 60000, " HTTP/1.1\r\nHost: a\r\n\r\n");
    c.log = GET_LOG "=ok";
    http1_log_check(&c, false);
    c = padded("GET /?", 70000, " HTTP/1.1\r\nHost: a\r\n\r\n");
    c.log = "=foreign";
    http1_log_check(&c, false);
}
END_TEST

/* A send took fewer bytes than it was given: back to the snapshot, and on with what was taken. */
START_TEST(a_snapshot_forgets_what_came_after_it) {
    static struct http1_log log;
    const struct http1_case *c = &cases[_i];
    const size_t len = c->len;
    for (size_t at = 0; at <= len; at++) {
        for (size_t beyond = 0; beyond < 3; beyond++) {
            struct http1_request request = {0}, snapshot;
            const size_t ahead = beyond == 0 ? len : beyond == 1 ? at + 1 : at + (len - at) / 2;
            size_t consumed;
            memset(&snapshot, 0xa5, sizeof snapshot);
            log.len = 0;
            http1_request_feed(&request, c->bytes, at, &consumed, &http1_log_request_ops, &log);
            http1_request_copy(&snapshot, &request);
            const size_t said = log.len;
            if (ahead > at && ahead <= len)
                http1_request_feed(&request, c->bytes + at, ahead - at, &consumed,
                                   &http1_log_request_ops, &log);
            http1_request_copy(&request, &snapshot);
            log.len = said;
            const size_t half =
                at + (len - at) / 3; /* what was taken, and the rest in a later send */
            http1_request_feed(&request, c->bytes + at, half - at, &consumed,
                               &http1_log_request_ops, &log);
            http1_request_feed(&request, c->bytes + half, len - half, &consumed,
                               &http1_log_request_ops, &log);
            http1_log_request_state(&log, &request);
            http1_log_compare(&log, c, "back to", at);
        }
    }
}
END_TEST

START_TEST(a_snapshot_between_messages_copies_no_buffer) {
    struct http1_request request = {0}, snapshot;
    struct http1_log log = {.len = 0};
    size_t consumed;
    http1_request_feed(&request, GET, strlen(GET), &consumed, &http1_log_request_ops, &log);
    memset(&snapshot, 0xa5, sizeof snapshot);
    http1_request_copy(&snapshot, &request);
    const unsigned char *rest = (const unsigned char *)&snapshot.head;
    for (size_t i = 0; i < sizeof snapshot - offsetof(struct http1_request, head); i++)
        ck_assert_uint_eq(rest[i], 0xa5);
    http1_request_feed(&request, "GET /abc", 8, &consumed, &http1_log_request_ops, &log);
    http1_request_copy(&snapshot, &request);
    ck_assert_mem_eq(snapshot.line.text, "GET /abc\xa5", 9);
}
END_TEST

static enum http1_status skip_after(const char *bytes, uint64_t n, struct http1_request *request,
                                    struct http1_log *log) {
    size_t consumed;
    memset(request, 0, sizeof *request);
    log->len = 0;
    ck_assert_int_eq(
        http1_request_feed(request, bytes, strlen(bytes), &consumed, &http1_log_request_ops, log),
        HTTP1_OK);
    const enum http1_status status = http1_request_skip(request, n, &http1_log_request_ops, log);
    http1_log_request_state(log, request);
    return status;
}

START_TEST(unseen_bytes_inside_a_counted_body) {
    struct http1_request request;
    static struct http1_log log;
    const char *counted = POST("Content-Length: 100\r\n") "0123456789";
    ck_assert_int_eq(skip_after(counted, 89, &request, &log), HTTP1_OK);
    ck_assert_str_eq(log.text, POST_LOG "=mid");
    ck_assert_int_eq(skip_after(counted, 90, &request, &log), HTTP1_OK);
    ck_assert_str_eq(log.text, POST_LOG "end =ok");
    ck_assert_int_eq(skip_after(counted, 91, &request, &log), HTTP1_BLIND);
    ck_assert_str_eq(log.text, POST_LOG "=blind");
    const char *chunk = POST("Transfer-Encoding: chunked\r\n") "a\r\n01";
    ck_assert_int_eq(skip_after(chunk, 9, &request, &log), HTTP1_BLIND);
    ck_assert_int_eq(skip_after(chunk, 8, &request, &log), HTTP1_OK);
    size_t consumed;
    log.len = 0;
    http1_request_feed(&request, "\r\n0\r\n\r\n", 7, &consumed, &http1_log_request_ops, &log);
    http1_log_request_state(&log, &request);
    ck_assert_str_eq(log.text, "end =ok");
}
END_TEST

START_TEST(unseen_bytes_anywhere_else) {
    struct http1_request request;
    static struct http1_log log;
    ck_assert_int_eq(skip_after("", 1, &request, &log), HTTP1_FOREIGN);
    ck_assert_int_eq(skip_after(GET, 1, &request, &log), HTTP1_BLIND);
    ck_assert_int_eq(skip_after(GET "GET /", 1, &request, &log), HTTP1_BLIND);
    ck_assert_int_eq(skip_after("GET / HTTP/1.1\r\n", 1, &request, &log), HTTP1_BLIND);
    ck_assert_int_eq(skip_after(POST("Transfer-Encoding: chunked\r\n"), 1, &request, &log),
                     HTTP1_BLIND);
    ck_assert_int_eq(skip_after("GET / HTTP/1.1\r\n", 0, &request, &log), HTTP1_OK);
    size_t consumed;
    ck_assert_int_eq(skip_after(GET, 1, &request, &log), HTTP1_BLIND); /* and stays so */
    log.len = 0;
    ck_assert_int_eq(http1_request_feed(&request, GET, 5, &consumed, &http1_log_request_ops, &log),
                     HTTP1_BLIND);
    ck_assert_uint_eq(consumed, 0);
    ck_assert_int_eq(http1_request_skip(&request, 1, &http1_log_request_ops, &log), HTTP1_BLIND);
    ck_assert_uint_eq(log.len, 0);
    ck_assert(!http1_request_idle(&request));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("http1_request");
    TCase *tests = tcase_create("http1_request");
    const int count = (int)(sizeof cases / sizeof *cases);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, a_stream_says_the_same_however_it_is_cut, 0, count);
    tcase_add_test(tests, foreign_bytes_are_told_at_once);
    tcase_add_test(tests, long_lines);
    tcase_add_loop_test(tests, a_snapshot_forgets_what_came_after_it, 0, count);
    tcase_add_test(tests, a_snapshot_between_messages_copies_no_buffer);
    tcase_add_test(tests, unseen_bytes_inside_a_counted_body);
    tcase_add_test(tests, unseen_bytes_anywhere_else);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
