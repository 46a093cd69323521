/*
 * Walks over a Perl interpreter's memory, made by hand as 5.32 and 5.36 have it, right and wrong in every way.
 */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "record/interpreter/perl.h"
#include "tests/unit/suite.h"

enum { PAGES = 4, NEXT_STATE = 195, INTERPRETER = 512, CONTEXT = 104, OP_SUB = 180 };

static uint8_t *arena;
static size_t arena_used;
static pthread_key_t key;
static uintptr_t told[4]; /* what the interpreter itself says its frames are */

static uint8_t *take(size_t size) {
    uint8_t *p = arena + arena_used;
    arena_used += (size + 15) & ~15ul;
    ck_assert_uint_le(arena_used, PAGES * 4096);
    return memset(p, 0, size);
}

static void put(uint8_t *at, size_t offset, uintptr_t value) {
    memcpy(at + offset, &value, sizeof value);
}

static void put_number(uint8_t *at, size_t offset, uint32_t value) {
    memcpy(at + offset, &value, sizeof value);
}

static uintptr_t make_string(const char *s) {
    return (uintptr_t)memcpy(take(strlen(s) + 1), s, strlen(s));
}

static uintptr_t make_key(const char *s) {
    uint8_t *p = take(16 + strlen(s));
    put_number(p, 4, (uint32_t)strlen(s));
    memcpy(p + 8, s, strlen(s));
    return (uintptr_t)p;
}

static uintptr_t make_value(uint32_t flags, uint8_t *body) {
    uint8_t *p = take(24);
    put(p, 0, (uintptr_t)body);
    put_number(p, 12, flags);
    return (uintptr_t)p;
}

static uintptr_t make_package(const char *name, bool in_body) {
    uint8_t *body = take(128);
    const uintptr_t package = make_value(12 | 0x2000000, body);
    uint8_t *buckets = take(8 * 8 + 64);
    put(body, 24, 7);
    put((uint8_t *)package, 16, (uintptr_t)buckets);
    put(in_body ? body + 32 : buckets + 64, 0, make_key(name));
    return package;
}

/* A subroutine that was made under a glob of that package, or that has but its own name. */
static uintptr_t make_sub(const char *name, uintptr_t package, bool by_glob) {
    uint8_t *body = take(128);
    put(body, 32, package);
    put_number(body, 92, by_glob ? 0 : 0x8000);
    if (by_glob) {
        uint8_t *glob = take(64), *stands_for = take(80);
        const uintptr_t value = make_value(9 | 0x8000, glob);
        put((uint8_t *)value, 16, (uintptr_t)stands_for);
        put(stands_for, 56, value);
        put(glob, 32, make_key(name));
        put(glob, 40, package);
        put(body, 56, value);
    } else {
        put(body, 56, make_key(name));
    }
    return make_value(13, body);
}

static uint8_t *make_operation(unsigned type, uintptr_t sibling) {
    uint8_t *op = take(88);
    put(op, 8, sibling);
    put_number(op, 32, type | (sibling ? 0x4000 : 0));
    return op;
}

static uint8_t *make_statement(uint32_t line, const char *file, uintptr_t sibling) {
    uint8_t *op = make_operation(NEXT_STATE, sibling);
    put_number(op, 36, line);
    put(op, 48, make_string(file));
    return op;
}

static const void *caller(void *interpreter, int32_t level, const void **context) {
    (void)interpreter;
    const void *at = level < 4 ? (const void *)told[level] : NULL;
    if (context) *context = at;
    return at;
}

/*
 * (main), line 9, calls App::run, which is at line 20 in a block of eval; that one calls main::fetch, in a stack of its own, whose
 * statement of line 30 has lost another one, of line 31, to the optimizer.
 */
static struct perl make_perl(bool in_body) {
    arena_used = 0;
    const struct perl_layout layout = {36, 208, 224, NEXT_STATE, in_body};
    uint8_t *interpreter = take(INTERPRETER), *outer = take(48), *inner = take(48);
    uint8_t *contexts = take(3 * CONTEXT), *more = take(2 * CONTEXT);
    const uintptr_t app = make_package("App", in_body),
                    main_package = make_package("main", in_body);

    uint8_t *call = make_operation(OP_SUB, 0);
    uint8_t *lost = make_statement(31, "/app/fetch.pl", (uintptr_t)call);
    put(lost, 24, NEXT_STATE);
    put_number(lost, 32, 0x4000);
    put_number(lost, 36, 31);
    uint8_t *whole = make_operation(OP_SUB, 0);
    put_number(whole, 32, OP_SUB | 4u << 16);
    put(whole, 40, (uintptr_t)lost);
    uint8_t *statement = make_statement(30, "/app/fetch.pl", (uintptr_t)whole);

    contexts[0] = 9; /* sub */
    put(contexts, 16, (uintptr_t)make_statement(9, "/app/main.pl", 0));
    put(contexts, 72, make_sub("run", app, false));
    contexts[CONTEXT] = 4; /* loop */
    contexts[2 * CONTEXT] = 11 | 0x40;
    put(contexts + 2 * CONTEXT, 16, (uintptr_t)make_statement(19, "/app/App.pm", 0));
    more[0] = 9 | 0x80; /* code of a pattern */
    more[CONTEXT] = 9;
    put(more + CONTEXT, 16, (uintptr_t)make_statement(20, "/app/App.pm", 0));
    put(more + CONTEXT, 72, make_sub("fetch", main_package, true));

    put(outer, 8, (uintptr_t)contexts);
    put_number(outer, 32, 2);
    put_number(outer, 44, 1);
    put(inner, 8, (uintptr_t)more);
    put(inner, 16, (uintptr_t)outer);
    put_number(inner, 32, 1);
    put(interpreter, 8, (uintptr_t)call);
    put(interpreter, 208, (uintptr_t)statement);
    put(interpreter, 224, (uintptr_t)inner);
    memcpy(told,
           (uintptr_t[]){(uintptr_t)more + CONTEXT, (uintptr_t)contexts + 2 * CONTEXT,
                         (uintptr_t)contexts, 0},
           sizeof told);
    pthread_setspecific(key, interpreter);
    return (struct perl){layout, INTERPRETER, &key, caller};
}

static void *frame(const char *file, const char *function, uint32_t line) {
    return frame_counter(TRACE_LANGUAGE_PERL, (struct frame_text){file, strlen(file)},
                         (struct frame_text){function, strlen(function)}, line);
}

static void check_frames(bool in_body) {
    const struct perl perl = make_perl(in_body);
    void *pcs[8];
    ck_assert_uint_eq(perl_frames(&perl, pcs, 8), 3);
    ck_assert_ptr_eq(pcs[0], frame("/app/fetch.pl", "main::fetch", 31));
    ck_assert_ptr_eq(pcs[1], frame("/app/App.pm", "App::run", 20));
    ck_assert_ptr_eq(pcs[2], frame("/app/main.pl", "(main)", 9));
    ck_assert_uint_eq(perl_frames(&perl, pcs, 2), 2);
    ck_assert_ptr_eq(pcs[1], frame("/app/App.pm", "App::run", 20));
}

START_TEST(frames_are_walked) {
    check_frames(true);
    check_frames(false);
}
END_TEST

START_TEST(who_disagrees_is_not_believed) {
    const struct perl perl = make_perl(true);
    void *pcs[8];
    ck_assert_uint_eq(perl_frames(&perl, pcs, 8), 3);
    told[2] += CONTEXT;
    ck_assert_uint_eq(perl_frames(&perl, pcs, 8), 0);
    told[2] -= CONTEXT;
    ck_assert_uint_eq(perl_frames(&perl, pcs, 8), 0);
}
END_TEST

START_TEST(a_thread_without_an_interpreter_has_no_frames) {
    const struct perl perl = make_perl(true);
    void *pcs[8];
    pthread_setspecific(key, NULL);
    ck_assert_uint_eq(perl_frames(&perl, pcs, 8), 0);
}
END_TEST

START_TEST(wild_pointers_never_fault) {
    void *pcs[16];
    srand(7);
    for (int good = 0; good < 64; good++) { /* what is compared is over */
        const struct perl perl = make_perl(true);
        ck_assert_uint_eq(perl_frames(&perl, pcs, 16), 3);
    }
    for (int round = 0; round < 40000; round++) {
        const struct perl perl = make_perl(rand() % 2);
        for (int n = rand() % 3 + 1; n > 0; n--) {
            const uintptr_t wild[] = {0,
                                      8,
                                      UINT32_MAX,
                                      (uintptr_t)arena - 8,
                                      (uintptr_t)arena + PAGES * 4096 - 8,
                                      UINTPTR_MAX - 15,
                                      (uintptr_t)arena + (size_t)rand() % (PAGES * 4096),
                                      ((uintptr_t)arena + (size_t)rand() % arena_used) & ~15ul};
            put(arena, (size_t)rand() % (arena_used / 8) * 8,
                wild[(size_t)rand() % (sizeof wild / sizeof *wild)]);
        }
        ck_assert_uint_le(perl_frames(&perl, pcs, 16), 16);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("Perl's stacks");
    TCase *tests = tcase_create("walks");
    /*
     * Half of a wild pointer is an index, which leads 104 times as far. Here that is little, and nothing is there: elsewhere it may
     * lead to memory that can be read, but that AddressSanitizer says is its own.
     */
    void *const hint = (void *)(uintptr_t)0x200000010000;
    uint8_t *pages = mmap(hint, 32u << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || pthread_key_create(&key, NULL) != 0) return 1;
    arena = pages + 4096;
    if (mprotect(arena, PAGES * 4096, PROT_READ | PROT_WRITE) != 0) return 1;
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, frames_are_walked);
    tcase_add_test(tests, who_disagrees_is_not_believed);
    tcase_add_test(tests, a_thread_without_an_interpreter_has_no_frames);
    tcase_add_test(tests, wild_pointers_never_fault);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
