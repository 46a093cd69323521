/* The rules idle-bloat, worker-growth and thread-unjoined, and those about descriptors: what counts, and what guards each. */
#include "tests/unit/rules_fixture.h"

/* ---- idle-bloat ---- */

static void event_at(double seconds, enum trace_event_type type, uint64_t connection) {
    builder_event(builder, (struct trace_event){.type = (uint8_t)type,
                                                .time_ns = builder_time(seconds),
                                                .connection = connection});
}

/* `n` requests at once on connections of the builder's host. */
static void burst(double seconds, uint64_t first, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        builder_event(builder, (struct trace_event){.type = TRACE_EVENT_CONNECTION_HOST,
                                                    .time_ns = builder_time(seconds),
                                                    .connection = first + i,
                                                    .a = builder->host});
        event_at(seconds, TRACE_EVENT_REQUEST, first + i);
    }
    for (unsigned i = 0; i < n; i++)
        event_at(seconds + 0.1, TRACE_EVENT_RESPONSE_END, first + i);
}

START_TEST(more_idle_than_any_later_burst_used) {
    for (int i = 0; i < 5; i++)
        answered(); /* idle since 11 s, the end is at 100 s */
    burst(20, 101, 2);
    judge();
    expect("idle-bloat", SEVERITY_WARNING, 5);
    ck_assert_str_eq(finding("idle-bloat")->message,
                     "5 connections to api.example:443 have stood idle for over 60 s, and no more "
                     "than 2 at once were needed since");
}
END_TEST

/* The record of a body's end may be that of the exchange, too. */
START_TEST(used_one_after_the_other) {
    for (int i = 0; i < 5; i++)
        answered();
    for (unsigned i = 0; i < 5; i++) {
        event_at(20 + i, TRACE_EVENT_REQUEST, 101 + i);
        builder_event(builder, (struct trace_event){.type = TRACE_EVENT_BODY_DRAINED,
                                                    .flags = TRACE_EVENT_EXCHANGE,
                                                    .time_ns = builder_time(20.5 + i),
                                                    .connection = 101 + i});
    }
    judge();
    expect("idle-bloat", SEVERITY_WARNING, 5);
    ck_assert_ptr_nonnull(strstr(finding("idle-bloat")->message, "no more than 1 at once"));
}
END_TEST

static void told_in_one(double seconds, uint64_t connection, uint8_t again, uint16_t marks) {
    builder_event(builder, (struct trace_event){.type = TRACE_EVENT_BODY_OPEN,
                                                .again = again,
                                                .flags = marks,
                                                .time_ns = builder_time(seconds),
                                                .connection = connection});
}

/* Or a mark on that of its beginning, which may tell the same exchange more than once. */
START_TEST(used_one_after_the_other_in_one_record_each) {
    for (int i = 0; i < 5; i++)
        answered();
    for (unsigned i = 0; i < 5; i++) {
        event_at(20 + i, TRACE_EVENT_REQUEST, 101 + i);
        told_in_one(20 + i, 101 + i, (uint8_t)i, TRACE_EVENT_DONE);
    }
    judge();
    expect("idle-bloat", SEVERITY_WARNING, 5);
    ck_assert_ptr_nonnull(strstr(finding("idle-bloat")->message, "no more than 1 at once"));
}
END_TEST

/* The request came before the others were idle, the same again after that, and one of them is not over. */
START_TEST(used_again_in_one_record) {
    for (int i = 0; i < 5; i++)
        answered();
    for (unsigned i = 0; i < 2; i++) {
        event_at(5, TRACE_EVENT_REQUEST, 101 + i);
        told_in_one(20, 101 + i, (uint8_t)i, i ? TRACE_EVENT_DONE : TRACE_EVENT_MARKS);
    }
    judge();
    expect("idle-bloat", SEVERITY_WARNING, 5);
    ck_assert_ptr_nonnull(strstr(finding("idle-bloat")->message, "no more than 2 at once"));
}
END_TEST

START_TEST(idle_ones_that_a_burst_may_need) {
    for (int i = 0; i < 5; i++)
        answered();
    judge();
    expect_nothing(); /* no later burst */
    burst(20, 101, 5);
    judge();
    expect_nothing();
}
END_TEST

START_TEST(two_idle_ones_are_never_too_many) {
    answered(), answered();
    burst(20, 101, 1);
    judge();
    expect_nothing();
}
END_TEST

START_TEST(idle_for_less_than_a_minute) {
    for (int i = 0; i < 5; i++)
        answered()->idle_since_ns = builder_time(45);
    burst(50, 101, 1);
    judge();
    expect_nothing();
}
END_TEST

START_TEST(a_burst_at_another_host_or_before) {
    for (int i = 0; i < 5; i++)
        answered();
    burst(5, 101, 1);
    builder->host = builder_host(builder, "other.example", 443, TRACE_SCHEME_HTTPS);
    burst(20, 105, 1);
    judge();
    expect_nothing();
}
END_TEST

/* ---- worker-growth ---- */

static struct trace_worker *worker_started(unsigned i, double seconds, uint32_t siblings) {
    struct trace_worker *worker =
        builder_worker(builder, NULL, 2000 + i, true, true, TRACE_WAIT_SEM);
    worker->connections_used = 2;
    worker->created_stack = builder_site_at(builder, builder->site)->stack;
    worker->started_ns = builder_time(seconds);
    worker->last_io_ns = builder_time(seconds);
    worker->siblings = siblings;
    return worker;
}

static void known_host(void) {
    builder_site_at(builder, builder->site)->exchanges = 1;
}

START_TEST(their_number_keeps_rising) {
    known_host();
    for (unsigned i = 0; i < 24; i++)
        worker_started(i, 10 + 3.5 * i, i + 1);
    judge();
    expect("worker-growth", SEVERITY_WARNING, 24);
    ck_assert_uint_eq(finding("worker-growth")->worker.count, 2);
}
END_TEST

START_TEST(a_plateau) {
    known_host();
    for (unsigned i = 0; i < 24; i++)
        worker_started(i, 10 + 0.5 * i, i + 1);
    judge();
    expect_nothing();
}
END_TEST

START_TEST(a_pool_whose_threads_are_replaced) {
    known_host();
    for (unsigned i = 0; i < 24; i++)
        worker_started(i, 10 + 3.5 * i, 24);
    judge();
    expect_nothing();
}
END_TEST

START_TEST(few_or_at_work_or_unknown) {
    known_host();
    for (unsigned i = 0; i < 15; i++)
        worker_started(i, 10 + 5 * i, i + 1);
    judge();
    expect_nothing();
    struct trace_worker *workers = builder_region(builder, TRACE_REGION_WORKER);
    for (unsigned i = 15; i < 24; i++)
        worker_started(i, 85 + i * 0.5, i + 1);
    for (unsigned i = 0; i < 24; i++)
        workers[i].last_io_ns = builder_time(99);
    judge();
    expect_nothing();
    for (unsigned i = 0; i < 24; i++)
        workers[i].last_io_ns = builder_time(50), workers[i].siblings = 0;
    judge();
    expect_nothing();
}
END_TEST

/* ---- thread-unjoined ---- */

START_TEST(ended_and_nobody_joined_it) {
    struct trace_site *site = builder_site_at(builder, builder->site);
    site->workers_unjoined = 2;
    site->unjoined_ns = builder_time(20);
    judge();
    expect("thread-unjoined", SEVERITY_WARNING, 2);
    ck_assert_uint_eq(finding("thread-unjoined")->worker.count, 2);
    builder_running(builder);
    judge();
    expect_nothing(); /* few, and somebody may still come */
    site->workers_unjoined = 7;
    judge();
    expect("thread-unjoined", SEVERITY_WARNING, 7);
    judge_at(22);
    expect_nothing();
}
END_TEST

START_TEST(somebody_is_joining) {
    struct trace_site *site = builder_site_at(builder, builder->site);
    site->workers_unjoined = 7;
    site->unjoined_ns = builder_time(20);
    builder_worker(builder, NULL, 1000, false, false, TRACE_WAIT_JOIN)->flags = TRACE_WORKER_MAIN;
    builder_running(builder);
    judge();
    expect_nothing();
}
END_TEST

START_TEST(a_runtime_that_never_joins) {
    builder->libc = builder_module(builder, "/usr/lib/jvm/lib/server/libjvm.so", 0);
    struct trace_site *site = builder_site_at(
        builder, builder_site(builder, builder->host, builder_stack(builder, 0x9000, 3)));
    site->workers_unjoined = 7;
    site->unjoined_ns = builder_time(20);
    judge();
    expect_nothing();
}
END_TEST

/* ---- inherited-connection, bad-close ---- */

START_TEST(open_in_a_program_that_was_started) {
    struct trace_connection *connection = answered();
    connection->exec_ns = builder_time(20);
    connection->exec_pid = 77;
    judge();
    expect_nothing(); /* nobody found it there */
    connection->exec_held = 1;
    judge();
    expect("inherited-connection", SEVERITY_NOTE, 1);
    connection->flags |= TRACE_CONNECTION_SHARED;
    judge();
    expect_nothing(); /* handed over */
}
END_TEST

START_TEST(inherited_and_closed_here) {
    builder_event(builder, (struct trace_event){.type = TRACE_EVENT_CONNECTION_INHERITED,
                                                .time_ns = builder_time(20),
                                                .connection = 55,
                                                .object = 77,
                                                .a = 5,
                                                .b = builder->site});
    judge();
    expect("inherited-connection", SEVERITY_NOTE, 1);
    ck_assert_str_eq(finding("inherited-connection")->host, "api.example");
    ck_assert_uint_eq(finding("inherited-connection")->objects[0].connection, 55);
}
END_TEST

START_TEST(closed_by_somebody_who_meant_another) {
    struct trace_site *site = builder_site_at(builder, builder->site);
    site->bad_closes = 3;
    site->bad_close_ns = builder_time(20);
    judge();
    expect("bad-close", SEVERITY_ERROR, 3);
    ck_assert_uint_eq(finding("bad-close")->request.count, 2);
    ck_assert_int_eq(report->verdict, VERDICT_LEAKS);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        more_idle_than_any_later_burst_used,
        used_one_after_the_other,
        used_one_after_the_other_in_one_record_each,
        used_again_in_one_record,
        idle_ones_that_a_burst_may_need,
        two_idle_ones_are_never_too_many,
        idle_for_less_than_a_minute,
        a_burst_at_another_host_or_before,
        their_number_keeps_rising,
        a_plateau,
        a_pool_whose_threads_are_replaced,
        few_or_at_work_or_unknown,
        ended_and_nobody_joined_it,
        somebody_is_joining,
        a_runtime_that_never_joins,
        open_in_a_program_that_was_started,
        inherited_and_closed_here,
        closed_by_somebody_who_meant_another,
        NULL,
    };
    return rules_fixture_run("rules-pools", tests);
}
