/* Java's frames in a JVM made by hand, right and wrong in every way; lines by HotSpot's tables. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "record/interpreter/java.h"
#include "tests/unit/suite.h"

static struct frame_text text(const char *s) {
    return (struct frame_text){s, strlen(s)};
}

static void *java_counter(const char *file, const char *function, uint32_t line) {
    return frame_counter(TRACE_LANGUAGE_JAVA, text(file), text(function), line);
}

/* ---- lines ---- */

static uint32_t line_by(uint32_t version, const uint8_t *table, uint32_t bci) {
    const struct memory m = memory_begin();
    return java_line(&m, version, (uintptr_t)table, 40, bci);
}

START_TEST(lines_by_tables) {
    /* 0: line 10 (escaped: its distance is more than 7), 3: 11, 8: 9 (escaped), 11: 300 (escaped) */
    const uint8_t old[] = {0xff, 0, 20, 3 << 3 | 1, 0xff, 10, 3, 0xff, 6, 0xc0 + 6, 6, 0};
    const uint8_t new[] = {0xff, 1, 21, 3 << 3 | 1, 0xff, 11, 4, 0xff, 7, 0xc0 + 7, 7, 0};
    for (uint32_t version = 19; version <= 20; version++) {
        const uint8_t *table = version < 20 ? old : new;
        ck_assert_uint_eq(line_by(version, table, 0), 10);
        ck_assert_uint_eq(line_by(version, table, 2), 10);
        ck_assert_uint_eq(line_by(version, table, 3), 11);
        ck_assert_uint_eq(line_by(version, table, 7), 11);
        ck_assert_uint_eq(line_by(version, table, 8), 9);
        ck_assert_uint_eq(line_by(version, table, 11), 9 + (0xc6 + 6 * 64) / 2);
        ck_assert_uint_eq(line_by(version, table, 39), 9 + (0xc6 + 6 * 64) / 2);
    }
    const uint8_t empty[] = {0}, beyond[] = {0xff, 100, 2, 0}, back[] = {0xff, 1, 2, 0};
    ck_assert_uint_eq(line_by(17, empty, 3), 0);
    ck_assert_uint_eq(line_by(17, beyond, 3), 0); /* no place in this method's code */
    ck_assert_uint_eq(line_by(17, back, 3), 0);
    ck_assert_uint_eq(line_by(20, empty, 3), 0);
}
END_TEST

static uint8_t *guarded(size_t pages) {
    uint8_t *p = mmap(NULL, (pages + 2) * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(p, MAP_FAILED);
    ck_assert_int_eq(mprotect(p + 4096, pages * 4096, PROT_READ | PROT_WRITE), 0);
    return p + 4096;
}

START_TEST(lines_by_any_bytes) {
    uint8_t *end = guarded(1) + 4096;
    srand(7);
    for (int round = 0; round < 200000; round++) {
        const size_t size = (size_t)rand() % 64;
        for (size_t i = 1; i <= size; i++)
            end[-(ptrdiff_t)i] = (uint8_t)rand();
        const struct memory m = memory_begin();
        java_line(&m, 8 + (uint32_t)rand() % 21, (uintptr_t)end - size, (uint32_t)rand() % 65536,
                  (uint32_t)rand() % 65536);
    }
}
END_TEST

/* ---- a JVM ---- */

#define ARENA_PAGES 8
#define VERSION 17
static uint8_t *arena;
static size_t arena_used;

static uint8_t *take(size_t size) {
    uint8_t *p = arena + arena_used;
    arena_used += (size + 15) & ~15ul;
    ck_assert_uint_le(arena_used, ARENA_PAGES * 4096);
    return p;
}

static void put(uint8_t *at, size_t offset, uintptr_t value) {
    memcpy(at + offset, &value, sizeof value);
}
static uint8_t *at(const uint8_t *object, size_t offset) {
    uintptr_t value;
    memcpy(&value, object + offset, sizeof value);
    return (uint8_t *)value;
}
static void put_int(uint8_t *at, size_t offset, int32_t value) {
    memcpy(at + offset, &value, sizeof value);
}
static void put_short(uint8_t *at, size_t offset, uint16_t value) {
    memcpy(at + offset, &value, sizeof value);
}

/* Everything at offsets of its own; the parts that JDK 23 and 25 took elsewhere come by a flag. */
static const struct java_layout layout = {.thread_anchor = 64,
                                          .thread_os = 8,
                                          .thread_stack_base = 16,
                                          .thread_stack_size = 24,
                                          .thread_bytes = 256,
                                          .os_pthread = 16,
                                          .os_thread_id = 8,
                                          .anchor_sp = 0,
                                          .anchor_fp = 16,
                                          .anchor_pc = 8,
                                          .wrapper_anchor = 32,
                                          .array_length = 0,
                                          .array_data = 8,
                                          .heap_memory = 8,
                                          .heap_segments = 64,
                                          .heap_log2 = 120,
                                          .space_low = 16,
                                          .space_high = 24,
                                          .block_used = 8,
                                          .block_bytes = 16,
                                          .stubs_start = 8,
                                          .stubs_limit = 20,
                                          .blob_name = 0,
                                          .blob_frame_size = 8,
                                          .blob_code = 16,
                                          .blob_code_offset = JAVA_NOWHERE,
                                          .blob_mutable = JAVA_NOWHERE,
                                          .blob_mutable_size = JAVA_NOWHERE,
                                          .blob_relocation_size = JAVA_NOWHERE,
                                          .compiled_method = 24,
                                          .compiled_number = 32,
                                          .compiled_original_pc = 36,
                                          .compiled_immutable = JAVA_NOWHERE,
                                          .compiled_places = 40,
                                          .compiled_places_end = 44,
                                          .compiled_scopes = 48,
                                          .compiled_scopes_offset = JAVA_NOWHERE,
                                          .compiled_metadata = 56,
                                          .place_offset = 0,
                                          .place_scope = 4,
                                          .place_bytes = 16,
                                          .method_const = 8,
                                          .const_pool = 8,
                                          .const_flags = 28,
                                          .const_code_size = 32,
                                          .const_name = 34,
                                          .const_bytes = 48,
                                          .pool_tags = 8,
                                          .pool_holder = 24,
                                          .pool_length = 60,
                                          .pool_source = 54,
                                          .pool_bytes = 72,
                                          .class_name = 24,
                                          .class_source = JAVA_NOWHERE,
                                          .symbol_length = 4,
                                          .symbol_bytes = 6};

enum { CODE_SIZE = 40, NAME = 1, SOURCE = 2, POOL = 4 };

static uintptr_t make_symbol(const char *name) {
    uint8_t *p = take(8 + strlen(name));
    put_short(p, 4, (uint16_t)strlen(name));
    memcpy(p + 6, name, strlen(name));
    return (uintptr_t)p;
}

/* A method whose code has one line for each of its 40 places, from `line` on; returns the Method, *code is where its bytecode is. */
static uintptr_t make_method(const char *class, const char *name, const char *source, int line,
                             uintptr_t *code) {
    uint8_t *method = take(64), *constants = take(48 + CODE_SIZE + 64), *pool = take(72 + 8 * POOL);
    uint8_t *tags = take(4 + POOL), *holder = take(64);
    put(method, 8, (uintptr_t)constants);
    put(constants, 8, (uintptr_t)pool);
    constants[28] = 1;
    put_short(constants, 32, CODE_SIZE);
    put_short(constants, 34, NAME);
    uint8_t *table = constants + 48 + CODE_SIZE;
    *table++ = 0xff, *table++ = 0, *table++ = (uint8_t)(line << 1);
    for (int i = 1; i < CODE_SIZE; i++)
        *table++ = 1 << 3 | 1;
    *table = 0;
    put(pool, 8, (uintptr_t)tags);
    put(pool, 24, (uintptr_t)holder);
    put_int(pool, 60, POOL);
    put_short(pool, 54, source ? SOURCE : 0);
    put(pool, 72 + 8 * NAME, make_symbol(name));
    if (source) put(pool, 72 + 8 * SOURCE, make_symbol(source));
    put_int(tags, 0, POOL);
    tags[4 + NAME] = tags[4 + SOURCE] = 1;
    put(holder, 24, make_symbol(class));
    *code = (uintptr_t)constants + 48;
    return (uintptr_t)method;
}

static struct java java;
static void *env;
static void *vm_functions[8];
static struct { void *const *functions; } vm = {vm_functions};

static int32_t created(void **vms, int32_t most, int32_t *count) {
    if (most > 0) *vms = &vm, *count = 1;
    return 0;
}

static int32_t get_env(void *which, void **out, int32_t version) {
    ck_assert_ptr_eq(which, &vm);
    ck_assert_int_eq(version, 0x00010006);
    *out = env;
    return env ? 0 : -2;
}

/* A place in a compiled method's code and the scopes there: caller's scope, method, bytecode. */
static uint8_t *put_scope(uint8_t *at, uint8_t caller, uint8_t method, uint8_t bci) {
    at[0] = caller, at[1] = method, at[2] = (uint8_t)(bci + 1);
    return at + 3;
}

struct jvm {
    uintptr_t interpreter, compiled, stub, call_stub; /* program counters */
    uintptr_t original;                               /* what `deoptimized` stands for */
    uintptr_t inner, outer, plain, native, bytecode[4];
    uint8_t *anchor, *heap_memory;
};

enum { BLOB = 0, STUB = 512, FRAME_WORDS = 6, ORIGINAL_SLOT = 8 };

static void make_heap(struct jvm *j) {
    uint8_t *places = take(24);
    uint8_t *array = take(16), *heap = take(128), *segments = take(16), *queue = take(32);
    uint8_t *heaps = take(8), *memory = take(1024), *stubs = take(64);
    put(array, 0, 1);
    put(array, 8, (uintptr_t)heaps);
    put(heaps, 0, (uintptr_t)heap);
    put(heap, 8 + 16, (uintptr_t)memory);
    put(heap, 8 + 24, (uintptr_t)memory + 1024);
    put(heap, 64 + 16, (uintptr_t)segments);
    put_int(heap, 120, 7); /* segments of 128 bytes: four of a method, two of a stub, two free */
    memcpy(segments, (const uint8_t[]){0, 1, 2, 1, 0, 1, 0xff, 0xff}, 8);
    memory[8] = memory[STUB + 8] = 1;
    put(queue, 8, (uintptr_t)stubs);
    put_int(queue, 20, 64);
    put(places, 0, (uintptr_t)array);
    put(places, 8, (uintptr_t)queue);
    put(places, 16, (uintptr_t)stubs + 1000);
    java.layout.heaps = (uintptr_t)places;
    java.layout.interpreter = (uintptr_t)places + 8;
    java.layout.call_stub_return = (uintptr_t)places + 16;
    j->heap_memory = memory;
    j->interpreter = (uintptr_t)stubs + 5;
    j->call_stub = (uintptr_t)stubs + 1000;
}

static uintptr_t make_name(const char *name) {
    return (uintptr_t)memcpy(take(strlen(name) + 1), name, strlen(name) + 1);
}

static void make_code(struct jvm *j) {
    uint8_t *method = j->heap_memory + BLOB + 16, *stub = j->heap_memory + STUB + 16;
    put(method, 0, make_name("nmethod"));
    put_int(method, 8, FRAME_WORDS);
    put(method, 16, (uintptr_t)method + 100);
    put(method, 24, j->outer);
    put_int(method, 32, 4711);
    put_int(method, 36, ORIGINAL_SLOT);
    put_int(method, 40, 200); /* places */
    put_int(method, 44, 200 + 4 * 16);
    put(method, 48, (uintptr_t)method + 300); /* scopes */
    put_int(method, 56, 280);                 /* methods */
    const int32_t places[4][2] = {{-1, 0}, {10, 1}, {20, 7}, {0x7fffffff, 0}};
    for (int i = 0; i < 4; i++)
        put_int(method, 200 + (size_t)i * 16, places[i][0]),
            put_int(method, 200 + (size_t)i * 16 + 4, places[i][1]);
    put(method, 280, j->inner);
    put(method, 288, j->outer);
    uint8_t *scopes = put_scope(method + 301, 4, 1, 3); /* at 1: inner, place 3, called from */
    scopes = put_scope(scopes, 0, 2, 5);                /* at 4: outer, place 5 */
    put_scope(scopes, 0, 2, 9);                         /* at 7: outer, place 9 */
    j->compiled = (uintptr_t)method + 100 + 10;
    j->original = (uintptr_t)method + 100 + 20;
    put(stub, 0, make_name("RuntimeStub"));
    put_int(stub, 8, 4);
    put(stub, 16, (uintptr_t)stub + 100);
    j->stub = (uintptr_t)stub + 110;
}

static void make_jvm(struct jvm *j, uintptr_t stack_base, size_t stack_size) {
    memset(arena, 0, ARENA_PAGES * 4096);
    arena_used = 0;
    uint8_t *thread = take(256), *os = take(64);
    java = (struct java){.start = (uintptr_t)arena, .end = (uintptr_t)arena + 64, .layout = layout};
    java.created = created;
    static const int32_t version = VERSION;
    java.hotspot = &version;
    put(thread, 0, (uintptr_t)arena + 8); /* its table of virtual functions lies in the library */
    put(thread, 8, (uintptr_t)os);
    put(thread, 16, stack_base);
    put(thread, 24, stack_size);
    put(os, 16, (uintptr_t)pthread_self());
    env = thread + 200;
    memcpy(&vm_functions[6], &(void *){(void *)get_env}, sizeof(void *));
    j->anchor = thread + 64;
    j->inner = make_method("com/example/Inner", "inner", "Inner.java", 30, &j->bytecode[0]);
    j->outer = make_method("com/example/Outer$1", "outer", "Outer.java", 50, &j->bytecode[1]);
    j->plain = make_method("Plain", "main", "Plain.java", 70, &j->bytecode[2]);
    j->native = make_method("Hidden$$Lambda$7", "run", NULL, 1, &j->bytecode[3]);
    make_heap(j);
    make_code(j);
}

/*
 * The stack, from its innermost frame: a stub, compiled code, an interpreted frame, a hidden one, then C++ that was called from
 * compiled code which shall go on in the interpreter.
 */
static void make_stack(const struct jvm *j, uintptr_t *s) {
    size_t top = 2;
    put(j->anchor, 0, (uintptr_t)&s[top]);
    put(j->anchor, 8, j->stub);
    put(j->anchor, 16, 0);
    s[top + 3] = j->compiled; /* whoever called the stub */
    top += 4;
    s[top + FRAME_WORDS - 1] = j->interpreter;
    top += FRAME_WORDS;
    const size_t plain = top + 10, hidden = plain + 14, entry = hidden + 14;
    s[top - 2] = (uintptr_t)&s[plain]; /* rbp, saved by the compiled code */
    s[plain] = (uintptr_t)&s[hidden];
    s[plain + 1] = j->interpreter;
    s[plain - 1] = (uintptr_t)&s[plain + 2];
    s[plain - 3] = j->plain;
    s[plain - 8] = j->bytecode[2] + 7;
    s[hidden] = (uintptr_t)&s[entry];
    s[hidden + 1] = j->call_stub;
    s[hidden - 1] = (uintptr_t)&s[hidden + 2];
    s[hidden - 3] = j->native;
    s[hidden - 7] = j->bytecode[3] + 1;
    s[entry - 6] = (uintptr_t)&s[entry + 4]; /* the wrapper, and the anchor in it */
    s[entry + 8] = (uintptr_t)&s[entry + 20];
    s[entry + 9] = 0; /* the program counter lies before the frame */
    s[entry + 10] = 0;
    s[entry + 19] = (uintptr_t)j->heap_memory + BLOB + 16 + 100 + 60;
    s[entry + 20 + ORIGINAL_SLOT / 8] = j->original;
    s[entry + 20 + FRAME_WORDS - 1] = 1; /* nobody's code */
}

#define STACK_WORDS 256
static uint32_t walk(void **pcs, uint32_t most) {
    return java_frames(&java, pcs, most);
}

START_TEST(java_frames_are_walked) {
    uintptr_t stack[STACK_WORDS] = {0};
    struct jvm j;
    void *pcs[16];
    make_jvm(&j, (uintptr_t)(stack + STACK_WORDS), 1 << 20);
    make_stack(&j, stack);
    for (int again = 0; again < 3; again++) {
        ck_assert_uint_eq(walk(pcs, 16), 4);
        ck_assert_ptr_eq(pcs[0],
                         java_counter("com/example/Inner.java", "com.example.Inner.inner", 33));
        ck_assert_ptr_eq(pcs[1],
                         java_counter("com/example/Outer.java", "com.example.Outer$1.outer", 55));
        ck_assert_ptr_eq(pcs[2], java_counter("Plain.java", "Plain.main", 77));
        ck_assert_ptr_eq(pcs[3],
                         java_counter("com/example/Outer.java", "com.example.Outer$1.outer", 59));
        ck_assert_uint_eq(walk(pcs, 2), 2);
    }
    ck_assert(java_holds(&java, j.compiled) && java_holds(&java, (uintptr_t)arena + 8));
    ck_assert(!java_holds(&java, (uintptr_t)walk));
    /* Another method at the same addresses: a class came where another one was unloaded. */
    uint8_t *symbol = at(at(at((uint8_t *)j.plain, 8), 8), 72 + 8 * NAME); /* of its pool */
    memcpy(symbol + 6, "next", 4);
    ck_assert_uint_eq(walk(pcs, 16), 4);
    ck_assert_ptr_eq(pcs[2], java_counter("Plain.java", "Plain.next", 77));
    /* Compiled anew at the same address. */
    uint8_t *method = j.heap_memory + BLOB + 16;
    put_int(method, 32, 4712);
    method[303] = 10 + 1;
    ck_assert_uint_eq(walk(pcs, 16), 4);
    ck_assert_ptr_eq(pcs[0], java_counter("com/example/Inner.java", "com.example.Inner.inner", 40));
}
END_TEST

START_TEST(java_threads_of_others_have_none) {
    uintptr_t stack[STACK_WORDS] = {0};
    struct jvm j;
    void *pcs[16];
    make_jvm(&j, (uintptr_t)(stack + STACK_WORDS), 1 << 20);
    make_stack(&j, stack);
    ck_assert_uint_eq(walk(pcs, 16), 4);
    void *mine = env;
    env = NULL; /* the JVM does not know this thread */
    ck_assert_uint_eq(walk(pcs, 16), 0);
    env = mine;
    put(j.anchor, 0, 0); /* it is in Java, or never was */
    ck_assert_uint_eq(walk(pcs, 16), 0);
    make_jvm(&j, (uintptr_t)stack, 1 << 20); /* on another stack: a signal handler's */
    make_stack(&j, stack);
    ck_assert_uint_eq(walk(pcs, 16), 0);
}
END_TEST

#ifndef __SANITIZE_ADDRESS__ /* whose red zones and shadow are readable, and not to be read */
START_TEST(java_with_wild_pointers_never_faults) {
    uintptr_t stack[STACK_WORDS];
    struct jvm j;
    void *pcs[64];
    srand(11);
    for (int round = 0; round < 60000; round++) {
        memset(stack, 0, sizeof stack);
        make_jvm(&j, (uintptr_t)(stack + STACK_WORDS), 1 << 20);
        make_stack(&j, stack);
        put_int(j.heap_memory + BLOB + 16, 32, round); /* nothing is known from before */
        for (int n = rand() % 4 + 1; n > 0; n--) {
            const uintptr_t wild[] = {0,
                                      8,
                                      (uintptr_t)arena - 8,
                                      UINTPTR_MAX - 15,
                                      (uintptr_t)arena + ARENA_PAGES * 4096 - 8,
                                      (uintptr_t)&stack[rand() % STACK_WORDS],
                                      (uintptr_t)arena + (size_t)rand() % (ARENA_PAGES * 4096),
                                      ((uintptr_t)arena + (size_t)rand() % arena_used) & ~7ul};
            const uintptr_t value = wild[(size_t)rand() % (sizeof wild / sizeof *wild)];
            if (rand() % 3)
                put(arena, (size_t)rand() % (arena_used / 8) * 8, value);
            else
                stack[rand() % STACK_WORDS] = value;
        }
        walk(pcs, 64);
        java_holds(&java, (uintptr_t)arena + (size_t)rand() % (ARENA_PAGES * 4096));
    }
}
END_TEST
#endif

static void setup(void) {
    if (!arena) arena = guarded(ARENA_PAGES);
}

int main(void) {
    Suite *suite = suite_create("java");
    TCase *tests = tcase_create("java");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, lines_by_tables);
    tcase_add_test(tests, lines_by_any_bytes);
    tcase_add_test(tests, java_frames_are_walked);
    tcase_add_test(tests, java_threads_of_others_have_none);
#ifndef __SANITIZE_ADDRESS__
    tcase_add_test(tests, java_with_wild_pointers_never_faults);
#endif
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
