/* Frames of interpreted code: the pool of their names, lines by CPython's tables, and memory that cannot be read. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "record/intern.h"
#include "record/interpreter/frame.h"
#include "record/interpreter/memory.h"
#include "record/interpreter/python.h"
#include "tests/unit/suite.h"
#include "trace_place.h"

static struct frame_text text(const char *s) {
    return (struct frame_text){s, strlen(s)};
}

static void *python_frame(const char *file, const char *function, uint32_t line) {
    return frame_counter(TRACE_LANGUAGE_PYTHON, text(file), text(function), line);
}

/* ---- names ---- */

START_TEST(frames_come_once) {
    void *a = python_frame("/app/a.py", "f", 1);
    ck_assert_ptr_nonnull(a);
    ck_assert(frame_is(a));
    ck_assert(!frame_is(&a) && !frame_is((void *)(uintptr_t)frames_come_once) && !frame_is(NULL));
    ck_assert_ptr_eq(python_frame("/app/a.py", "f", 1), a);
    ck_assert_ptr_ne(python_frame("/app/a.py", "f", 2), a);
    ck_assert_ptr_ne(python_frame("/app/a.py", "g", 1), a);
    ck_assert_ptr_ne(python_frame("/app/b.py", "f", 1), a);
    ck_assert_ptr_ne(frame_counter(TRACE_LANGUAGE_RUBY, text("/app/a.py"), text("f"), 1), a);
    ck_assert(frame_has_names(a, text("/app/a.py"), text("f")));
    ck_assert(!frame_has_names(a, text("/app/a.py"), text("g")));
    ck_assert(!frame_has_names(a, text("/app/a.p"), text("f")));
    ck_assert(
        !frame_has_names((void *)(uintptr_t)(FRAME_TAG << 48 | 0xffffff), text("a"), text("b")));
}
END_TEST

START_TEST(long_names_are_cut_between_characters) {
    char name[3000];
    memset(name, 'x', sizeof name);
    for (size_t i = FRAME_TEXT_MAX - 1; i + 2 < sizeof name; i += 3)
        memcpy(name + i, "\xe2\x82\xac", 3);
    trace_place_open("");
    const struct trace_frame f = frame_for_trace(
        frame_counter(TRACE_LANGUAGE_PHP, (struct frame_text){name, sizeof name}, text("f"), 7));
    const struct trace_string *file = (const void *)(trace->strings + (uint64_t)f.module * 8);
    ck_assert_uint_eq(file->length, FRAME_TEXT_MAX - 1);
    ck_assert_int_eq(file->bytes[file->length - 1], 'x');
}
END_TEST

static const struct trace_stack *stack_of(uint32_t id) {
    return (const struct trace_stack *)(const void *)(trace->stacks + (uint64_t)id * 8);
}

/* Taken before there is a trace, as the creation of a thread may be. */
START_TEST(stacks_hold_them_beside_native_ones) {
    void *pcs[] = {(void *)(uintptr_t)strlen, python_frame("/app/a.py", "f", 70000),
                   python_frame("", "", 0)};
    trace_place_open("");
    const uint32_t id = intern_stack(pcs, 3);
    const struct trace_stack *s = stack_of(id);
    ck_assert_uint_eq(s->count, 3);
    ck_assert_uint_eq(s->frames[0].language, TRACE_LANGUAGE_NATIVE);
    ck_assert_uint_eq(s->frames[1].language, TRACE_LANGUAGE_PYTHON);
    ck_assert_uint_eq(s->frames[1].address >> 32, 70000);
    ck_assert(intern_string_is(s->frames[1].module, "/app/a.py", 9));
    ck_assert(intern_string_is((uint32_t)s->frames[1].address, "f", 1));
    ck_assert_uint_eq(s->frames[2].module, 0);
    ck_assert_uint_eq(intern_stack(pcs, 3), id);
    pcs[1] = python_frame("/app/a.py", "f", 70001);
    ck_assert_uint_ne(intern_stack(pcs, 3), id);
    /* Another trace, as in a fork child: other ids. */
    frame_reset();
    ck_assert_uint_eq(frame_for_trace(pcs[1]).module, s->frames[1].module);
}
END_TEST

START_TEST(a_full_pool_is_counted) {
    char name[64];
    unsigned refused = 0;
    trace_place_open("");
    for (unsigned i = 0; i < 40000; i++) {
        snprintf(name, sizeof name, "/generated/%u.py", i);
        refused += python_frame(name, "f", i) == NULL;
    }
    ck_assert_uint_gt(refused, 1000);
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_STRINGS], refused);
    void *first = python_frame("/generated/0.py", "f", 0);
    ck_assert(frame_has_names(first, text("/generated/0.py"), text("f")));
}
END_TEST

static void *made[4][2000];

static void make_many(unsigned n) {
    for (unsigned i = 0; i < 2000; i++) {
        char name[64];
        snprintf(name, sizeof name, "function_%u", i / 4);
        made[n][i] = python_frame("/app/shared.py", name, i);
    }
}

START_TEST(threads_get_the_same) {
    trace_place_threads(4, make_many);
    for (unsigned n = 1; n < 4; n++)
        ck_assert_mem_eq(made[n], made[0], sizeof made[0]);
}
END_TEST

/* ---- lines ---- */

struct change {
    int place;
    uint32_t line;
};
struct table_case {
    unsigned version;
    int first_line, code_size;
    const uint8_t *table;
    size_t table_size;
    const struct change *changes;
    size_t change_count;
};
#define TABLE(...)                                                                                 \
    (const uint8_t[]){__VA_ARGS__}, sizeof(const uint8_t[]) {                                      \
        __VA_ARGS__                                                                                \
    }
#define LINES(...)                                                                                 \
    (const struct change[]){__VA_ARGS__},                                                          \
        sizeof(const struct change[]){__VA_ARGS__} / sizeof(struct change)

/* Made by the compilers of 3.8.18, 3.10.13, 3.11.7 and 3.13.0; the lines are those that PyCode_Addr2Line of each gave. */
static const struct table_case table_cases[] = {
    {0x0308, 2, 136,
     TABLE(0, 3, 2, 1, 2, 254, 2, 2, 6, 1, 6, 255, 4, 254, 4, 7, 2, 1, 4, 0, 8, 1, 16, 1, 4, 0, 22,
           1, 12, 0, 6, 1, 10, 0, 18, 1, 2, 1, 2, 255),
     LINES({0, 5}, {2, 6}, {4, 4}, {6, 6}, {12, 7}, {18, 6}, {22, 4}, {26, 11}, {28, 12}, {40, 13},
           {56, 14}, {82, 15}, {100, 16}, {128, 17}, {130, 18}, {132, 17})},
    {0x0308, 1, 16, TABLE(0, 1, 4, 127, 0, 127, 0, 47, 4, 1, 2, 2, 2, 254),
     LINES({0, 2}, {4, 303}, {8, 304}, {10, 306}, {12, 304})},
    {0x030a, 2, 164,
     TABLE(2, 3, 2, 1, 2, 254, 6, 2, 6, 1, 4, 255, 4, 254, 2, 7, 12, 1, 14, 1, 20, 1, 8, 128, 2,
           255, 18, 2, 30, 1, 2, 1, 2, 1, 4, 255, 16, 255, 2, 1, 2, 1, 4, 255),
     LINES({0, 5}, {2, 6}, {4, 4}, {6, 6}, {12, 7}, {18, 6}, {22, 4}, {26, 11}, {28, 12}, {40, 13},
           {54, 14}, {74, 0}, {82, 13}, {84, 15}, {102, 16}, {132, 17}, {134, 18}, {136, 17},
           {140, 16}, {156, 17}, {158, 18}, {160, 17})},
    {0x030a, 1, 16, TABLE(4, 1, 0, 127, 0, 127, 4, 47, 2, 1, 2, 2, 4, 254),
     LINES({0, 2}, {4, 303}, {8, 304}, {10, 306}, {12, 304})},
    {0x030b, 2, 302,
     TABLE(128, 0, 240, 6, 0, 9, 10, 216, 8, 9, 240, 5, 4, 9, 11, 240, 4, 2, 13, 10, 240, 0, 2, 13,
           10, 221, 20, 25, 152, 33, 145, 72, 148, 72, 240, 3, 2, 13, 10, 241, 0, 2, 13, 10, 244, 0,
           2, 13, 10, 240, 5, 4, 9, 11, 128, 65, 240, 14, 3, 5, 21, 216, 11, 12, 208, 8, 30, 149,
           74, 208, 14, 30, 208, 8, 30, 248, 221, 11, 21, 240, 0, 1, 5, 21, 240, 0, 1, 5, 21, 240,
           0, 1, 5, 21, 216, 12, 13, 136, 1, 144, 49, 136, 113, 136, 113, 136, 113, 136, 113, 136,
           113, 136, 113, 248, 248, 248, 248, 240, 3, 1, 5, 21, 248, 248, 248, 229, 13, 18, 144, 49,
           137, 88, 140, 88, 208, 4, 28, 208, 4, 28, 136, 1, 152, 49, 144, 113, 144, 113, 221, 9,
           13, 136, 107, 209, 9, 26, 212, 9, 26, 208, 4, 41, 152, 97, 160, 17, 167, 22, 162, 22,
           161, 24, 164, 24, 160, 24, 208, 4, 41, 208, 4, 41, 208, 4, 41, 209, 4, 41, 212, 4, 41,
           208, 4, 41, 208, 4, 41, 208, 4, 41, 208, 4, 41, 208, 4, 41, 208, 4, 41, 248, 248, 248,
           208, 4, 41, 208, 4, 41, 208, 4, 41, 208, 4, 41, 216, 12, 13, 216, 8, 9, 240, 3, 1, 12,
           11, 240, 0, 1, 5, 11),
     LINES({0, 2}, {2, 5}, {4, 6}, {6, 4}, {8, 6}, {12, 7}, {40, 6}, {56, 4}, {60, 11}, {62, 12},
           {82, 0}, {84, 13}, {102, 14}, {120, 0}, {128, 13}, {130, 0}, {136, 15}, {176, 16},
           {280, 0}, {286, 16}, {294, 17}, {296, 18}, {298, 17})},
    {0x030b, 1, 20,
     TABLE(128, 0, 216, 8, 9, 128, 65, 240, 90, 9, 0, 9, 10, 128, 65, 216, 12, 13, 224, 1, 2, 241,
           5, 2, 13, 3, 240, 0, 2, 5, 4),
     LINES({0, 1}, {2, 2}, {6, 303}, {10, 304}, {12, 306}, {14, 304})},
    {0x030d, 2, 286,
     TABLE(128, 0, 240, 6, 0, 9, 10, 216, 8, 9, 240, 5, 4, 9, 11, 241, 4, 2, 13, 10, 220, 20, 25,
           152, 33, 148, 72, 243, 3, 2, 13, 10, 240, 5, 4, 9, 11, 128, 65, 240, 14, 3, 5, 21, 222,
           11, 12, 148, 74, 208, 14, 30, 136, 49, 244, 6, 0, 14, 19, 144, 49, 142, 88, 136, 1, 146,
           113, 137, 88, 220, 9, 13, 136, 107, 212, 9, 26, 152, 97, 167, 22, 161, 22, 164, 24, 215,
           9, 26, 216, 12, 13, 216, 8, 9, 240, 3, 1, 12, 11, 240, 0, 1, 5, 11, 248, 244, 9, 0, 12,
           22, 243, 0, 1, 5, 21, 216, 12, 13, 136, 1, 144, 49, 141, 113, 251, 240, 3, 1, 5, 21, 250,
           247, 6, 0, 10, 27, 212, 9, 26, 216, 12, 13, 216, 8, 9, 240, 3, 1, 12, 11, 240, 0, 1, 5,
           11, 250),
     LINES({0, 2}, {2, 5}, {4, 6}, {6, 4}, {8, 6}, {12, 7}, {34, 6}, {42, 4}, {46, 11}, {48, 12},
           {76, 15}, {114, 16}, {184, 17}, {186, 18}, {188, 17}, {192, 0}, {194, 13}, {212, 14},
           {230, 0}, {238, 13}, {240, 0}, {246, 16}, {272, 17}, {274, 18}, {276, 17}, {280, 0})},
    {0x030d, 1, 20,
     TABLE(128, 0, 216, 8, 9, 128, 65, 240, 90, 9, 0, 9, 10, 128, 65, 216, 12, 13, 224, 1, 2, 241,
           5, 2, 13, 3, 240, 0, 2, 5, 4),
     LINES({0, 1}, {2, 2}, {6, 303}, {10, 304}, {12, 306}, {14, 304})},
};

START_TEST(lines_are_the_interpreters_own) {
    const struct table_case *c = &table_cases[_i];
    for (size_t i = 0; i < c->change_count; i++) {
        const int end = i + 1 < c->change_count ? c->changes[i + 1].place : c->code_size;
        for (int place = c->changes[i].place; place < end; place++)
            ck_assert_uint_eq(
                python_line(c->version, c->table, c->table_size, c->first_line, place),
                c->changes[i].line);
    }
    ck_assert_uint_eq(python_line(c->version, c->table, c->table_size, c->first_line, -1),
                      (uint32_t)c->first_line);
}
END_TEST

START_TEST(lines_by_any_bytes) {
    uint8_t bytes[64];
    srand(7);
    for (int round = 0; round < 200000; round++) {
        const size_t size = (size_t)rand() % sizeof bytes;
        uint8_t *table = malloc(size ? size : 1); /* for a sanitizer */
        for (size_t i = 0; i < size; i++)
            table[i] = (uint8_t)rand();
        python_line(0x0308 + (unsigned)rand() % 6, table, size, rand(), rand() % 2000 - 1);
        free(table);
    }
}
END_TEST

/* ---- memory ---- */

static uint8_t *guarded(size_t pages) {
    uint8_t *p = mmap(NULL, (pages + 2) * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(p, MAP_FAILED);
    ck_assert_int_eq(mprotect(p + 4096, pages * 4096, PROT_READ | PROT_WRITE), 0);
    return p + 4096;
}

START_TEST(memory_that_cannot_be_read) {
    const struct memory m = memory_begin();
    const uintptr_t at = (uintptr_t)guarded(2);
    for (int again = 0; again < 2; again++) {
        ck_assert(memory_can_read(&m, at, 8192));
        ck_assert(memory_can_read(&m, at + 8191, 1));
        ck_assert(!memory_can_read(&m, at + 8191, 2));
        ck_assert(!memory_can_read(&m, at - 1, 2));
        ck_assert(!memory_can_read(&m, 0, 8));
        ck_assert(!memory_can_read(&m, 16, 8));
        ck_assert(!memory_can_read(&m, UINTPTR_MAX - 7, 8));
        ck_assert(!memory_can_read(&m, UINTPTR_MAX - 3, 8));
        ck_assert(!memory_can_read(&m, UINT64_C(0xffffffff81000000), 8));
        ck_assert(!memory_can_read(&m, UINT64_C(0x7e57000000000010), 8));
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("interpreter");
    TCase *tests = tcase_create("interpreter");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, trace_place_enter, trace_place_leave);
    tcase_add_test(tests, frames_come_once);
    tcase_add_test(tests, long_names_are_cut_between_characters);
    tcase_add_test(tests, stacks_hold_them_beside_native_ones);
    tcase_add_test(tests, a_full_pool_is_counted);
    tcase_add_test(tests, threads_get_the_same);
    tcase_add_loop_test(tests, lines_are_the_interpreters_own, 0,
                        (int)(sizeof table_cases / sizeof *table_cases));
    tcase_add_test(tests, lines_by_any_bytes);
    tcase_add_test(tests, memory_that_cannot_be_read);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
