/* Connections, exchanges and bodies as the wrappers drive them: real sockets, a real trace, counts to the last one. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "record/options.h"
#include "tests/unit/suite.h"
#include "track/flow.h"
#include "track/half.h"
#include "track/handle.h"
#include "track/process.h"

static char directory[] = "flow-test.XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int listener;

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
}

static void end(void) {
    char path[256];
    close(listener);
    unlink(address.sun_path);
    snprintf(path, sizeof path, "%s/trace", directory);
    unlink(path);
    rmdir(directory);
}

static int opened(struct connection **c) {
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    connection_connected(fd, (struct sockaddr *)&address, sizeof address, 0, 0);
    *c = connection_of_fd(fd);
    ck_assert_ptr_nonnull(*c);
    return fd;
}

static void closed(int fd) {
    connection_fd_closing(fd, false);
    close(fd);
}

/* A send of text of which the kernel takes `taken` bytes (or fails with error). */
static void sent(struct connection *c, const char *text, ssize_t taken, int error) {
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    struct flow_write f;
    flow_write_before(&f, c, FLOW_WIRE, &iov, 1, NULL);
    flow_write_after(&f, &iov, 1, taken, error);
}

static void says(struct connection *c, const char *text) {
    sent(c, text, (ssize_t)strlen(text), 0);
}

static void reads(struct connection *c, const char *text) {
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    struct flow_read f;
    flow_read_before(&f, c, FLOW_WIRE);
    flow_read_after(&f, &iov, 1, (ssize_t)strlen(text), 0, strlen(text));
}

static void reads_nothing(struct connection *c, ssize_t result, int error) {
    struct flow_read f;
    flow_read_before(&f, c, FLOW_WIRE);
    flow_read_after(&f, NULL, 0, result, error, 100);
}

#define GET "GET /p?q HTTP/1.1\r\nHost: api.example:81\r\n\r\n"

struct sums {
    uint64_t closed, reused, drained, discarded, failed, unclosed_handles, exchanges;
};

static struct sums sums(void) {
    struct sums s = {0};
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_SITE].used; i++) {
        const struct trace_site *site = &trace->sites[i];
        s.closed += site->connections_closed, s.reused += site->exchanges_reused,
            s.drained += site->bodies_drained;
        s.discarded += site->bodies_discarded, s.failed += site->bodies_failed,
            s.unclosed_handles += site->drained_unclosed;
        s.exchanges += site->exchanges;
    }
    return s;
}

static const char *text_of(uint32_t id) {
    return ((const struct trace_string *)(const void *)(trace->strings + (uint64_t)id * 8))->bytes;
}

/* The newest record of the journal, `back` records before it. */
static const struct trace_event *event_before(uint64_t back) {
    return &trace->journal[trace->header->regions[TRACE_REGION_JOURNAL].used - 1 - back];
}

/* Three records an exchange: a body's first tells of the response's head, its last of the exchange's end. */
START_TEST(an_exchange_in_the_journal) {
    struct connection *c;
    const int fd = opened(&c);
    for (unsigned i = 1; i <= 2; i++) {
        says(c, GET);
        reads(c, "HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nabcde");
        ck_assert_uint_eq(event_before(2)->type, TRACE_EVENT_REQUEST);
        ck_assert_uint_eq(event_before(2)->object, i);
        const struct trace_event *open = event_before(1), *last = event_before(0);
        ck_assert_uint_eq(open->type, TRACE_EVENT_BODY_OPEN);
        ck_assert_uint_eq(open->flags, TRACE_EVENT_ANSWER);
        ck_assert_uint_eq(trace_event_framing(open), TRACE_FRAMING_LENGTH);
        ck_assert_uint_eq(trace_event_status(open), 503);
        ck_assert_uint_eq(trace_event_number(open), i);
        ck_assert_uint_ne(trace_event_site(open), 0);
        ck_assert_uint_eq(last->type, TRACE_EVENT_BODY_DRAINED);
        ck_assert_uint_eq(last->flags, TRACE_EVENT_EXCHANGE);
        ck_assert_uint_eq(last->object, open->object);
        ck_assert_uint_eq(c->slot->responses, i);
    }
    says(c, GET);
    reads(c, "HTTP/1.1 100 Continue\r\n\r\n");
    ck_assert_uint_eq(event_before(0)->type, TRACE_EVENT_RESPONSE);
    ck_assert_uint_eq(event_before(0)->arg, 100);
    reads(c, "HTTP/1.1 204 No Content\r\n\r\n");
    ck_assert_uint_eq(event_before(1)->type, TRACE_EVENT_RESPONSE);
    ck_assert_uint_eq(event_before(1)->arg, 204);
    ck_assert_uint_eq(event_before(0)->type, TRACE_EVENT_RESPONSE_END);
    ck_assert_uint_eq(event_before(0)->object, 3);
    /* A body that ends before its message, and one that never ends. */
    says(c, GET);
    reads(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n");
    ck_assert_uint_eq(event_before(0)->type, TRACE_EVENT_BODY_DRAINED);
    ck_assert_uint_eq(event_before(0)->flags, 0);
    reads(c, "\r\n");
    ck_assert_uint_eq(event_before(0)->type, TRACE_EVENT_RESPONSE_END);
    says(c, GET);
    reads(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
    closed(fd);
    ck_assert_uint_eq(event_before(1)->type, TRACE_EVENT_BODY_DISCARDED);
    ck_assert_uint_eq(event_before(1)->flags, 0);
}
END_TEST

START_TEST(two_exchanges_on_one_connection) {
    struct connection *c;
    const int fd = opened(&c);
    says(c, GET);
    ck_assert_uint_eq(c->slot->requests, 1);
    ck_assert_str_eq(text_of(c->slot->pending_method), "GET");
    ck_assert_str_eq(text_of(c->slot->pending_path), "/p");
    reads(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
    ck_assert_ptr_nonnull(c->body);
    ck_assert_uint_eq(c->body->bytes_read, 2);
    ck_assert_uint_eq(c->body->expected, 5);
    ck_assert_uint_eq(c->slot->body_slot, (uint32_t)(c->body - trace->bodies) + 1);
    reads(c, "cde");
    ck_assert_ptr_null(c->body);
    ck_assert_uint_eq(c->slot->responses, 1);
    ck_assert_uint_ne(c->slot->idle_since_ns, 0);
    says(c, GET);
    reads(c, "HTTP/1.1 204 No Content\r\n\r\n");
    closed(fd);
    const struct sums s = sums();
    ck_assert_uint_eq(s.closed, 1);
    ck_assert_uint_eq(s.reused, 1);
    ck_assert_uint_eq(s.exchanges, 2);
    ck_assert_uint_eq(s.drained, 1);
    ck_assert_uint_eq(s.discarded + s.failed, 0);
    ck_assert_ptr_null(connection_of_fd(fd));
}
END_TEST

START_TEST(a_short_send_is_taken_back_to_what_went_out) {
    struct connection *c;
    const int fd = opened(&c);
    sent(c, GET, -1, EAGAIN);
    ck_assert_uint_eq(c->slot->requests, 0);
    sent(c, GET, 10, 0);
    ck_assert_uint_eq(c->slot->requests, 0);
    says(c, GET + 10);
    ck_assert_uint_eq(c->slot->requests, 1);
    sent(c, GET GET, strlen(GET) + 3, 0); /* pipelined, the second one cut short */
    ck_assert_uint_eq(c->slot->requests, 2);
    says(c, GET + 3);
    ck_assert_uint_eq(c->slot->requests, 3);
    for (int i = 0; i < 3; i++)
        reads(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    ck_assert_uint_eq(c->slot->responses, 3);
    ck_assert(!(c->slot->flags & TRACE_CONNECTION_BLIND));
    closed(fd);
    ck_assert_uint_eq(sums().drained, 3);
}
END_TEST

START_TEST(an_answer_may_come_before_send_returns) {
    struct connection *c;
    const int fd = opened(&c);
    struct iovec iov = {(void *)(uintptr_t)GET, strlen(GET)};
    struct flow_write f;
    flow_write_before(&f, c, FLOW_WIRE, &iov, 1, NULL);
    reads(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    ck_assert_uint_eq(c->slot->requests, 1);
    ck_assert_uint_eq(c->slot->responses, 1);
    flow_write_after(&f, &iov, 1, (ssize_t)strlen(GET), 0);
    ck_assert_uint_eq(c->slot->requests, 1);
    says(c, GET);
    ck_assert_uint_eq(c->slot->requests, 2);
    reads(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    closed(fd);
    ck_assert_uint_eq(sums().exchanges, 2);
    ck_assert_uint_eq(sums().drained, 2);
}
END_TEST

START_TEST(a_body_ends_in_one_of_three_ways) {
    struct connection *c;
    int fd = opened(&c);
    says(c, GET);
    reads(c, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf");
    closed(fd);
    ck_assert_uint_eq(sums().discarded, 1);
    fd = opened(&c);
    says(c, GET);
    reads(c, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf");
    reads_nothing(c, 0, 0);
    ck_assert_uint_eq(sums().failed, 1);
    ck_assert_uint_ne(c->slot->eof_ns, 0);
    closed(fd);
    ck_assert_uint_eq(sums().discarded, 1);
    fd = opened(&c);
    says(c, GET);
    reads(c, "HTTP/1.1 200 OK\r\n\r\nuntil close");
    reads_nothing(c, 0, 0);
    ck_assert_uint_eq(sums().drained, 1);
    closed(fd);
    fd = opened(&c);
    says(c, GET);
    reads(c, "HTTP/1.1 200 OK\r\n\r\nuntil reset");
    reads_nothing(c, -1, ECONNRESET);
    ck_assert_uint_eq(sums().failed, 2);
    closed(fd);
    ck_assert_uint_eq(sums().closed, 4);
}
END_TEST

START_TEST(what_speaks_no_http_is_dropped) {
    struct connection *c;
    const int fd = opened(&c), other = opened(&c);
    reads(c, "220 mail.example ESMTP\r\n");
    ck_assert_ptr_null(connection_of_fd(other));
    says(connection_of_fd(fd), "EHLO x\r\n");
    ck_assert_uint_eq(fd_entry(fd), 0);
    ck_assert_uint_eq(trace->header->connections_foreign, 2);
    close(fd), close(other);
    ck_assert_uint_eq(sums().closed, 0);
}
END_TEST

START_TEST(copies_of_a_fd_keep_the_connection) {
    struct connection *c;
    const int fd = opened(&c), copy = dup(fd), moved = dup(fd);
    connection_fd_duplicated(fd, copy);
    connection_fd_duplicated(copy, moved);
    ck_assert_uint_eq(c->slot->fd_count, 3);
    closed(fd);
    ck_assert_ptr_eq(connection_of_fd(moved), c);
    ck_assert_int_eq(c->slot->fd, copy);
    says(connection_of_fd(copy), GET);
    ck_assert_uint_eq(sums().closed, 0);
    connection_range_closing((unsigned)copy, ~0u);
    ck_assert_uint_eq(sums().closed, 1);
    close(copy), close(moved);
    const int again = opened(&c);
    connection_fd_new(again); /* closed behind our back, and the number came back */
    ck_assert_uint_eq(sums().closed, 2);
    close(again);
}
END_TEST

START_TEST(a_tunnel_starts_the_connection_anew) {
    struct connection *c;
    const int fd = opened(&c);
    says(c, "CONNECT inner.example:443 HTTP/1.1\r\nHost: inner.example:443\r\n\r\n");
    reads(c, "HTTP/1.1 200 Connection established\r\n\r\n");
    ck_assert_int_eq(c->wire, WIRE_NEW);
    ck_assert(c->slot->flags & TRACE_CONNECTION_PROXY);
    says(c, "GET /in HTTP/1.1\r\nHost: inner.example\r\n\r\n");
    reads(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    ck_assert_uint_eq(sums().exchanges, 1);
    ck_assert_uint_eq(sums().reused, 0);
    ck_assert_uint_eq(sums().drained, 1);
    closed(fd);
    const int upgraded = opened(&c);
    says(c, "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    reads(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
             "websocket\r\n\r\n\x81\x05Hello");
    ck_assert_int_eq(c->slot->protocol, TRACE_PROTOCOL_TUNNEL);
    ck_assert_ptr_null(c->body);
    closed(upgraded);
    ck_assert_uint_eq(sums().discarded, 0);
}
END_TEST

START_TEST(handles_tell_drained_from_closed) {
    struct connection *c;
    const int fd = opened(&c);
    int handle[4];
    says(c, GET);
    reads(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
    handle_opened(&handle[0], fd);
    reads(c, "cde");
    handle_drained(&handle[0]);
    ck_assert_uint_eq(sums().unclosed_handles, 1);
    handle_closed(&handle[0]);
    handle_closed(&handle[0]);
    ck_assert_uint_eq(sums().unclosed_handles, 0);
    says(c, GET);
    reads(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde");
    handle_opened(&handle[1], fd); /* the body was over before its handle was made */
    handle_opened(&handle[2], fd); /* and has one handle only */
    ck_assert_uint_eq(sums().unclosed_handles, 1);
    says(c, GET);
    reads(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
    handle_opened(&handle[3], fd);
    handle_closed(&handle[3]);
    ck_assert(c->body->flags & TRACE_BODY_HANDLE_CLOSED);
    reads(c, "cde");
    ck_assert_uint_eq(sums().unclosed_handles, 1);
    ck_assert_uint_eq(sums().drained, 3);
    closed(fd);
}
END_TEST

START_TEST(bytes_that_nobody_could_look_at) {
    struct connection *c;
    const int fd = opened(&c);
    says(c, "POST /u HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    flow_write_unseen(c, 1000);
    reads(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    flow_read_unseen(c, 1000);
    ck_assert_uint_eq(sums().drained, 1);
    ck_assert(!(c->slot->flags & TRACE_CONNECTION_BLIND));
    says(c, GET);
    reads(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    flow_read_unseen(c, 10);
    ck_assert(c->slot->flags & TRACE_CONNECTION_BLIND);
    ck_assert_uint_eq(c->slot->blind_reason, TRACE_BLIND_UNSEEN);
    ck_assert_ptr_null(c->body);
    closed(fd);
    ck_assert_uint_eq(sums().discarded, 0);
}
END_TEST

static uint32_t half;

static void *leave_half(void *unused) {
    usleep(20000);
    __atomic_store_n(&half, 0, __ATOMIC_SEQ_CST);
    return unused;
}

START_TEST(a_preempted_owner_of_a_half_is_waited_for) {
    pthread_t owner;
    half = 1;
    pthread_create(&owner, NULL, leave_half, NULL);
    ck_assert(half_lock(&half));
    pthread_join(owner, NULL);
    ck_assert(!half_lock(&half)); /* it is ours: a signal handler on top of us */
    half = 1;
    ck_assert(!half_lock(&half)); /* and nobody waits for ever */
}
END_TEST

START_TEST(a_million_paths_leave_room_for_the_hosts) {
    char text[256];
    struct connection *c;
    options.max_trace = 1 << 20;
    const int fd = opened(&c);
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "GET /user/%d/%s HTTP/1.1\r\nHost: one.example\r\n\r\n", i,
                 i % 2 ? "orders" : "profile");
        says(c, text);
        reads(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    ck_assert_str_eq(text_of(c->slot->request_path), "/user/*/orders");
    for (int letter = 'a'; letter <= 'z';
         letter++) /* words only: nothing of them becomes a pattern */
        for (int i = 0; i < 60; i++) {
            snprintf(text, sizeof text, "GET /%c%c%c/word HTTP/1.1\r\nHost: one.example\r\n\r\n",
                     letter, 'a' + i % 26, 'a' + i / 26);
            says(c, text);
            reads(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    ck_assert_uint_eq(c->slot->request_path, 0);
    closed(fd);
    const int other = opened(&c);
    says(c, GET);
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_STRINGS], 0);
    ck_assert_uint_ne(c->slot->host, 0);
    closed(other);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("flow");
    TCase *tests = tcase_create("flow");
    tcase_add_checked_fixture(tests, begin, end);
    tcase_add_test(tests, an_exchange_in_the_journal);
    tcase_add_test(tests, two_exchanges_on_one_connection);
    tcase_add_test(tests, a_short_send_is_taken_back_to_what_went_out);
    tcase_add_test(tests, an_answer_may_come_before_send_returns);
    tcase_add_test(tests, a_body_ends_in_one_of_three_ways);
    tcase_add_test(tests, what_speaks_no_http_is_dropped);
    tcase_add_test(tests, copies_of_a_fd_keep_the_connection);
    tcase_add_test(tests, a_tunnel_starts_the_connection_anew);
    tcase_add_test(tests, handles_tell_drained_from_closed);
    tcase_add_test(tests, bytes_that_nobody_could_look_at);
    tcase_add_test(tests, a_preempted_owner_of_a_half_is_waited_for);
    tcase_add_test(tests, a_million_paths_leave_room_for_the_hosts);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
