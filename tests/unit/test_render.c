/* The outputs: the contract's field names, valid UTF-8, nothing of the network unescaped, lines no wider than asked. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "render/escape.h"
#include "render/paper.h"
#include "render/render.h"
#include "tests/unit/rules_fixture.h"

static char *text_of(const struct render_options *options) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    ck_assert_int_eq(render_text(report, out, options), 0);
    fclose(out);
    return text;
}

static json_t *json_of(void) {
    char *text = NULL;
    size_t size;
    json_error_t error;
    FILE *out = open_memstream(&text, &size);
    ck_assert_int_eq(render_json(report, out, "1.2.3"), 0);
    fclose(out);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(root != NULL, "%s", error.text);
    free(text);
    return root;
}

static void expect_words(const char *text, const char *const *words) {
    for (const char *at = text; *words; words++) {
        const char *found = strstr(at, *words);
        ck_assert_msg(found != NULL, "no '%s' (in this order) in:\n%s", *words, text);
        at = found;
    }
}

static void leak_five(void) {
    for (uint32_t i = 0; i < 5; i++) {
        struct trace_connection *connection = builder_connection(builder);
        builder_body(builder, connection);
        builder_worker(builder, connection, 2000 + 2 * i, true, false, TRACE_WAIT_COND);
        builder_worker(builder, connection, 2001 + 2 * i, false, true, TRACE_WAIT_COND);
        connection->reader_tid = 1000;
    }
    judge();
}

START_TEST(text_is_verdict_hosts_findings) {
    leak_five();
    char *text = text_of(&(struct render_options){.width = 100});
    expect_words(text,
                 (const char *const[]){"httpleak: leaks - 1 error",
                                       "api.example:443 (TLS)",
                                       "connections 5 (5 live)",
                                       "bodies 5 (5 unclosed)",
                                       "10 stranded",
                                       "5 response bodies from api.example:443 were never closed;",
                                       "5 reader and 5 writer",
                                       "[unclosed-body]",
                                       "asked for in",
                                       "client+0x100",
                                       "GET /items -> 200",
                                       "89 s old",
                                       "1,000 of 262,144 bytes",
                                       "fd 4 5 6 7 8",
                                       "wait in cond: tid 2000 2001",
                                       "mend",
                                       "so",
                                       "5 reader",
                                       "so",
                                       "5 writer",
                                       NULL});
    ck_assert_ptr_null(strchr(text, '\033'));
    free(text);
    text = text_of(&(struct render_options){.width = 100, .color = true});
    ck_assert_ptr_nonnull(strchr(text, '\033'));
    free(text);
}
END_TEST

START_TEST(text_of_a_clean_run) {
    answered();
    judge();
    char *text = text_of(&(struct render_options){.width = 100});
    expect_words(text, (const char *const[]){"httpleak: clean - nothing leaked", "1 idle", NULL});
    ck_assert_ptr_null(strstr(text, "mend"));
    free(text);
}
END_TEST

/* What is open, and no finding, is not passed over: nor that nobody saw the end. */
START_TEST(text_of_a_clean_kill) {
    for (int i = 0; i < 5; i++)
        builder_body(builder, builder_connection(builder));
    builder_killed(builder, 12);
    judge();
    char *text = text_of(&(struct render_options){.width = 100});
    expect_words(text, (const char *const[]){
                           "httpleak: clean - nothing leaked (5 bodies were open at the end)",
                           "last recorded moment", "5 unclosed", NULL});
    free(text);
}
END_TEST

START_TEST(text_of_an_empty_selection) {
    judge();
    char *text = text_of(&(struct render_options){.width = 100, .host_glob = "a*"});
    expect_words(text, (const char *const[]){
                           "no HTTP client connection was seen to a host that matches 'a*'", NULL});
    free(text);
}
END_TEST

START_TEST(text_says_what_was_not_seen) {
    builder->header->lost[TRACE_LOST_EVENTS] = 2;
    judge();
    char *text = text_of(&(struct render_options){.width = 100});
    expect_words(text,
                 (const char *const[]){"httpleak: no leak seen - but not everything could be seen",
                                       "not seen: 2", NULL});
    ck_assert_ptr_null(strstr(text, "clean"));
    free(text);
}
END_TEST

START_TEST(text_says_what_was_retracted) {
    builder_event(builder, (struct trace_event){.type = TRACE_EVENT_BODY_DRAINED,
                                                .b = UINT64_C(90000000000)});
    judge();
    char *text = text_of(&(struct render_options){.width = 100});
    expect_words(text, (const char *const[]){"retracted", "1 body", "90 s", NULL});
    free(text);
}
END_TEST

START_TEST(text_keeps_to_the_width) {
    leak_five();
    for (int width = 40; width < 160; width += 7) {
        char *text = text_of(&(struct render_options){.width = width});
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
            const char *last =
                strrchr(line, ' '); /* one long word may stick out, it has no place to break */
            ck_assert_msg(strlen(line) <= (size_t)width || !last || last - line < 26, "%d: %s",
                          width, line);
        }
        free(text);
    }
}
END_TEST

START_TEST(text_is_limited) {
    leak_five();
    uint32_t other = builder_stack(builder, 0x500, 2);
    builder_body(builder, builder_connection(builder))->request_stack = other;
    judge();
    char *text = text_of(&(struct render_options){.width = 100, .limit = 1});
    expect_words(text, (const char *const[]){"5 response bodies",
                                             "1 more finding is not shown (--limit 1)", NULL});
    ck_assert_ptr_null(strstr(text, "client+0x500"));
    free(text);
}
END_TEST

static void leak_to_a_hostile_host(void) {
    struct trace_connection *connection = builder_connection(builder);
    connection->request_path =
        builder_string(builder, "/\033]0;owned\007\n\xff\xc0\x80\xed\xa0\x80\xe2\x80\x8b<b>\"\\");
    connection->peer = builder_string(builder, "\x9b");
    uint32_t host = builder_host(builder, "evil\r\n\xf5.example", 80, TRACE_SCHEME_HTTP);
    connection->site = builder_site(builder, host, connection->connect_stack);
    connection->host = host;
    builder_body(builder, connection);
    judge();
}

START_TEST(no_control_byte_reaches_a_terminal) {
    leak_to_a_hostile_host();
    char *text = text_of(&(struct render_options){.width = 100, .verbose = true});
    for (const unsigned char *at = (unsigned char *)text; *at; at++)
        ck_assert_msg((*at >= 0x20 || *at == '\n') && *at < 0x7f, "byte %02x", *at);
    expect_words(text, (const char *const[]){"evil\\x0d\\x0a\\xf5.example:80",
                                             "/\\x1b]0;owned\\x07\\x0a\\xff\\xc0\\x80", NULL});
    free(text);
}
END_TEST

START_TEST(json_is_valid_whatever_comes) {
    leak_to_a_hostile_host();
    json_t *root = json_of(); /* parses: it is valid UTF-8 */
    const char *path = NULL, *host = NULL;
    ck_assert_int_eq(json_unpack(root, "{s:[{s:s, s:{s:s}}]}", "findings", "host", &host, "request",
                                 "path", &path),
                     0);
    ck_assert_str_eq(host, "evil\r\n\\xf5.example");
    ck_assert_msg(strncmp(path,
                          "/\033]0;owned\007\n\\xff\\xc0\\x80\\xed\\xa0\\x80\xe2\x80\x8b<b>\"\\",
                          40) == 0,
                  "%s", path);
    json_decref(root);
}
END_TEST

/* The keys of an object, in order, as one line. */
static void expect_keys(const json_t *object, const char *keys) {
    char found[1024] = "";
    size_t length = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) length +=
        (size_t)snprintf(found + length, sizeof found - length, "%s%s", length ? " " : "", key);
    ck_assert_str_eq(found, keys);
}

START_TEST(json_has_the_contracts_names) {
    leak_five();
    json_t *root = json_of();
    expect_keys(root, "schema tool verdict processes totals hosts findings suppressed retracted "
                      "retracted_longest_s");
    ck_assert_str_eq(json_string_value(json_object_get(root, "schema")), "httpleak-report/1");
    ck_assert_str_eq(json_string_value(json_object_get(root, "verdict")), "leaks");
    expect_keys(json_object_get(root, "tool"), "name version");
    const json_t *process = json_array_get(json_object_get(root, "processes"), 0);
    expect_keys(
        process,
        "pid ppid exe argv started ended end status runtimes blind lost_records history_from");
    ck_assert_str_eq(json_string_value(json_object_get(process, "started")),
                     "2023-11-14T22:13:20.000Z");
    ck_assert_str_eq(json_string_value(json_object_get(process, "ended")),
                     "2023-11-14T22:15:00.000Z");
    const json_t *totals = json_object_get(root, "totals");
    expect_keys(totals, "connections bodies workers");
    expect_keys(json_object_get(totals, "connections"), "opened closed live idle reused");
    expect_keys(json_object_get(totals, "bodies"),
                "opened drained discarded failed unclosed drained_unclosed");
    expect_keys(json_object_get(totals, "workers"),
                "started exited live readers_live writers_live both_live "
                "readers_stranded writers_stranded both_stranded");
    expect_keys(json_array_get(json_object_get(root, "hosts"), 0),
                "host port scheme peers connections bodies workers");
    const json_t *findings = json_object_get(root, "findings");
    ck_assert_uint_eq(json_array_size(findings), 3);
    const json_t *root_finding = json_array_get(findings, 0), *worker = json_array_get(findings, 1);
    expect_keys(
        root_finding,
        "rule severity confidence host port scheme count message advice fingerprint caused_by "
        "tags request oldest_age_s newest_age_s bytes_read bytes_expected stacks caller objects");
    expect_keys(
        worker,
        "rule severity confidence host port scheme count message advice fingerprint caused_by "
        "tags role request oldest_age_s newest_age_s bytes_read bytes_expected stacks caller "
        "objects");
    ck_assert_int_eq(json_is_null(json_object_get(root_finding, "caused_by")), 1);
    ck_assert_str_eq(json_string_value(json_object_get(worker, "caused_by")),
                     json_string_value(json_object_get(root_finding, "fingerprint")));
    const json_t *stacks = json_object_get(root_finding, "stacks");
    expect_keys(stacks, "request connect worker");
    expect_keys(json_array_get(json_object_get(stacks, "request"), 0),
                "module build_id offset function file line language");
    expect_keys(json_array_get(json_object_get(worker, "objects"), 0),
                "pid connection fd peer age_s tid wait");
    ck_assert_uint_eq(json_array_size(json_object_get(root_finding, "objects")), 5);
    json_decref(root);
}
END_TEST

START_TEST(escaping) {
    static const char right_to_left[] = {(char)0xe2, (char)0x80, (char)0xae, 0};
    static const char *const table[][3] = {
        {"plain", "plain", "plain"},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
         "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\x01\x7f", "\\x01\\x7f", "\x01\x7f"},
        {"\xc2\x9b", "\\xc2\\x9b", "\xc2\x9b"},                               /* C1: CSI */
        {"\xc2", "\\xc2", "\\xc2"},                                           /* cut off */
        {"\xe0\x80\xaf", "\\xe0\\x80\\xaf", "\\xe0\\x80\\xaf"},               /* overlong */
        {"\xed\xbf\xbf", "\\xed\\xbf\\xbf", "\\xed\\xbf\\xbf"},               /* surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\xf4\\x90\\x80\\x80"}, /* beyond U+10FFFF */
        {right_to_left, "\\xe2\\x80\\xae", right_to_left}, /* turns the direction of writing */
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char *terminal = escape_text(table[i][0], true), *plain = escape_text(table[i][0], false);
        ck_assert_str_eq(terminal, table[i][1]);
        ck_assert_str_eq(plain, table[i][2]);
        free(terminal);
        free(plain);
    }
}
END_TEST

START_TEST(numbers_and_ages) {
    ck_assert_str_eq(paper_number(0), "0");
    ck_assert_str_eq(paper_number(999), "999");
    ck_assert_str_eq(paper_number(1000), "1,000");
    ck_assert_str_eq(paper_number(UINT64_MAX), "18,446,744,073,709,551,615");
    ck_assert_str_eq(paper_age(0.04), "0.0 s");
    ck_assert_str_eq(paper_age(9.94), "9.9 s");
    ck_assert_str_eq(paper_age(9.96), "10 s");
    ck_assert_str_eq(paper_age(125), "2 min 5 s");
    ck_assert_str_eq(paper_age(7260), "2 h 1 min");
    ck_assert_str_eq(paper_age(180000), "2 d 2 h");
}
END_TEST

START_TEST(colour_and_width_follow_the_environment) {
    unsetenv("NO_COLOR");
    setenv("TERM", "xterm", 1);
    FILE *out = tmpfile();
    ck_assert(!render_use_color(out)); /* no terminal */
    setenv("COLUMNS", "72", 1);
    ck_assert_int_eq(render_width(out), 72);
    setenv("COLUMNS", "3", 1);
    ck_assert_int_eq(render_width(out), 40);
    unsetenv("COLUMNS");
    ck_assert_int_eq(render_width(out), 100);
    fclose(out);
}
END_TEST

/* Any byte of a trace may be wrong: all the way to the outputs nothing may crash, and what comes out is still JSON. */
START_TEST(survives_any_flipped_byte) {
    for (uint32_t i = 0; i < 3; i++) {
        struct trace_connection *connection = builder_connection(builder);
        builder_body(builder, connection);
        builder_worker(builder, connection, 2000 + i, true, false, TRACE_WAIT_COND);
    }
    answered();
    silent();
    for (int type = 1; type < TRACE_EVENT_MODULE; type++)
        builder_event(builder, (struct trace_event){
                                   .type = (uint16_t)type, .connection = 1, .object = 1, .a = 1});
    srand(4712);
    size_t judged = 0;
    for (int round = 0; round < 3000; round++) {
        const struct trace_region *region = &builder->header->regions[rand() % TRACE_REGION_COUNT];
        uint8_t *at = round % 4 == 0 ? builder->image + rand() % (int)sizeof(struct trace_header)
                                     : builder->image + region->offset + rand() % 1024;
        const uint8_t good = *at;
        *at = round % 3 ? (uint8_t)(rand() % 256) : (uint8_t)(1u << rand() % 8 ^ good);
        struct trace_error error;
        struct trace_file *file = trace_file_open(builder_write(builder), &error);
        *at = good;
        if (!file) continue;
        struct model *any = model_new(&(struct model_options){.no_refresh = true});
        if (model_add_trace(any, file, NULL, &error) == 0) {
            report = rules_evaluate(any, NULL, NULL);
            json_decref(json_of());
            free(text_of(&(struct render_options){.width = 80, .verbose = true}));
            report_free(report);
            report = NULL;
            judged++;
        }
        model_free(any);
        trace_file_close(file);
    }
    ck_assert_uint_gt(judged, 1000);
}
END_TEST

START_TEST(a_full_disk_is_told) {
    leak_five();
    FILE *full = fopen("/dev/full", "w");
    ck_assert_ptr_nonnull(full);
    ck_assert_int_eq(render_text(report, full, &(struct render_options){.width = 80}), -1);
    ck_assert_int_eq(render_json(report, full, "1"), -1);
    fclose(full);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        text_is_verdict_hosts_findings,
        text_of_a_clean_run,
        text_of_a_clean_kill,
        text_of_an_empty_selection,
        text_says_what_was_not_seen,
        text_says_what_was_retracted,
        text_keeps_to_the_width,
        text_is_limited,
        no_control_byte_reaches_a_terminal,
        json_is_valid_whatever_comes,
        json_has_the_contracts_names,
        escaping,
        numbers_and_ages,
        colour_and_width_follow_the_environment,
        survives_any_flipped_byte,
        a_full_disk_is_told,
        NULL,
    };
    return rules_fixture_run("render", tests);
}
