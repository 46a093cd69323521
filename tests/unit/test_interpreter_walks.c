/*
 * Walks over interpreters' memory, made by hand as CPython and PHP have it, right and wrong in every way.
 */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "record/interpreter/frame.h"
#include "record/interpreter/memory.h"
#include "record/interpreter/php.h"
#include "record/interpreter/python.h"
#include "tests/unit/suite.h"

static struct frame_text text(const char *s) {
    return (struct frame_text){s, strlen(s)};
}

static void *python_frame(const char *file, const char *function, uint32_t line) {
    return frame_counter(TRACE_LANGUAGE_PYTHON, text(file), text(function), line);
}

static uint8_t *guarded(size_t pages) {
    uint8_t *p = mmap(NULL, (pages + 2) * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(p, MAP_FAILED);
    ck_assert_int_eq(mprotect(p + 4096, pages * 4096, PROT_READ | PROT_WRITE), 0);
    return p + 4096;
}

/* ---- Python's objects, made by hand as 3.12 and 3.9 have them ---- */

static const struct python_layout layout_312 = {.version = 0x030c,
                                                .thread_frame = 56,
                                                .by_cframe = true,
                                                .thread_id = 136,
                                                .frame_previous = 8,
                                                .frame_instruction = 56,
                                                .frame_owner = 70,
                                                .code_file = 112,
                                                .code_name = 128,
                                                .code_line = 68,
                                                .code_table = 136,
                                                .code_instructions = 192,
                                                .code_first_traceable = 176,
                                                .text_ascii = 40,
                                                .text_other = 56};
static const struct python_layout layout_309 = {.version = 0x0309,
                                                .thread_frame = 24,
                                                .thread_id = 176,
                                                .frame_code = 32,
                                                .frame_previous = 24,
                                                .frame_instruction = 104,
                                                .code_file = 104,
                                                .code_name = 112,
                                                .code_line = 40,
                                                .code_table = 120,
                                                .instruction_size = 1,
                                                .text_ascii = 48,
                                                .text_other = 72};
enum { TYPE_CODE = 0x1000, TYPE_FRAME = 0x2000, TYPE_TEXT = 0x3000, TYPE_BYTES = 0x4000 };

#define ARENA_PAGES 4
static uint8_t *arena;
static size_t arena_used;
static uintptr_t state;
static int lie; /* added to the interpreter's own answer */

static uint8_t *take(size_t size) {
    uint8_t *p = arena + arena_used;
    arena_used += (size + 15) & ~15ul;
    ck_assert_uint_le(arena_used, ARENA_PAGES * 4096);
    return p;
}

static void put(uint8_t *at, size_t offset, uintptr_t value) {
    memcpy(at + offset, &value, sizeof value);
}

static void *give_state(void) {
    return (void *)state;
}

static int true_line(void *code, int place) {
    (void)code;
    return place < 0 ? 10 + lie : 12 + lie;
}

static uintptr_t make_text(const struct python_layout *l, const void *data, size_t length,
                           unsigned kind, bool ascii) {
    uint8_t *p = take(80 + length * kind);
    put(p, 8, TYPE_TEXT);
    put(p, 16, length);
    put(p, 32, kind << 2 | 0x20 | (ascii ? 0x40 : 0));
    memcpy(p + (ascii ? l->text_ascii : l->text_other), data, length * kind);
    return (uintptr_t)p;
}

static uintptr_t make_code(const struct python_layout *l, const char *file, const char *name) {
    static const uint8_t steps[] = {0, 2}, locations[] = {0xeb, 4, 0, 0xeb};
    const bool old = l->version < 0x030b;
    uint8_t *code = take(256), *table = take(48);
    put(table, 8, TYPE_BYTES);
    put(table, 16, old ? sizeof steps : sizeof locations);
    memcpy(table + 32, old ? steps : locations, old ? sizeof steps : sizeof locations);
    put(code, 8, TYPE_CODE);
    put(code, l->code_line, 10);
    put(code, l->code_table, (uintptr_t)table);
    put(code, l->code_file, make_text(l, file, strlen(file), 1, true));
    put(code, l->code_name, make_text(l, name, strlen(name), 1, true));
    return (uintptr_t)code;
}

static uintptr_t make_frame(const struct python_layout *l, uintptr_t code, uintptr_t previous,
                            uint8_t owner) {
    uint8_t *frame = take(128);
    if (!l->code_instructions) {
        put(frame, 8, TYPE_FRAME);
        put(frame, l->frame_instruction, 2);
    } else {
        put(frame, l->frame_instruction, code + l->code_instructions + 2);
        frame[l->frame_owner] = owner;
    }
    put(frame, l->frame_code, code);
    put(frame, l->frame_previous, previous);
    return (uintptr_t)frame;
}

static struct python make_thread(const struct python_layout *l, uintptr_t frame) {
    uint8_t *thread = take(256);
    put(thread, l->thread_id, (uintptr_t)pthread_self());
    if (l->by_cframe) {
        uint8_t *cframe = take(16);
        put(cframe, l->cframe_frame, frame);
        frame = (uintptr_t)cframe;
    }
    put(thread, l->thread_frame, frame);
    state = (uintptr_t)thread;
    return (struct python){*l, TYPE_CODE, TYPE_FRAME, TYPE_TEXT, TYPE_BYTES, give_state, true_line};
}

static struct python make_python(const struct python_layout *l) {
    if (!arena) arena = guarded(ARENA_PAGES);
    memset(arena, 0, ARENA_PAGES * 4096);
    arena_used = 0;
    uintptr_t outer = make_frame(l, make_code(l, "/app/main.py", "<module>"), 0, 0);
    uintptr_t shim = make_frame(l, make_code(l, "<shim>", "<shim>"), outer, 3);
    uintptr_t middle = make_frame(l, make_code(l, "/app/main.py", "middle"),
                                  l->code_instructions ? shim : outer, 1);
    return make_thread(l, make_frame(l, make_code(l, "/app/lib.py", "inner"), middle, 0));
}

static const struct python_layout *const made_layouts[] = {&layout_309, &layout_312};

START_TEST(python_frames_are_walked) {
    const struct python python = make_python(made_layouts[_i]);
    void *pcs[8];
    for (int again = 0; again < 3; again++) {
        ck_assert_uint_eq(python_frames(&python, pcs, 8), 3);
        ck_assert_ptr_eq(pcs[0], python_frame("/app/lib.py", "inner", 12));
        ck_assert_ptr_eq(pcs[1], python_frame("/app/main.py", "middle", 12));
        ck_assert_ptr_eq(pcs[2], python_frame("/app/main.py", "<module>", 12));
    }
    ck_assert_uint_eq(python_frames(&python, pcs, 2), 2);
}
END_TEST

START_TEST(python_without_a_state_or_anothers_has_none) {
    const struct python python = make_python(made_layouts[_i]);
    const uintptr_t thread = state;
    void *pcs[8];
    state = 0;
    ck_assert_uint_eq(python_frames(&python, pcs, 8), 0);
    state = thread;
    put((uint8_t *)thread, python.layout.thread_id, 0x1234);
    ck_assert_uint_eq(python_frames(&python, pcs, 8), 0);
}
END_TEST

START_TEST(python_that_says_otherwise_is_not_believed) {
    const struct python python = make_python(made_layouts[_i]);
    void *pcs[8];
    lie = 1;
    ck_assert_uint_eq(python_frames(&python, pcs, 8), 0);
    lie = 0;
    ck_assert_uint_eq(python_frames(&python, pcs, 8), 0);
}
END_TEST

START_TEST(python_cycles_end) {
    const struct python_layout *l = made_layouts[_i];
    make_python(l);
    uintptr_t code = make_code(l, "/app/a.py", "f");
    uintptr_t frame = make_frame(l, code, 0, 0);
    put((uint8_t *)frame, l->frame_previous, frame);
    const struct python python = make_thread(l, frame);
    void *pcs[TRACE_STACK_DEPTH_MAX];
    ck_assert_uint_eq(python_frames(&python, pcs, 20), 20);
}
END_TEST

/* Every word in turn becomes what it must not be; the arena stands between pages that cannot be read. */
START_TEST(python_with_wild_pointers_never_faults) {
    void *pcs[16];
    srand(11);
    for (int round = 0; round < 60000; round++) {
        const struct python python = make_python(made_layouts[_i]);
        for (int n = rand() % 3 + 1; n > 0; n--) {
            const uintptr_t wild[] = {0,
                                      8,
                                      (uintptr_t)rand() << 20,
                                      (uintptr_t)arena - 8,
                                      (uintptr_t)arena + ARENA_PAGES * 4096 - 8,
                                      (uintptr_t)arena + (size_t)rand() % (ARENA_PAGES * 4096),
                                      ((uintptr_t)arena + (size_t)rand() % arena_used) & ~15ul,
                                      UINTPTR_MAX - 15,
                                      (uintptr_t)1 << 47,
                                      (uintptr_t)rand()};
            put(arena, (size_t)rand() % (arena_used / 8) * 8,
                wild[(size_t)rand() % (sizeof wild / sizeof *wild)]);
        }
        python_frames(&python, pcs, 16);
    }
}
END_TEST

START_TEST(python_text_of_any_width) {
    static const uint16_t wide[] = {'a', 0xe9, 0x20ac, 0xd800, 0xdcff};
    static const uint32_t wider[] = {'a', 0x1f4e6, 0x110000};
    static const char latin[] = "gr\xf6\xdf";
    const struct python_layout *l = made_layouts[_i];
    const struct python python = make_python(l);
    const struct memory m = memory_begin();
    char buffer[FRAME_TEXT_MAX];
    const struct {
        uintptr_t object;
        const char *expected;
    } cases[] = {
        {make_text(l, "plain", 5, 1, true), "plain"},
        {make_text(l, "", 0, 1, true), ""},
        {make_text(l, latin, 4, 1, false), "gr\xc3\xb6\xc3\x9f"},
        {make_text(l, wide, 5, 2, false), "a\xc3\xa9\xe2\x82\xac\xef\xbf\xbd\xff"},
        {make_text(l, wider, 3, 4, false), "a\xf0\x9f\x93\xa6\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct frame_text out = {NULL, 99};
        ck_assert(python_text(&python, &m, cases[i].object, buffer, &out));
        ck_assert_uint_eq(out.size, strlen(cases[i].expected));
        ck_assert_mem_eq(out.bytes, cases[i].expected, out.size);
    }
    struct frame_text out;
    ck_assert(!python_text(&python, &m, 0, buffer, &out));
    ck_assert(!python_text(&python, &m, cases[0].object + 4, buffer, &out));
    put((uint8_t *)cases[0].object, 32, 0); /* not compact */
    ck_assert(!python_text(&python, &m, cases[0].object, buffer, &out));
    put((uint8_t *)cases[1].object, 16, UINT64_MAX); /* longer than memory */
    ck_assert(!python_text(&python, &m, cases[1].object, buffer, &out) ||
              out.size <= FRAME_TEXT_MAX);
}
END_TEST

/* ---- PHP's: the offsets of two structures are its own secret ---- */

enum { GLOBALS_PLACE = 488, FILE_PLACE = 144 };
static const char *php_file;

static const char *give_file(void) {
    return php_file;
}

static uint32_t give_line(void) {
    return 33;
}

static uintptr_t zend_string(const char *s) {
    uint8_t *p = take(32 + strlen(s));
    put(p, 16, strlen(s));
    memcpy(p + 24, s, strlen(s) + 1);
    return (uintptr_t)p;
}

static uintptr_t php_frame(const char *class, const char *name, uint32_t line, uintptr_t file,
                           uintptr_t previous) {
    uint8_t *frame = take(80), *function = take(256), *opline = take(32), *scope = take(32);
    if (!file) function[0] = 1; /* an internal one */
    put(function, 8, name ? zend_string(name) : 0);
    put(function, 16, class ? (uintptr_t)scope : 0);
    put(scope, 8, class ? zend_string(class) : 0);
    put(function, FILE_PLACE, file);
    put(opline, 24, line);
    put(frame, 0, (uintptr_t)opline);
    put(frame, 24, (uintptr_t)function);
    put(frame, 48, previous);
    return (uintptr_t)frame;
}

static struct php make_php(void) {
    if (!arena) arena = guarded(ARENA_PAGES);
    memset(arena, 0, ARENA_PAGES * 4096);
    arena_used = 0;
    uint8_t *globals = take(1024);
    const uintptr_t file = zend_string("/app/index.php");
    uintptr_t frame = php_frame(NULL, NULL, 50, file, 0);
    frame = php_frame("Client", "fetch", 33, file, frame);
    put(globals, 96, frame); /* no frame that runs now, though it looks like one */
    put(globals, GLOBALS_PLACE, php_frame(NULL, "fopen", 0, 0, frame));
    php_file = (const char *)file + 24;
    return (struct php){(uintptr_t)globals, give_file, give_line};
}

START_TEST(php_frames_are_walked) {
    const struct php php = make_php();
    void *pcs[8];
    for (int again = 0; again < 2; again++) {
        ck_assert_uint_eq(php_frames(&php, pcs, 8), 2);
        ck_assert_ptr_eq(pcs[0], frame_counter(TRACE_LANGUAGE_PHP, text("/app/index.php"),
                                               text("Client::fetch"), 33));
        ck_assert_ptr_eq(
            pcs[1], frame_counter(TRACE_LANGUAGE_PHP, text("/app/index.php"), text("{main}"), 50));
    }
}
END_TEST

START_TEST(php_with_wild_pointers_never_faults) {
    void *pcs[16];
    srand(13);
    for (int round = 0; round < 20000; round++) {
        const struct php php = make_php();
        const char *name = php_file;
        for (int n = rand() % 3 + 1; n > 0 && round; n--) {
            const uintptr_t wild[] = {0,
                                      8,
                                      (uintptr_t)arena - 8,
                                      UINTPTR_MAX - 15,
                                      (uintptr_t)arena + (size_t)rand() % (ARENA_PAGES * 4096),
                                      ((uintptr_t)arena + (size_t)rand() % arena_used) & ~15ul};
            put(arena, (size_t)rand() % (arena_used / 8) * 8,
                wild[(size_t)rand() % (sizeof wild / sizeof *wild)]);
        }
        php_file = name;
        php_frames(&php, pcs, 16);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("interpreter walks");
    TCase *tests = tcase_create("walks");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, python_frames_are_walked, 0, 2);
    tcase_add_loop_test(tests, python_without_a_state_or_anothers_has_none, 0, 2);
    tcase_add_loop_test(tests, python_that_says_otherwise_is_not_believed, 0, 2);
    tcase_add_loop_test(tests, python_cycles_end, 0, 2);
    tcase_add_loop_test(tests, python_with_wild_pointers_never_faults, 0, 2);
    tcase_add_loop_test(tests, python_text_of_any_width, 0, 2);
    tcase_add_test(tests, php_frames_are_walked);
    tcase_add_test(tests, php_with_wild_pointers_never_faults);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
