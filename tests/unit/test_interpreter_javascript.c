/* JavaScript frames, of a V8 made by hand. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "record/interpreter/frame.h"
#include "record/interpreter/javascript.h"
#include "tests/unit/suite.h"
#include "trace_place.h"

/* ---- V8: what is asked of it in the test is a list of places ---- */

struct place {
    const char *script, *function;
    uint32_t line;
};
static const struct place *places;
static int place_count, scopes, context = 1;

static void *give_isolate(void) {
    return context ? &scopes : NULL;
}
static bool in_context(void *isolate) {
    ck_assert_ptr_eq(isolate, &scopes);
    return context > 0;
}
static void scope_begin(void *scope, void *isolate) {
    ck_assert_uint_eq((uintptr_t)scope % 16, 0);
    memcpy(scope, &isolate, sizeof isolate);
    scopes++;
}
static void scope_end(void *scope) {
    (void)scope;
    scopes--;
}
static uintptr_t give_trace(void *isolate, int most, int options) {
    (void)isolate;
    ck_assert_int_gt(scopes, 0);
    ck_assert_int_gt(most, 0);
    ck_assert_int_eq(options, 15);
    return (uintptr_t)places;
}
static int give_count(uintptr_t trace) {
    ck_assert_uint_eq(trace, (uintptr_t)places);
    return place_count;
}
static uintptr_t give_frame(uintptr_t trace, void *isolate, uint32_t index) {
    (void)isolate;
    return trace + index * sizeof *places;
}
static uint64_t give_location(uintptr_t frame) {
    return ((const struct place *)frame)->line - 1;
}
static int give_id(uintptr_t frame) {
    return (int)(((const struct place *)frame)->script - (const char *)NULL) & 0xffffff;
}
static uintptr_t give_script(uintptr_t frame) {
    return (uintptr_t)((const struct place *)frame)->script;
}
static uintptr_t give_function(uintptr_t frame) {
    return (uintptr_t)((const struct place *)frame)->function;
}
static int give_bytes(uintptr_t string, void *isolate, char *to, int most, int *units,
                      int options) {
    (void)isolate;
    ck_assert_ptr_null(units);
    ck_assert_int_eq(options, 2);
    const size_t n = strnlen((const char *)string, (size_t)most);
    memcpy(to, (const char *)string, n);
    return (int)n;
}
static const struct javascript v8 = {.isolate = give_isolate,
                                     .in_context = in_context,
                                     .scope_begin = scope_begin,
                                     .scope_end = scope_end,
                                     .trace = give_trace,
                                     .count = give_count,
                                     .frame = give_frame,
                                     .location = give_location,
                                     .script_id = give_id,
                                     .script = give_script,
                                     .function = give_function,
                                     .write = give_bytes};

static const struct place user[] = {
    {"node:net", "connect", 5}, {"file:///srv/a.mjs", "ask", 12}, {"/srv/b.js", "", 7}};

static void *js(const char *file, const char *function, uint32_t line) {
    return frame_counter(TRACE_LANGUAGE_JAVASCRIPT, (struct frame_text){file, strlen(file)},
                         (struct frame_text){function, strlen(function)}, line);
}

START_TEST(frames_are_those_of_v8) {
    void *pcs[8];
    places = user;
    place_count = 3;
    ck_assert_uint_eq(javascript_frames(&v8, pcs, 8), 0); /* nobody said that it may be asked */
    javascript_enter();
    for (int again = 0; again < 2; again++) {
        ck_assert_uint_eq(javascript_frames(&v8, pcs, 8), 3);
        ck_assert_ptr_eq(pcs[0], js("node:net", "connect", 5));
        ck_assert_ptr_eq(pcs[1], js("/srv/a.mjs", "ask", 12));
        ck_assert_ptr_eq(pcs[2], js("/srv/b.js", "<anonymous>", 7));
    }
    ck_assert_uint_eq(javascript_frames(&v8, pcs, 2), 2);
    ck_assert(javascript_is_own(pcs, 2) && !javascript_is_own(pcs, 1));
    void *others = frame_counter(TRACE_LANGUAGE_PYTHON, (struct frame_text){"a.py", 4},
                                 (struct frame_text){"f", 1}, 1);
    ck_assert(!javascript_is_own(&others, 1));
    ck_assert(javascript_runs(pcs, 2, "node:net", "connect"));
    ck_assert(!javascript_runs(pcs, 2, "node:net", "ask"));
    context = 0; /* a thread without an isolate */
    ck_assert_uint_eq(javascript_frames(&v8, pcs, 8), 0);
    context = 1;
    place_count = 0; /* the event loop itself */
    ck_assert_uint_eq(javascript_frames(&v8, pcs, 8), 0);
    javascript_leave();
    ck_assert_uint_eq(javascript_frames(&v8, pcs, 8), 0);
    ck_assert_int_eq(scopes, 0);
}
END_TEST

/* Another V8 at the same place, another thread: what was known of scripts by their numbers is not believed. */
START_TEST(numbers_of_scripts_are_a_threads_own) {
    static struct place one = {"/srv/one.js", "f", 3};
    void *pcs[2];
    places = &one;
    place_count = 1;
    javascript_enter();
    ck_assert_uint_eq(javascript_frames(&v8, pcs, 2), 1);
    ck_assert_ptr_eq(pcs[0], js("/srv/one.js", "f", 3));
    one.line = 4;
    ck_assert_uint_eq(javascript_frames(&v8, pcs, 2), 1);
    ck_assert_ptr_eq(pcs[0], js("/srv/one.js", "f", 4));
    javascript_leave();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("javascript");
    TCase *tests = tcase_create("javascript");
    tcase_add_checked_fixture(tests, trace_place_enter, trace_place_leave);
    tcase_add_test(tests, frames_are_those_of_v8);
    tcase_add_test(tests, numbers_of_scripts_are_a_threads_own);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
