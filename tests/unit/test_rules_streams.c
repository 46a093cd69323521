/* Streams of HTTP/2: many bodies on one connection, and windows that the program does not open again. */
#include <string.h>

#include "tests/unit/rules_fixture.h"

/* A connection with many streams, in an event loop that reads all there is. */
static struct trace_connection *multiplexed_at(double now) {
    struct trace_connection *connection = builder_connection(builder);
    connection->protocol = TRACE_PROTOCOL_HTTP2;
    connection->requests = 10;
    connection->responses = 5;
    connection->window = 1 << 20;
    connection->epoll_interest = 1;
    connection->epoll_change_ns = builder_time(9);
    connection->epoll_wait_ns = builder_time(now - 1);
    connection->read_progress_ns = builder_time(now - 2);
    connection->rx_known = 1;
    connection->rx_queued = 0;
    connection->sample_ns = builder_time(now - 1);
    return connection;
}

static struct trace_connection *multiplexed(void) {
    return multiplexed_at(100);
}

static struct trace_body *stream(struct trace_connection *connection, uint32_t id, uint64_t window,
                                 uint64_t held) {
    struct trace_body *body = builder_body(builder, connection);
    body->flags |= TRACE_BODY_STREAM;
    body->stream_id = id;
    body->window = window;
    body->held = held;
    body->bytes_read = held;
    return body;
}

START_TEST(a_window_that_stays_shut) {
    struct trace_connection *connection = multiplexed();
    stream(connection, 1, 0, 65535);
    stream(connection, 3, 0, 65535);
    stream(connection, 5, 535, 65000); /* the peer may send, and does not */
    stream(connection, 7, 65535, 0);
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 2);
    const struct report_finding *found = finding("unclosed-body");
    ck_assert_int_eq(found->confidence, CONFIDENCE_PROVEN);
    ck_assert_str_eq(found->message,
                     "2 response bodies from api.example:443 were never closed (HTTP/2 streams)");
    ck_assert_str_eq(found->tags[0], "http2");
    ck_assert_uint_eq(found->object_count, 2);
    ck_assert_uint_eq(report->totals.bodies.unclosed, 4);
}
END_TEST

START_TEST(not_while_it_is_young) {
    builder_running(builder);
    struct trace_body *body = stream(multiplexed_at(24), 1, 0, 65535);
    body->progress_ns = builder_time(20);
    judge_at(24);
    expect_nothing();
    judge_at(26);
    expect("unclosed-body", SEVERITY_ERROR, 1);
}
END_TEST

START_TEST(a_reader_that_rests_is_paused) {
    builder_running(builder);
    struct trace_body *body = stream(multiplexed_at(60), 1, 0, 65535);
    body->progress_ns = builder_time(20);
    body->attempt_ns = builder_time(19); /* some of it was taken, and given back */
    judge_at(60);
    expect_nothing();
    judge_at(71);
    expect("unclosed-body", SEVERITY_WARNING, 1);
    body->attempt_ns = builder_time(65);
    judge_at(71);
    expect_nothing();
}
END_TEST

START_TEST(all_of_it_may_be_there) {
    struct trace_body *body = stream(multiplexed(), 1, 0, 65535);
    body->expected = 65535; /* END_STREAM alone is still to come, and needs no window */
    judge();
    expect_nothing();
    body->expected = TRACE_UNKNOWN;
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    ck_assert_int_eq(finding("unclosed-body")->confidence, CONFIDENCE_INFERRED);
}
END_TEST

START_TEST(the_window_of_all_together) {
    struct trace_connection *connection = multiplexed();
    struct trace_body *holder = stream(connection, 1, 1 << 20, 50000);
    stream(connection, 3, 1 << 20, 15000); /* starves */
    connection->held = 65535;
    connection->window = 1;
    judge();
    expect_nothing();
    connection->window = 0;
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    ck_assert_uint_eq(finding("unclosed-body")->bytes_read, 50000);
    holder->held = 30000; /* who has more than half of it? */
    judge();
    expect_nothing();
}
END_TEST

START_TEST(no_bodies_to_finish) {
    struct trace_connection *connection = multiplexed();
    stream(connection, 1, 0, 65535)->flags |= TRACE_BODY_GRPC;
    stream(connection, 3, 0, 65535)->flags |= TRACE_BODY_EVENT_STREAM;
    judge();
    expect_nothing();
}
END_TEST

START_TEST(asking_for_the_next_stream_is_not_going_on) {
    struct trace_connection *connection = multiplexed();
    stream(connection, 1, 65535, 0);
    connection->request_ns = builder_time(97); /* the same thread asked again */
    judge();
    expect_nothing();
}
END_TEST

START_TEST(bytes_that_nobody_reads_are_all_bodies) {
    struct trace_connection *connection = multiplexed();
    connection->epoll_interest = 0;
    connection->epoll_change_ns = connection->epoll_wait_ns = 0;
    connection->rx_queued = 4000;
    stream(connection, 1, 65535, 0);
    stream(connection, 3, 65535, 0);
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 2);
}
END_TEST

START_TEST(whoever_serves_others_is_not_stranded) {
    struct trace_connection *connection = multiplexed();
    stream(connection, 1, 0, 65535);
    builder_worker(builder, connection, 2000, true, false, TRACE_WAIT_READ);
    builder_worker(builder, connection, 2001, false, true, TRACE_WAIT_COND);
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    ck_assert_uint_eq(report->totals.workers.readers_stranded, 0);
    connection->responses = 9; /* it was the last one, and long ago */
    connection->read_progress_ns = builder_time(11);
    connection->epoll_interest = 0;
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    ck_assert_uint_eq(report->totals.workers.readers_stranded, 1);
}
END_TEST

START_TEST(idle_when_all_are_answered) {
    struct trace_connection *connection = multiplexed();
    connection->responses = 10;
    judge();
    expect_nothing();
    ck_assert_uint_eq(report->totals.connections.idle, 1);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {a_window_that_stays_shut,
                                  not_while_it_is_young,
                                  a_reader_that_rests_is_paused,
                                  all_of_it_may_be_there,
                                  the_window_of_all_together,
                                  no_bodies_to_finish,
                                  asking_for_the_next_stream_is_not_going_on,
                                  bytes_that_nobody_reads_are_all_bodies,
                                  whoever_serves_others_is_not_stranded,
                                  idle_when_all_are_answered,
                                  NULL};
    return rules_fixture_run("rules-streams", tests);
}
