/* HTTP/2 framing: what each kind of frame says, on every split, and what ends the following. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/http2_log.h"
#include "tests/unit/suite.h"

static struct http2_bytes b;

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define GET ":method: GET\n:scheme: http\n:path: /p?q=secret\n:authority: Api.Example:81\n"

static void sent(void) {
    b.len = 0;
    http2_put_text(&b, PREFACE);
    http2_put_frame(&b, 4, 0, 0, "", 0);
}

static void received(void) {
    b.len = 0;
    http2_put_frame(&b, 4, 0, 0, "", 0);
}

static void padded(uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t n,
                   uint8_t padding) {
    uint8_t bytes[8192] = {padding};
    memcpy(bytes + 1, payload, n);
    memset(bytes + 1 + n, 0, padding);
    http2_put_frame(&b, type, flags | 8, stream, bytes, 1 + n + padding);
}

START_TEST(a_request_says_who_and_what) {
    sent();
    http2_put_headers(&b, 5, 1, GET "cookie: none of our business\n");
    http2_put_headers(&b, 5, 3, ":method: HEAD\n:path: /x#f\nhost: a.b\n");
    http2_put_headers(&b, 4, 5, ":method: CONNECT\n:authority: user:pw@c:443\n");
    http2_put_headers(&b, 5, 7, ":method: POST\n:path: *\nhost: other\n:authority: first\n");
    http2_log_check("requests", HTTP2_SENT, &b,
                    "start req(1 GET /p @api.example:81)@144 end(1) "
                    "start req(3 HEAD /x @a.b head)@189 end(3) "
                    "start req(5 CONNECT  @c:443 connect)@241 "
                    "start req(7 POST * @first)@303 end(7) =ok",
                    0);
}
END_TEST

START_TEST(a_long_path_is_cut) {
    sent();
    uint8_t block[512] = {0};
    size_t n = http2_block(block, ":method: GET\n");
    block[n++] = 4; /* literal, name 4 of the static table: :path */
    block[n++] = 0x7f;
    block[n++] = 200 - 127; /* an integer with a prefix of 7 bits */
    block[n++] = 1;
    n--;
    for (int i = 0; i < 200; i++)
        block[n++] = i ? 'a' : '/';
    http2_put_frame(&b, 1, 5, 1, block, n);
    char expected[512], path[192];
    memset(path, 'a', sizeof path);
    path[0] = '/', path[191] = 0;
    snprintf(expected, sizeof expected, "start req(1 GET %s @ cut)@%zu end(1) =ok", path, b.len);
    http2_log_check("path", HTTP2_SENT, &b, expected, 0);
}
END_TEST

START_TEST(a_block_may_come_in_pieces) {
    uint8_t block[256];
    const size_t n = http2_block(block, GET);
    sent();
    http2_put_frame(&b, 1, 1, 1, block, 7);
    http2_put_frame(&b, 9, 0, 1, block + 7, 0);
    http2_put_frame(&b, 9, 0, 1, block + 7, 20);
    http2_put_frame(&b, 9, 4, 1, block + 27, n - 27);
    http2_log_check("continuation", HTTP2_SENT, &b,
                    "start req(1 GET /p @api.example:81)@142 end(1) =ok", 0);
    sent();
    http2_put_frame(&b, 1, 1, 1, block, n);
    http2_put_frame(&b, 9, 4, 1, "", 0);
    http2_log_check("an empty last one", HTTP2_SENT, &b,
                    "start req(1 GET /p @api.example:81)@124 end(1) =ok", 0);
    sent();
    uint8_t priority[256] = {0x80, 0, 0, 3, 200};
    memcpy(priority + 5, block, n);
    padded(1, 0x25, 1, priority, n + 5, 17);
    http2_log_check("priority and padding", HTTP2_SENT, &b,
                    "start req(1 GET /p @api.example:81)@121 end(1) =ok", 0);
    sent();
    padded(1, 0x25, 1, priority, n + 5, 0);
    http2_log_check("padding of nothing", HTTP2_SENT, &b,
                    "start req(1 GET /p @api.example:81)@121 end(1) =ok", 0);
}
END_TEST

START_TEST(a_response_says_what_body_comes) {
    received();
    http2_put_headers(&b, 4, 1, ":status: 103\nlink: x\n");
    http2_put_headers(&b, 4, 1, ":status: 200\ncontent-length: 10\ncontent-type: text/plain\n");
    http2_put_frame(&b, 0, 0, 1, "0123", 4);
    padded(0, 0, 1, "45", 2, 9);
    http2_put_frame(&b, 0, 1, 1, "6789", 4);
    http2_put_headers(&b, 4, 3, ":status: 200\ncontent-type: Application/GRPC+proto\n");
    http2_put_frame(&b, 0, 0, 3, "x", 1);
    http2_put_headers(&b, 5, 3, "grpc-status: 0\n");
    http2_put_headers(&b, 5, 5, ":status: 404\ncontent-length: 7\n");
    http2_put_headers(&b, 4, 7, ":status: 204\n");
    http2_put_frame(&b, 0, 1, 7, "", 0);
    http2_put_headers(&b, 4, 9, ":status: 200\ncontent-length: 0\n");
    padded(0, 1, 9, "", 0, 3);
    http2_put_headers(&b, 4, 11, ":status: 200\ncontent-type: text/event-stream; charset=utf-8\n");
    http2_put_headers(&b, 4, 13, ":status: 200\ncontent-length: 1\ncontent-length: 2\n");
    http2_put_headers(&b, 4, 15, ":status: 304\ncontent-length: 99\n");
    http2_log_check(
        "responses", HTTP2_RECEIVED, &b,
        "start res(1 103 none interim) start res(1 200 length=10) frame(1 4) body(1)=4 frame(1 12) "
        "body(1)=2 frame(1 4) body(1)=4 end(1) start res(3 200 open grpc) frame(3 1) body(3)=1 "
        "start end(3) start res(5 404 none) end(5) start res(7 204 none) frame(7 0) end(7) "
        "start res(9 200 none) frame(9 4) end(9) start res(11 200 open events) "
        "start res(13 200 open) start res(15 304 none) =ok",
        0);
}
END_TEST

START_TEST(what_goes_with_streams) {
    received();
    http2_put_frame(&b, 4, 0, 0, "\0\1\0\0\20\0\0\4\0\1\0\0\0\5\0\0\100\0\0\377\1\2\3\4", 24);
    http2_put_frame(&b, 4, 1, 0, "", 0);
    http2_put_frame(&b, 6, 0, 0, "12345678", 8);
    http2_put_frame(&b, 8, 0, 0, "\0\0\1\0", 4);
    http2_put_frame(&b, 8, 0, 3, "\200\0\0\2", 4);
    http2_put_frame(&b, 2, 0, 5, "\0\0\0\0\1", 5);
    http2_put_frame(&b, 3, 0, 5, "\0\0\0\10", 4);
    http2_put_frame(&b, 0xa, 0, 1, "altsvc", 6);
    http2_put_frame(&b, 0xbb, 0xff, 77, "grease", 6);
    http2_put_frame(&b, 7, 0, 0, "\0\0\0\7\0\0\0\2why", 11);
    http2_put_frame(&b, 7, 0, 0, "\0\0\0\5\0\0\0\0", 8);
    uint8_t promise[128] = {0, 0, 0, 2};
    const size_t n = 4 + http2_block(promise + 4, GET);
    http2_put_frame(&b, 5, 0, 1, promise, 20);
    http2_put_frame(&b, 9, 4, 1, promise + 20, n - 20);
    promise[3] = 4;
    padded(5, 4, 1, promise, n, 6);
    http2_put_headers(&b, 5, 2, ":status: 200\n");
    http2_log_check("frames", HTTP2_RECEIVED, &b,
                    "set(4 65536) set(5 16384) window(0 +256) window(3 +2) reset(5) goaway(7) "
                    "goaway(5) promise(2) promise(4) start res(2 200 none) end(2) =ok",
                    0);
}
END_TEST

struct bad {
    const char *name;
    uint8_t type, flags;
    uint32_t stream;
    const char *payload;
    size_t n;
};

START_TEST(what_cannot_be_ends_the_following) {
    static const struct bad bad[] = {
        {"DATA on stream 0", 0, 0, 0, "x", 1},
        {"HEADERS on stream 0", 1, 4, 0, "\210", 1},
        {"PRIORITY too short", 2, 0, 1, "1234", 4},
        {"RST_STREAM too long", 3, 0, 1, "12345", 5},
        {"RST_STREAM on stream 0", 3, 0, 0, "1234", 4},
        {"SETTINGS on a stream", 4, 0, 1, "", 0},
        {"SETTINGS of five bytes", 4, 0, 0, "12345", 5},
        {"an acknowledgement that says something", 4, 1, 0, "\0\4\0\0\0\1", 6},
        {"a window beyond its limit", 4, 0, 0, "\0\4\200\0\0\0", 6},
        {"frames smaller than allowed", 4, 0, 0, "\0\5\0\0\77\377", 6},
        {"frames larger than allowed", 4, 0, 0, "\0\5\1\0\0\0", 6},
        {"PING too short", 6, 0, 0, "1234567", 7},
        {"GOAWAY too short", 7, 0, 0, "1234567", 7},
        {"GOAWAY on a stream", 7, 0, 1, "12345678", 8},
        {"WINDOW_UPDATE too short", 8, 0, 1, "123", 3},
        {"CONTINUATION of nothing", 9, 4, 1, "", 0},
        {"more padding than frame", 0, 8, 1, "\2x", 2},
        {"padding without room for its length", 0, 8, 1, "", 0},
        {"HEADERS without room for priority", 1, 0x24, 1, "1234", 4},
        {"an index of nothing", 1, 4, 1, "\200", 1},
        {"an index beyond the tables", 1, 4, 1, "\377\200\1", 3},
        {"a table beyond what is followed", 1, 4, 1, "\77\342\377\3\210", 5},
        {"a string that never ends", 1, 4, 1, "\0\177\377\377\377\377\377\17", 8},
        {"half a field", 1, 4, 1, "\0\4abcd\4x", 8},
        {"bad Huffman code", 1, 4, 1, "\0\1a\202\377\377", 6},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        static struct http2_log log;
        received();
        http2_put_frame(&b, bad[i].type, bad[i].flags, bad[i].stream, bad[i].payload, bad[i].n);
        http2_put_headers(&b, 4, 1, ":status: 200\n");
        http2_log_run(&log, HTTP2_RECEIVED, b.bytes, b.len, NULL, 0, false);
        char *expected = strdup(log.text);
        if (!strstr(expected, "=blind") || strstr(expected, "res("))
            ck_abort_msg("%s: %s", bad[i].name, expected);
        http2_log_check(bad[i].name, HTTP2_RECEIVED, &b, expected, 0);
        free(expected);
    }
}
END_TEST

START_TEST(blocks_are_not_interrupted) {
    received();
    http2_put_frame(&b, 1, 0, 1, "\210", 1);
    http2_put_frame(&b, 6, 0, 0, "12345678", 8);
    http2_log_check("PING inside", HTTP2_RECEIVED, &b, "start =blind", 0);
    received();
    http2_put_frame(&b, 1, 0, 1, "\210", 1);
    http2_put_frame(&b, 9, 4, 3, "", 0);
    http2_log_check("another stream's", HTTP2_RECEIVED, &b, "start =blind", 0);
    sent();
    uint8_t promise[8] = {0, 0, 0, 2, 0210};
    http2_put_frame(&b, 5, 4, 1, promise, 5);
    http2_log_check("a client promises", HTTP2_SENT, &b, "=blind", 0);
    received();
    http2_put_headers(&b, 4, 1, ":status: 101\n");
    http2_log_check("101", HTTP2_RECEIVED, &b, "start =blind", 0);
    received();
    http2_put_headers(&b, 5, 1, ":status: 100\n");
    http2_log_check("an interim response that ends", HTTP2_RECEIVED, &b, "start =blind", 0);
    received();
    http2_put_headers(&b, 4, 1, ":status: 2000\n");
    http2_log_check("no status", HTTP2_RECEIVED, &b, "start =blind", 0);
    received();
    http2_put_headers(&b, 4, 3, ":status: 200\n");
    http2_put_frame(&b, 0, 0, 3, "x", 1);
    http2_log_check("nobody asked", HTTP2_RECEIVED, &b, "start res(3 200 open) =blind", 3);
}
END_TEST

START_TEST(how_it_begins) {
    b.len = 0;
    http2_put_text(&b, "PRI * HTTP/2.0\r\n\r\nSMTP");
    http2_log_check("another preface", HTTP2_SENT, &b, "=foreign", 0);
    b.len = 0;
    http2_put_text(&b, PREFACE);
    http2_put_frame(&b, 6, 0, 0, "12345678", 8);
    http2_log_check("no SETTINGS behind it", HTTP2_SENT, &b, "=blind", 0);
    b.len = 0;
    http2_put_text(&b, "HTTP/1.1 400 Bad Request\r\n\r\n");
    http2_log_check("an answer in HTTP/1", HTTP2_RECEIVED, &b, "=foreign", 0);
    b.len = 0;
    http2_put_frame(&b, 4, 1, 0, "", 0);
    http2_log_check("acknowledged before it was said", HTTP2_RECEIVED, &b, "=foreign", 0);
    struct http2 h;
    for (unsigned before = 1; before < 24; before++) {
        ck_assert(http2_begin(&h, HTTP2_SENT, before, http2_log_memory, NULL));
        http2_log_memory_reset();
        ck_assert_int_eq(http2_feed(&h, PREFACE + before, 24 - before, &http2_log_ops, NULL),
                         HTTP2_OK);
    }
    static const uint8_t settings[] = {0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100};
    for (size_t n = 1; n <= sizeof settings; n++)
        ck_assert(http2_is_server_first(settings, n));
    ck_assert(!http2_is_server_first(settings, 0));
    static const char *const others[] = {"SSH-2.0-x", "220 mail", "\0\0\21\4\0", "\0\0\22\4\1",
                                         "\0\0\22\1"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert(!http2_is_server_first(others[i], 4 + (others[i][2] == 18 || i < 2)));
}
END_TEST

START_TEST(frames_are_as_large_as_was_allowed) {
    static struct http2 h;
    static struct http2_log log;
    static uint8_t payload[16385];
    received();
    http2_put_frame(&b, 0, 0, 1, payload, sizeof payload);
    http2_log_check("too large", HTTP2_RECEIVED, &b, "=blind", 0);
    http2_log_memory_reset();
    ck_assert(http2_begin(&h, HTTP2_RECEIVED, 0, http2_log_memory, NULL));
    http2_allow(&h, 20000);
    http2_allow(&h, 16384);
    log.len = 0;
    ck_assert_int_eq(http2_feed(&h, b.bytes, b.len, &http2_log_ops, &log), HTTP2_OK);
}
END_TEST

START_TEST(floods_are_not_followed) {
    static struct http2_log log;
    received();
    http2_put_headers(&b, 4, 1, ":status: 200\n");
    for (unsigned i = 0; i <= HTTP2_EMPTY_MAX; i++)
        http2_put_frame(&b, 0, 0, 1, "", 0);
    http2_log_run(&log, HTTP2_RECEIVED, b.bytes, b.len, NULL, 0, false);
    ck_assert_str_eq(log.text + log.len - 6, "=blind");
    received();
    http2_put_headers(&b, 0, 1, ":status: 200\n");
    for (unsigned i = 0; i <= HTTP2_EMPTY_MAX; i++)
        http2_put_frame(&b, 9, 0, 1, "", 0);
    http2_log_run(&log, HTTP2_RECEIVED, b.bytes, b.len, NULL, 0, false);
    ck_assert_str_eq(log.text, "start =blind");
    received();
    http2_put_headers(&b, 4, 1, ":status: 200\n");
    for (unsigned i = 0; i < 4 * HTTP2_EMPTY_MAX; i++)
        http2_put_frame(&b, 0, 0, 1, "x", i % 2);
    http2_log_run(&log, HTTP2_RECEIVED, b.bytes, b.len, NULL, 0, false);
    ck_assert_str_eq(log.text + log.len - 3, "=ok");

    static struct http2 h; /* a block without end */
    http2_log_memory_reset();
    ck_assert(http2_begin(&h, HTTP2_RECEIVED, 0, http2_log_memory, NULL));
    received();
    http2_put_headers(&b, 0, 1, ":status: 200\n");
    enum http2_status status = http2_feed(&h, b.bytes, b.len, &http2_log_ops, &log);
    unsigned rounds = 0;
    for (; status == HTTP2_OK && rounds < 100; rounds++) {
        b.len = 0;
        http2_put_head(&b, 16384, 9, 0, 1);
        uint8_t indexed[16384];
        memset(indexed, 0x88, sizeof indexed);
        http2_put(&b, indexed, sizeof indexed);
        status = http2_feed(&h, b.bytes, b.len, &http2_log_ops, &log);
    }
    ck_assert_int_eq(status, HTTP2_BLIND);
    ck_assert_uint_le(rounds, HTTP2_BLOCK_MAX / 16384 + 1);
}
END_TEST

START_TEST(unseen_bytes_are_payload_or_nothing) {
    static struct http2 h;
    static struct http2_log log;
    http2_log_memory_reset();
    ck_assert(http2_begin(&h, HTTP2_RECEIVED, 0, http2_log_memory, NULL));
    received();
    http2_put_head(&b, 100, 0, 1, 1);
    ck_assert_int_eq(http2_feed(&h, b.bytes, b.len, &http2_log_ops, &log), HTTP2_OK);
    log.len = 0, log.body = 0, log.body_stream = 1;
    ck_assert_int_eq(http2_skip(&h, 60, &http2_log_ops, &log), HTTP2_OK);
    ck_assert_int_eq(http2_skip(&h, 40, &http2_log_ops, &log), HTTP2_OK);
    ck_assert_str_eq(log.text, "body(1)=100 end(1) ");
    ck_assert_int_eq(http2_skip(&h, 1, &http2_log_ops, &log), HTTP2_BLIND);
}
END_TEST

static unsigned chunks_left;
static void *few_chunks(void *ctx, size_t size) {
    return chunks_left-- > 0 ? http2_log_memory(ctx, size) : NULL;
}

static void no_field(void *ctx, const char *name, size_t name_len, const char *value,
                     size_t value_len) {
    (void)ctx, (void)name, (void)name_len, (void)value, (void)value_len;
}

START_TEST(without_memory_it_is_blind) {
    struct hpack hpack;
    chunks_left = 0;
    ck_assert(!hpack_begin(&hpack, few_chunks, NULL));
    http2_log_memory_reset();
    chunks_left = 1;
    ck_assert(hpack_begin(&hpack, few_chunks, NULL));
    uint8_t block[3 + 40000] = {0x40, 1, 'x'};
    ck_assert(hpack_feed(&hpack, block, 1, false, no_field, NULL));
    static const uint8_t rest[] = {1, 'x', 0x7f, 0xc1, 0xb7, 0x02}; /* a value of 40,000 bytes */
    ck_assert(!hpack_feed(&hpack, rest, sizeof rest, false, no_field, NULL));
    ck_assert(!hpack_feed(&hpack, block, 0, true, no_field, NULL));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("http2");
    TCase *tests = tcase_create("http2");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_request_says_who_and_what);
    tcase_add_test(tests, a_long_path_is_cut);
    tcase_add_test(tests, a_block_may_come_in_pieces);
    tcase_add_test(tests, a_response_says_what_body_comes);
    tcase_add_test(tests, what_goes_with_streams);
    tcase_add_test(tests, what_cannot_be_ends_the_following);
    tcase_add_test(tests, blocks_are_not_interrupted);
    tcase_add_test(tests, how_it_begins);
    tcase_add_test(tests, frames_are_as_large_as_was_allowed);
    tcase_add_test(tests, floods_are_not_followed);
    tcase_add_test(tests, unseen_bytes_are_payload_or_nothing);
    tcase_add_test(tests, without_memory_it_is_blind);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
