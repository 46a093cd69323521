/* The rules about connections: each one's yes and each of its noes. */
#include <string.h>

#include "tests/unit/rules_fixture.h"

/* ---- response-abandoned ---- */

START_TEST(an_answer_that_nobody_waits_for) {
    struct trace_connection *connection = builder_connection(builder);
    judge();
    expect("response-abandoned", SEVERITY_ERROR, 1);
    ck_assert_str_eq(finding("response-abandoned")->path, "/items");
    builder_running(builder);
    judge_at(14);
    expect_nothing();
    judge_at(17);
    expect("response-abandoned", SEVERITY_ERROR, 1);
    connection->epoll_interest = 1;
    connection->epoll_wait_ns = builder_time(16);
    judge_at(17);
    expect_nothing();
    connection->epoll_interest = 0;
    builder_worker(builder, connection, 1000, true, true, TRACE_WAIT_READ);
    judge_at(60);
    expect_nothing();
}
END_TEST

START_TEST(an_exit_right_after_a_try_is_no_abandonment) {
    struct trace_connection *connection = builder_connection(builder);
    connection->read_result = TRACE_READ_AGAIN;
    connection->read_attempt_ns = builder_time(97);
    judge();
    expect_nothing();
    connection->read_attempt_ns = builder_time(90);
    judge();
    expect("response-abandoned", SEVERITY_ERROR, 1);
    connection->wait_ns = builder_time(98);
    judge();
    expect_nothing();
}
END_TEST

START_TEST(a_connect_that_never_came_about) {
    struct trace_connection *connection = builder_connection(builder);
    connection->state = TRACE_CONNECTION_CONNECTING;
    connection->protocol = TRACE_PROTOCOL_UNKNOWN;
    connection->flags = TRACE_CONNECTION_NONBLOCK;
    connection->requests = connection->read_bytes = connection->write_bytes = 0;
    connection->read_attempt_ns = connection->read_progress_ns = 0;
    connection->tcp_state = 2;
    judge();
    expect("response-abandoned", SEVERITY_ERROR, 1);
    ck_assert_uint_eq(report->totals.connections.opened, 1);
    ck_assert_uint_eq(report->totals.connections.live, 1);
    builder_running(builder);
    judge_at(12);
    expect_nothing();
    ck_assert_uint_eq(report->totals.connections.opened, 0);
    builder_worker(builder, connection, 1000, false, false, TRACE_WAIT_CONNECT);
    judge();
    expect_nothing();
}
END_TEST

/* ---- peer-closed ---- */

START_TEST(an_idle_connection_is_no_finding) {
    answered();
    judge();
    expect_nothing();
    ck_assert_uint_eq(report->totals.connections.idle, 1);
    ck_assert_int_eq(report->verdict, VERDICT_CLEAN);
}
END_TEST

START_TEST(the_peers_end_was_seen_and_the_descriptor_kept) {
    struct trace_connection *connection = answered();
    connection->eof_ns = builder_time(20);
    judge();
    expect("peer-closed", SEVERITY_ERROR, 1);
    ck_assert_uint_eq(report->totals.connections.idle, 0);
    builder_running(builder);
    judge_at(24);
    expect_nothing();
    judge_at(26);
    expect("peer-closed", SEVERITY_ERROR, 1);
}
END_TEST

START_TEST(a_one_shot_program_may_leave_it_to_the_exit) {
    struct trace_connection *connection = answered();
    connection->eof_ns = builder_time(99);
    judge();
    expect_nothing();
    connection->requests = 2; /* it ended in mid-body */
    judge();
    expect("peer-closed", SEVERITY_ERROR, 1);
    connection->requests = 1;
    answered()->eof_ns = builder_time(98); /* two of them are a habit */
    judge();
    expect("peer-closed", SEVERITY_ERROR, 2);
}
END_TEST

START_TEST(idle_ones_that_the_peer_closed_are_a_note_and_many_a_warning) {
    for (int i = 0; i < 10; i++)
        answered()->tcp_state = 8;
    judge();
    expect("peer-closed", SEVERITY_NOTE, 10);
    answered()->tcp_state = 8;
    judge();
    expect("peer-closed", SEVERITY_WARNING, 11);
    ck_assert_int_eq(report->verdict, VERDICT_CLEAN);
}
END_TEST

/* ---- connection-abandoned ---- */

START_TEST(three_silent_connections_of_one_call_site) {
    silent(), silent();
    judge();
    expect_nothing();
    struct trace_connection *third = silent();
    judge();
    expect("connection-abandoned", SEVERITY_ERROR, 3);
    ck_assert_uint_eq(report->totals.connections.live, 3);
    third->connect_stack = builder_stack(builder, 0x9000, 3); /* another call site */
    judge();
    expect_nothing();
    third->connect_stack = builder_site_at(builder, builder->site)->stack;
    third->flags = TRACE_CONNECTION_SERVER_FIRST;
    judge();
    expect_nothing();
    third->flags = 0;
    builder_site_at(builder, builder->site)->connections_closed =
        3; /* preconnect beside used ones */
    judge();
    expect_nothing();
    builder_site_at(builder, builder->site)->connections_closed = 2;
    builder_running(builder);
    judge_at(13);
    expect_nothing();
    judge_at(15);
    expect("connection-abandoned", SEVERITY_ERROR, 3);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        an_answer_that_nobody_waits_for,
        an_exit_right_after_a_try_is_no_abandonment,
        a_connect_that_never_came_about,
        an_idle_connection_is_no_finding,
        the_peers_end_was_seen_and_the_descriptor_kept,
        a_one_shot_program_may_leave_it_to_the_exit,
        idle_ones_that_the_peer_closed_are_a_note_and_many_a_warning,
        three_silent_connections_of_one_call_site,
        NULL,
    };
    return rules_fixture_run("rules-connections", tests);
}
