/* HTTP/2 on a connection as the wrappers drive it: streams, their bodies and windows, and what makes it blind. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "record/options.h"
#include "tests/unit/http2_log.h"
#include "tests/unit/suite.h"
#include "track/process.h"
#include "track/stream_table.h"
#include "track/streams.h"

static char directory[] = "streams-test.XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int listener, fd;
static struct connection *c;
static struct http2_bytes b;

static void begin(void) {
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
    char setting[256];
    snprintf(setting, sizeof setting, "HTTPLEAK_OPTIONS=trace=%s/trace:summary=0", directory);
    char *argv[] = {(char *)"test", NULL}, *envp[] = {setting, NULL};
    process_init(1, argv, envp, "");
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 64), 0);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    connection_connected(fd, (struct sockaddr *)&address, sizeof address, 0, 0);
    c = connection_of_fd(fd);
    ck_assert_ptr_nonnull(c);
    b.len = 0;
}

static void end(void) {
    char path[256];
    close(fd);
    close(listener);
    unlink(address.sun_path);
    snprintf(path, sizeof path, "%s/trace", directory);
    unlink(path);
    rmdir(directory);
}

static void sends(const void *bytes, size_t n, ssize_t taken, int error) {
    struct iovec iov[2] = {{(void *)(uintptr_t)bytes, n / 3},
                           {(uint8_t *)(uintptr_t)bytes + n / 3, n - n / 3}};
    struct flow_write f;
    flow_write_before(&f, c, FLOW_WIRE, iov, 2, NULL);
    flow_write_after(&f, iov, 2, taken, error);
}

/* What was put into b goes out, or comes in. */
static void says(void) {
    sends(b.bytes, b.len, (ssize_t)b.len, 0);
    b.len = 0;
}

static void reads_bytes(const void *bytes, size_t n) {
    struct iovec iov = {(void *)(uintptr_t)bytes, n};
    struct flow_read f;
    flow_read_before(&f, c, FLOW_WIRE);
    flow_read_after(&f, &iov, 1, (ssize_t)n, 0, n);
}

static void reads(void) {
    reads_bytes(b.bytes, b.len);
    b.len = 0;
}

static void reads_end(ssize_t result, int error) {
    struct flow_read f;
    flow_read_before(&f, c, FLOW_WIRE);
    flow_read_after(&f, NULL, 0, result, error, 100);
}

static void closes(void) {
    connection_fd_closing(fd, false);
}

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define GET ":method: GET\n:path: /p?q\n:authority: api.example:81\n"
#define OK ":status: 200\n"

static void put_preface(void) {
    http2_put_text(&b, PREFACE);
    http2_put_frame(&b, 4, 0, 0, "", 0);
}

static void greet(void) {
    put_preface();
    says();
    http2_put_frame(&b, 4, 0, 0, "", 0);
    http2_put_frame(&b, 4, 1, 0, "", 0);
    reads();
}

static void ask(uint32_t stream) {
    http2_put_headers(&b, 5, stream, GET);
    says();
}

static void answer(uint32_t stream, const char *lines) {
    http2_put_headers(&b, 4, stream, lines);
    reads();
}

static void data(uint32_t stream, uint32_t n, bool last) {
    static const uint8_t payload[16384];
    http2_put_frame(&b, 0, last, stream, payload, n);
    reads();
}

static void gives_back(uint32_t stream, uint32_t n) {
    const uint8_t payload[] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                               (uint8_t)n};
    http2_put_frame(&b, 8, 0, stream, payload, 4);
    says();
}

static struct trace_body *body_of(uint32_t stream) {
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_BODY].used; i++) {
        struct trace_body *body = &trace->bodies[i];
        if (body->state == TRACE_BODY_OPEN && body->stream_id == stream) return body;
    }
    return NULL;
}

static unsigned open_bodies(void) {
    unsigned n = 0;
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_BODY].used; i++)
        n += trace->bodies[i].state == TRACE_BODY_OPEN;
    return n;
}

struct sums {
    uint64_t closed, reused, drained, discarded, failed, exchanges;
};

static struct sums sums(void) {
    struct sums s = {0};
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_SITE].used; i++) {
        const struct trace_site *site = &trace->sites[i];
        s.closed += site->connections_closed, s.reused += site->exchanges_reused;
        s.drained += site->bodies_drained, s.discarded += site->bodies_discarded;
        s.failed += site->bodies_failed, s.exchanges += site->exchanges;
    }
    return s;
}

static void expect_blind(enum trace_blind reason) {
    ck_assert(c->slot->flags & TRACE_CONNECTION_BLIND);
    ck_assert_uint_eq(c->slot->blind_reason, reason);
    ck_assert_uint_eq(open_bodies(), 0);
    greet(); /* whatever comes now is not looked at */
    reads_end(0, 0);
    closes();
    ck_assert_uint_eq(open_bodies(), 0);
}

static const char *text_of(uint32_t id) {
    return ((const struct trace_string *)(const void *)(trace->strings + (uint64_t)id * 8))->bytes;
}

START_TEST(streams_are_exchanges_with_a_body_each) {
    greet();
    ask(1), ask(3), ask(5);
    ck_assert_uint_eq(c->slot->requests, 3);
    ck_assert_uint_eq(c->slot->protocol, TRACE_PROTOCOL_HTTP2);
    ck_assert(c->slot->flags & TRACE_CONNECTION_H2);
    ck_assert_str_eq(text_of(c->slot->request_path), "/p");
    ck_assert_str_eq(text_of(trace->hosts[c->slot->host].name),
                     address.sun_path[0] ? text_of(c->slot->peer) : "");
    answer(3, OK "content-length: 10\n");
    answer(1, OK);
    data(1, 5, false), data(3, 4, false);
    ck_assert_uint_eq(open_bodies(), 2);
    const struct trace_body *one = body_of(1), *three = body_of(3);
    ck_assert_uint_eq(one->flags, TRACE_BODY_STREAM);
    ck_assert_uint_eq(one->framing, TRACE_FRAMING_STREAM);
    ck_assert_uint_eq(one->expected, TRACE_UNKNOWN);
    ck_assert_uint_eq(one->bytes_read, 5);
    ck_assert_uint_eq(three->framing, TRACE_FRAMING_LENGTH);
    ck_assert_uint_eq(three->expected, 10);
    ck_assert_uint_eq(three->bytes_read, 4);
    data(3, 6, true);
    ck_assert_uint_eq(c->slot->responses, 1);
    ck_assert_uint_eq(c->slot->idle_since_ns, 0);
    data(1, 0, true);
    http2_put_headers(&b, 5, 5, ":status: 404\n");
    reads();
    ck_assert_uint_eq(c->slot->responses, 3);
    ck_assert_uint_eq(c->slot->last_status, 404);
    ck_assert_uint_ne(c->slot->idle_since_ns, 0);
    closes();
    const struct sums s = sums();
    ck_assert_uint_eq(s.exchanges, 3);
    ck_assert_uint_eq(s.reused, 2);
    ck_assert_uint_eq(s.drained, 2);
    ck_assert_uint_eq(s.discarded + s.failed, 0);
    ck_assert_uint_eq(s.closed, 1);
}
END_TEST

START_TEST(the_oldest_unanswered_request_is_shown) {
    greet();
    ask(1);
    http2_put_headers(&b, 5, 3, ":method: PUT\n:path: /two\n:authority: a\n");
    says();
    ck_assert_str_eq(text_of(c->slot->pending_method), "GET");
    http2_put_headers(&b, 5, 1, ":status: 204\n");
    reads();
    ck_assert_str_eq(text_of(c->slot->pending_method), "PUT");
    ck_assert_uint_ne(c->slot->pending_ns, 0);
    http2_put_headers(&b, 5, 3, ":status: 204\n");
    reads();
    ck_assert_uint_eq(c->slot->pending_ns, 0);
}
END_TEST

START_TEST(a_short_send_is_said_again) {
    put_preface();
    http2_put_headers(&b, 5, 1, GET);
    const size_t n = b.len;
    size_t at = 0;
    sends(b.bytes, n, -1, EAGAIN);
    ck_assert_uint_eq(c->slot->requests, 0);
    for (size_t step = 1; at + step < n; at += step++) /* more each time, of all that is left */
        sends(b.bytes + at, n - at, (ssize_t)step, 0);
    ck_assert_uint_eq(c->slot->requests, 0);
    http2_put_headers(&b, 5, 3, GET); /* the rest, and more behind it */
    sends(b.bytes + at, b.len - at, (ssize_t)(n - at) + 4, 0);
    ck_assert_uint_eq(c->slot->requests, 1);
    at = n + 4;
    sends(b.bytes + at, 7, 7, 0); /* a part of the rest only */
    at += 7;
    sends(b.bytes + at, 9, 3, 0);
    at += 3;
    sends(b.bytes + at, b.len - at, (ssize_t)(b.len - at), 0);
    ck_assert_uint_eq(c->slot->requests, 2);
    ck_assert_uint_eq(c->streams->taken, b.len);
    ck_assert_uint_eq(c->streams->rest, 0);
    ck_assert(!(c->slot->flags & TRACE_CONNECTION_BLIND));
}
END_TEST

START_TEST(another_rest_is_noticed) {
    for (int way = 0; way < 2; way++) {
        put_preface();
        http2_put_headers(&b, 5, 1, GET);
        const size_t n = b.len;
        sends(b.bytes, n, 60, 0);
        b.bytes[n - 1] ^= 1;
        if (way == 0) {
            sends(b.bytes + 60, n - 60, (ssize_t)n - 60, 0);
        } else {
            sends(b.bytes + 60, 10, 10, 0);
            sends(b.bytes + 70, n - 70, 5, 0); /* known before it has gone out */
        }
        b.len = 0;
        expect_blind(TRACE_BLIND_HTTP2);
        end();
        memcpy(directory + strlen(directory) - 6, "XXXXXX", 6);
        begin();
    }
}
END_TEST

START_TEST(an_answer_may_come_before_send_returns) {
    greet();
    http2_put_headers(&b, 5, 1, GET);
    http2_put_headers(&b, 5, 3, GET);
    struct iovec iov = {b.bytes, b.len};
    struct flow_write f;
    flow_write_before(&f, c, FLOW_WIRE, &iov, 1, NULL);
    static struct http2_bytes in;
    http2_put_headers(&in, 5, 3, ":status: 204\n");
    reads_bytes(in.bytes, in.len);
    ck_assert_uint_eq(c->slot->requests, 1);
    ck_assert_uint_eq(c->slot->responses, 1);
    flow_write_after(&f, &iov, 1, (ssize_t)b.len, 0);
    ck_assert_uint_eq(c->slot->requests, 2);
    ck_assert_uint_eq(sums().exchanges, 2);
    ck_assert(!(c->slot->flags & TRACE_CONNECTION_BLIND));
}
END_TEST

START_TEST(two_sends_at_once_are_not_followed) {
    greet();
    http2_put_headers(&b, 5, 1, GET);
    struct iovec iov = {b.bytes, b.len};
    struct flow_write f;
    flow_write_before(&f, c, FLOW_WIRE, &iov, 1, NULL);
    b.len = 0;
    ask(3);
    expect_blind(TRACE_BLIND_CONCURRENT);
}
END_TEST

START_TEST(a_body_ends_in_one_of_its_ways) {
    greet();
    for (uint32_t stream = 1; stream <= 11; stream += 2) {
        ask(stream);
        answer(stream, OK);
    }
    http2_put_frame(&b, 3, 0, 1, "\0\0\0\10", 4);
    says();
    ck_assert_uint_eq(sums().discarded, 1);
    data(1, 10, true); /* it was under way */
    http2_put_headers(&b, 5, 1, "trailer: x\n");
    reads();
    http2_put_frame(&b, 3, 0, 3, "\0\0\0\2", 4);
    reads();
    ck_assert_uint_eq(sums().failed, 1);
    http2_put_frame(&b, 7, 0, 0, "\0\0\0\7\0\0\0\0", 8);
    reads();
    ck_assert_uint_eq(sums().failed, 3);
    ck_assert(c->slot->flags & TRACE_CONNECTION_NO_REUSE);
    data(5, 3, true);
    ck_assert_uint_eq(sums().drained, 1);
    ck_assert_uint_eq(open_bodies(), 1);
    reads_end(0, 0);
    ck_assert_uint_eq(sums().failed, 4);
    ck_assert_uint_ne(c->slot->eof_ns, 0);
    ck_assert(!(c->slot->flags & TRACE_CONNECTION_BLIND));
    closes();
    ck_assert_uint_eq(sums().discarded, 1);
}
END_TEST

START_TEST(closing_discards_all_that_is_open) {
    greet();
    for (uint32_t stream = 1; stream < 2000; stream += 2) {
        ask(stream);
        answer(stream, OK);
    }
    ck_assert_uint_eq(open_bodies(), 1000);
    closes();
    ck_assert_uint_eq(open_bodies(), 0);
    ck_assert_uint_eq(sums().discarded, 1000);
}
END_TEST

START_TEST(more_streams_than_are_followed) {
    greet();
    for (uint32_t i = 0; i < STREAM_CHUNK * STREAM_CHUNKS; i++)
        ask(1 + 2 * i);
    ck_assert(!(c->slot->flags & TRACE_CONNECTION_BLIND));
    ck_assert_uint_eq(c->slot->requests, STREAM_CHUNK * STREAM_CHUNKS);
    ask(3 + 2 * STREAM_CHUNK * STREAM_CHUNKS);
    expect_blind(TRACE_BLIND_PIPELINE);
}
END_TEST

START_TEST(windows_are_shown) {
    greet();
    ask(1), ask(3);
    answer(1, OK), answer(3, OK);
    struct trace_body *one = body_of(1), *three = body_of(3);
    ck_assert_uint_eq(one->window, 65535);
    ck_assert_uint_eq(c->slot->window, 65535);
    for (int i = 0; i < 3; i++)
        data(1, 16384, false);
    data(1, 16383, false);
    ck_assert_uint_eq(one->window, 0);
    ck_assert_uint_eq(one->held, 65535);
    ck_assert_uint_eq(one->attempt_ns, 0);
    ck_assert_uint_eq(three->window, 65535);
    ck_assert_uint_eq(c->slot->window, 0);
    ck_assert_uint_eq(c->slot->held, 65535);
    gives_back(0, 1 << 20); /* larger than it was */
    ck_assert_uint_eq(c->slot->window, 1 << 20);
    ck_assert_uint_eq(c->slot->held, 0);
    usleep(30000);
    gives_back(1, 40000);
    ck_assert_uint_eq(one->window, 40000);
    ck_assert_uint_eq(one->held, 25535);
    ck_assert_uint_ne(one->attempt_ns, 0);
    ck_assert_uint_ge(one->max_stall_ns, 20000000);
    gives_back(3, 7);
    ck_assert_uint_eq(three->window, 65542);
    ck_assert_uint_eq(three->attempt_ns, 0); /* nothing of it had come */
    http2_put_frame(&b, 4, 0, 0, "\0\4\0\0\0\0", 6);
    says();
    ck_assert_uint_eq(one->window, 0);
    ck_assert_uint_eq(three->window, 7);
    ask(5);
    answer(5, OK);
    ck_assert_uint_eq(body_of(5)->window, 0);
    static const uint8_t padded[] = {9, 'x', 0, 0, 0, 0, 0, 0, 0, 0, 0};
    http2_put_frame(&b, 0, 8, 3, padded, sizeof padded);
    reads(); /* padding counts (RFC 9113 6.9.1), and is no payload; a window overrun is the peer's business */
    ck_assert_uint_eq(three->window, 0);
    ck_assert_uint_eq(three->held, 11);
    ck_assert_uint_eq(three->bytes_read, 1);
}
END_TEST

START_TEST(the_server_may_speak_first) {
    http2_put_frame(&b, 4, 0, 0, "\0\3\0\0\0\144", 6);
    for (size_t i = 0; i < b.len; i++)
        reads_bytes(b.bytes + i, 1);
    b.len = 0;
    ck_assert_ptr_eq(connection_of_fd(fd), c);
    put_preface();
    says();
    ask(1);
    answer(1, OK);
    data(1, 3, true);
    ck_assert_uint_eq(sums().drained, 1);
    ck_assert(!(c->slot->flags & TRACE_CONNECTION_BLIND));
}
END_TEST

START_TEST(a_server_of_something_else_stays_foreign) {
    http2_put_frame(&b, 4, 0, 0, "", 0);
    reads();
    ck_assert_ptr_eq(connection_of_fd(fd), c);
    http2_put_text(&b, "HELO\r\n");
    says();
    ck_assert_ptr_null(connection_of_fd(fd));
    ck_assert_uint_eq(trace->header->connections_foreign, 1);
}
END_TEST

START_TEST(the_preface_may_be_cut_anywhere) {
    for (size_t cut = 1; cut < strlen(PREFACE) + 3; cut++) {
        put_preface();
        const size_t n = b.len;
        sends(b.bytes, cut, (ssize_t)cut, 0);
        sends(b.bytes + cut, n - cut, (ssize_t)(n - cut), 0);
        b.len = 0;
        ask(1);
        ck_assert_uint_eq(c->slot->requests, 1);
        ck_assert(!(c->slot->flags & TRACE_CONNECTION_BLIND));
        closes();
        end();
        memcpy(directory + strlen(directory) - 6, "XXXXXX", 6);
        begin();
    }
}
END_TEST

START_TEST(an_upgrade_makes_the_request_stream_1) {
    http2_put_text(&b, "GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                       "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n");
    says();
    http2_put_text(
        &b, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    http2_put_frame(&b, 4, 0, 0, "", 0);
    http2_put_headers(&b, 4, 1, OK);
    reads();
    ck_assert_uint_eq(c->slot->protocol, TRACE_PROTOCOL_HTTP2);
    ck_assert_uint_eq(c->slot->responses, 0);
    ck_assert_ptr_nonnull(body_of(1));
    ck_assert_str_eq(text_of(body_of(1)->path), "/up");
    put_preface();
    says();
    data(1, 5, true);
    ck_assert_uint_eq(c->slot->responses, 1);
    ask(3);
    answer(3, OK);
    data(3, 1, true);
    closes();
    ck_assert_uint_eq(sums().drained, 2);
    ck_assert_uint_eq(sums().exchanges, 2);
}
END_TEST

START_TEST(a_tunnel_may_carry_it) {
    http2_put_text(&b, "CONNECT origin:80 HTTP/1.1\r\nHost: origin:80\r\n\r\n");
    says();
    http2_put_text(&b, "HTTP/1.1 200 OK\r\n\r\n");
    reads();
    greet();
    ask(1);
    answer(1, OK);
    data(1, 5, true);
    closes();
    ck_assert_uint_eq(sums().drained, 1);
    ck_assert_uint_eq(sums().exchanges, 1);
}
END_TEST

START_TEST(what_has_no_body_and_what_is_no_body_to_finish) {
    greet();
    http2_put_headers(&b, 5, 1, ":method: HEAD\n:path: /\n");
    http2_put_headers(&b, 4, 3, ":method: CONNECT\n:authority: a:1\n");
    says();
    answer(1, OK "content-length: 5\n");
    answer(3, OK);
    data(3, 5, false);
    ck_assert_uint_eq(open_bodies(), 0);
    ck_assert_uint_eq(sums().exchanges, 1); /* a tunnel is none */
    ask(5), ask(7);
    answer(5, ":status: 103\n");
    answer(5, OK "content-type: text/event-stream\n");
    answer(7, OK "content-type: application/grpc\n");
    ck_assert_uint_eq(body_of(5)->flags, TRACE_BODY_STREAM | TRACE_BODY_EVENT_STREAM);
    ck_assert_uint_eq(body_of(7)->flags, TRACE_BODY_STREAM | TRACE_BODY_GRPC);
    data(7, 5, false);
    http2_put_headers(&b, 5, 7, "grpc-status: 0\n");
    reads();
    ck_assert_uint_eq(sums().drained, 1);
}
END_TEST

START_TEST(a_pushed_response_is_nobodys) {
    greet();
    ask(1);
    uint8_t promise[128] = {0, 0, 0, 2};
    const size_t n = 4 + http2_block(promise + 4, GET);
    http2_put_frame(&b, 5, 4, 1, promise, n);
    http2_put_headers(&b, 4, 2, OK);
    http2_put_frame(&b, 0, 1, 2, "pushed", 6);
    http2_put_headers(&b, 5, 1, OK);
    reads();
    ck_assert(!(c->slot->flags & TRACE_CONNECTION_BLIND));
    ck_assert_uint_eq(c->slot->held, 6);
    ck_assert_uint_eq(c->slot->responses, 1);
}
END_TEST

static const struct {
    const char *name;
    bool sent;
    uint8_t type, flags;
    uint32_t stream;
    const char *payload;
    size_t n;
} bad[] = {
    {"a response nobody asked for", false, 1, 4, 9, "\210", 1},
    {"a second response", false, 1, 4, 1, "\210", 1},
    {"a response to what is over", false, 1, 4, 3, "\210", 1},
    {"DATA of what is over", false, 0, 1, 3, "x", 1},
    {"DATA before a response", false, 0, 1, 5, "x", 1},
    {"the end before a response", false, 1, 5, 5, "", 0},
    {"a stream that is used again", true, 1, 5, 3, "\202", 1},
    {"an even stream", true, 1, 5, 12, "\202", 1},
    {"a promise of an odd stream", false, 5, 4, 1, "\0\0\0\7\202", 5},
    {"an index of nothing", false, 1, 4, 1, "\200", 1},
    {"an index of nothing, asked", true, 1, 5, 7, "\200", 1},
};

START_TEST(what_cannot_be_makes_it_blind) {
    greet();
    ask(1), ask(3), ask(5);
    answer(1, OK);
    http2_put_headers(&b, 5, 3, OK);
    reads();
    ck_assert_uint_eq(open_bodies(), 1);
    http2_put_frame(&b, bad[_i].type, bad[_i].flags, bad[_i].stream, bad[_i].payload, bad[_i].n);
    if (bad[_i].sent)
        says();
    else
        reads();
    if (!(c->slot->flags & TRACE_CONNECTION_BLIND)) ck_abort_msg("%s: not blind", bad[_i].name);
    expect_blind(TRACE_BLIND_HTTP2);
}
END_TEST

START_TEST(unseen_bytes_are_payload_or_nothing) {
    greet();
    ask(1);
    answer(1, OK);
    http2_put_head(&b, 100, 0, 0, 1);
    reads();
    flow_read_unseen(c, 100);
    ck_assert_uint_eq(body_of(1)->bytes_read, 100);
    flow_read_unseen(c, 1);
    expect_blind(TRACE_BLIND_UNSEEN);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("streams");
    TCase *tests = tcase_create("streams");
    tcase_add_checked_fixture(tests, begin, end);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, streams_are_exchanges_with_a_body_each);
    tcase_add_test(tests, the_oldest_unanswered_request_is_shown);
    tcase_add_test(tests, a_short_send_is_said_again);
    tcase_add_test(tests, another_rest_is_noticed);
    tcase_add_test(tests, an_answer_may_come_before_send_returns);
    tcase_add_test(tests, two_sends_at_once_are_not_followed);
    tcase_add_test(tests, a_body_ends_in_one_of_its_ways);
    tcase_add_test(tests, closing_discards_all_that_is_open);
    tcase_add_test(tests, more_streams_than_are_followed);
    tcase_add_test(tests, windows_are_shown);
    tcase_add_test(tests, the_server_may_speak_first);
    tcase_add_test(tests, a_server_of_something_else_stays_foreign);
    tcase_add_test(tests, the_preface_may_be_cut_anywhere);
    tcase_add_test(tests, an_upgrade_makes_the_request_stream_1);
    tcase_add_test(tests, a_tunnel_may_carry_it);
    tcase_add_test(tests, what_has_no_body_and_what_is_no_body_to_finish);
    tcase_add_test(tests, a_pushed_response_is_nobodys);
    tcase_add_loop_test(tests, what_cannot_be_makes_it_blind, 0, (int)(sizeof bad / sizeof *bad));
    tcase_add_test(tests, unseen_bytes_are_payload_or_nothing);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
