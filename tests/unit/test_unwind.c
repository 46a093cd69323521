/* The private libunwind as a guest: it opens nothing, and survives code without unwind tables and frame pointers into nowhere. */
#include <check.h>
#include <dirent.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/suite.h"

#if HAVE_PRIVATE_LIBUNWIND && defined(__x86_64__)
#define UNW_LOCAL_ONLY
#include <libunwind.h>

static int last_depth;

static int take_stack(void) {
    void *frames[32];
    last_depth = unw_backtrace(frames, 32);
    return last_depth;
}

static unsigned char *map(size_t size, int protection) {
    void *memory = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

/* code(callback, value): with a frame pointer of `value`, as compiled by a JIT that uses rbp for something else. */
static int (*make_code(void))(int (*)(void), uintptr_t) {
    static const unsigned char text[] = {
        0x55,                   /* push %rbp */
        0x48, 0x89, 0xf5,       /* mov %rsi, %rbp */
        0x48, 0x83, 0xec, 0x20, /* sub $32, %rsp */
        0xff, 0xd7,             /* call *%rdi */
        0x48, 0x83, 0xc4, 0x20, /* add $32, %rsp */
        0x5d,                   /* pop %rbp */
        0xc3,                   /* ret */
    };
    unsigned char *page = map(4096, PROT_READ | PROT_WRITE | PROT_EXEC);
    memcpy(page, text, sizeof text);
    return (int (*)(int (*)(void), uintptr_t))page;
}

static int open_descriptors(void) {
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

START_TEST(test_opens_nothing) {
    int before = open_descriptors();
    ck_assert_int_ge(take_stack(), 3);
    make_code()(take_stack, 0x1000);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

START_TEST(test_frame_pointer_into_nowhere) {
    static const uintptr_t nowhere[] = {
        0, 16, 0xdeadbeef000, (uintptr_t)1 << 63, UINTPTR_MAX - 15, UINTPTR_MAX};
    int (*code)(int (*)(void), uintptr_t) = make_code();
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
        code(take_stack, nowhere[i]);
        ck_assert_int_ge(last_depth, 2); /* take_stack's caller, and where that was called from */
    }
}
END_TEST

/*
 * libunwind follows a guessed frame pointer only a little way up the stack: so the page that matters is the one just above it.
 */
#define STACK_SIZE ((size_t)2 << 20) /* a sanitizer puts much of its own there */

static void *take_stack_above(void *page) {
    make_code()(take_stack,
                (uintptr_t)page + 64); /* new code each time: the frame cache would know the old */
    return NULL;
}

static void take_stack_below(unsigned char *page) {
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    ck_assert_int_eq(pthread_attr_setstack(&attributes, page - STACK_SIZE, STACK_SIZE), 0);
    ck_assert_int_eq(pthread_create(&thread, &attributes, take_stack_above, page), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
    ck_assert_int_ge(last_depth, 2);
}

START_TEST(test_page_above_unreadable) {
    unsigned char *stack = map(STACK_SIZE + 4096, PROT_READ | PROT_WRITE);
    ck_assert_int_eq(mprotect(stack + STACK_SIZE, 4096, PROT_NONE), 0);
    take_stack_below(stack + STACK_SIZE);
}
END_TEST

/* What was found readable once must not be remembered. */
START_TEST(test_page_above_gone) {
    unsigned char *stack = map(STACK_SIZE + 4096, PROT_READ | PROT_WRITE);
    take_stack_below(stack + STACK_SIZE);
    ck_assert_int_eq(munmap(stack + STACK_SIZE, 4096), 0);
    take_stack_below(stack + STACK_SIZE);
}
END_TEST

static void add_tests(TCase *cases) {
    tcase_add_test(cases, test_opens_nothing);
    tcase_add_test(cases, test_frame_pointer_into_nowhere);
    tcase_add_test(cases, test_page_above_unreadable);
    tcase_add_test(cases, test_page_above_gone);
}
#else
static void add_tests(TCase *cases) {
    (void)cases; /* libgcc's unwinder guesses no frames */
}
#endif

int main(void) {
    Suite *suite = suite_create("unwind");
    TCase *cases = tcase_create("guest");
    add_tests(cases);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
