/* The rule stranded-worker: who is a worker, what its role is, what strands it. */
#include <string.h>

#include "tests/unit/rules_fixture.h"

/* ---- stranded-worker ---- */

static void leak_with_pair(uint32_t tid) {
    struct trace_connection *connection = builder_connection(builder);
    builder_body(builder, connection);
    builder_worker(builder, connection, tid, true, false, TRACE_WAIT_COND)->created_stack =
        builder_stack(builder, 0x7000, 3);
    builder_worker(builder, connection, tid + 1, false, true, TRACE_WAIT_COND)->created_stack =
        builder_stack(builder, 0x8000, 3);
    connection->reader_tid = 1000; /* the caller reads the body itself */
}

START_TEST(the_first_of_the_four_cases) {
    for (uint32_t i = 0; i < 5; i++)
        leak_with_pair(2000 + 2 * i);
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 5);
    const struct report_finding *root = report->findings[0];
    ck_assert_str_eq(
        root->message,
        "5 response bodies from api.example:443 were never closed; 5 reader and 5 writer "
        "threads are stranded behind them");
    ck_assert_uint_eq(report->finding_count, 3);
    for (size_t i = 1; i < 3; i++) {
        ck_assert_str_eq(report->findings[i]->rule->id, "stranded-worker");
        ck_assert_ptr_eq(report->findings[i]->cause, root);
        ck_assert_uint_eq(report->findings[i]->count, 5);
        ck_assert_str_eq(report->findings[i]->objects[0].wait, "cond");
        ck_assert_uint_ne(report->findings[i]->objects[0].tid, 0);
        ck_assert_uint_eq(report->findings[i]->worker.count, 2);
    }
    ck_assert_str_ne(report->findings[1]->role, report->findings[2]->role);
    ck_assert_str_ne(report->findings[1]->fingerprint, report->findings[2]->fingerprint);
    const struct report_totals *totals = &report->totals;
    ck_assert_uint_eq(totals->connections.opened, 5);
    ck_assert_uint_eq(totals->workers.readers_live, 5);
    ck_assert_uint_eq(totals->workers.writers_live, 5);
    ck_assert_uint_eq(totals->workers.both_live, 0);
    ck_assert_uint_eq(totals->workers.readers_stranded, 5);
    ck_assert_uint_eq(totals->workers.writers_stranded, 5);
    ck_assert_uint_eq(root->behind[TRACE_ROLE_READER], 5);
}
END_TEST

/* An event loop reads all connections, and a pool's threads write the requests: they wait for the next one. */
START_TEST(a_pool_behind_an_event_loop_is_not_stranded) {
    struct trace_connection *connection = builder_connection(builder);
    builder_body(builder, connection);
    builder_worker(builder, connection, 2001, false, true, TRACE_WAIT_COND);
    struct trace_worker *loop =
        builder_worker(builder, connection, 3000, true, false, TRACE_WAIT_EPOLL);
    loop->connections_used = 2;
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 1);
    ck_assert_uint_eq(report->finding_count, 1);
    ck_assert_uint_eq(report->totals.workers.writers_live, 1);
    ck_assert_uint_eq(report->totals.workers.writers_stranded, 0);
    /* the other half of a pair is none of a pool, whoever else reads */
    builder_worker(builder, connection, 2000, true, false, TRACE_WAIT_COND);
    connection->reader_tid = 3000;
    judge();
    ck_assert_uint_eq(report->totals.workers.writers_stranded, 1);
    ck_assert_uint_eq(report->totals.workers.readers_stranded, 1);
}
END_TEST

START_TEST(workers_of_an_idle_connection_are_not_stranded) {
    struct trace_connection *connection = answered();
    builder_worker(builder, connection, 2000, true, false, TRACE_WAIT_COND);
    builder_worker(builder, connection, 2001, false, true, TRACE_WAIT_COND);
    judge();
    expect_nothing();
    ck_assert_uint_eq(report->totals.workers.readers_live, 1);
    ck_assert_uint_eq(report->totals.workers.writers_live, 1);
    ck_assert_uint_eq(report->totals.workers.readers_stranded, 0);
}
END_TEST

START_TEST(a_thread_that_does_both_is_stranded_only_while_blocked_on_it) {
    struct trace_connection *connection = builder_connection(builder);
    builder_body(builder, connection);
    struct trace_worker *worker =
        builder_worker(builder, connection, 2000, true, true, TRACE_WAIT_COND);
    judge();
    ck_assert_ptr_null(finding("stranded-worker"));
    ck_assert_uint_eq(report->totals.workers.both_live, 1);
    worker->wait = TRACE_WAIT_WRITE;
    worker->wait_connection = connection->id;
    judge();
    expect("stranded-worker", SEVERITY_ERROR, 1);
    ck_assert_uint_eq(report->totals.workers.both_stranded, 1);
    ck_assert_str_eq(finding("unclosed-body")->message,
                     "1 response body from api.example:443 was never closed; 1 "
                     "reader-and-writer thread is stranded behind it");
}
END_TEST

START_TEST(a_pair_whose_connection_is_gone) {
    struct trace_connection *connection = builder_connection(builder);
    struct trace_worker *reader =
        builder_worker(builder, connection, 2000, true, false, TRACE_WAIT_COND);
    struct trace_worker *writer =
        builder_worker(builder, connection, 2001, false, true, TRACE_WAIT_COND);
    connection->state = TRACE_CONNECTION_FREE;
    reader->wait_address = 0x1000, writer->wait_address = 0x2000;
    builder_site_at(builder, builder->site)->exchanges = 1;
    judge();
    ck_assert_uint_eq(report->finding_count, 2);
    ck_assert_int_eq(report->findings[0]->confidence, CONFIDENCE_INFERRED);
    /* a pool: a third thread waits at the same place for its next job */
    struct trace_worker *third = builder_worker(builder, NULL, 2002, true, true, TRACE_WAIT_COND);
    third->wait_address = 0x1000;
    judge();
    ck_assert_uint_eq(report->finding_count, 1);
    ck_assert_str_eq(report->findings[0]->role, "writer");
    writer->connections_used = 2;
    judge();
    expect_nothing();
}
END_TEST

START_TEST(the_main_thread_and_idle_threads_are_no_workers) {
    struct trace_connection *connection = answered();
    builder_worker(builder, connection, 2000, true, true, TRACE_WAIT_NONE)->flags =
        TRACE_WORKER_MAIN;
    builder_worker(builder, connection, 2001, false, false, TRACE_WAIT_POLL);
    judge();
    ck_assert_uint_eq(report->totals.workers.live, 0);
    ck_assert_uint_eq(report->totals.workers.started, 0);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        the_first_of_the_four_cases,
        a_pool_behind_an_event_loop_is_not_stranded,
        workers_of_an_idle_connection_are_not_stranded,
        a_thread_that_does_both_is_stranded_only_while_blocked_on_it,
        a_pair_whose_connection_is_gone,
        the_main_thread_and_idle_threads_are_no_workers,
        NULL,
    };
    return rules_fixture_run("rules-workers", tests);
}
