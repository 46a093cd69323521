/* HTTPLEAK_OPTIONS: what is taken, what is refused with one line, and what stays then. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record/options.h"
#include "tests/unit/suite.h"
#include "trace_place.h"

static unsigned lines_said(void) {
    unsigned n = 0;
    for (const char *s = trace_place_said(); *s; s++)
        n += *s == '\n';
    return n;
}

static void ck_defaults(void) {
    ck_assert_str_eq(options.trace, "httpleak.%e.%p.trace");
    ck_assert(!options.trace_named);
    ck_assert_uint_eq(options.stack_depth, 32);
    ck_assert_uint_eq(options.max_trace, 64u << 20);
    ck_assert_uint_eq(options.max_traces, 1000);
    ck_assert(options.summary && options.children && options.record_paths && options.active);
    ck_assert(!options.record_argv && !options.verbose);
}

START_TEST(defaults_without_a_word) {
    options_parse(NULL, "p");
    ck_defaults();
    options_parse("", "p");
    ck_defaults();
    options_parse("::", NULL);
    ck_defaults();
    ck_assert_uint_eq(lines_said(), 0);
}
END_TEST

START_TEST(every_key_is_taken) {
    options_parse("trace=/var/x/"
                  "%e-%p-%h-%t-%%:stack_depth=128:max_trace=3m:max_traces=7:summary=0:children=0:"
                  "record_paths=0:record_argv=1:verbose=1:only=a,p:skip=b",
                  "p");
    ck_assert_str_eq(options.trace, "/var/x/%e-%p-%h-%t-%%");
    ck_assert(options.trace_named);
    ck_assert_uint_eq(options.stack_depth, 128);
    ck_assert_uint_eq(options.max_trace, 3u << 20);
    ck_assert_uint_eq(options.max_traces, 7);
    ck_assert(!options.summary && !options.children && !options.record_paths);
    ck_assert(options.record_argv && options.verbose && options.active);
    ck_assert_uint_eq(lines_said(), 0);
    options_parse("", "p");
    ck_defaults();
}
END_TEST

static const struct {
    const char *text;
    uint64_t bytes;
} sizes[] = {{"65536", 65536}, {"64k", 65536},     {"64K", 65536},
             {"1M", 1u << 20}, {"2g", 2ull << 30}, {"16G", 16ull << 30}};

START_TEST(sizes_have_units) {
    char text[64];
    snprintf(text, sizeof text, "max_trace=%s", sizes[_i].text);
    options_parse(text, "p");
    ck_assert_uint_eq(options.max_trace, sizes[_i].bytes);
    ck_assert_uint_eq(lines_said(), 0);
}
END_TEST

static const struct {
    const char *text, *says;
} bad[] = {
    {"no_such_key=1", "unknown key \"no_such_key\""},
    {"stack_depth", "key=value expected, not \"stack_depth\""},
    {"=5", "unknown key \"\""},
    {"stack_depth=0", "\"stack_depth=0\" ignored: expected a number from 1 to 128"},
    {"stack_depth=129", "expected a number from 1 to 128"},
    {"stack_depth=32x", "expected a number from 1 to 128"},
    {"stack_depth=-1", "expected a number from 1 to 128"},
    {"stack_depth=", "expected a number from 1 to 128"},
    {"stack_depth=99999999999999999999999999", "expected a number from 1 to 128"},
    {"max_trace=63k", "expected a size from 64k to 16g"},
    {"max_trace=17g", "expected a size from 64k to 16g"},
    {"max_trace=18446744073709551615g", "expected a size from 64k to 16g"},
    {"max_trace=64kb", "expected a size from 64k to 16g"},
    {"max_traces=1k", "expected a number from 1 to 1000000"},
    {"summary=yes", "expected 0 or 1"},
    {"record_argv=2", "expected 0 or 1"},
    {"trace=", "expected the path of a file"},
    {"trace=/tmp/", "expected the path of a file"},
    {"trace=/tmp/%x", "expected a path with %e, %p, %h, %t or %% in it"},
    {"trace=/tmp/100%", "expected a path with %e, %p, %h, %t or %% in it"},
    {"only=", "expected names of programs"},
    {"trace=\x1b[31mred/", "\"trace=?[31mred/\""},
};

START_TEST(a_bad_value_is_one_line_and_the_default_stays) {
    options_parse(bad[_i].text, "p");
    ck_defaults();
    const char *said = trace_place_said();
    ck_assert_msg(strstr(said, bad[_i].says) != NULL, "'%s' does not say '%s'", said, bad[_i].says);
    ck_assert_uint_eq(lines_said(), 1);
    ck_assert(strncmp(said, "httpleak: HTTPLEAK_OPTIONS: ", 28) == 0);
    ck_assert_ptr_null(strchr(said, '\x1b'));
}
END_TEST

START_TEST(good_ones_count_beside_bad_ones) {
    options_parse("stack_depth=oops:max_traces=9:nonsense:verbose=1", "p");
    ck_assert_uint_eq(options.stack_depth, 32);
    ck_assert_uint_eq(options.max_traces, 9);
    ck_assert(options.verbose);
    ck_assert_uint_eq(lines_said(), 2);
}
END_TEST

START_TEST(quotes_keep_a_colon) {
    options_parse("trace='/a:b/%p':verbose=1", "p");
    ck_assert_str_eq(options.trace, "/a:b/%p");
    ck_assert(options.verbose);
    options_parse("trace=\"/a:b\"", "p");
    ck_assert_str_eq(options.trace, "/a:b");
    options_parse("trace='/open:verbose=1", "p");
    ck_assert_str_eq(options.trace, "'/open");
    ck_assert(options.verbose);
    ck_assert_uint_eq(lines_said(), 0);
}
END_TEST

START_TEST(a_path_of_any_length_is_safe) {
    static char text[3000];
    memset(text, 'x', sizeof text - 1);
    memcpy(text, "trace=", 6);
    options_parse(text, "p");
    ck_defaults();
    ck_assert_uint_eq(lines_said(), 1);
    text[6 + OPTIONS_PATH_MAX - 1] = 0;
    options_parse(text, "p");
    ck_assert_uint_eq(strlen(options.trace), OPTIONS_PATH_MAX - 1);
}
END_TEST

static const struct {
    const char *text;
    bool active;
} programs[] = {
    {"only=curl", true},      {"only=wget,curl", true}, {"only=curl,wget", true},
    {"only=cur", false},      {"only=curly,x", false},  {"only=x:only=curl", true},
    {"skip=curl", false},     {"skip=wget", true},      {"only=curl:skip=curl", false},
    {"skip=a,b,curl", false}, {"skip=a,,b", true},      {"only=,curl", true},
};

START_TEST(programs_are_chosen_by_name) {
    options_parse(programs[_i].text, "curl");
    ck_assert_int_eq(options.active, programs[_i].active);
    ck_assert_uint_eq(lines_said(), 0);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

int main(void) {
    Suite *suite = suite_create("recorder options");
    TCase *tests = tcase_create("options");
    tcase_add_checked_fixture(tests, trace_place_enter, trace_place_leave);
    tcase_add_test(tests, defaults_without_a_word);
    tcase_add_test(tests, every_key_is_taken);
    tcase_add_loop_test(tests, sizes_have_units, 0, COUNT(sizes));
    tcase_add_loop_test(tests, a_bad_value_is_one_line_and_the_default_stays, 0, COUNT(bad));
    tcase_add_test(tests, good_ones_count_beside_bad_ones);
    tcase_add_test(tests, quotes_keep_a_colon);
    tcase_add_test(tests, a_path_of_any_length_is_safe);
    tcase_add_loop_test(tests, programs_are_chosen_by_name, 0, COUNT(programs));
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
