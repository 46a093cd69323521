/* What the tests of the rules share. */
#include "tests/unit/rules_fixture.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct builder *builder;
struct model *model;
static struct trace_file *file;
struct report *report;

static void setup(void) {
    builder = builder_new();
}

static void forget(void) {
    report_free(report);
    model_free(model);
    trace_file_close(file);
    report = NULL, model = NULL, file = NULL;
}

static void teardown(void) {
    forget();
    builder_free(builder);
}

/* Judged `seconds` after the start, if it runs. */
const struct report *judge_at(double seconds) {
    struct model_options options = {.no_refresh = true, .now_ns = builder_time(seconds)};
    struct trace_error error;
    forget();
    file = trace_file_open(builder_write(builder), &error);
    ck_assert_msg(file != NULL, "%s", error.text);
    model = model_new(&options);
    ck_assert_msg(model_add_trace(model, file, NULL, &error) == 0, "%s", error.text);
    report = rules_evaluate(model, NULL, NULL);
    return report;
}

const struct report *judge(void) {
    return judge_at(100);
}

/* The only finding of a rule, NULL if it has none. */
const struct report_finding *finding(const char *rule) {
    const struct report_finding *found = NULL;
    for (size_t i = 0; i < report->finding_count; i++) {
        if (strcmp(report->findings[i]->rule->id, rule) != 0) continue;
        ck_assert_msg(found == NULL, "two findings of %s", rule);
        found = report->findings[i];
    }
    return found;
}

void expect(const char *rule, enum report_severity severity, uint64_t count) {
    const struct report_finding *found = finding(rule);
    ck_assert_msg(found != NULL, "no %s", rule);
    ck_assert_int_eq(found->severity, severity);
    ck_assert_uint_eq(found->count, count);
}

void expect_nothing(void) {
    ck_assert_msg(report->finding_count == 0, "%s: %s", report->findings[0]->rule->id,
                  report->findings[0]->message);
}

struct trace_connection *answered(void) {
    struct trace_connection *connection = builder_connection(builder);
    connection->responses = 1;
    connection->idle_since_ns = builder_time(11);
    connection->pending_ns = 0;
    return connection;
}

struct trace_connection *silent(void) {
    struct trace_connection *connection = builder_connection(builder);
    connection->protocol = TRACE_PROTOCOL_UNKNOWN;
    connection->flags = 0;
    connection->requests = connection->read_bytes = connection->write_bytes = 0;
    connection->read_attempt_ns = connection->read_progress_ns = connection->pending_ns = 0;
    return connection;
}

int rules_fixture_run(const char *suite, const TTest *const *tests) {
    Suite *all = suite_create(suite);
    TCase *cases = tcase_create(suite);
    suite_add_tcase(all, cases);
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, setup, teardown);
    for (size_t i = 0; tests[i]; i++)
        tcase_add_test(cases, tests[i]);
    return suite_run(all);
}
