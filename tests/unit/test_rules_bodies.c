/* The rule unclosed-body: each state of an open body, by its evidence. */
#include <string.h>

#include "tests/unit/rules_fixture.h"

/* ---- unclosed-body ---- */

START_TEST(abandoned_at_an_orderly_end_whatever_the_age) {
    builder->header->ended_ns = builder_time(11.1);
    builder_body(builder, builder_connection(builder))->progress_ns = builder_time(11.09);
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    const struct report_finding *found = finding("unclosed-body");
    ck_assert_int_eq(found->confidence, CONFIDENCE_PROVEN);
    ck_assert_str_eq(found->host, "api.example");
    ck_assert_uint_eq(found->port, 443);
    ck_assert_str_eq(found->scheme, "https");
    ck_assert_str_eq(found->message, "1 response body from api.example:443 was never closed");
    ck_assert_str_eq(found->method, "GET");
    ck_assert_str_eq(found->path, "/items");
    ck_assert_uint_eq(found->status, 200);
    ck_assert_uint_eq(found->bytes_read, 1000);
    ck_assert_uint_eq(found->bytes_expected, 262144);
    ck_assert_uint_eq(found->object_count, 1);
    ck_assert_int_eq(found->objects[0].fd, 4);
    ck_assert_str_eq(found->objects[0].peer, "192.0.2.1:443");
    /* the C library's frame is folded away */
    ck_assert_uint_eq(found->request.count, 2);
    ck_assert_str_eq(found->request.frames[0].module, "/app/client");
    ck_assert_uint_eq(found->request.frames[0].offset, 0x100);
    ck_assert_int_eq(report->verdict, VERDICT_LEAKS);
    ck_assert(rules_exit_needed(report, SEVERITY_ERROR));
    ck_assert(!rules_exit_needed(report, SEVERITY_NEVER));
    ck_assert_uint_eq(report->totals.bodies.opened, 1);
    ck_assert_uint_eq(report->totals.bodies.unclosed, 1);
}
END_TEST

/* A thread downloads, another one ends the process meanwhile. */
START_TEST(never_when_another_thread_reads_on) {
    struct trace_connection *connection = builder_connection(builder);
    struct trace_body *body = builder_body(builder, connection);
    struct trace_worker *worker =
        builder_worker(builder, connection, 2000, true, true, TRACE_WAIT_NONE);
    struct trace_event end = {
        .type = TRACE_EVENT_END, .arg = TRACE_END_EXIT, .tid = 1000, .time_ns = builder_time(100)};
    builder_event(builder, end);
    body->reader_tid = body->asker_tid = 2000;
    body->reads = 20;
    body->progress_ns = connection->read_attempt_ns = builder_time(99.98);
    judge();
    expect_nothing();
    ck_assert_uint_eq(report->totals.bodies.unclosed, 1);

    body->progress_ns = connection->read_attempt_ns = builder_time(99.7); /* longer than ever */
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    body->max_stall_ns = 200000000; /* no: a slow reader */
    judge();
    expect_nothing();
    body->reads = 3; /* it came not often, and never back */
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    body->bursts = 2;
    judge();
    expect_nothing();

    worker->wait = TRACE_WAIT_COND; /* a sleep, in some runtimes */
    judge();
    expect_nothing();
    worker->wait = TRACE_WAIT_JOIN;
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    worker->wait = TRACE_WAIT_NONE;
    end.tid = 2000; /* it ended the process itself */
    builder_event(builder, end);
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
}
END_TEST

START_TEST(never_when_somebody_blocks_on_it) {
    struct trace_connection *connection = builder_connection(builder);
    builder_body(builder, connection);
    struct trace_worker *worker =
        builder_worker(builder, connection, 1000, true, true, TRACE_WAIT_READ);
    judge();
    expect_nothing();
    worker->flags = TRACE_WORKER_MAIN; /* the main thread's waits are evidence, too */
    judge();
    expect_nothing();
    worker->wait_connection = 99; /* it waits for another one */
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
}
END_TEST

START_TEST(never_when_it_is_being_polled) {
    struct trace_connection *connection = builder_connection(builder);
    builder_body(builder, connection);
    struct trace_worker *worker =
        builder_worker(builder, connection, 1000, true, true, TRACE_WAIT_POLL);
    connection->poll_tid = 1000;
    connection->wait_ns = worker->wait_since_ns;
    judge();
    expect_nothing();
    connection->wait_ns--; /* the poll under way is another one */
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
}
END_TEST

START_TEST(an_event_loop_that_has_it_in_its_set) {
    struct trace_connection *connection = builder_connection(builder);
    builder_body(builder, connection);
    connection->epoll_interest = 1;
    connection->epoll_change_ns = builder_time(9);
    connection->epoll_wait_ns = builder_time(99);
    judge();
    expect_nothing(); /* level triggered: the loop is about to read */
    connection->epoll_edge = 1;
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1); /* it was told long ago, and let it be */
    connection->rx_queued = 0;
    judge();
    expect_nothing();                             /* nothing waits: starved */
    connection->epoll_wait_ns = builder_time(10); /* never came round after the last bytes */
    connection->rx_queued = 5;
    connection->epoll_edge = 0;
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
}
END_TEST

START_TEST(an_epoll_set_that_is_waited_on_now) {
    struct trace_connection *connection = builder_connection(builder);
    builder_body(builder, connection);
    connection->rx_queued = 0;
    connection->epoll_interest = 1;
    connection->epoll_set = 7;
    connection->epoll_wait_ns = builder_time(10); /* lags behind: the set has hundreds of members */
    struct trace_worker *loop = builder_worker(builder, NULL, 1000, true, true, TRACE_WAIT_EPOLL);
    loop->wait_address = 7;
    judge();
    expect_nothing();
    connection->rx_queued =
        5; /* they came after the loop's slot was read: it is about to wake up */
    judge();
    expect_nothing();
    connection->epoll_edge = 1; /* told long ago */
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    connection->epoll_edge = connection->rx_queued = 0;
    loop->wait_address = 8; /* another set */
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
}
END_TEST

START_TEST(a_library_thread_that_sends_is_not_the_caller) {
    const uint32_t sender = builder_stack(builder, 0x900, 2);
    for (unsigned i = 0; i < 4; i++) {
        struct trace_connection *connection = builder_connection(builder);
        connection->connect_stack = builder_stack(builder, i % 2 ? 0x300 : 0x500, 3);
        struct trace_body *body = builder_body(builder, connection);
        body->request_stack = sender;
        body->asker_tid = 2000 + i;
        struct trace_worker *worker =
            builder_worker(builder, connection, 2000 + i, false, true, TRACE_WAIT_COND);
        worker->wait_address = 0x1000 + i;
    }
    judge();
    size_t findings = 0;
    for (size_t i = 0; i < report->finding_count; i++) {
        if (strcmp(report->findings[i]->rule->id, "unclosed-body") != 0) continue;
        findings++;
        ck_assert_uint_eq(report->findings[i]->count, 2);
        ck_assert(report->findings[i]->by_connect);
    }
    ck_assert_uint_eq(findings, 2); /* one for each place that asked for connections */
}
END_TEST

START_TEST(starved_is_never_a_finding) {
    struct trace_connection *connection = builder_connection(builder);
    builder_body(builder, connection);
    connection->rx_queued = 0;
    connection->read_result = TRACE_READ_AGAIN;
    connection->read_attempt_ns = builder_time(11);
    judge();
    expect_nothing();
    connection->read_result = TRACE_READ_DATA;
    connection->read_attempt_ns = builder_time(20);
    judge();
    expect_nothing();
    builder_running(builder);
    judge();
    expect_nothing();
    /* nothing waits, but nobody asked either: a slow server whose answer was forgotten */
    connection->read_attempt_ns = builder_time(11);
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    ck_assert_int_eq(finding("unclosed-body")->confidence, CONFIDENCE_INFERRED);
}
END_TEST

START_TEST(progressing_within_the_grace) {
    builder_body(builder, builder_connection(builder));
    builder_running(builder);
    judge_at(15.9);
    expect_nothing();
    ck_assert_uint_eq(report->totals.bodies.unclosed, 1); /* totals count states */
    ck_assert_int_eq(report->verdict, VERDICT_CLEAN);
    judge_at(16.1);
    expect("unclosed-body", SEVERITY_ERROR, 1);
    ck_assert_int_eq(report->processes[0].end, REPORT_END_RUNNING);
    ck_assert_uint_eq(report->processes[0].ended_realtime_ns, 0);
}
END_TEST

START_TEST(a_killed_process_is_judged_at_its_last_moment) {
    struct trace_connection *connection = builder_connection(builder);
    builder_body(builder, connection);
    connection->rx_known = 0;
    connection->sample_ns = 0;
    builder_killed(builder, 15);
    judge();
    expect_nothing();
    ck_assert_int_eq(report->processes[0].end, REPORT_END_LOST);
    builder_killed(builder, 40);
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    ck_assert_int_eq(finding("unclosed-body")->confidence, CONFIDENCE_INFERRED);
    /* proven when the thread that asked went on to something else */
    builder_event(builder, (struct trace_event){.type = TRACE_EVENT_REQUEST,
                                                .tid = 1000,
                                                .time_ns = builder_time(30),
                                                .connection = 9});
    judge();
    ck_assert_int_eq(finding("unclosed-body")->confidence, CONFIDENCE_PROVEN);
}
END_TEST

START_TEST(paused_is_a_warning_after_ten_graces) {
    struct trace_connection *connection = builder_connection(builder);
    builder_body(builder, connection)->bursts = 2;
    builder_running(builder);
    judge_at(60);
    expect_nothing();
    judge_at(62);
    expect("unclosed-body", SEVERITY_WARNING, 1);
    ck_assert_int_eq(report->verdict, VERDICT_CLEAN);
    ck_assert(!rules_exit_needed(report, SEVERITY_ERROR));
    ck_assert(rules_exit_needed(report, SEVERITY_WARNING));
}
END_TEST

START_TEST(back_pressure_is_paused_whatever_the_bursts) {
    struct trace_connection *connection = builder_connection(builder);
    builder_body(builder, connection);
    struct trace_worker *worker =
        builder_worker(builder, connection, 1000, true, true, TRACE_WAIT_OTHER_WRITE);
    judge();
    expect("unclosed-body", SEVERITY_WARNING, 1);
    builder_killed(builder, 20);
    judge();
    expect_nothing();
    worker->tid = 1001; /* somebody else writes */
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
}
END_TEST

START_TEST(a_reader_with_a_limit_of_its_own_is_paused) {
    struct trace_connection *connection = builder_connection(builder);
    struct trace_body *body = builder_body(builder, connection);
    body->reads = 100; /* all at once, and now it waits until its rate allows more */
    struct trace_worker *reader =
        builder_worker(builder, connection, 1000, true, true, TRACE_WAIT_NONE);
    builder_running(builder);
    judge_at(60);
    expect_nothing();
    body->reads = 2; /* it came quickly, so it was taken at a few times */
    body->bytes_read = 262144;
    judge_at(60);
    expect_nothing();
    body->bytes_read = 262143;
    judge_at(60);
    expect("unclosed-body", SEVERITY_ERROR, 1);
    body->reads = 100;
    judge_at(62);
    expect("unclosed-body", SEVERITY_WARNING, 1);
    reader->wait = TRACE_WAIT_COND; /* a pool's thread that waits for its next job */
    judge_at(60);
    expect("unclosed-body", SEVERITY_ERROR, 1);
    reader->wait = TRACE_WAIT_NONE;
    connection->epoll_change_ns = builder_time(12); /* an event loop let it go */
    judge_at(60);
    expect("unclosed-body", SEVERITY_ERROR, 1);
    connection->epoll_interest = connection->epoll_edge = 1; /* or has it still: a proxy */
    connection->epoll_wait_ns = builder_time(59);
    reader->wait = TRACE_WAIT_EPOLL;
    judge_at(60);
    expect_nothing();
    reader->wait = TRACE_WAIT_NONE;
    connection->epoll_interest = 0;
    connection->epoll_change_ns = 0;
    builder_event(builder, (struct trace_event){.type = TRACE_EVENT_REQUEST,
                                                .tid = 1000,
                                                .time_ns = builder_time(30),
                                                .connection = 9});
    judge_at(60); /* it went on to something else: it broke off */
    expect("unclosed-body", SEVERITY_ERROR, 1);
}
END_TEST

START_TEST(the_last_of_those_that_broke_off_is_one_of_them) {
    struct trace_connection *connections[] = {builder_connection(builder),
                                              builder_connection(builder)};
    for (int i = 0; i < 2; i++)
        builder_body(builder, connections[i])->reads = 100;
    builder_worker(builder, connections[0], 1000, true, true, TRACE_WAIT_NONE);
    builder_running(builder);
    judge_at(60);
    expect_nothing();
    connections[1]->request_ns = builder_time(12); /* the second was asked for after the first */
    judge_at(60);
    expect("unclosed-body", SEVERITY_ERROR, 2);
}
END_TEST

START_TEST(an_event_loop_that_was_closed_just_before_the_end) {
    struct trace_connection *connection = builder_connection(builder);
    builder_body(builder, connection);
    connection->epoll_set = 7; /* and no interest: the set was closed around it */
    connection->epoll_wait_ns = builder_time(17);
    connection->epoll_change_ns = builder_time(18);
    builder->header->ended_ns = builder_time(18.1);
    judge();
    expect_nothing();
    builder->header->ended_ns = builder_time(40); /* long before */
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    builder->header->ended_ns = builder_time(18.1);
    connection->epoll_set = 0; /* it was taken out of the set */
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    connection->rx_queued = 0; /* ... and nothing waited: a server that stops, as lighttpd does */
    judge();
    expect_nothing();
    connection->read_progress_ns = builder_time(17.5); /* it read on by itself, and gave up */
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    connection->epoll_set = 7;
    builder_event(builder, (struct trace_event){.type = TRACE_EVENT_REQUEST,
                                                .tid = 1000,
                                                .time_ns = builder_time(18.05),
                                                .connection = 9});
    judge(); /* one of many loops: its thread went on to another request */
    expect("unclosed-body", SEVERITY_ERROR, 1);
}
END_TEST

START_TEST(bodies_that_nobody_has_to_finish) {
    struct trace_connection *connection = builder_connection(builder);
    struct trace_body *body = builder_body(builder, connection);
    body->flags = TRACE_BODY_EVENT_STREAM;
    judge();
    expect_nothing();
    body->flags = TRACE_BODY_GRPC;
    judge();
    expect_nothing();
    body->flags = 0;
    connection->flags |= TRACE_CONNECTION_SHARED;
    judge();
    expect_nothing();
    connection->flags = TRACE_CONNECTION_COUNTED | TRACE_CONNECTION_BLIND;
    connection->blind_reason = TRACE_BLIND_FRAMING;
    judge();
    ck_assert_ptr_null(finding("unclosed-body"));
    expect("blind", SEVERITY_NOTE, 1);
    ck_assert_int_eq(report->verdict, VERDICT_NO_LEAK_SEEN);
}
END_TEST

START_TEST(a_closed_handle_is_discarded) {
    struct trace_body *body = builder_body(builder, builder_connection(builder));
    body->flags = TRACE_BODY_HANDLE_SEEN | TRACE_BODY_HANDLE_CLOSED;
    judge();
    expect("discarded-body", SEVERITY_NOTE, 1);
    ck_assert_uint_eq(report->totals.bodies.discarded, 1);
    ck_assert_uint_eq(report->totals.bodies.unclosed, 0);
    ck_assert_int_eq(report->verdict, VERDICT_CLEAN);
}
END_TEST

START_TEST(tags_tell_why) {
    builder_body(builder, builder_connection(builder))->flags = TRACE_BODY_REDIRECT;
    builder_body(builder, builder_connection(builder))->flags =
        TRACE_BODY_ERROR_STATUS | TRACE_BODY_UPGRADE_REFUSED;
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 2);
    ck_assert_uint_eq(finding("unclosed-body")->tag_count, 3);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        abandoned_at_an_orderly_end_whatever_the_age,
        never_when_another_thread_reads_on,
        never_when_somebody_blocks_on_it,
        never_when_it_is_being_polled,
        an_event_loop_that_has_it_in_its_set,
        an_epoll_set_that_is_waited_on_now,
        a_library_thread_that_sends_is_not_the_caller,
        starved_is_never_a_finding,
        progressing_within_the_grace,
        a_killed_process_is_judged_at_its_last_moment,
        paused_is_a_warning_after_ten_graces,
        back_pressure_is_paused_whatever_the_bursts,
        a_reader_with_a_limit_of_its_own_is_paused,
        the_last_of_those_that_broke_off_is_one_of_them,
        an_event_loop_that_was_closed_just_before_the_end,
        bodies_that_nobody_has_to_finish,
        a_closed_handle_is_discarded,
        tags_tell_why,
        NULL,
    };
    return rules_fixture_run("rules-bodies", tests);
}
