/* The rule handle-leak: which client handles outlive their use, and which are kept on purpose. */
#include <stdio.h>

#include "tests/unit/rules_fixture.h"

static struct trace_handle *easy(double created, double used) {
    return builder_handle(builder, TRACE_HANDLE_CURL_EASY, created, used);
}

START_TEST(one_handle_for_each_request) {
    for (int i = 0; i < 5; i++)
        easy(10 + 2 * i, 11 + 2 * i);
    judge();
    expect("handle-leak", SEVERITY_ERROR, 5);
    ck_assert_str_eq(finding("handle-leak")->message,
                     "5 libcurl easy handles for api.example:443 were made and never cleaned up");
    ck_assert_uint_eq(finding("handle-leak")->request.count, 2);
    ck_assert_uint_eq(finding("handle-leak")->object_count, 5);
}
END_TEST

START_TEST(while_it_runs_the_grace_counts) {
    builder_running(builder);
    for (int i = 0; i < 5; i++)
        easy(10 + 2 * i, 11 + 2 * i);
    judge_at(20);
    expect("handle-leak", SEVERITY_ERROR, 3); /* idle since 11, 13 and 15 s */
    judge_at(40);
    expect("handle-leak", SEVERITY_ERROR, 5);
}
END_TEST

START_TEST(one_kept_to_the_end_is_a_note) {
    struct trace_handle *handle = easy(10, 90);
    judge();
    expect("handle-leak", SEVERITY_NOTE, 1);
    handle->busy = 1; /* another thread is at work with it as the process ends */
    judge();
    expect_nothing();
}
END_TEST

START_TEST(a_pool_made_ahead) {
    for (int i = 0; i < 4; i++)
        easy(10, 50 + i)->uses = 7;
    easy(10, 10)->uses = 0;
    judge();
    expect("handle-leak", SEVERITY_NOTE, 5);
}
END_TEST

START_TEST(a_cache_that_is_used_again) {
    builder_running(builder);
    for (int i = 0; i < 4; i++)
        easy(10 + i, 50 + i)->uses = 7;
    easy(80, 81);
    judge();
    expect_nothing();
}
END_TEST

START_TEST(one_for_each_host) {
    builder_running(builder);
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "h%d.example", i);
        easy(10 + 2 * i, 11 + 2 * i)->host = builder_host(builder, name, 443, TRACE_SCHEME_HTTPS);
    }
    judge();
    expect_nothing();
}
END_TEST

START_TEST(one_for_each_thread) {
    builder_running(builder);
    for (uint32_t i = 0; i < 4; i++) {
        struct trace_handle *handle = easy(10 + i, 11 + i);
        handle->creator_tid = handle->user_tid = 2000 + i;
        builder_worker(builder, NULL, 2000 + i, true, true, TRACE_WAIT_COND);
    }
    judge();
    expect_nothing();
    /* three of the threads have ended, and left theirs behind */
    struct trace_worker *workers = builder_region(builder, TRACE_REGION_WORKER);
    for (int i = 0; i < 3; i++)
        workers[i].state = TRACE_WORKER_FREE;
    judge();
    expect("handle-leak", SEVERITY_ERROR, 3);
}
END_TEST

/* Ruby's SSL objects go with the garbage. */
START_TEST(what_a_collector_will_clean_up) {
    builder->libc = builder_module(builder, "/usr/lib/libruby-3.1.so.3.1", 0);
    builder->site = builder_site(builder, builder->host, builder_stack(builder, 0x9000, 3));
    for (int i = 0; i < 5; i++)
        easy(10 + 2 * i, 11 + 2 * i);
    judge();
    expect_nothing();
}
END_TEST

START_TEST(what_is_unsure_is_no_evidence) {
    for (int i = 0; i < 5; i++)
        easy(10 + 2 * i, 11 + 2 * i);
    builder->header->features = TRACE_FEATURE_HANDLES_UNSURE;
    judge();
    expect_nothing();
}
END_TEST

START_TEST(shares_are_judged_by_what_lies_between) {
    for (int i = 0; i < 4; i++) {
        struct trace_handle *share =
            builder_handle(builder, TRACE_HANDLE_CURL_SHARE, 10 + i, 10 + i);
        share->uses = share->host = 0;
        share->connection = 0;
    }
    builder_event(builder,
                  (struct trace_event){.type = TRACE_EVENT_REQUEST, .time_ns = builder_time(20)});
    judge();
    expect("handle-leak", SEVERITY_NOTE, 4); /* made ahead */
    for (int i = 0; i < 4; i++)
        builder_event(builder, (struct trace_event){.type = TRACE_EVENT_REQUEST,
                                                    .time_ns = builder_time(10.5 + i)});
    judge();
    expect("handle-leak", SEVERITY_NOTE, 4); /* the journal is in the order of time */
    struct trace_event *events = builder_region(builder, TRACE_REGION_JOURNAL);
    events[0].seq = 0; /* overwritten */
    judge();
    expect("handle-leak", SEVERITY_ERROR, 4);
}
END_TEST

START_TEST(ssl_objects_of_closed_connections) {
    for (int i = 0; i < 3; i++)
        builder_handle(builder, TRACE_HANDLE_SSL, 10 + 2 * i, 10 + 2 * i)->since_ns =
            builder_time(11 + 2 * i);
    judge();
    expect("handle-leak", SEVERITY_ERROR, 3);
    ck_assert_str_eq(finding("handle-leak")->message,
                     "3 SSL objects outlive their closed connections to api.example:443: nobody "
                     "frees them");
    /* their connections live */
    struct trace_handle *handles = builder_region(builder, TRACE_REGION_HANDLE);
    for (int i = 0; i < 3; i++)
        handles[i].since_ns = 0;
    judge();
    expect_nothing();
}
END_TEST

START_TEST(a_transfer_paused_for_ever) {
    builder_running(builder);
    struct trace_handle *multi = builder_handle(builder, TRACE_HANDLE_CURL_MULTI, 10, 99.9);
    struct trace_handle *handle = easy(10, 11);
    handle->parent = multi->id;
    multi->members = 1;
    handle->flags = TRACE_HANDLE_PAUSED;
    handle->since_ns = builder_time(12);
    judge_at(50);
    expect_nothing();
    judge_at(70);
    expect("handle-leak", SEVERITY_WARNING, 1);
    ck_assert_str_eq(
        finding("handle-leak")->message,
        "1 transfer from api.example:443 was paused (curl_easy_pause) and never resumed");
    handle->parent = 0; /* taken out: nothing is transferred any more */
    judge_at(70);
    expect_nothing();
}
END_TEST

START_TEST(a_multi_left_with_transfers_in_it) {
    struct trace_connection *connection = builder_connection(builder);
    builder_body(builder, connection);
    struct trace_handle *multi = builder_handle(builder, TRACE_HANDLE_CURL_MULTI, 9, 12);
    multi->members = 2;
    multi->connection = connection->id;
    builder_running(builder);
    judge_at(60);
    expect("unclosed-body", SEVERITY_ERROR, 1);
    expect("handle-leak", SEVERITY_ERROR, 1);
    ck_assert_ptr_eq(finding("handle-leak")->cause, finding("unclosed-body"));
    /* driven a moment ago */
    multi->used_ns = builder_time(58);
    judge_at(60);
    ck_assert_ptr_null(finding("handle-leak"));
}
END_TEST

START_TEST(a_multi_in_an_event_loop_waits) {
    struct trace_handle *multi = builder_handle(builder, TRACE_HANDLE_CURL_MULTI, 9, 12);
    multi->members = 2;
    builder_running(builder);
    judge_at(60);
    expect_nothing();
    builder->header->end = TRACE_END_EXIT;
    builder->header->ended_ns = builder_time(100);
    judge();
    expect("handle-leak", SEVERITY_ERROR, 1);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        one_handle_for_each_request,
        while_it_runs_the_grace_counts,
        one_kept_to_the_end_is_a_note,
        a_pool_made_ahead,
        a_cache_that_is_used_again,
        one_for_each_host,
        one_for_each_thread,
        what_a_collector_will_clean_up,
        what_is_unsure_is_no_evidence,
        shares_are_judged_by_what_lies_between,
        ssl_objects_of_closed_connections,
        a_transfer_paused_for_ever,
        a_multi_left_with_transfers_in_it,
        a_multi_in_an_event_loop_waits,
        NULL,
    };
    return rules_fixture_run("rules-handles", tests);
}
