/* The memory of last stacks: it answers for the same stack only, and forgets when it has to. */
#include <check.h>
#include <pthread.h>

#include "record/intern.h"
#include "record/stack_memo.h"
#include "tests/unit/suite.h"
#include "trace_place.h"

#if HAVE_PRIVATE_LIBUNWIND && defined(__x86_64__)

static struct stack_caller caller; /* of the newest wrapper */
static uint32_t known;             /* what it was remembered as, before */

/* As a wrapper does, called by the program. */
static __attribute__((noinline)) uint32_t wrapper(void) {
    caller = STACK_CALLER();
    known = stack_memo_find(&caller);
    const uint32_t id = stack_of(&caller);
    __asm__ volatile("" ::: "memory");
    return id;
}

static __attribute__((noinline)) uint32_t through(int depth) {
    const uint32_t id = depth > 0 ? through(depth - 1) : wrapper();
    __asm__ volatile("" ::: "memory");
    return id;
}

static __attribute__((noinline)) uint32_t at_depth(int depth) {
    const uint32_t id = through(depth);
    __asm__ volatile("" ::: "memory");
    return id;
}

/* From one place, or the compiler makes several of it. */
static __attribute__((noinline)) uint32_t repeated(int times) {
    uint32_t id = 0;
    for (int i = 0; i < times; i++)
        id = at_depth(1);
    return id;
}

static void begin(void) {
    trace_place_open("");
}

START_TEST(the_same_stack_is_known) {
    begin();
    for (int i = 0; i < 3; i++) {
        const uint32_t id = at_depth(2);
        ck_assert_uint_ne(id, 0);
        ck_assert_uint_eq(known, i == 0 ? 0 : id);
    }
}
END_TEST

/* The same place, and the same registers where the caller needs them, but another way there. */
static uint32_t one_way(int depth) {
    return at_depth(depth);
}

static uint32_t other_way(int depth) {
    return at_depth(depth);
}

START_TEST(another_way_to_the_same_place) {
    begin();
    uint32_t (*const volatile ways[])(int) = {one_way, other_way};
    uintptr_t sp = 0;
    for (int i = 0; i < 4; i++) {
        ways[i % 2](1);
        if (i > 0) ck_assert_uint_eq(caller.sp, sp);
        if (i < 2) ck_assert_uint_eq(known, 0);
        sp = caller.sp;
    }
}
END_TEST

START_TEST(nothing_is_known_after_a_change_of_modules) {
    begin();
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_ne(repeated(1), 0);
        ck_assert_uint_eq(known, 0);
        const uint32_t id = repeated(2);
        ck_assert_uint_eq(known, id);
        if (i == 0)
            module_scan();
        else
            stack_flush();
    }
}
END_TEST

START_TEST(nothing_is_known_of_a_thread_that_is_over) {
    begin();
    repeated(2);
    ck_assert_uint_ne(known, 0);
    stack_memo_thread_over();
    repeated(2);
    ck_assert_uint_eq(known, 0);
    stack_memo_thread_over();
}
END_TEST

/* More threads than there is memory for take their stacks all the same. */
#define AT_ONCE 600
static pthread_barrier_t together;
static uint32_t remembered;

static __thread struct stack_caller my_caller;
static __thread uint32_t my_known;

static __attribute__((noinline)) uint32_t my_wrapper(void) {
    my_caller = STACK_CALLER();
    my_known = stack_memo_find(&my_caller);
    const uint32_t id = stack_of(&my_caller);
    __asm__ volatile("" ::: "memory");
    return id;
}

static __attribute__((noinline)) uint32_t mine_repeated(int times) {
    uint32_t id = 0;
    for (int i = 0; i < times; i++)
        id = my_wrapper();
    return id;
}

static void *take_twice(void *unused) {
    ck_assert_uint_ne(mine_repeated(2), 0);
    __atomic_fetch_add(&remembered, my_known != 0, __ATOMIC_RELAXED);
    pthread_barrier_wait(&together);
    stack_memo_thread_over();
    return unused;
}

START_TEST(more_threads_than_memory) {
    static pthread_t threads[AT_ONCE];
    pthread_attr_t attributes;
    begin();
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 1 << 18);
    for (int round = 0; round < 2; round++) {
        pthread_barrier_init(&together, NULL, AT_ONCE);
        remembered = 0;
        for (int i = 0; i < AT_ONCE; i++)
            ck_assert_int_eq(pthread_create(&threads[i], &attributes, take_twice, NULL), 0);
        for (int i = 0; i < AT_ONCE; i++)
            pthread_join(threads[i], NULL);
        ck_assert_uint_eq(remembered, 512); /* all of it is given back */
        pthread_barrier_destroy(&together);
    }
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_test(tests, the_same_stack_is_known);
    tcase_add_test(tests, another_way_to_the_same_place);
    tcase_add_test(tests, nothing_is_known_after_a_change_of_modules);
    tcase_add_test(tests, nothing_is_known_of_a_thread_that_is_over);
    tcase_add_test(tests, more_threads_than_memory);
}
#else
static void add_tests(TCase *tests) {
    (void)tests; /* libgcc's unwinder tells nothing of its steps */
}
#endif

int main(void) {
    Suite *suite = suite_create("stack_memo");
    TCase *tests = tcase_create("memo");
    tcase_add_checked_fixture(tests, trace_place_enter, trace_place_leave);
    add_tests(tests);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
