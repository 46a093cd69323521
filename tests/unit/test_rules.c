/* Counters, blindness, history, and how objects become findings. */
#include <string.h>

#include "tests/unit/rules_fixture.h"

/* ---- counters, blindness, history ---- */

START_TEST(what_ended_is_told_by_call_sites) {
    struct trace_site *site = builder_site_at(builder, builder->site);
    *site = (struct trace_site){.host = site->host,
                                .stack = site->stack,
                                .connections_closed = 4,
                                .exchanges = 9,
                                .exchanges_reused = 5,
                                .bodies_drained = 4,
                                .bodies_discarded = 3,
                                .bodies_failed = 2,
                                .drained_unclosed = 1,
                                .workers_exited = 6};
    judge();
    expect("discarded-body", SEVERITY_NOTE, 3);
    expect("drained-unclosed", SEVERITY_WARNING, 1);
    const struct report_totals *totals = &report->totals;
    ck_assert_uint_eq(totals->connections.opened, 4);
    ck_assert_uint_eq(totals->connections.closed, 4);
    ck_assert_uint_eq(totals->connections.reused, 5);
    ck_assert_uint_eq(totals->bodies.opened, 9);
    ck_assert_uint_eq(totals->bodies.drained, 4);
    ck_assert_uint_eq(totals->bodies.discarded, 3);
    ck_assert_uint_eq(totals->bodies.failed, 2);
    ck_assert_uint_eq(totals->bodies.drained_unclosed, 1);
    ck_assert_uint_eq(totals->workers.started, 6);
    ck_assert_uint_eq(report->host_count, 1);
    ck_assert_str_eq(report->hosts[0].host, "api.example");
    ck_assert_uint_eq(report->connections_followed, 9);
}
END_TEST

START_TEST(opaque_tls_is_http_by_alpn_or_its_port) {
    struct trace_connection *connection = silent();
    connection->flags = TRACE_CONNECTION_TLS | TRACE_CONNECTION_TLS_DATA;
    connection->read_bytes = connection->write_bytes = 5000;
    judge();
    expect("blind", SEVERITY_NOTE, 1);
    ck_assert_int_eq(report->verdict, VERDICT_NO_LEAK_SEEN);
    ck_assert_uint_eq(report->totals.connections.live, 1);
    ck_assert_uint_eq(report->processes[0].blind_count, 1);
    connection->host = builder_host(builder, "db.example", 5432, TRACE_SCHEME_UNKNOWN);
    connection->peer = builder_string(builder, "192.0.2.1:5432");
    judge();
    expect("blind", SEVERITY_NOTE, 1);
    ck_assert_int_eq(report->verdict, VERDICT_NO_LEAK_SEEN);
    ck_assert_uint_eq(report->totals.connections.live, 0);
    connection->flags |= TRACE_CONNECTION_ALPN_HTTP;
    judge();
    expect("blind", SEVERITY_NOTE, 1);
    ck_assert_uint_eq(report->totals.connections.live, 1);
}
END_TEST

START_TEST(opaque_tls_that_ended_is_blind_too) {
    struct trace_site *site = builder_site_at(builder, builder->site);
    site->connections_closed = 4;
    site->connections_opaque = 3;
    judge();
    expect("blind", SEVERITY_NOTE, 3);
    ck_assert_uint_eq(report->totals.connections.closed, 4);
    site->connections_opaque = 0;
    builder->header->connections_foreign = builder->header->connections_opaque = 2;
    judge();
    expect("blind", SEVERITY_NOTE, 2);
    ck_assert_int_eq(report->verdict, VERDICT_NO_LEAK_SEEN);
}
END_TEST

START_TEST(opaque_tls_whose_peer_has_gone_is_inferred) {
    struct trace_connection *connection = silent();
    connection->flags = TRACE_CONNECTION_TLS | TRACE_CONNECTION_TLS_DATA;
    connection->read_bytes = connection->write_bytes = 5000;
    connection->eof_ns = connection->opened_ns + 1;
    judge();
    const struct report_finding *found = finding("peer-closed");
    ck_assert_ptr_nonnull(found);
    ck_assert_int_eq(found->severity, SEVERITY_ERROR);
    ck_assert_int_eq(found->confidence, CONFIDENCE_INFERRED);
    ck_assert_ptr_nonnull(finding("blind"));
}
END_TEST

START_TEST(lost_records_and_unseen_programs_are_blind) {
    builder->header->lost[TRACE_LOST_STACKS] = 3;
    judge();
    expect("blind", SEVERITY_NOTE, 3);
    ck_assert_uint_eq(report->processes[0].lost_records, 3);
    ck_assert_uint_eq(report->processes[0].blind_count, 1);
    builder->header->lost[TRACE_LOST_STACKS] = 0;
    judge();
    expect_nothing();
    report_free(report);
    model_add_blind(model, "static executable");
    report = rules_evaluate(model, NULL, NULL);
    expect("blind", SEVERITY_NOTE, 1);
    ck_assert_str_eq(report->findings[0]->message, "not seen: static executable");
    ck_assert_int_eq(report->verdict, VERDICT_NO_LEAK_SEEN);
}
END_TEST

START_TEST(an_ended_connection_that_could_not_be_followed_is_blind) {
    builder_event(builder, (struct trace_event){.type = TRACE_EVENT_CONNECTION_HOST,
                                                .connection = 5,
                                                .a = builder->host});
    builder_event(builder, (struct trace_event){.type = TRACE_EVENT_CONNECTION_BLIND,
                                                .connection = 5,
                                                .arg = TRACE_BLIND_FRAMING});
    judge();
    expect("blind", SEVERITY_NOTE, 1);
    ck_assert_str_eq(finding("blind")->host, "api.example");
}
END_TEST

START_TEST(findings_that_went_away_are_counted) {
    uint64_t stalls[] = {0, 4000000000u, 6000000000u, 9000000000u};
    for (size_t i = 0; i < 4; i++)
        builder_event(builder, (struct trace_event){.type = i % 2 ? TRACE_EVENT_BODY_DRAINED
                                                                  : TRACE_EVENT_BODY_DISCARDED,
                                                    .object = i + 1,
                                                    .b = stalls[i]});
    judge();
    ck_assert_uint_eq(report->retracted, 2);
    ck_assert(report->retracted_longest_s > 8.99 && report->retracted_longest_s < 9.01);
}
END_TEST

/* ---- grouping ---- */

START_TEST(one_finding_a_caller_and_host) {
    uint32_t other_host = builder_host(builder, "b.example", 80, TRACE_SCHEME_HTTP);
    uint32_t same_caller = builder_stack(builder, 0x100, 3),
             other_caller = builder_stack(builder, 0x500, 3);
    struct trace_body *body;
    builder_body(builder, builder_connection(builder));
    body = builder_body(builder, builder_connection(builder));
    body->request_stack = same_caller; /* another id, the same frames */
    body->bytes_read = 77;
    body->opened_ns = builder_time(10.5);
    builder_body(builder, builder_connection(builder))->request_stack = other_caller;
    builder_body(builder, builder_connection(builder))->site =
        builder_site(builder, other_host, builder_site_at(builder, builder->site)->stack);
    judge();
    ck_assert_uint_eq(report->finding_count, 3);
    ck_assert_uint_eq(report->findings[0]->count, 2);
    ck_assert_uint_eq(report->findings[0]->bytes_read, 77); /* the oldest one's */
    ck_assert_uint_eq(report->host_count, 2);
    /* without function names the fingerprint has modules alone: not host, not port, not offset */
    ck_assert_str_eq(report->findings[0]->fingerprint, report->findings[1]->fingerprint);
    ck_assert_str_eq(report->findings[0]->fingerprint, report->findings[2]->fingerprint);

    report_free(report);
    struct rules_options options = {.grace_s = 5, .host_glob = "b.*"};
    report = rules_evaluate(model, NULL, &options);
    ck_assert_uint_eq(report->finding_count, 1);
    ck_assert_uint_eq(report->host_count, 1);
    ck_assert_str_eq(report->hosts[0].host, "b.example");
    report_free(report);
    options =
        (struct rules_options){.grace_s = 5, .host_glob = "api.example:443", .full_stacks = true};
    report = rules_evaluate(model, NULL, &options);
    ck_assert_uint_eq(report->finding_count, 2);
    ck_assert_uint_eq(report->findings[0]->request.count, 3);
}
END_TEST

START_TEST(processes_are_merged) {
    struct builder *second = builder_new();
    struct trace_error error;
    second->header->pid++;
    second->header->started_ns += 1000;
    builder_body(builder, builder_connection(builder));
    builder_body(second, builder_connection(second));
    judge();
    report_free(report);
    struct trace_file *more = trace_file_open(builder_write(second), &error);
    ck_assert_int_eq(model_add_trace(model, more, NULL, &error), 0);
    report = rules_evaluate(model, NULL, NULL);
    expect("unclosed-body", SEVERITY_ERROR, 2);
    ck_assert_uint_eq(report->host_count, 1);
    ck_assert_uint_eq(report->process_count, 2);
    ck_assert_uint_ne(report->findings[0]->objects[0].pid, report->findings[0]->objects[1].pid);
    report_free(report);
    report = NULL;
    model_free(model);
    model = NULL;
    trace_file_close(more);
    builder_free(second);
}
END_TEST

START_TEST(thousands_of_objects_stay_one_finding_with_the_oldest_twenty) {
    for (int i = 0; i < 100; i++)
        builder_body(builder, builder_connection(builder))->opened_ns =
            builder_time(11 + (i * 37 % 100) * 0.1);
    judge();
    expect("unclosed-body", SEVERITY_ERROR, 100);
    const struct report_finding *found = finding("unclosed-body");
    ck_assert_uint_eq(found->object_count, REPORT_OBJECTS_MAX);
    for (size_t i = 0; i < found->object_count; i++)
        ck_assert(found->objects[i].age_s > 89 - (double)i * 0.1 - 0.01 &&
                  found->objects[i].age_s < 89 - (double)i * 0.1 + 0.01);
}
END_TEST

START_TEST(every_rule_explains_itself) {
    for (size_t i = 0; rules_table[i]; i++) {
        const struct rule *rule = rules_table[i];
        ck_assert_ptr_eq(rules_find(rule->id), rule);
        ck_assert(rule->message && rule->advice && rule->meaning && rule->mistake && rule->mend &&
                  rule->evaluate);
        ck_assert_uint_ne(rule->severity, SEVERITY_NEVER);
    }
    ck_assert_ptr_null(rules_find("no-such-rule"));
    enum report_severity severity;
    ck_assert(rules_severity_parse("warning", &severity));
    ck_assert_int_eq(severity, SEVERITY_WARNING);
    ck_assert(!rules_severity_parse("fatal", &severity));
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        what_ended_is_told_by_call_sites,
        opaque_tls_is_http_by_alpn_or_its_port,
        opaque_tls_that_ended_is_blind_too,
        opaque_tls_whose_peer_has_gone_is_inferred,
        lost_records_and_unseen_programs_are_blind,
        an_ended_connection_that_could_not_be_followed_is_blind,
        findings_that_went_away_are_counted,
        one_finding_a_caller_and_host,
        processes_are_merged,
        thousands_of_objects_stay_one_finding_with_the_oldest_twenty,
        every_rule_explains_itself,
        NULL,
    };
    return rules_fixture_run("rules", tests);
}
