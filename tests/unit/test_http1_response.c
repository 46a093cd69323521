/*
 * HTTP/1 responses: what is said of each stream, however it is cut; the peer's end, tunnels, unseen
 * bytes.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/http1_log.h"
#include "tests/unit/suite.h"

#define CASE(n, a, b, l)                                                                           \
    { .name = (n), .asked = (a), .bytes = (b), .len = sizeof(b) - 1, .log = (l) }
/* the same, and the peer ends the stream */
#define EOF_CASE(n, a, b, l)                                                                       \
    { .name = (n), .asked = (a), .bytes = (b), .len = sizeof(b) - 1, .log = (l), .eof = true }

#define R(fields) "HTTP/1.1 200 OK\r\n" fields "\r\n"
#define R5 R("Content-Length: 5\r\n") "hello"
#define R5_LOG "ask head(200 length=5 keep) body=5 end "
#define CHUNKED R("Transfer-Encoding: chunked\r\n")
#define CHUNKED_LOG "ask head(200 chunked keep) "

static const struct http1_case cases[] = {
    /* RFC 9112 6.3, in its order */
    CASE("HEAD", "HG", R("Content-Length: 5\r\n") R5, "ask head(200 none keep) end " R5_LOG "=ok"),
    CASE("HEAD, chunked", "HG", CHUNKED R5, "ask head(200 none keep) end " R5_LOG "=ok"),
    CASE("HEAD, bad length", "H", R("Content-Length: x\r\n"), "ask head(200 none keep) end =ok"),
    CASE("HEAD without a length", "H", R(""), "ask head(200 none keep) end =ok"),
    CASE("204", "GG", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n" R5,
         "ask head(204 none keep) end " R5_LOG "=ok"),
    CASE("304", "GG", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n" R5,
         "ask head(304 none keep) end " R5_LOG "=ok"),
    CASE("205 has the body that it says", "G", "HTTP/1.1 205 Reset\r\nContent-Length: 2\r\n\r\nab",
         "ask head(205 length=2 keep) body=2 end =ok"),
    CASE("100 and the answer", "GG", "HTTP/1.1 100 Continue\r\n\r\n" R5 R5,
         "ask head(100 none interim keep) " R5_LOG R5_LOG "=ok"),
    CASE("103 twice", "G",
         "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early "
         "Hints\r\nContent-Length: 3\r\n\r\n" R5,
         "ask head(103 none interim keep) ask head(103 none interim keep) " R5_LOG "=ok"),
    CASE("100 to HEAD", "H", "HTTP/1.1 100 Continue\r\n\r\n" R("Content-Length: 5\r\n"),
         "ask head(100 none interim keep) ask head(200 none keep) end =ok"),
    CASE("101", "G",
         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
         "Upgrade\r\n\r\n\x81\x05hello",
         "ask head(101 none tunnel upgrade keep) =tunnel@77"),
    CASE("101, nothing behind it", "G", "HTTP/1.1 101 X\r\n\r\n",
         "ask head(101 none tunnel upgrade keep) =tunnel@18"),
    CASE("upgrade refused", "GG",
         "HTTP/1.1 426 Upgrade Required\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nno" R5,
         "ask head(426 length=2 keep) body=2 end " R5_LOG "=ok"),
    CASE("CONNECT, granted", "C", "HTTP/1.1 200 Connection established\r\n\r\n\x16\x03\x03",
         "ask head(200 none tunnel keep) =tunnel@39"),
    CASE("CONNECT, granted with a length", "C",
         "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n\x16\x03\x03",
         "ask head(200 none 1.0 tunnel) =tunnel@38"),
    CASE("CONNECT, granted by 204", "C", "HTTP/1.1 204 OK\r\n\r\n",
         "ask head(204 none tunnel keep) =tunnel@19"),
    CASE("CONNECT, refused", "CC", "HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno" R(""),
         "ask head(407 length=2 keep) body=2 end ask head(200 none tunnel keep) =tunnel@61"),
    CASE("chunked", "GG", CHUNKED "5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n" R5,
         CHUNKED_LOG "body=15 end " R5_LOG "=ok"),
    CASE("chunked, nothing in it", "GG", CHUNKED "0\r\n\r\n" R5, CHUNKED_LOG "end " R5_LOG "=ok"),
    CASE("trailers", "GG", CHUNKED "1\r\na\r\n0\r\nGrpc-Status: 0\r\nX:\r\n\r\n" R5,
         CHUNKED_LOG "body=1 end " R5_LOG "=ok"),
    CASE("size padded", "G", CHUNKED "5  \r\nhello\r\n0  \r\n\r\n", CHUNKED_LOG "body=5 end =ok"),
    CASE("chunked beats length", "G",
         R("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n") "1\r\na\r\n0\r\n\r\n",
         CHUNKED_LOG "body=1 end =ok"),
    EOF_CASE("coding not chunked", "G",
             R("Transfer-Encoding: gzip\r\nContent-Length: 3\r\n") "hello",
             "ask head(200 close) body=5 =mid end eof"),
    EOF_CASE("chunked not last", "G",
             R("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n") "hello",
             "ask head(200 close) body=5 =mid end eof"),
    CASE("identity is no coding", "G",
         R("Transfer-Encoding: identity\r\nContent-Length: 5\r\n") "hello", R5_LOG "=ok"),
    CASE("length", "GGG", R5 R5 R5, R5_LOG R5_LOG R5_LOG "=ok"),
    CASE("length 0", "GG", R("Content-Length: 0\r\n") R5,
         "ask head(200 none keep) end " R5_LOG "=ok"),
    CASE("equal lengths", "G", R("Content-Length: 5\r\nContent-Length: 005, 5\r\n") "hello",
         R5_LOG "=ok"),
    CASE("different lengths", "G", R("Content-Length: 5\r\nContent-Length: 6\r\n") "hello",
         "ask =blind"),
    CASE("bad length", "G", R("Content-Length: -5\r\n") "hello", "ask =blind"),
    CASE("length overflows", "G", R("Content-Length: 99999999999999999999\r\n"), "ask =blind"),
    EOF_CASE("until close", "G", R("") "all that comes" R5,
             "ask head(200 close) body=57 =mid end eof"),
    EOF_CASE("until close, nothing comes", "G", R(""), "ask head(200 close) =mid end eof"),
    CASE("until close, not closed", "G", R("") "hello", "ask head(200 close) body=5 =mid"),
    EOF_CASE("until close has no keep-alive", "G", R("Connection: keep-alive\r\n") "x",
             "ask head(200 close) body=1 =mid end eof"),
    /* the peer's end */
    EOF_CASE("end between messages", "G", R5, R5_LOG "=ok eof"),
    EOF_CASE("end before anything", "G", "", "=ok eof"),
    EOF_CASE("end behind an empty line", "G", R5 "\r\n", R5_LOG "=ok eof"),
    EOF_CASE("end in a status line", "G", "HTTP/1.1 2", "ask =mid eof!truncated"),
    EOF_CASE("end in a head", "G", "HTTP/1.1 200 OK\r\nA: b\r\n", "ask =mid eof!truncated"),
    EOF_CASE("end in a body", "G", R("Content-Length: 6\r\n") "hello",
             "ask head(200 length=6 keep) body=5 =mid eof!truncated"),
    EOF_CASE("end in a chunk", "G", CHUNKED "6\r\nhello", CHUNKED_LOG "body=5 =mid eof!truncated"),
    EOF_CASE("end before the last chunk", "G", CHUNKED "5\r\nhello\r\n",
             CHUNKED_LOG "body=5 =mid eof!truncated"),
    EOF_CASE("end in the trailers", "G", CHUNKED "5\r\nhello\r\n0\r\n",
             CHUNKED_LOG "body=5 =mid eof!truncated"),
    EOF_CASE("end behind an interim answer", "G", "HTTP/1.1 100 Continue\r\n\r\n",
             "ask head(100 none interim keep) =ok eof"),
    EOF_CASE("end of what is blind", "G", CHUNKED "x", CHUNKED_LOG "=blind eof"),
    /* persistence */
    CASE("close", "G", R("Connection: close\r\nContent-Length: 5\r\n") "hello",
         "ask head(200 length=5) body=5 end =ok"),
    CASE("1.0", "G", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
         "ask head(200 length=1 1.0) body=1 end =ok"),
    CASE("1.0 with keep-alive", "GG",
         "HTTP/1.0 200 OK\r\nCONNECTION:keep-alive\r\nContent-Length: 1\r\n\r\nx" R5,
         "ask head(200 length=1 1.0 keep) body=1 end " R5_LOG "=ok"),
    CASE("1.0 through a proxy", "G",
         "HTTP/1.0 200 OK\r\nProxy-Connection: keep-alive\r\nContent-Length: 0\r\n\r\n",
         "ask head(200 none 1.0 keep) end =ok"),
    CASE("close wins", "G",
         R("Connection: close\r\nConnection: keep-alive\r\nContent-Length: 0\r\n"),
         "ask head(200 none) end =ok"),
    CASE("options do not outlive their message", "GG",
         R("Connection: close\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n") R5,
         "ask head(200 none events) end " R5_LOG "=ok"),
    /* kinds of content */
    CASE("event stream", "G",
         R("Content-Type: Text/Event-Stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"),
         "ask head(200 chunked keep events) =mid"),
    CASE("nearly an event stream", "G",
         R("Content-Type: text/event-streams\r\nContent-Length: 0\r\n"),
         "ask head(200 none keep) end =ok"),
    CASE("gRPC", "G", R("Content-Type: application/grpc+proto\r\nContent-Length: 0\r\n"),
         "ask head(200 none keep grpc) end =ok"),
    /* forms */
    CASE("bare LF", "GG", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello" R5, R5_LOG R5_LOG "=ok"),
    CASE("no reason", "GG",
         "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\nHTTP/1.1 500\r\nContent-Length: 0\r\n\r\n",
         "ask head(404 none keep) end ask head(500 none keep) end =ok"),
    CASE("folded", "G", R("X: a\r\n b\r\nContent-Length:\r\n 5\r\n") "hello", R5_LOG "=ok"),
    CASE("folded before the colon", "G", R("Content-Length\r\n : 5\r\n") "hello", R5_LOG "=ok"),
    CASE("a name alone", "G", R("Content-Length\r\nContent-Length: 5\r\n") "hello", R5_LOG "=ok"),
    CASE("lines between messages", "GG", R5 "\r\n\n" R5, R5_LOG R5_LOG "=ok"),
    CASE("odd status", "G", "HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n",
         "ask head(999 none keep) end =ok"),
    CASE("body looks like a response", "GG", R("Content-Length: 43\r\n") R5 R5,
         "ask head(200 length=43 keep) body=43 end " R5_LOG "=ok"),
    /* what nobody asked for, and what is no HTTP/1 */
    CASE("the server speaks first", "", "220 mail.example ESMTP\r\n", "ask =foreign"),
    CASE("HTTP, but nobody asked", "", R5, "ask =foreign"),
    CASE("one answer too many", "G", R5 R5, R5_LOG "ask =blind"),
    CASE("408 on an idle connection", "G",
         R5 "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", R5_LOG "ask =blind"),
    CASE("garbage behind a body", "GG", R5 "garbage", R5_LOG "ask =blind"),
    CASE("garbage nobody asked for", "G", R5 "garbage", R5_LOG "ask =blind"),
    CASE("body longer than it says", "GG", R5 "!" R5, R5_LOG "ask =blind"),
    CASE("ICY", "G", "ICY 200 OK\r\n\r\n", "ask =foreign"),
    CASE("HTTP/0.9", "G", "<html>\r\n", "ask =foreign"),
    CASE("HTTP/2 frames", "G", "\0\0\x12\x04\0\0\0\0\0", "ask =foreign"),
    CASE("HTTP/2.0", "G", "HTTP/2.0 200 OK\r\n\r\n", "ask =foreign"),
    CASE("HTTP/1.2", "G", "HTTP/1.2 200 OK\r\n\r\n", "ask =foreign"),
    CASE("status of two digits", "G", "HTTP/1.1 20 OK\r\n\r\n", "ask =foreign"),
    CASE("status of four digits", "G", "HTTP/1.1 2000 OK\r\n\r\n", "ask =foreign"),
    CASE("status below 100", "G", "HTTP/1.1 099 OK\r\n\r\n", "ask =foreign"),
    CASE("no status", "G", "HTTP/1.1\r\n\r\n", "ask =foreign"),
    CASE("lower case", "G", "http/1.1 200 OK\r\n\r\n", "ask =foreign"),
    CASE("bad chunk", "G", CHUNKED "5\r\nhello\r\nz\r\n", CHUNKED_LOG "body=5 =blind"),
    CASE("bad end of a chunk", "G", CHUNKED "5\r\nhelloworld", CHUNKED_LOG "body=5 =blind"),
    CASE("chunk size overflows", "G", CHUNKED "fffffffffffffffff\r\n", CHUNKED_LOG "=blind"),
};

START_TEST(a_stream_says_the_same_however_it_is_cut) {
    http1_log_check(&cases[_i], true);
}
END_TEST

/* head, then n times fill, then tail; freed by the next call */
static struct http1_case padded(const char *head, size_t n, const char *tail, const char *log) {
    static char *bytes;
    free(bytes);
    const size_t a = strlen(head), b = strlen(tail);
    bytes = malloc(a + n + b + 1);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, head, a);
    memset(bytes + a, 'x', n);
    memcpy(bytes + a + n, tail, b + 1);
    return (struct http1_case){
        .name = head, .asked = "GG", .bytes = bytes, .len = a + n + b, .log = log};
}

START_TEST(long_lines) {
    struct http1_case c;
    for (size_t n = 440; n < 560; n += n >= 470 && n < 530 ? 1 : 10) { /* around the line buffer */
        c = padded("HTTP/1.1 200 ", n, "\r\nContent-Length: 5\r\n\r\nhello" R5,
                   R5_LOG R5_LOG "=ok");
        http1_log_check(&c, true);
        c = padded("HTTP/1.1 200 OK\r\nX-Cookie: ", n, "\r\nContent-Length: 5\r\n\r\nhello" R5,
                   R5_LOG R5_LOG "=ok");
        http1_log_check(&c, true);
        c = padded("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: ", n, "\r\n\r\nhello",
                   R5_LOG "=ok");
        http1_log_check(&c, true);
        const bool fits = strlen("Transfer-Encoding: , chunked\r") + n <= HTTP1_LINE_SIZE;
        c = padded("HTTP/1.1 200 OK\r\nTransfer-Encoding: ", n, ", chunked\r\n\r\n0\r\n\r\n",
                   fits ? CHUNKED_LOG "end =ok" : "ask =blind");
        http1_log_check(&c, true);
        c = padded(CHUNKED "5;", n, "\r\nhello\r\n0\r\n\r\n", CHUNKED_LOG "body=5 end =ok");
        http1_log_check(&c, true);
        c = padded(CHUNKED "0\r\nX: ", n, "\r\n\r\n", CHUNKED_LOG "end =ok");
        http1_log_check(&c, true);
    }
    c = padded("HTTP/1.1 200 ", 70000, "\r\n\r\n", "ask =foreign");
    http1_log_check(&c, true);
}
END_TEST

/* Told at the first byte that no status line can have. */
START_TEST(foreign_bytes_are_told_at_once) {
    static const struct {
        const char *bytes;
        size_t at;
    } first[] = {{"220 ", 1},           {"HTTP/2", 6},       {"HTTP/1.1 2x", 11},
                 {"HTTP/1.1 200x", 13}, {"HTTP/1.1  2", 10}, {"ICY ", 1}};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        struct http1_response response = {0};
        struct http1_log log = {.asked = "G"};
        size_t consumed, at = 0;
        while (http1_response_feed(&response, first[i].bytes + at, 1, &consumed,
                                   &http1_log_response_ops, &log) == HTTP1_OK) {
            at++;
            ck_assert_msg(first[i].bytes[at], "%s is waited for", first[i].bytes);
        }
        ck_assert_uint_eq(at + 1, first[i].at);
        ck_assert_int_eq(response.status, HTTP1_FOREIGN);
    }
}
END_TEST

/* A feed says of each body at most once what it brought. */
START_TEST(chunks_of_one_feed_are_one_event) {
    struct http1_response response = {0};
    static struct http1_log log;
    size_t consumed;
    log.asked = "G";
    const char *head = CHUNKED "1\r\na\r\n2\r\nbc\r\n3\r\nde";
    http1_response_feed(&response, head, strlen(head), &consumed, &http1_log_response_ops, &log);
    ck_assert_uint_eq(log.body, 5);
    ck_assert_uint_eq(consumed, strlen(head));
}
END_TEST

START_TEST(why_an_answer_is_unexpected) {
    static struct http1_log log;
    struct http1_response response = {0};
    size_t consumed;
    const char *idle = R5 "HTTP/1.1 408 Request Timeout\r\n";
    log.asked = "G";
    ck_assert_int_eq(http1_response_feed(&response, idle, strlen(idle), &consumed,
                                         &http1_log_response_ops, &log),
                     HTTP1_BLIND);
    ck_assert_uint_eq(http1_response_unasked(&response), 408);
    memset(&response, 0, sizeof response);
    log.asked = "G";
    const char *bad = R5 "nonsense";
    ck_assert_int_eq(
        http1_response_feed(&response, bad, strlen(bad), &consumed, &http1_log_response_ops, &log),
        HTTP1_BLIND);
    ck_assert_uint_eq(http1_response_unasked(&response), 0);
    memset(&response, 0, sizeof response);
    log.asked = "G";
    ck_assert_int_eq(
        http1_response_feed(&response, R5, strlen(R5), &consumed, &http1_log_response_ops, &log),
        HTTP1_OK);
    ck_assert_uint_eq(http1_response_unasked(&response), 0);
}
END_TEST

static enum http1_status skip_after(const char *bytes, uint64_t n, struct http1_response *response,
                                    struct http1_log *log) {
    size_t consumed;
    memset(response, 0, sizeof *response);
    log->len = 0;
    log->body = 0;
    log->asked = "G";
    ck_assert_int_eq(http1_response_feed(response, bytes, strlen(bytes), &consumed,
                                         &http1_log_response_ops, log),
                     HTTP1_OK);
    const enum http1_status status = http1_response_skip(response, n, &http1_log_response_ops, log);
    http1_log_response_state(log, response, 0);
    return status;
}

START_TEST(unseen_bytes_inside_a_counted_body) {
    struct http1_response response;
    static struct http1_log log;
    const char *counted = R("Content-Length: 100\r\n") "0123456789";
    ck_assert_int_eq(skip_after(counted, 89, &response, &log), HTTP1_OK);
    ck_assert_str_eq(log.text, "ask head(200 length=100 keep) body=99 =mid");
    ck_assert_int_eq(skip_after(counted, 90, &response, &log), HTTP1_OK);
    ck_assert_str_eq(log.text, "ask head(200 length=100 keep) body=100 end =ok");
    ck_assert_int_eq(skip_after(counted, 91, &response, &log), HTTP1_BLIND);
    ck_assert_str_eq(log.text, "ask head(200 length=100 keep) body=10 =blind");
    ck_assert_int_eq(skip_after(R("") "x", UINT64_C(1) << 40, &response, &log), HTTP1_OK);
    ck_assert_str_eq(log.text, "ask head(200 close) body=1099511627777 =mid");
    ck_assert_int_eq(skip_after(CHUNKED "a\r\n01", 8, &response, &log), HTTP1_OK);
    ck_assert_str_eq(log.text, CHUNKED_LOG "body=10 =mid");
    ck_assert_int_eq(skip_after(CHUNKED "a\r\n01", 9, &response, &log), HTTP1_BLIND);
    ck_assert_int_eq(skip_after(CHUNKED "a\r\n0123456789", 1, &response, &log), HTTP1_BLIND);
}
END_TEST

START_TEST(unseen_bytes_anywhere_else) {
    struct http1_response response;
    static struct http1_log log;
    ck_assert_int_eq(skip_after("", 1, &response, &log), HTTP1_FOREIGN);
    ck_assert_int_eq(skip_after(R5, 1, &response, &log), HTTP1_BLIND);
    ck_assert_int_eq(skip_after("HTTP/1.1 200 OK\r\n", 1, &response, &log), HTTP1_BLIND);
    ck_assert_int_eq(skip_after(CHUNKED, 1, &response, &log), HTTP1_BLIND);
    ck_assert_int_eq(skip_after(R5, 0, &response, &log), HTTP1_OK);
}
END_TEST

START_TEST(bytes_behind_the_end_are_not_believed) {
    struct http1_response response = {0};
    static struct http1_log log;
    size_t consumed;
    bool truncated;
    log.asked = "GG";
    http1_response_feed(&response, R5, strlen(R5), &consumed, &http1_log_response_ops, &log);
    ck_assert_int_eq(http1_response_eof(&response, &truncated, &http1_log_response_ops, &log),
                     HTTP1_OK);
    ck_assert_int_eq(
        http1_response_feed(&response, R5, strlen(R5), &consumed, &http1_log_response_ops, &log),
        HTTP1_BLIND);
    ck_assert_uint_eq(consumed, 0);
    ck_assert(!http1_response_idle(&response));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("http1_response");
    TCase *tests = tcase_create("http1_response");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, a_stream_says_the_same_however_it_is_cut, 0,
                        (int)(sizeof cases / sizeof *cases));
    tcase_add_test(tests, long_lines);
    tcase_add_test(tests, foreign_bytes_are_told_at_once);
    tcase_add_test(tests, chunks_of_one_feed_are_one_event);
    tcase_add_test(tests, why_an_answer_is_unexpected);
    tcase_add_test(tests, unseen_bytes_inside_a_counted_body);
    tcase_add_test(tests, unseen_bytes_anywhere_else);
    tcase_add_test(tests, bytes_behind_the_end_are_not_believed);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
