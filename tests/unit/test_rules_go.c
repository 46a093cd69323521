/* Go programs: bodies by their handles, goroutines as workers, many bodies on one HTTP/2 connection, what cannot be followed. */
#include <string.h>

#include "tests/unit/rules_fixture.h"

/* A connection whose body nobody closes, and the two goroutines that serve it. */
static struct trace_body *leak(uint64_t goid) {
    struct trace_connection *connection = builder_go_connection(builder);
    builder_goroutine(builder, connection, goid, TRACE_ROLE_READER);
    builder_goroutine(builder, connection, goid + 1, TRACE_ROLE_WRITER);
    return builder_go_body(builder, connection);
}

static void expect_workers(uint64_t readers, uint64_t writers, uint64_t stranded) {
    ck_assert_uint_eq(report->totals.workers.readers_live, readers);
    ck_assert_uint_eq(report->totals.workers.writers_live, writers);
    ck_assert_uint_eq(report->totals.workers.live,
                      readers + writers + report->totals.workers.both_live);
    ck_assert_uint_eq(report->totals.workers.readers_stranded, stranded);
    ck_assert_uint_eq(report->totals.workers.writers_stranded, stranded);
}

START_TEST(the_first_of_the_four_ways) {
    for (uint64_t i = 0; i < 5; i++)
        leak(20 + 2 * i);
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 5);
    const struct report_finding *root = report->findings[0];
    ck_assert_str_eq(
        root->message,
        "5 response bodies from api.example:443 were never closed; 5 reader and 5 writer "
        "goroutines are stranded behind them");
    ck_assert_ptr_nonnull(strstr(root->advice, "defer resp.Body.Close()"));
    ck_assert_int_eq(root->confidence, CONFIDENCE_PROVEN);
    ck_assert_uint_eq(report->finding_count, 3);
    for (size_t i = 1; i < 3; i++) {
        const struct report_finding *stranded = report->findings[i];
        ck_assert_str_eq(stranded->rule->id, "stranded-worker");
        ck_assert_ptr_eq(stranded->cause, root);
        ck_assert_uint_eq(stranded->count, 5);
        ck_assert(stranded->objects[0].goroutine);
        ck_assert_uint_ge(stranded->objects[0].tid, 20);
        ck_assert_ptr_nonnull(strstr(stranded->message, "goroutines"));
    }
    expect_workers(5, 5, 5);
    ck_assert_uint_eq(report->hosts[0].goroutines_live, 10);
    ck_assert_uint_eq(report->processes[0].runtime_count, 2);
    ck_assert_str_eq(report->processes[0].runtimes[0], "native");
    ck_assert_str_eq(report->processes[0].runtimes[1], "go1.22.12");
}
END_TEST

START_TEST(how_a_leak_grew) {
    for (uint64_t i = 0; i < 5; i++)
        leak(20 + 2 * i)->opened_ns = builder_time(20 + 10 * (double)i);
    judge();
    const struct report_finding *root = finding("unclosed-body");
    ck_assert_double_eq_tol(root->oldest_age_s, 80, 0.001);
    ck_assert_double_eq_tol(root->newest_age_s, 40, 0.001);
    struct trace_site *site = builder_site_at(builder, builder->site);
    site->bodies_drained = site->drained_unclosed = 6; /* counters have no times */
    judge();
    ck_assert_double_lt(finding("drained-unclosed")->newest_age_s, 0);
}
END_TEST

START_TEST(goroutines_of_an_idle_connection_are_not_stranded) {
    struct trace_connection *connection = builder_go_connection(builder);
    connection->responses = 1;
    connection->idle_since_ns = builder_time(11);
    builder_goroutine(builder, connection, 20, TRACE_ROLE_READER);
    builder_goroutine(builder, connection, 21, TRACE_ROLE_WRITER);
    judge();
    expect_nothing();
    expect_workers(1, 1, 0);
    ck_assert_uint_eq(report->totals.connections.idle, 1);
}
END_TEST

/* Each call site's goroutines stay with it, though all of them were started in the same two lines of net/http. */
START_TEST(each_call_site_has_its_own_goroutines) {
    for (uint32_t site = 0; site < 3; site++) {
        builder->site =
            builder_site(builder, builder->host, builder_stack(builder, 0x3000 + 0x100 * site, 3));
        for (uint64_t i = 0; i <= site; i++)
            leak(20 + 100 * site + 2 * i);
    }
    judge();
    ck_assert_uint_eq(report->finding_count, 9);
    for (size_t i = 0; i < 9; i += 3) {
        const struct report_finding *root = report->findings[i];
        ck_assert_str_eq(root->rule->id, "unclosed-body");
        for (size_t k = 1; k < 3; k++) {
            ck_assert_ptr_eq(report->findings[i + k]->cause, root);
            ck_assert_uint_eq(report->findings[i + k]->count, root->count);
        }
    }
    expect_workers(6, 6, 6);
}
END_TEST

/* The incident: the server gave the connections up long ago; the bodies and the goroutines are still there. */
START_TEST(a_peer_that_closed_does_not_hide_the_root) {
    for (uint64_t i = 0; i < 4; i++) {
        struct trace_body *body = leak(20 + 2 * i);
        struct trace_connection *connections = builder_region(builder, TRACE_REGION_CONNECTION);
        struct trace_connection *connection = &connections[body->connection_id - 1];
        connection->tcp_state = 8; /* CLOSE_WAIT */
        connection->rx_queued = 0;
        if (i % 2) connection->eof_ns = builder_time(30), connection->read_result = TRACE_READ_EOF;
    }
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 4);
    size_t roots = 0;
    for (size_t i = 0; i < report->finding_count; i++) {
        roots += report->findings[i]->cause == NULL;
        ck_assert(i == 0 || report->findings[i]->cause == report->findings[0]);
    }
    ck_assert_uint_eq(roots, 1);
    expect_workers(4, 4, 4);
}
END_TEST

START_TEST(goroutines_whose_connection_is_gone) {
    struct trace_connection *connection = builder_go_connection(builder);
    builder_goroutine(builder, connection, 20, TRACE_ROLE_READER);
    connection->state = TRACE_CONNECTION_FREE;
    judge();
    expect("stranded-worker", SEVERITY_ERROR, 1);
    ck_assert_str_eq(report->findings[0]->message,
                     "1 reader goroutine stays though its connection to "
                     "api.example:443 is gone");
    /* one that was closed a moment before the end is on its way out */
    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_CLOSE,
                                .connection = connection->id,
                                .time_ns = builder_time(99.5)};
    builder_event(builder, event);
    judge();
    expect_nothing();
    expect_workers(1, 0, 0);
}
END_TEST

START_TEST(a_goroutine_inside_read_waits_for_it) {
    struct trace_body *body = leak(20);
    body->attempts_now = 1;
    body->attempt_ns = builder_time(12);
    judge();
    expect_nothing();
    builder_running(builder);
    judge_at(5000);
    expect_nothing();
    expect_workers(1, 1, 0);
}
END_TEST

START_TEST(a_running_program_gets_the_grace) {
    struct trace_body *body = leak(20);
    builder_running(builder);
    judge_at(15);
    expect_nothing();
    judge_at(17);
    expect("unclosed-body", SEVERITY_ERROR, 1);
    /* a Read that came back lately: somebody is at it */
    body->attempt_ns = body->progress_ns = builder_time(95);
    judge_at(99);
    expect_nothing();
    /* in bursts: a slow reader, and a warning after ten times the grace */
    body->bursts = 3;
    body->reads = 5;
    judge_at(120);
    expect_nothing();
    judge_at(160);
    expect("unclosed-body", SEVERITY_WARNING, 1);
    expect_workers(1, 1, 0);
}
END_TEST

static struct trace_body *read_at_the_very_end(void) {
    struct trace_body *body = leak(20);
    body->reads = 100;
    body->bursts = 1;
    body->attempt_ns = body->progress_ns = builder_time(99.9);
    return body;
}

START_TEST(reading_at_the_very_end) {
    struct trace_body *body = read_at_the_very_end();
    judge();
    expect_nothing();
    body->attempt_ns = body->progress_ns = builder_time(90);
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    /* a few reads, but with pauses between them: it came back each time */
    body->attempt_ns = body->progress_ns = builder_time(99.9);
    body->reads = 3;
    body->bursts = 2;
    judge();
    expect_nothing();
    body->bursts = 1;
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
}
END_TEST

/* The end, told by the goroutine that read it last, or by another one. */
START_TEST(who_ends_the_program_does_not_read_on) {
    struct trace_body *body = read_at_the_very_end();
    body->reader_tid = body->asker_tid = 7;
    struct trace_event event = {
        .type = TRACE_EVENT_END, .arg = TRACE_END_EXIT, .b = 8, .time_ns = builder_time(99.9)};
    builder_event(builder, event);
    judge();
    expect_nothing();
    event.b = 7;
    builder_event(builder, event);
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
}
END_TEST

/* Its clock is coarse: that the next request came after the last read is told by the order of the bodies. */
START_TEST(asked_for_the_next_in_the_same_tick) {
    struct trace_body *body = read_at_the_very_end();
    body->reader_tid = body->asker_tid = 7;
    struct trace_event event = {
        .type = TRACE_EVENT_REQUEST, .connection = 77, .tid = 7, .time_ns = builder_time(99.9)};
    builder_event(builder, event);
    judge();
    expect_nothing(); /* it may have been asked for first */
    event.type = TRACE_EVENT_BODY_OPEN;
    event.object = body->id + 1;
    builder_event(builder, event);
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    body->reader_tid = 9; /* another goroutine reads it */
    judge();
    expect_nothing();
}
END_TEST

START_TEST(many_streams_on_one_connection) {
    struct trace_connection *connection = builder_go_connection(builder);
    connection->protocol = TRACE_PROTOCOL_HTTP2;
    connection->flags |= TRACE_CONNECTION_H2;
    connection->requests = 6;
    connection->responses = 1;
    builder_goroutine(builder, connection, 20, TRACE_ROLE_BOTH);
    for (uint32_t i = 0; i < 5; i++) {
        struct trace_body *body = builder_go_body(builder, connection);
        body->flags |= TRACE_BODY_STREAM;
        body->stream_id = 1 + 2 * i;
    }
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 5);
    ck_assert_uint_eq(report->finding_count, 1);
    ck_assert_str_eq(report->findings[0]->tags[0], "http2");
    ck_assert_uint_eq(report->totals.bodies.unclosed, 5);
    ck_assert_uint_eq(report->totals.workers.both_live, 1);
    expect_workers(0, 0, 0);
    ck_assert_uint_eq(report->totals.connections.idle, 0);
    ck_assert_uint_eq(report->totals.connections.opened, 1);
}
END_TEST

START_TEST(an_http2_connection_between_streams_is_idle) {
    struct trace_connection *connection = builder_go_connection(builder);
    connection->protocol = TRACE_PROTOCOL_HTTP2;
    connection->flags |= TRACE_CONNECTION_H2;
    connection->requests = connection->responses = 5;
    judge();
    expect_nothing();
    ck_assert_uint_eq(report->totals.connections.idle, 1);
}
END_TEST

/* Go dials for a request that another connection answers, and its callers wait in goroutines: neither is forgotten. */
START_TEST(pooled_and_waiting_connections_are_no_findings) {
    for (int i = 0; i < 4; i++) {
        struct trace_connection *unused = builder_go_connection(builder);
        unused->requests = unused->write_bytes = unused->request_ns = unused->pending_ns = 0;
    }
    builder_go_connection(builder); /* asked, no answer yet */
    judge();
    expect_nothing();
    ck_assert_uint_eq(report->totals.connections.live, 5);
}
END_TEST

START_TEST(read_but_not_closed_speaks_go) {
    builder->header->go_state = TRACE_GO_FOLLOWED;
    struct trace_site *site = builder_site_at(builder, builder->site);
    site->bodies_drained = site->drained_unclosed = site->exchanges = 6;
    judge();
    expect("drained-unclosed", SEVERITY_WARNING, 6);
    ck_assert_ptr_nonnull(strstr(report->findings[0]->advice, "resp.Body.Close"));
}
END_TEST

START_TEST(a_program_that_is_not_followed_is_named) {
    builder->header->go_state = TRACE_GO_BLIND;
    strcpy(builder->header->go_version, "go1.99");
    strcpy(builder->header->go_reason, "a version from the future");
    judge();
    expect("blind", SEVERITY_NOTE, 1);
    ck_assert_int_eq(report->verdict, VERDICT_NO_LEAK_SEEN);
    ck_assert_str_eq(report->findings[0]->detail, "go1.99: a version from the future");
    ck_assert_uint_eq(report->processes[0].blind_count, 1);
    ck_assert_str_eq(report->processes[0].runtimes[1], "go1.99");
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        the_first_of_the_four_ways,
        how_a_leak_grew,
        goroutines_of_an_idle_connection_are_not_stranded,
        each_call_site_has_its_own_goroutines,
        a_peer_that_closed_does_not_hide_the_root,
        goroutines_whose_connection_is_gone,
        a_goroutine_inside_read_waits_for_it,
        a_running_program_gets_the_grace,
        reading_at_the_very_end,
        who_ends_the_program_does_not_read_on,
        asked_for_the_next_in_the_same_tick,
        many_streams_on_one_connection,
        an_http2_connection_between_streams_is_idle,
        pooled_and_waiting_connections_are_no_findings,
        read_but_not_closed_speaks_go,
        a_program_that_is_not_followed_is_named,
        NULL,
    };
    return rules_fixture_run("rules-go", tests);
}
