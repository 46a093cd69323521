/* Interpreted and compiled code in the analyzer: whose it is, what perf maps call it, where a report starts. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "httpleak/trace.h"
#include "symbol/perf_map.h"
#include "symbol/symbol.h"
#include "tests/unit/suite.h"

START_TEST(kinds_of_files) {
    static const struct {
        const char *file;
        uint32_t language;
        enum symbol_kind kind;
    } cases[] = {
        {"/srv/app/main.py", TRACE_LANGUAGE_PYTHON, SYMBOL_USER},
        {"main.py", TRACE_LANGUAGE_PYTHON, SYMBOL_USER},
        {"<string>", TRACE_LANGUAGE_PYTHON, SYMBOL_USER},
        {"/home/u/python3.11/main.py", TRACE_LANGUAGE_PYTHON, SYMBOL_USER},
        {"/usr/lib/python3.11/http/client.py", TRACE_LANGUAGE_PYTHON, SYMBOL_CLIENT},
        {"/opt/py/lib64/python3.9/ssl.py", TRACE_LANGUAGE_PYTHON, SYMBOL_CLIENT},
        {"/v/lib/python3.8/site-packages/requests/api.py", TRACE_LANGUAGE_PYTHON, SYMBOL_CLIENT},
        {"/usr/lib/python3/dist-packages/urllib3/x.py", TRACE_LANGUAGE_PYTHON, SYMBOL_CLIENT},
        {"<frozen importlib._bootstrap>", TRACE_LANGUAGE_PYTHON, SYMBOL_CLIENT},
        {"/usr/lib/ruby/3.1.0/net/http.rb", TRACE_LANGUAGE_RUBY, SYMBOL_CLIENT},
        {"/var/lib/gems/3.1.0/gems/faraday-2/lib/a.rb", TRACE_LANGUAGE_RUBY, SYMBOL_CLIENT},
        {"<internal:io>", TRACE_LANGUAGE_RUBY, SYMBOL_CLIENT},
        {"/srv/app/main.rb", TRACE_LANGUAGE_RUBY, SYMBOL_USER},
        {"/usr/share/perl5/LWP/UserAgent.pm", TRACE_LANGUAGE_PERL, SYMBOL_CLIENT},
        {"/usr/lib/x86_64-linux-gnu/perl-base/IO/Handle.pm", TRACE_LANGUAGE_PERL, SYMBOL_CLIENT},
        {"/home/a/local/lib/perl5/Mojo/IOLoop.pm", TRACE_LANGUAGE_PERL, SYMBOL_CLIENT},
        {"blib/lib/A.pm (autosplit into blib/lib/auto/A/b.al)", TRACE_LANGUAGE_PERL, SYMBOL_CLIENT},
        {"(eval 12)", TRACE_LANGUAGE_PERL, SYMBOL_CLIENT},
        {"-e", TRACE_LANGUAGE_PERL, SYMBOL_USER},
        {"/srv/app/lib/App.pm", TRACE_LANGUAGE_PERL, SYMBOL_USER},
        {"/usr/share/lua/5.4/socket/http.lua", TRACE_LANGUAGE_LUA, SYMBOL_CLIENT},
        {"[string \"return 1\"]", TRACE_LANGUAGE_LUA, SYMBOL_CLIENT},
        {"(command line)", TRACE_LANGUAGE_LUA, SYMBOL_USER},
        {"/srv/app/main.lua", TRACE_LANGUAGE_LUA, SYMBOL_USER},
        {"/srv/vendor/guzzle/src/Client.php", TRACE_LANGUAGE_PHP, SYMBOL_CLIENT},
        {"/srv/index.php", TRACE_LANGUAGE_PHP, SYMBOL_USER},
        {"node:net", TRACE_LANGUAGE_JAVASCRIPT, SYMBOL_CLIENT},
        {"/srv/node_modules/axios/index.js", TRACE_LANGUAGE_JAVASCRIPT, SYMBOL_CLIENT},
        {"/srv/index.js", TRACE_LANGUAGE_JAVASCRIPT, SYMBOL_USER},
        {"java.net.Socket", TRACE_LANGUAGE_JAVA, SYMBOL_CLIENT},
        {"com.example.Main", TRACE_LANGUAGE_JAVA, SYMBOL_USER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(symbol_script_kind(cases[i].language, cases[i].file) == cases[i].kind, "%s",
                      cases[i].file);
    ck_assert_str_eq(symbol_language_name(TRACE_LANGUAGE_PHP), "php");
    ck_assert_str_eq(symbol_language_name(TRACE_LANGUAGE_PERL), "perl");
    ck_assert_ptr_null(symbol_language_name(TRACE_LANGUAGE_NATIVE));
    ck_assert_ptr_null(symbol_language_name(77));
}
END_TEST

/* Resolves frames of Python files, all in function f; how the n-th one is seen. */
static size_t resolve(struct symbolizer *s, const char *const *files, const char *function,
                      const struct symbol_frame **frames) {
    struct symbol_address stack[8];
    size_t n = 0;
    for (; files[n]; n++)
        stack[n] = (struct symbol_address){.language = TRACE_LANGUAGE_PYTHON,
                                           .file = files[n],
                                           .function = files[n + 1] ? "f" : function,
                                           .line = (uint32_t)n + 1};
    return symbolizer_resolve(s, stack, n, frames);
}

START_TEST(reports_start_at_the_users_code) {
    struct symbolizer *s = symbolizer_new(NULL);
    const struct symbol_frame *frames;
    const char *const plain[] = {"/usr/lib/python3.11/ssl.py",
                                 "/usr/lib/python3/dist-packages/requests/api.py", "/srv/app.py",
                                 NULL};
    ck_assert_uint_eq(resolve(s, plain, "<module>", &frames), 3);
    ck_assert_uint_eq(symbol_first_user(frames, 3), 2);
    ck_assert_str_eq(frames[2].module, "/srv/app.py");
    ck_assert_str_eq(frames[2].file, "/srv/app.py");
    ck_assert_str_eq(frames[2].function, "<module>");
    ck_assert_str_eq(frames[2].language, "python");
    ck_assert_int_eq(frames[2].line, 3);
    /* A package's program: its own code, neither the library that it uses nor the lines that start it. */
    const char *const package[] = {"/v/lib/python3.11/site-packages/requests/api.py",
                                   "/v/lib/python3.11/site-packages/httpie/client.py",
                                   "/v/lib/python3.11/site-packages/httpie/core.py", "/v/bin/http",
                                   NULL};
    ck_assert_uint_eq(resolve(s, package, "<module>", &frames), 4);
    ck_assert_uint_eq(symbol_first_user(frames, 4), 1);
    ck_assert(!frames[0].user && frames[1].user && frames[2].user && !frames[3].user);
    /* A script that somebody wrote himself and put there. */
    const char *const script[] = {"/v/lib/python3.11/site-packages/requests/api.py", "/v/bin/mine",
                                  NULL};
    ck_assert_uint_eq(resolve(s, script, "main", &frames), 2);
    ck_assert_uint_eq(symbol_first_user(frames, 2), 1);
    /* Nobody's but the interpreter's: the innermost. */
    const char *const none[] = {"/usr/lib/python3.11/ssl.py", "/usr/lib/python3.11/runpy.py", NULL};
    ck_assert_uint_eq(resolve(s, none, "f", &frames), 2);
    ck_assert_uint_eq(symbol_first_user(frames, 2), 0);
    const char *const empty[] = {"", NULL};
    ck_assert_uint_eq(resolve(s, empty, "", &frames), 1);
    ck_assert_str_eq(frames[0].module, "<unknown>");
    ck_assert_ptr_null(frames[0].function);
    symbolizer_free(s);
}
END_TEST

START_TEST(names_in_maps) {
    static const struct {
        const char *name, *function, *file;
        uint32_t language, line;
    } cases[] = {
        {"JS:~fetchOne /srv/kept.js:3:18", "fetchOne", "/srv/kept.js", TRACE_LANGUAGE_JAVASCRIPT,
         3},
        {"JS:^ /srv/with space/a.js:30:1", "", "/srv/with space/a.js", TRACE_LANGUAGE_JAVASCRIPT,
         30},
        {"LazyCompile:*emit node:events:489:44", "emit", "node:events", TRACE_LANGUAGE_JAVASCRIPT,
         489},
        {"Function:run file:///srv/m.mjs:7", "run", "/srv/m.mjs", TRACE_LANGUAGE_JAVASCRIPT, 7},
        {"void Kept.fetch(java.lang.String)", "Kept.fetch", "Kept", TRACE_LANGUAGE_JAVA, 0},
        {"java.lang.Object com.example.A$1.run()", "com.example.A$1.run", "com.example.A$1",
         TRACE_LANGUAGE_JAVA, 0},
        {"Builtin:ArgumentsAdaptor", NULL, NULL, 0, 0},
        {"BytecodeHandler:Ldar", NULL, NULL, 0, 0},
        {"Interpreter", NULL, NULL, 0, 0},
        {"StubRoutines (1)", NULL, NULL, 0, 0},
        {"JS:", NULL, NULL, 0, 0},
        {"JS:~a ", NULL, NULL, 0, 0},
        {"(", NULL, NULL, 0, 0},
        {"", NULL, NULL, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[256];
        struct perf_name out;
        snprintf(name, sizeof name, "%s", cases[i].name);
        const bool found = perf_map_parse(name, &out);
        ck_assert_msg(found == (cases[i].language != 0), "%s", cases[i].name);
        if (!found) continue;
        ck_assert_uint_eq(out.language, cases[i].language);
        ck_assert_str_eq(out.function, cases[i].function);
        ck_assert_str_eq(out.file, cases[i].file);
        ck_assert_uint_eq(out.line, cases[i].line);
    }
}
END_TEST

static char map_path[64];

static void write_map(const char *text) {
    FILE *file = fopen(map_path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

START_TEST(maps_are_read) {
    struct perf_name out;
    snprintf(map_path, sizeof map_path, "/tmp/httpleak-script.%d.map", (int)getpid());
    write_map("2000 100 JS:~old /a.js:1:1\n"
              "0x1000 0x10 void A.f()\n"
              "not a line\n3000\n4000 zz JS:~bad /a.js:1:1\n5000 0 JS:~none /a.js:1:1\n"
              "ffffffffffffffff 10 JS:~over /a.js:1:1\n"
              "2080 100 JS:~new /b.js:2:2\n"
              "6000 10 Builtin:X");
    struct perf_map *map = perf_map_open(map_path, 0);
    ck_assert_ptr_nonnull(map);
    ck_assert(perf_map_find(map, 0x1000, &out) && strcmp(out.function, "A.f") == 0);
    ck_assert(perf_map_find(map, 0x100f, &out));
    ck_assert(!perf_map_find(map, 0x1010, &out));
    ck_assert(perf_map_find(map, 0x2000, &out) && strcmp(out.function, "old") == 0);
    ck_assert(perf_map_find(map, 0x2090, &out) && strcmp(out.function, "new") == 0);
    ck_assert(perf_map_find(map, 0x217f, &out) && strcmp(out.file, "/b.js") == 0);
    ck_assert(!perf_map_find(map, 0x2180, &out));
    ck_assert(!perf_map_find(map, 0x6004, &out)); /* a builtin */
    ck_assert(!perf_map_find(map, 0, &out) && !perf_map_find(map, UINT64_MAX, &out));
    perf_map_close(map);
    ck_assert_ptr_null(perf_map_open(map_path, INT64_MAX)); /* older than the process */
    unlink(map_path);
    ck_assert_ptr_null(perf_map_open(map_path, 0));
    ck_assert_int_eq(symlink("/proc/self/status", map_path), 0);
    ck_assert_ptr_null(perf_map_open(map_path, 0));
    unlink(map_path);
    write_map("");
    map = perf_map_open(map_path, 0);
    ck_assert(map && !perf_map_find(map, 1, &out));
    perf_map_close(map);
    unlink(map_path);
}
END_TEST

START_TEST(switches_are_known) {
    ck_assert_ptr_nonnull(strstr(symbol_switches("node"), "--perf-basic-prof"));
    ck_assert_ptr_nonnull(strstr(symbol_switches("libjvm.so"), "DumpPerfMapAtExit"));
    ck_assert_ptr_null(symbol_switches("perl"));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("script");
    TCase *tests = tcase_create("script");
    tcase_add_test(tests, kinds_of_files);
    tcase_add_test(tests, reports_start_at_the_users_code);
    tcase_add_test(tests, names_in_maps);
    tcase_add_test(tests, maps_are_read);
    tcase_add_test(tests, switches_are_known);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
