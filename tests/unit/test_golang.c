/* Go's tables, made by hand: stack depths, names of types, functions by name, and what is damaged in them. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "golang/engine.h"
#include "golang/words.h"
#include "tests/unit/suite.h"

/* ---- the table of functions ---- */

static struct {
    uint8_t header[72];
    char names[56];
    uint8_t units[8];
    uint8_t pc_data[32];
    uint32_t functions[80];
} image;

static const char names[] = "\0main.main\0net/http.f\0runtime.g\0net/http.f2";
enum { MAIN = 1, F = 11, G = 22, F2 = 32 };

static void put64(size_t at, uint64_t value) {
    memcpy(image.header + at, &value, 8);
}

/* Three entries and the end; records of 44 bytes after them. */
static void make(void) {
    memset(&image, 0, sizeof image);
    memcpy(image.header, "\xf1\xff\xff\xff\0\0\x01\x08", 8);
    put64(8, 3);
    put64(32, offsetof(__typeof__(image), names));
    put64(40, offsetof(__typeof__(image), units));
    put64(56, offsetof(__typeof__(image), pc_data));
    put64(64, offsetof(__typeof__(image), functions));
    memcpy(image.names, names, sizeof names);
    /* depth 0 until 5, 8 until 20, 0 until 21 */
    memcpy(image.pc_data + 1, "\x02\x05\x10\x0f\x0f\x01\x00", 7);
    const uint32_t entries[] = {0, 32, 64, 100};
    const uint32_t name_of[] = {MAIN, F, F2};
    for (uint32_t i = 0; i < 4; i++) {
        image.functions[2 * i] = entries[i];
        if (i == 3) break;
        image.functions[2 * i + 1] = 32 + 44 * i;
        uint32_t *record = image.functions + (32 + 44 * i) / 4;
        record[0] = entries[i];
        record[1] = name_of[i];
        record[4] = 1;
    }
}

static bool find(struct pclntab *table, struct program *program) {
    program->count = 1;
    program->segments[0] =
        (struct program_segment){(uintptr_t)&image, (uintptr_t)(&image + 1), false, false};
    golang_program.minor = 22;
    return pclntab_find(table, program);
}

START_TEST(functions_are_found_by_name) {
    struct pclntab table;
    struct program program;
    make();
    ck_assert(find(&table, &program));
    ck_assert_uint_eq(table.count, 3);
    table.text = 0x1000;
    const char *const wanted[] = {"net/http.f2", "net/http.f", "absent", "net/http.f", "runtime.g"};
    struct pclntab_function f[5];
    uint8_t found[5];
    ck_assert(pclntab_functions(&table, wanted, 5, f, found));
    ck_assert_mem_eq(found, "\1\1\0\1\0", 5);
    ck_assert_uint_eq(f[0].entry, 0x1000 + 64);
    ck_assert_uint_eq(f[0].end, 0x1000 + 100);
    ck_assert_uint_eq(f[1].entry, 0x1000 + 32);
    ck_assert_uint_eq(f[3].entry, 0x1000 + 32);
    ck_assert(pclntab_has(&table, "runtime.g"));
    ck_assert(!pclntab_has(&table, "untime.g"));
}
END_TEST

START_TEST(generated_wrappers_are_not_meant) {
    struct pclntab table;
    struct program program;
    make();
    uint8_t *id = (uint8_t *)(image.functions + (32 + 44) / 4) + 40;
    *id = 22;
    ck_assert(find(&table, &program));
    const char *const wanted[] = {"net/http.f"};
    struct pclntab_function f;
    uint8_t found;
    ck_assert(pclntab_functions(&table, wanted, 1, &f, &found));
    ck_assert_uint_eq(found, 0);
    *id = 0;
    image.functions[32 / 4 + 1] = F; /* main.main has the name too */
    ck_assert(pclntab_functions(&table, wanted, 1, &f, &found));
    ck_assert_uint_eq(found, 2);
}
END_TEST

START_TEST(depths_follow_the_program_counter) {
    struct pclntab table;
    struct program program;
    make();
    ck_assert(find(&table, &program));
    const struct pclntab_function f = {.end = 32, .stack = 1};
    struct pclntab_depths d = pclntab_depths_of(&table, &f);
    const int32_t depths[] = {0, 8, 0};
    const uint32_t untils[] = {5, 20, 21};
    for (int i = 0; i < 3; i++) {
        ck_assert(pclntab_depth_next(&d));
        ck_assert_int_eq(d.depth, depths[i]);
        ck_assert_uint_eq(d.until, untils[i]);
    }
    ck_assert(!pclntab_depth_next(&d));
}
END_TEST

START_TEST(damage_is_noticed) {
    struct pclntab table;
    struct program program;
    const struct {
        size_t at;
        uint64_t value;
    } bad[] = {{8, 0},           {8, 1000},      {8, UINT64_MAX}, {32, 8},    {32, UINT64_MAX},
               {56, UINT64_MAX}, {64, 1u << 20}, {64, 0},         {40, 1000}, {0, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        make();
        put64(bad[i].at, bad[i].value);
        ck_assert_msg(!find(&table, &program), "row %zu", i);
        ck_assert_uint_ne(golang_program.blind_reason[0], 0);
    }
    const char *const wanted[] = {"net/http.f"};
    struct pclntab_function f;
    uint8_t found;
    for (uint32_t i = 0; i < 2; i++) {
        make();
        if (i == 0) image.functions[3] = 0xffffff00; /* a record outside */
        if (i == 1) image.functions[4] = 1;          /* an end before the beginning */
        ck_assert(find(&table, &program));
        ck_assert_msg(!pclntab_functions(&table, wanted, 1, &f, &found), "row %u", i);
    }
    make();
    memset(image.pc_data, 0xff, sizeof image.pc_data); /* numbers without end */
    ck_assert(find(&table, &program));
    const struct pclntab_function g = {.end = 32, .stack = 1};
    struct pclntab_depths d = pclntab_depths_of(&table, &g);
    ck_assert(!pclntab_depth_next(&d));
}
END_TEST

/* ---- types ---- */

static struct { uint8_t pointer[56], structure[80], name[32]; } types;

static void types_make(void) {
    memset(&types, 0, sizeof types);
    golang_program.types = (uintptr_t)&types;
    golang_program.etypes = (uintptr_t)(&types + 1);
    types.pointer[23] = 22 | 32;
    types.structure[23] = 25;
    types.structure[20] = 2; /* the name has a star too many */
    const uint64_t structure = (uintptr_t)types.structure;
    memcpy(types.pointer + 48, &structure, 8);
    const uint32_t name = offsetof(__typeof__(types), name);
    memcpy(types.pointer + 40, &name, 4);
    memcpy(types.structure + 40, &name, 4);
    memcpy(types.name, "\1\x0d*http.request", 15);
    types.name[1] = 13;
}

START_TEST(types_have_names) {
    types_make();
    size_t length;
    const char *name = golang_type_name((uintptr_t)types.pointer, &length);
    ck_assert_uint_eq(length, 13);
    ck_assert_mem_eq(name, "*http.request", 13);
    name = golang_type_name((uintptr_t)types.structure, &length);
    ck_assert_uint_eq(length, 12);
    ck_assert_mem_eq(name, "http.request", 12);
    ck_assert_ptr_null(golang_type_name(0, &length));
    ck_assert_ptr_null(golang_type_name((uintptr_t)types.name, &length));
    types.name[1] = 0x80, types.name[2] = 0x7f; /* 16256 bytes: more than there are */
    ck_assert_ptr_null(golang_type_name((uintptr_t)types.pointer, &length));
    types.name[1] = types.name[2] = 0xff;
    ck_assert_ptr_null(golang_type_name((uintptr_t)types.pointer, &length));
}
END_TEST

START_TEST(interfaces_tell_what_they_hold) {
    types_make();
    const uint64_t itab[2] = {0, (uintptr_t)types.pointer};
    const uint64_t other[2] = {0, (uintptr_t)types.structure}, wild[2] = {0, 42};
    ck_assert(golang_itab_points_to((uintptr_t)itab, (uintptr_t)types.structure));
    ck_assert(!golang_itab_points_to((uintptr_t)itab, (uintptr_t)types.pointer));
    ck_assert(!golang_itab_points_to((uintptr_t)itab, 0));
    ck_assert(!golang_itab_points_to(0, (uintptr_t)types.structure));
    ck_assert(!golang_itab_points_to((uintptr_t)other, (uintptr_t)types.structure));
    ck_assert(!golang_itab_points_to((uintptr_t)wild, (uintptr_t)types.structure));
}
END_TEST

/* ---- the rest ---- */

START_TEST(reasons_fit) {
    ck_assert(!words_refuse("a", " and ", "b"));
    ck_assert_str_eq(golang_program.blind_reason, "a and b");
    char longer[400];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    words_refuse(longer, longer);
    ck_assert_uint_eq(strlen(golang_program.blind_reason), sizeof golang_program.blind_reason - 1);
}
END_TEST

START_TEST(this_program_is_none_of_go) {
    const struct golang_start nothing = {NULL, 0, 0};
    ck_assert(!golang_start(&nothing));
    ck_assert_int_eq(golang_program.state, GOLANG_NONE);
    static uint32_t note[8] = {4, 4, 4};
    Elf64_Phdr header = {.p_type = PT_NOTE, .p_vaddr = (uintptr_t)note, .p_filesz = 16};
    const struct golang_start start = {&header, 1, 0};
    memcpy(note + 3, "Go\0", 4);
    ck_assert(!program_is_go(&start)); /* cut: its text is missing */
    header.p_filesz = sizeof note;
    ck_assert(program_is_go(&start));
    note[1] = UINT32_MAX;
    ck_assert(!program_is_go(&start));
    note[0] = UINT32_MAX;
    ck_assert(!program_is_go(&start));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("golang");
    TCase *tests = tcase_create("golang");
    tcase_add_test(tests, functions_are_found_by_name);
    tcase_add_test(tests, generated_wrappers_are_not_meant);
    tcase_add_test(tests, depths_follow_the_program_counter);
    tcase_add_test(tests, damage_is_noticed);
    tcase_add_test(tests, types_have_names);
    tcase_add_test(tests, interfaces_tell_what_they_hold);
    tcase_add_test(tests, reasons_fit);
    tcase_add_test(tests, this_program_is_none_of_go);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
