/* Machine code: lengths, where a jump may stand, and functions of this very program led elsewhere. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "patch/body.h"
#include "patch/decode.h"
#include "patch/function.h"
#include "patch/room.h"
#include "tests/unit/suite.h"

/* ---- lengths ---- */

static const struct {
    const char *bytes; /* what follows the instruction is 0xcc */
    uint8_t length, relative;
    enum instruction_kind kind;
} known[] = {
    {"\x55", 1, 0, INSTRUCTION_PLAIN},
    {"\x48\x89\xe5", 3, 0, INSTRUCTION_PLAIN},                              /* mov rbp, rsp */
    {"\x48\x83\xec\x20", 4, 0, INSTRUCTION_PLAIN},                          /* sub rsp, 32 */
    {"\x48\x81\xec\x98\x01\x00\x00", 7, 0, INSTRUCTION_PLAIN},              /* sub rsp, 408 */
    {"\x48\x8b\x05\x10\x00\x00\x00", 7, 3, INSTRUCTION_PLAIN},              /* mov rax, [rip+16] */
    {"\x48\x8b\x44\x24\x08", 5, 0, INSTRUCTION_PLAIN},                      /* SIB, disp8 */
    {"\x48\x8b\x04\x25\xf8\xff\xff\xff", 8, 0, INSTRUCTION_PLAIN},          /* SIB without base */
    {"\x64\x48\x8b\x0c\x25\xf8\xff\xff\xff", 9, 0, INSTRUCTION_PLAIN},      /* fs: */
    {"\x49\xbc\x01\x02\x03\x04\x05\x06\x07\x08", 10, 0, INSTRUCTION_PLAIN}, /* mov r12, imm64 */
    {"\x66\xb8\x01\x02", 4, 0, INSTRUCTION_PLAIN},                          /* mov ax, imm16 */
    {"\x66\xc7\x44\x24\x08\x01\x02", 7, 0, INSTRUCTION_PLAIN},              /* mov word, imm16 */
    {"\xf6\xc1\x01", 3, 0, INSTRUCTION_PLAIN},                              /* test cl, 1 */
    {"\xf7\xd9", 2, 0, INSTRUCTION_PLAIN},                                  /* neg ecx */
    {"\xf7\xc1\x01\x00\x00\x00", 6, 0, INSTRUCTION_PLAIN},                  /* test ecx, 1 */
    {"\xe8\x00\x01\x00\x00", 5, 0, INSTRUCTION_CALL},
    {"\xff\x15\x00\x01\x00\x00", 6, 2, INSTRUCTION_CALL},
    {"\xff\xe0", 2, 0, INSTRUCTION_INDIRECT},
    {"\xeb\xfe", 2, 0, INSTRUCTION_JUMP},
    {"\x76\x05", 2, 0, INSTRUCTION_BRANCH},
    {"\x0f\x86\x00\x01\x00\x00", 6, 0, INSTRUCTION_BRANCH},
    {"\xc3", 1, 0, INSTRUCTION_RETURN},
    {"\xf3\xc3", 2, 0, INSTRUCTION_RETURN},
    {"\xc2\x08\x00", 3, 0, INSTRUCTION_RETURN},
    {"\xcc", 1, 0, INSTRUCTION_STOP},
    {"\x0f\x0b", 2, 0, INSTRUCTION_STOP},
    {"\x0f\x05", 2, 0, INSTRUCTION_PLAIN},                                  /* syscall */
    {"\xf3\x0f\x1e\xfa", 4, 0, INSTRUCTION_PLAIN},                          /* endbr64 */
    {"\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00", 10, 0, INSTRUCTION_PLAIN}, /* nop */
    {"\xf0\x0f\xb1\x0a", 4, 0, INSTRUCTION_PLAIN},                          /* lock cmpxchg */
    {"\x66\x0f\x3a\x0f\xc1\x08", 6, 0, INSTRUCTION_PLAIN},                  /* palignr */
    {"\xc5\xf8\x77", 3, 0, INSTRUCTION_PLAIN},                              /* vzeroupper */
    {"\xc4\xe2\xf1\xf7\xc2", 5, 0, INSTRUCTION_PLAIN},                      /* shlx */
    {"\xc4\xe3\x7b\xf0\xc1\x07", 6, 0, INSTRUCTION_PLAIN},                  /* rorx */
    {"\x62\xf1\xfe\x48\x6f\x44\x24\x01", 8, 0, INSTRUCTION_PLAIN},          /* vmovdqu64 zmm */
};

START_TEST(lengths_are_known) {
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        uint8_t code[24];
        memset(code, 0xcc, sizeof code);
        memcpy(code, known[k].bytes, known[k].length);
        struct instruction i;
        ck_assert_msg(instruction_decode(code, sizeof code, &i), "row %zu", k);
        ck_assert_msg(i.length == known[k].length, "row %zu: %u", k, i.length);
        ck_assert_msg(i.relative == known[k].relative, "row %zu: %u", k, i.relative);
        ck_assert_msg(i.kind == known[k].kind, "row %zu: %d", k, (int)i.kind);
        for (size_t room = 0; room < i.length; room++) {
            struct instruction cut;
            ck_assert_msg(!instruction_decode(code, room, &cut), "row %zu, %zu bytes", k, room);
        }
    }
}
END_TEST

START_TEST(targets_are_told_from_the_beginning) {
    struct instruction i;
    ck_assert(instruction_decode((const uint8_t *)"\xeb\xfe", 2, &i));
    ck_assert(i.direct && i.target == 0);
    ck_assert(instruction_decode((const uint8_t *)"\x0f\x86\xf0\xff\xff\xff", 6, &i));
    ck_assert(i.direct && i.target == -10);
    ck_assert(instruction_decode((const uint8_t *)"\xff\xd0", 2, &i));
    ck_assert(!i.direct);
}
END_TEST

/* Prefixes without end, opcodes that are none: refused, or a length within the room. */
START_TEST(no_bytes_lead_outside) {
    uint64_t x = 88172645463325252;
    for (int round = 0; round < 200000; round++) {
        uint8_t code[16];
        for (size_t b = 0; b < sizeof code; b++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            code[b] =
                x & 256 ? "\x66\xf2\x48\x0f\xc4\x62\xff\x67"[x >> 20 & 7] : (uint8_t)(x >> 32);
        }
        struct instruction i;
        const size_t room = (size_t)(x >> 40) % 17;
        if (instruction_decode(code, room, &i))
            ck_assert(i.length > 0 && i.length <= room && i.length <= 15);
    }
}
END_TEST

/* ---- places for jumps ---- */

static struct patch_body body;

static const char *site_from(const char *code, size_t size, size_t at, struct patch_site *site) {
    const char *why = patch_body_read(&body, (const uint8_t *)code, size);
    return why ? why : patch_site_from(&body, at, PATCH_JUMP, site);
}

START_TEST(whole_instructions_are_displaced) {
    static const char code[] = "\x55\x48\x89\xe5\x48\x83\xec\x20\x90\x48\x83\xc4\x20\x5d\xc3";
    struct patch_site site;
    ck_assert_ptr_null(site_from(code, 15, 0, &site));
    ck_assert_uint_eq(site.length, 8);
    ck_assert_int_eq(patch_body_return(&body, 0), 14);
    ck_assert_int_eq(patch_body_return(&body, 15), -1);
    ck_assert_int_eq(patch_body_before(&body, 14), 13);
    ck_assert_int_eq(patch_body_before(&body, 3), -1);
    ck_assert_ptr_null(patch_site_return(&body, 14, &site));
    ck_assert_ptr_eq(site.at, code + 9);
    ck_assert_uint_eq(site.length, 6);
    ck_assert_uint_eq(site.last, 1);
    ck_assert_ptr_nonnull(patch_site_return(&body, 13, &site));
}
END_TEST

START_TEST(what_is_jumped_to_stays) {
    struct patch_site site;
    /* jmp to 4, in the middle of what the jump would cover; then to 5, behind it; then to 0 */
    ck_assert_ptr_nonnull(site_from("\x55\x48\x89\xe5\x90\x90\x90\xeb\xfb\xc3", 10, 0, &site));
    ck_assert_ptr_null(site_from("\x55\x48\x89\xe5\x90\x90\x90\xeb\xfc\xc3", 10, 0, &site));
    ck_assert_ptr_null(site_from("\x55\x48\x89\xe5\x90\x90\x90\xeb\xf7\xc3", 10, 0, &site));
    /* a call, a branch, a return cannot be displaced; nor what ends in the middle of the code */
    ck_assert_ptr_nonnull(site_from("\x55\xe8\x00\x00\x00\x00\xc3", 7, 0, &site));
    ck_assert_ptr_nonnull(site_from("\x48\x85\xc0\x74\x00\x90\xc3", 7, 0, &site));
    ck_assert_ptr_nonnull(site_from("\x48\x89\xf8\xc3\x90\x90", 6, 0, &site));
    ck_assert_ptr_nonnull(site_from("\x55\x48\x89\xe5", 4, 0, &site));
    ck_assert_ptr_nonnull(site_from("\x55\x48\x89", 3, 0, &site));
    ck_assert_ptr_nonnull(site_from("\x06", 1, 0, &site));
    ck_assert_ptr_nonnull(patch_body_read(&body, NULL, 0));
}
END_TEST

START_TEST(functions_that_end_in_a_jump_are_marked) {
    ck_assert_ptr_null(patch_body_read(&body, (const uint8_t *)"\x90\xe9\x00\x01\x00\x00", 6));
    ck_assert(body.tail);
    ck_assert_ptr_null(patch_body_read(&body, (const uint8_t *)"\xe8\x00\x01\x00\x00\xc3", 6));
    ck_assert(!body.tail);
}
END_TEST

/* ---- functions of this program ---- */

#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN true /* it has no shadow for code at places that it did not choose */
#else
#define UNDER_TSAN false
#endif

static long number = 40;

extern long patch_sum(long, long), patch_seen(long), patch_loop(long), patch_short(long);
extern const char patch_sum_end[], patch_seen_end[], patch_loop_end[], patch_short_end[];
/* On pages of their own: these cannot be executed while they are written to. */
__asm__(".text\n .balign 4096, 0xcc\n"
        ".globl patch_sum, patch_seen, patch_loop, patch_short\n"
        "patch_sum: endbr64\n mov %rdi, %rax\n add %rsi, %rax\n ret\n"
        "patch_sum_end: .balign 16, 0xcc\n"
        "patch_seen: mov patch_number(%rip), %rax\n mov (%rax), %rax\n add %rdi, %rax\n ret\n"
        "patch_seen_end: .balign 16, 0xcc\n"
        "patch_loop: xor %eax, %eax\n 1: inc %rax\n dec %rdi\n jnz 1b\n ret\n"
        "patch_loop_end: .balign 16, 0xcc\n"
        "patch_short: lea 1(%rdi), %rax\n ret\n"
        "patch_short_end: .balign 4096, 0xcc\n"
        ".data\n .balign 8\n patch_number: .quad 0\n .globl patch_number\n .text\n");
extern long *patch_number;

static struct patch_function functions[2];

static long other_sum(long a, long b) {
    return 1000 + ((long (*)(long, long))functions[0].real)(a, b);
}

static long other_seen(long a) {
    return 2000 + ((long (*)(long))functions[1].real)(a);
}

#define FUNCTION(name, instead)                                                                    \
    (struct patch_function) {                                                                      \
        (uintptr_t) name, (size_t)(name##_end - (const char *)name), (uintptr_t)instead, 0         \
    }

START_TEST(functions_are_led_elsewhere) {
    patch_number = &number;
    ck_assert_int_eq(patch_sum(1, 2), 3);
    ck_assert_int_eq(patch_seen(2), 42);
    functions[0] = FUNCTION(patch_sum, other_sum);
    functions[1] = FUNCTION(patch_seen, other_seen);
    size_t failed = 9;
    ck_assert_ptr_null(patch_functions(functions, 2, &failed));
    ck_assert_int_eq(patch_sum(1, 2), 1003);
    ck_assert_int_eq(patch_seen(2), 2042);
    ck_assert_int_eq(((long (*)(long))functions[1].real)(3), 43);
}
END_TEST

START_TEST(all_of_them_or_none) {
    size_t failed = 9;
    functions[0] = FUNCTION(patch_sum, other_sum);
    functions[1] = FUNCTION(patch_loop, other_seen);
    ck_assert_str_eq(patch_functions(functions, 2, &failed), "something jumps into it");
    ck_assert_uint_eq(failed, 1);
    ck_assert_int_eq(patch_sum(1, 2), 3);
    ck_assert_int_eq(patch_loop(5), 5);
    ck_assert_uint_eq(functions[0].real, 0);
    functions[1] = FUNCTION(patch_short, other_seen);
    ck_assert_ptr_nonnull(patch_functions(functions, 2, &failed));
    functions[1] = functions[0];
    ck_assert_str_eq(patch_functions(functions, 2, &failed), "it is listed twice");
    functions[1].size = 0;
    functions[1].at++;
    ck_assert_ptr_nonnull(patch_functions(functions, 2, &failed));
    ck_assert_int_eq(patch_sum(1, 2), 3);
    ck_assert_ptr_null(patch_functions(functions, 0, &failed));
}
END_TEST

START_TEST(room_is_within_reach) {
    const uintptr_t lows[] = {0x400000, 0x10000000, 0x7f0000000000, (uintptr_t)patch_sum & ~4095ul};
    for (size_t k = 0; k < sizeof lows / sizeof *lows; k++) {
        struct patch_room room;
        ck_assert(patch_room_open(&room, lows[k], lows[k] + (64u << 20), 40000));
        const int64_t away = (int64_t)((uintptr_t)room.start - lows[k]);
        ck_assert_int_lt(away, INT64_C(0x7fffffff) - 40000);
        ck_assert_int_gt(away, -INT64_C(0x7fffffff) + (64 << 20));
        ck_assert(away + 40000 <= 0 || away >= 64 << 20);
        memset(room.start, 0xcc, room.size);
        ck_assert(patch_room_seal(&room));
        patch_room_close(&room);
        ck_assert_ptr_null(room.start);
    }
    struct patch_room room;
    ck_assert(!patch_room_open(&room, 0x400000, 0x400000 + (UINT64_C(3) << 30), 4096));
}
END_TEST

START_TEST(a_jump_reaches_two_gigabytes) {
    uint8_t jump[PATCH_JUMP];
    ck_assert(patch_put_jump(jump, 0x400000, 0x400005));
    ck_assert_mem_eq(jump, "\xe9\x00\x00\x00\x00", 5);
    ck_assert(patch_put_jump(jump, 0x400000, 0x400000));
    ck_assert_mem_eq(jump, "\xe9\xfb\xff\xff\xff", 5);
    ck_assert(!patch_put_jump(jump, 0x400000, UINT64_C(0x7f0000000000)));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("patch");
    TCase *tests = tcase_create("patch");
    tcase_add_test(tests, lengths_are_known);
    tcase_add_test(tests, targets_are_told_from_the_beginning);
    tcase_add_test(tests, no_bytes_lead_outside);
    tcase_add_test(tests, whole_instructions_are_displaced);
    tcase_add_test(tests, what_is_jumped_to_stays);
    tcase_add_test(tests, functions_that_end_in_a_jump_are_marked);
    if (!UNDER_TSAN) tcase_add_test(tests, functions_are_led_elsewhere);
    tcase_add_test(tests, all_of_them_or_none);
    tcase_add_test(tests, room_is_within_reach);
    tcase_add_test(tests, a_jump_reaches_two_gigabytes);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
