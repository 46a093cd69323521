/*
 * The table of verbs and options: parsing, messages, and that help, manual page and completion tell
 * the same.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/verb.h"
#include "rules/rules.h"
#include "tests/unit/suite.h"

/*
 * Parses a command line given as one string, words separated by spaces; the verb is its first word.
 */
static struct {
    char line[512];
    char *argv[32];
    int argc, first;
    struct verb_options options;
    char error[512];
} parsed;

static void parse(const char *line) {
    memset(&parsed, 0, sizeof parsed);
    snprintf(parsed.line, sizeof parsed.line, "%s", line);
    char *rest = NULL;
    for (char *word = strtok_r(parsed.line, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        parsed.argv[parsed.argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
    const struct verb *verb = verb_find(parsed.argv[0]);
    ck_assert_ptr_nonnull(verb);
    parsed.first = verb_parse(verb, parsed.argc, parsed.argv, &parsed.options, parsed.error,
                              sizeof parsed.error);
}

START_TEST(defaults) {
    parse("report");
    ck_assert_int_eq(parsed.first, 1);
    ck_assert(parsed.options.grace_s == 5);
    ck_assert_int_eq(parsed.options.fail_on, SEVERITY_ERROR);
    ck_assert_uint_eq(parsed.options.limit, 0);
    ck_assert_ptr_null(parsed.options.json);
    ck_assert(!parsed.options.quiet && !parsed.options.require_seen && !parsed.options.debuginfod);
}
END_TEST

START_TEST(every_option) {
    parse("report --json out.json --quiet --fail-on=warning --grace 0.25 --host *.example --limit "
          "7 --source-root /src "
          "--full-stacks --debuginfod --require-seen --verbose a b");
    ck_assert_int_eq(parsed.argc - parsed.first, 2);
    ck_assert_str_eq(parsed.argv[parsed.first], "a");
    ck_assert_str_eq(parsed.options.json, "out.json");
    ck_assert_int_eq(parsed.options.fail_on, SEVERITY_WARNING);
    ck_assert(parsed.options.grace_s == 0.25);
    ck_assert_str_eq(parsed.options.host, "*.example");
    ck_assert_uint_eq(parsed.options.limit, 7);
    ck_assert_str_eq(parsed.options.source_root, "/src");
    ck_assert(parsed.options.quiet && parsed.options.full_stacks && parsed.options.debuginfod);
    ck_assert(parsed.options.require_seen && parsed.options.verbose && !parsed.options.help);
    parse("report --fail-on note");
    ck_assert_int_eq(parsed.options.fail_on, SEVERITY_NOTE);
    parse("report --fail-on never");
    ck_assert_int_eq(parsed.options.fail_on, SEVERITY_NEVER);
    parse("report -qv --json=-");
    ck_assert(parsed.options.quiet && parsed.options.verbose);
    ck_assert_str_eq(parsed.options.json, "-");
    parse("dump --check t");
    ck_assert(parsed.options.check);
}
END_TEST

START_TEST(operands_and_options_mix_in_report) {
    parse("report a --quiet b");
    ck_assert(parsed.options.quiet);
    ck_assert_int_eq(parsed.argc - parsed.first, 2);
    parse("report -- --quiet");
    ck_assert(!parsed.options.quiet);
    ck_assert_str_eq(parsed.argv[parsed.first], "--quiet");
}
END_TEST

START_TEST(what_follows_a_command_is_its_own) {
    parse("run -o dir curl --json -o x");
    ck_assert_str_eq(parsed.options.output, "dir");
    ck_assert_ptr_null(parsed.options.json);
    ck_assert_str_eq(parsed.argv[parsed.first], "curl");
    ck_assert_int_eq(parsed.argc - parsed.first, 4);
    parse("run --quiet -- --strange");
    ck_assert_str_eq(parsed.argv[parsed.first], "--strange");
}
END_TEST

static const struct {
    const char *line, *message; /* what the line on standard error must hold */
} wrong[] = {
    {"report --foo", "'--foo'"},
    {"report -x", "'-x'"},
    {"report -qx", "'-x'"},
    {"report --check", "'--check'"}, /* of another verb */
    {"report -o dir", "'-o'"},
    {"report --json", "needs a value"},
    {"report --json ''", "a file name"},
    {"report --quiet=1", "takes no value"},
    {"report --grace abc", "'abc'"},
    {"report --grace -1", "'-1'"},
    {"report --grace 1s", "seconds"},
    {"report --grace nan", "seconds"},
    {"report --grace inf", "seconds"},
    {"report --grace 1e400", "seconds"},
    {"report --grace ''", "seconds"},
    {"report --limit 0", "above 0"},
    {"report --limit -3", "'-3'"},
    {"report --limit 99999999999999999999999", "above 0"},
    {"report --limit 3x", "'3x'"},
    {"report --fail-on fatal", "error, warning, note or never"},
    {"report --host ''", "host"},
    {"run --foo -- true", "'--foo'"},
    {"dump --json x", "'--json'"},
    {"explain --quiet", "'--quiet'"},
};

START_TEST(wrong_usage) {
    parse(wrong[_i].line);
    ck_assert_int_eq(parsed.first, -1);
    ck_assert_msg(strstr(parsed.error, wrong[_i].message), "%s: %s", wrong[_i].line, parsed.error);
    ck_assert_ptr_null(strchr(parsed.error, '\n'));
}
END_TEST

START_TEST(exit_statuses_of_wrong_usage) {
    for (const struct verb *v = verb_table; v->name; v++)
        ck_assert_int_eq(v->usage_status, strcmp(v->name, "run") == 0 ? 125 : 2);
    ck_assert_ptr_null(verb_find("nothing"));
    ck_assert_ptr_null(verb_find(""));
}
END_TEST

static char *printed(void (*print)(FILE *)) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    print(out);
    fclose(out);
    return text;
}

static const struct verb *printed_verb;
static void print_verb(FILE *out) {
    help_verb(printed_verb, out);
}

START_TEST(help_tells_every_verb_and_option) {
    char *overview = printed(help_overview), *manual = printed(help_manual),
         *completion = printed(help_completion_bash);
    for (const struct verb *v = verb_table; v->name; v++) {
        char line[64];
        printed_verb = v;
        char *help = printed(print_verb);
        snprintf(line, sizeof line, "httpleak %s ", v->name);
        ck_assert_ptr_nonnull(strstr(overview, line));
        ck_assert_ptr_nonnull(strstr(help, line));
        snprintf(line, sizeof line, ".SS %s\n", v->name);
        ck_assert_ptr_nonnull(strstr(manual, line));
        snprintf(line, sizeof line, "    %s) options=", v->name);
        const char *completed = strstr(completion, line);
        ck_assert_ptr_nonnull(completed);
        for (int id = 0; id < OPTION_COUNT; id++) {
            snprintf(line, sizeof line, "--%s", verb_option_table[id].name);
            const bool own = v->options & 1u << id;
            ck_assert_msg(!strstr(help, line) == !own, "%s %s", v->name, line);
            const char *found = strstr(completed, line), *end = strchr(completed, '\n');
            ck_assert_msg((found && found < end) == own, "%s %s", v->name, line);
        }
        for (const char *p = help; *p; p = strchr(p, '\n') + 1)
            ck_assert_uint_le(strcspn(p, "\n"), 100);
        free(help);
    }
    free(overview);
    free(manual);
    free(completion);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("options");
    TCase *tests = tcase_create("options");
    tcase_add_test(tests, defaults);
    tcase_add_test(tests, every_option);
    tcase_add_test(tests, operands_and_options_mix_in_report);
    tcase_add_test(tests, what_follows_a_command_is_its_own);
    tcase_add_loop_test(tests, wrong_usage, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(tests, exit_statuses_of_wrong_usage);
    tcase_add_test(tests, help_tells_every_verb_and_option);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
