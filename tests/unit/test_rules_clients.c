/* The rules client-per-request and timer-pileup. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/rules_fixture.h"

/* ---- client-per-request ---- */

/* The n-th connection of a client that is made for each request: opened, used, idle, one after the other. */
static struct trace_connection *one_request(int n) {
    struct trace_connection *connection = answered();
    connection->opened_ns = builder_time(10 + n);
    connection->request_ns = builder_time(10.1 + n);
    connection->idle_since_ns = builder_time(10.2 + n);
    return connection;
}

START_TEST(a_client_for_each_request) {
    for (int i = 0; i < 5; i++)
        one_request(i);
    judge();
    expect("client-per-request", SEVERITY_WARNING, 5);
    ck_assert_uint_eq(report->finding_count, 1);
    ck_assert_uint_eq(report->findings[0]->connect.count, 2);
    ck_assert_int_eq(report->verdict, VERDICT_CLEAN);
    ck_assert_str_eq(report->findings[0]->message,
                     "5 connections to api.example:443 were used for one request each and then "
                     "left, with an idle one at hand each time");
}
END_TEST

START_TEST(three_are_few) {
    for (int i = 0; i < 3; i++) /* two of them beside an idle one */
        one_request(i);
    judge();
    expect_nothing();
    one_request(3);
    judge();
    expect("client-per-request", SEVERITY_WARNING, 4);
}
END_TEST

START_TEST(a_burst_is_none) {
    for (int i = 0; i < 8; i++) {
        struct trace_connection *connection = one_request(0);
        connection->idle_since_ns = builder_time(12 + i);
    }
    judge();
    expect_nothing();
}
END_TEST

START_TEST(used_again_or_asked_to_close_is_none) {
    for (int i = 0; i < 5; i++) {
        struct trace_connection *connection = one_request(i);
        connection->requests = connection->responses = 2;
    }
    for (int i = 0; i < 5; i++)
        one_request(i)->flags |= TRACE_CONNECTION_NO_REUSE;
    judge();
    expect_nothing();
}
END_TEST

START_TEST(threads_and_hosts_of_their_own_are_none) {
    for (int i = 0; i < 8; i++)
        one_request(i)->opener_tid = 2000 + (uint32_t)i; /* a client for each thread */
    for (int i = 0; i < 8; i++) {
        char name[32];
        snprintf(name, sizeof name, "tenant%d.example", i);
        struct trace_connection *connection = one_request(i);
        connection->host = builder_host(builder, name, 443, TRACE_SCHEME_HTTPS);
    }
    for (int i = 0; i < 8; i++)
        one_request(i)->connect_stack = builder_stack(builder, 0x5000 + 0x100 * (uint64_t)i, 3);
    judge();
    expect_nothing();
}
END_TEST

START_TEST(goroutines_share_clients) {
    for (int i = 0; i < 5; i++) {
        struct trace_connection *connection = builder_go_connection(builder);
        connection->responses = 1;
        connection->opener_tid = 100 + (uint32_t)i;
        connection->opened_ns = builder_time(10 + i);
        connection->idle_since_ns = builder_time(10.2 + i);
        builder_goroutine(builder, connection, 200 + 2 * (uint64_t)i, TRACE_ROLE_READER);
        builder_goroutine(builder, connection, 201 + 2 * (uint64_t)i, TRACE_ROLE_WRITER);
    }
    judge();
    expect("client-per-request", SEVERITY_WARNING, 5);
    ck_assert_ptr_nonnull(strstr(report->findings[0]->advice, "http.Client"));
    ck_assert_uint_eq(report->finding_count, 1);
    ck_assert_uint_eq(report->totals.workers.readers_live, 5);
    ck_assert_uint_eq(report->totals.workers.readers_stranded, 0);
}
END_TEST

START_TEST(a_running_one_gets_the_grace) {
    for (int i = 0; i < 5; i++)
        one_request(i);
    builder_running(builder);
    judge_at(15);
    expect_nothing();
    judge_at(25);
    expect("client-per-request", SEVERITY_WARNING, 5);
}
END_TEST

/* ---- timer-pileup ---- */

START_TEST(timers_that_pile_up) {
    struct trace_timer *timer =
        builder_timer(builder, TRACE_TIMER_GO_CHANNEL, 0x4000, 50000, 49000);
    timer->duration_ns = UINT64_C(60000000000);
    judge();
    expect("timer-pileup", SEVERITY_WARNING, 49000);
    ck_assert_str_eq(report->findings[0]->message,
                     "49000 timers of time.NewTimer for 1 min are pending (50000 made here), and "
                     "their number keeps rising");
    ck_assert_ptr_nonnull(strstr(report->findings[0]->advice, "Reset"));
    ck_assert_uint_eq(report->findings[0]->request.count, 2);
    ck_assert_int_eq(report->verdict, VERDICT_CLEAN);
    timer->flags = TRACE_TIMER_COLLECTABLE;
    timer->collectable = timer->created;
    judge();
    expect_nothing();
}
END_TEST

START_TEST(few_timers_a_plateau_and_a_fall_are_none) {
    builder_timer(builder, TRACE_TIMER_POSIX, 0x4000, 1000, 1000);
    /* the rise was over at 40 s, and that was 60 s ago */
    builder_timer(builder, TRACE_TIMER_FD, 0x4100, 900000, 6000)->marks[19 % TRACE_TIMER_MARKS] =
        (struct trace_timer_mark){builder_time(40), 5500};
    builder_timer(builder, TRACE_TIMER_GO_FUNC, 0x4200, 90000, 3000)->peak = 9000;
    builder_timer(builder, TRACE_TIMER_GO_TICKER, 0x4300, 5000, 5000)->mark_count = 0;
    judge();
    expect_nothing();
}
END_TEST

START_TEST(timers_of_c) {
    builder_timer(builder, TRACE_TIMER_POSIX, 0x4000, 1001, 1001);
    builder_timer(builder, TRACE_TIMER_FD, 0x4000, 2000, 2000);
    judge();
    ck_assert_uint_eq(report->finding_count, 2);
    ck_assert_uint_eq(report->findings[0]->count, 2000);
    ck_assert_ptr_nonnull(strstr(report->findings[0]->message, "timerfd_create"));
    ck_assert_ptr_nonnull(strstr(report->findings[1]->message, "timer_create"));
}
END_TEST

/* Counters of a live trace may be read in any order. */
START_TEST(wild_counters_are_no_finding) {
    struct trace_timer *timer = builder_timer(builder, TRACE_TIMER_FD, 0x4000, 5000, 5000);
    timer->fired = UINT64_MAX - 10;
    judge();
    expect_nothing();
    timer->fired = 6000;
    judge();
    expect_nothing();
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        a_client_for_each_request,
        three_are_few,
        a_burst_is_none,
        used_again_or_asked_to_close_is_none,
        threads_and_hosts_of_their_own_are_none,
        goroutines_share_clients,
        a_running_one_gets_the_grace,
        timers_that_pile_up,
        few_timers_a_plateau_and_a_fall_are_none,
        timers_of_c,
        wild_counters_are_no_finding,
        NULL,
    };
    return rules_fixture_run("rules-clients", tests);
}
