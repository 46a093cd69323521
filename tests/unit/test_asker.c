/* Who asked for what an event loop does later, in a process whose V8 is this file: a stack is where a thread says that it is. */
#include "track/asker.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "record/interpreter/frame.h"
#include "record/interpreter/javascript.h"
#include "tests/unit/suite.h"
#include "tests/unit/trace_place.h"

/* ---- V8, by the names that Node exports ---- */

struct place {
    const char *script, *function;
    uint32_t line;
};
#define DEEPEST 2u
static __thread struct place stack[DEEPEST];
static __thread uint32_t depth;
static __thread int isolate;

#define EXPORTED(type, name, ...)                                                                  \
    __attribute__((visibility("default"), used)) type name(__VA_ARGS__)
EXPORTED(const char *, _ZN2v82V810GetVersionEv, void);
EXPORTED(void *, _ZN2v87Isolate13TryGetCurrentEv, void);
EXPORTED(bool, _ZN2v87Isolate9InContextEv, void *);
EXPORTED(void, _ZN2v811HandleScopeC1EPNS_7IsolateE, void *, void *);
EXPORTED(void, _ZN2v811HandleScopeD1Ev, void *);
EXPORTED(uintptr_t, _ZN2v810StackTrace17CurrentStackTraceEPNS_7IsolateEiNS0_17StackTraceOptionsE,
         void *, int, int);
EXPORTED(int, _ZNK2v810StackTrace13GetFrameCountEv, uintptr_t);
EXPORTED(uintptr_t, _ZNK2v810StackTrace8GetFrameEPNS_7IsolateEj, uintptr_t, void *, uint32_t);
EXPORTED(uint64_t, _ZNK2v810StackFrame11GetLocationEv, uintptr_t);
EXPORTED(int, _ZNK2v810StackFrame11GetScriptIdEv, uintptr_t);
EXPORTED(uintptr_t, _ZNK2v810StackFrame13GetScriptNameEv, uintptr_t);
EXPORTED(uintptr_t, _ZNK2v810StackFrame15GetFunctionNameEv, uintptr_t);
EXPORTED(int, _ZNK2v86String9WriteUtf8EPNS_7IsolateEPciPii, uintptr_t, void *, char *, int, int *,
         int);

const char *_ZN2v82V810GetVersionEv(void) {
    return "11.3.244.8-node.30";
}
void *_ZN2v87Isolate13TryGetCurrentEv(void) {
    return &isolate;
}
bool _ZN2v87Isolate9InContextEv(void *of) {
    return of == &isolate;
}
void _ZN2v811HandleScopeC1EPNS_7IsolateE(void *scope, void *of) {
    memcpy(scope, &of, sizeof of);
}
void _ZN2v811HandleScopeD1Ev(void *scope) {
    (void)scope;
}
uintptr_t
_ZN2v810StackTrace17CurrentStackTraceEPNS_7IsolateEiNS0_17StackTraceOptionsE(void *of, int most,
                                                                             int options) {
    (void)of, (void)most, (void)options;
    return (uintptr_t)stack;
}
int _ZNK2v810StackTrace13GetFrameCountEv(uintptr_t trace_) {
    (void)trace_;
    return (int)depth;
}
uintptr_t _ZNK2v810StackTrace8GetFrameEPNS_7IsolateEj(uintptr_t trace_, void *of, uint32_t index) {
    (void)trace_, (void)of;
    return (uintptr_t)&stack[index];
}
uint64_t _ZNK2v810StackFrame11GetLocationEv(uintptr_t frame) {
    return ((const struct place *)frame)->line - 1;
}
int _ZNK2v810StackFrame11GetScriptIdEv(uintptr_t frame) {
    return (int)((uintptr_t)((const struct place *)frame)->script & 0xffffff);
}
uintptr_t _ZNK2v810StackFrame13GetScriptNameEv(uintptr_t frame) {
    return (uintptr_t)((const struct place *)frame)->script;
}
uintptr_t _ZNK2v810StackFrame15GetFunctionNameEv(uintptr_t frame) {
    return (uintptr_t)((const struct place *)frame)->function;
}
int _ZNK2v86String9WriteUtf8EPNS_7IsolateEPciPii(uintptr_t string, void *of, char *to, int most,
                                                 int *units, int options) {
    (void)of, (void)units, (void)options;
    const size_t n = strnlen((const char *)string, (size_t)most);
    memcpy(to, (const char *)string, n);
    return (int)n;
}

/* ---- where the thread is ---- */

static void is_at(const char *script, const char *function, uint32_t line) {
    stack[0] = (struct place){"node:net", "connect", 1};
    stack[1] = (struct place){script, function, line};
    depth = 2;
}

#define IN_USER(line) is_at("/srv/app.js", "ask", line)
#define IN_LOOP() is_at("node:internal/timers", "listOnTimeout", 7)
/* Node's own, which makes a handle for each address of a host. */
#define IN_NEXT_ADDRESS() is_at("node:net", "internalConnectMultiple", 9)

/* What such a stack is in the trace. */
static uint32_t id_of(const char *script, const char *function, uint32_t line) {
    void *pcs[] = {frame_counter(TRACE_LANGUAGE_JAVASCRIPT, (struct frame_text){"node:net", 8},
                                 (struct frame_text){"connect", 7}, 1),
                   frame_counter(TRACE_LANGUAGE_JAVASCRIPT,
                                 (struct frame_text){script, strlen(script)},
                                 (struct frame_text){function, strlen(function)}, line)};
    const uint32_t id = intern_frames(pcs, 2);
    ck_assert_uint_ne(id, 0);
    return id;
}

#define USER(line) id_of("/srv/app.js", "ask", line)
#define LOOP() id_of("node:internal/timers", "listOnTimeout", 7)

static const void *owner(uintptr_t n) {
    return (const void *)(0x10000000 + n * 0x130);
}

static void made(const void *o) {
    javascript_enter();
    asker_made(o);
    javascript_leave();
}

static void again(const void *o) {
    javascript_enter();
    asker_again(o);
    javascript_leave();
}

/* By whom a connect for that owner was asked for, as the loop makes it; 0: it is not known. */
static uint32_t connect_of(const void *o) {
    struct asker_scope scope;
    bool asked = false;
    IN_LOOP();
    asker_enter(&scope, o);
    const uint32_t id = asker_connect_stack(&asked);
    asker_leave(&scope);
    if (!asked) ck_assert_uint_eq(id, LOOP());
    return asked ? id : 0;
}

/* The same of a request. */
static uint32_t request_of(const void *o, struct connection *c) {
    struct asker_scope scope;
    IN_LOOP();
    asker_enter(&scope, o);
    const uint32_t id = asker_request_stack(c, NULL);
    asker_leave(&scope);
    return id == LOOP() ? 0 : id;
}

static void begin(void) {
    trace_place_enter();
    trace_place_open("");
}

START_TEST(who_made_a_handle_asked_for_its_connect) {
    IN_USER(10);
    made(owner(1));
    IN_USER(20);
    made(owner(2));
    ck_assert_uint_eq(connect_of(owner(1)), USER(10));
    ck_assert_uint_eq(connect_of(owner(2)), USER(20));
    ck_assert_uint_eq(connect_of(owner(3)), 0);
    ck_assert_uint_eq(connect_of(NULL), 0);
    ck_assert_uint_eq(connect_of(owner(1)), USER(10)); /* it is tried again */
}
END_TEST

START_TEST(a_connect_of_the_programs_own_is_asked_for_where_it_is) {
    bool asked = false;
    IN_USER(30);
    javascript_enter();
    ck_assert_uint_eq(asker_connect_stack(&asked), USER(30));
    ck_assert(asked);
    IN_LOOP();
    ck_assert_uint_eq(asker_connect_stack(&asked), LOOP());
    ck_assert(!asked);
    javascript_leave();
}
END_TEST

START_TEST(a_connection_that_is_given_on_has_the_next_one_for_its_next_request) {
    struct connection c = {0};
    IN_USER(10);
    made(owner(1));
    ck_assert_uint_eq(connect_of(owner(1)), USER(10));
    ck_assert_uint_eq(request_of(owner(1), &c), 0); /* the first request has its own stack */
    IN_USER(20);
    again(owner(1));
    ck_assert_uint_eq(request_of(owner(1), &c), USER(20));
    ck_assert_uint_eq(request_of(owner(1), &c), USER(20)); /* the send took nothing */
    c.asked_stack = 0;                                     /* now it did */
    ck_assert_uint_eq(request_of(owner(1), &c), 0);
    IN_USER(30);
    again(owner(1));
    IN_USER(40);
    again(owner(1)); /* the one before changed his mind */
    ck_assert_uint_eq(request_of(owner(1), &c), USER(40));
    c.asked_stack = 0;
    ck_assert_uint_eq(connect_of(owner(1)), 0); /* that was for a request */
}
END_TEST

START_TEST(what_is_given_on_by_nobody_known_does_not_keep_an_older_one) {
    struct connection c = {0};
    IN_USER(10);
    again(owner(1));
    IN_LOOP();
    again(owner(1));
    ck_assert_uint_eq(request_of(owner(1), &c), 0);
    IN_USER(20);
    made(owner(2));
    IN_LOOP();
    made(owner(2));
    ck_assert_uint_eq(connect_of(owner(2)), 0);
}
END_TEST

START_TEST(an_address_that_comes_back_is_another_handle) {
    IN_USER(10);
    made(owner(1));
    asker_closed(owner(1));
    ck_assert_uint_eq(connect_of(owner(1)), 0);
    IN_USER(20);
    made(owner(1));
    ck_assert_uint_eq(connect_of(owner(1)), USER(20));
    IN_USER(30);
    made(owner(1)); /* its close was not seen */
    ck_assert_uint_eq(connect_of(owner(1)), USER(30));
    asker_closed(owner(7)); /* never made */
}
END_TEST

START_TEST(the_next_address_of_a_host_is_asked_for_by_the_same) {
    IN_USER(10);
    made(owner(1));
    for (uintptr_t n = 1; n < 4; n++) {
        IN_NEXT_ADDRESS();
        made(owner(n + 1));
        asker_closed(owner(n));
        ck_assert_uint_eq(connect_of(owner(n)), 0);
        ck_assert_uint_eq(connect_of(owner(n + 1)), USER(10));
    }
}
END_TEST

/* Only a handle that goes away right then passes on who asked: any other one ends for reasons of its own. */
START_TEST(nobody_else_passes_it_on) {
    IN_USER(10);
    made(owner(1));
    IN_NEXT_ADDRESS();
    made(owner(2));
    connect_of(owner(2)); /* the two live side by side */
    asker_closed(owner(1));
    ck_assert_uint_eq(connect_of(owner(2)), 0);

    IN_USER(20);
    made(owner(3));
    IN_NEXT_ADDRESS();
    made(owner(4));
    IN_USER(30);
    made(owner(5));
    asker_closed(owner(3));
    ck_assert_uint_eq(connect_of(owner(4)), 0);
    ck_assert_uint_eq(connect_of(owner(5)), USER(30));

    IN_USER(40);
    again(owner(6)); /* who asked for a request asked for no address */
    IN_NEXT_ADDRESS();
    made(owner(7));
    asker_closed(owner(6));
    ck_assert_uint_eq(connect_of(owner(7)), 0);

    IN_LOOP(); /* made by the loop for something else */
    made(owner(8));
    asker_closed(owner(5));
    ck_assert_uint_eq(connect_of(owner(8)), 0);
}
END_TEST

START_TEST(the_scope_inside_counts_and_ends) {
    struct asker_scope outer, inner;
    bool asked;
    IN_USER(10);
    made(owner(1));
    IN_USER(20);
    made(owner(2));
    IN_LOOP();
    asker_enter(&outer, owner(1));
    asker_enter(&inner, owner(2));
    ck_assert_uint_eq(asker_connect_stack(&asked), USER(20));
    asker_leave(&inner);
    ck_assert_uint_eq(asker_connect_stack(&asked), USER(10));
    asker_leave(&outer);
    javascript_enter();
    ck_assert_uint_eq(asker_connect_stack(&asked), LOOP());
    javascript_leave();
}
END_TEST

START_TEST(a_full_table_forgets_and_never_mistakes) {
    enum { MANY = 20000, LINES = 1000 };
    for (uint32_t n = 1; n <= MANY; n++) {
        IN_USER(1 + n % LINES);
        made(owner(n));
    }
    uint32_t known = 0;
    for (uint32_t n = 1; n <= MANY; n++) {
        const uint32_t id = connect_of(owner(n));
        if (id) ck_assert_uint_eq(id, USER(1 + n % LINES));
        known += id != 0;
    }
    ck_assert_uint_gt(known, 3000);
    ck_assert_uint_le(known, 4096);
    for (uint32_t n = 1; n <= MANY; n++)
        asker_closed(owner(n));
    IN_USER(5000);
    made(owner(MANY + 1));
    ck_assert_uint_eq(connect_of(owner(MANY + 1)), USER(5000));
}
END_TEST

/* Each has owners of its own, whose places others had a moment ago. */
static void hammer(unsigned thread) {
    struct connection c = {0};
    for (uint32_t round = 0; round < 300; round++)
        for (uint32_t n = 0; n < 8; n++) {
            const void *o = owner(1 + (thread * 8 + n) * 4096 + round);
            const uint32_t line = 1 + thread * 8 + n;
            IN_USER(line);
            made(o);
            ck_assert_uint_eq(connect_of(o), USER(line));
            IN_USER(line + 100);
            again(o);
            ck_assert_uint_eq(request_of(o, &c), USER(line + 100));
            c.asked_stack = 0;
            asker_closed(o);
            ck_assert_uint_eq(connect_of(o), 0);
        }
}

START_TEST(threads_do_not_hear_of_each_other) {
    connect_of(owner(0)); /* V8 is looked for once */
    trace_place_threads(4, hammer);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("asker");
    TCase *tests = tcase_create("asker");
    tcase_add_checked_fixture(tests, begin, trace_place_leave);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, who_made_a_handle_asked_for_its_connect);
    tcase_add_test(tests, a_connect_of_the_programs_own_is_asked_for_where_it_is);
    tcase_add_test(tests, a_connection_that_is_given_on_has_the_next_one_for_its_next_request);
    tcase_add_test(tests, what_is_given_on_by_nobody_known_does_not_keep_an_older_one);
    tcase_add_test(tests, an_address_that_comes_back_is_another_handle);
    tcase_add_test(tests, the_next_address_of_a_host_is_asked_for_by_the_same);
    tcase_add_test(tests, nobody_else_passes_it_on);
    tcase_add_test(tests, the_scope_inside_counts_and_ends);
    tcase_add_test(tests, a_full_table_forgets_and_never_mistakes);
    tcase_add_test(tests, threads_do_not_hear_of_each_other);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
