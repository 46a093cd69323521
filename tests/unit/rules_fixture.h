/* What the tests of the rules share: a trace written by hand, judged, and what is expected of the report. */
#ifndef TESTS_UNIT_RULES_FIXTURE_H
#define TESTS_UNIT_RULES_FIXTURE_H

#include <check.h>

#include "rules/rules.h"
#include "tests/unit/trace_builder.h"

extern struct builder *builder;
extern struct model *model;
extern struct report *report;

/* Runs the tests of a suite (ends with NULL), each with a fresh builder, as TAP; the exit status of main. */
int rules_fixture_run(const char *suite, const TTest *const *tests);

/* Judges what the builder has; by now 100 s after the start, if it runs. */
const struct report *judge(void);
const struct report *judge_at(double seconds);
/* The only finding of a rule, NULL if it has none. */
const struct report_finding *finding(const char *rule);
void expect(const char *rule, enum report_severity severity, uint64_t count);
void expect_nothing(void);

/* A connection whose one exchange is complete, idle since 11 s. */
struct trace_connection *answered(void);
/* A connection on which nothing was ever sent or received. */
struct trace_connection *silent(void);

#endif
