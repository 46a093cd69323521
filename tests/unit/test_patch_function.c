/* C functions led elsewhere: what their first instructions may be, and that all or none is changed. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "patch/function.h"
#include "tests/unit/suite.h"

typedef long function(long);

static uint8_t *page;

static void begin(void) {
    page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(page, MAP_FAILED);
}

static struct patch_function put(size_t at, const void *code, size_t size, function *to) {
    ck_assert_int_eq(mprotect(page, 4096, PROT_READ | PROT_WRITE), 0);
    memcpy(page + at, code, size);
    ck_assert_int_eq(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
    return (struct patch_function){.at = (uintptr_t)(page + at), .size = size, .to = (uintptr_t)to};
}

static function *real;
static long hook(long x) {
    return real(x) + 1000;
}

static long call(size_t at, long x) {
    return ((function *)(uintptr_t)(page + at))(x);
}

/* test rdi,rdi; je +6; mov eax,7; ret; mov eax,9; ret: as SSL_free begins. */
static const uint8_t branches[] = {0x48, 0x85, 0xff, 0x74, 0x06, 0xb8, 7, 0,   0,
                                   0,    0xc3, 0xb8, 9,    0,    0,    0, 0xc3};
/* push rbp; mov rbp,rsp; lea rax,[rdi+2]; pop rbp; ret */
static const uint8_t plain[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x8d, 0x47, 2, 0x5d, 0xc3};
/* dec rdi; jnz to the function's first byte; mov eax,3; ret */
static const uint8_t loop[] = {0x48, 0xff, 0xcf, 0x75, 0xfb, 0xb8, 3, 0, 0, 0, 0xc3};
/* sub rsp,8; call +6; add rsp,8; ret; nop; and what it calls: lea rax,[rdi+5]; ret. As SSL_read_ex begins. */
static const uint8_t calls[] = {0x48, 0x83, 0xec, 8,    0xe8, 6,    0,    0,    0, 0x48,
                                0x83, 0xc4, 8,    0xc3, 0x90, 0x48, 0x8d, 0x47, 5, 0xc3};
/* jmp to its own second instruction; ret */
static const uint8_t jumps[] = {0xeb, 0, 0x90, 0x90, 0x90, 0xc3};

START_TEST(a_conditional_jump_leads_where_it_led) {
    size_t failed;
    struct patch_function f = put(0, branches, sizeof branches, hook);
    ck_assert_ptr_null(patch_functions(&f, 1, &failed));
    real = (function *)f.real;
    ck_assert_int_eq(call(0, 1), 1007);
    ck_assert_int_eq(call(0, 0), 1009);
    ck_assert_int_eq(real(1), 7);
    ck_assert_int_eq(real(0), 9);
}
END_TEST

START_TEST(a_plain_beginning_is_moved) {
    size_t failed;
    struct patch_function f = put(16, plain, sizeof plain, hook);
    ck_assert_ptr_null(patch_functions(&f, 1, &failed));
    real = (function *)f.real;
    ck_assert_int_eq(call(16, 40), 1042);
}
END_TEST

START_TEST(a_call_returns_behind_the_patch) {
    size_t failed;
    struct patch_function f = put(16, calls, 14, hook);
    put(30, calls + 14, sizeof calls - 14, hook);
    ck_assert_ptr_null(patch_functions(&f, 1, &failed));
    real = (function *)f.real;
    ck_assert_int_eq(call(16, 40), 1045);
    ck_assert_int_eq(real(1), 6);
}
END_TEST

/* As SSL_ctrl of OpenSSL 3.2 and later: lea rax,[rdi+1]; jmp to the function behind it: lea rax,[rax+rax]; ret */
START_TEST(a_function_that_goes_on_in_another_one) {
    static const uint8_t tail[] = {0x48, 0x8d, 0x47, 1, 0xe9, 7, 0, 0, 0};
    static const uint8_t tail_short[] = {0x48, 0x8d, 0x47, 1, 0xeb, 10};
    static const uint8_t other[] = {0x48, 0x8d, 0x04, 0x00, 0xc3};
    size_t failed;
    struct patch_function f[] = {put(16, tail, sizeof tail, hook),
                                 put(64, tail_short, sizeof tail_short, hook)};
    put(32, other, sizeof other, hook);
    put(80, other, sizeof other, hook);
    ck_assert_ptr_null(patch_functions(f, 2, &failed));
    for (size_t i = 0; i < 2; i++) {
        real = (function *)f[i].real;
        ck_assert_int_eq(call(i ? 64 : 16, 4), 1010);
        ck_assert_int_eq(real(4), 10);
    }
}
END_TEST

START_TEST(what_cannot_be_moved_keeps_all_as_they_are) {
    static const struct {
        const uint8_t *code;
        size_t size;
    } bad[] = {{loop, sizeof loop}, {jumps, sizeof jumps}, {plain, 3}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t failed;
        struct patch_function f[2];
        f[0] = put(0, plain, sizeof plain, hook);
        f[1] = put(64, bad[i].code, bad[i].size, hook);
        ck_assert_ptr_nonnull(patch_functions(f, 2, &failed));
        ck_assert_uint_eq(failed, 1);
        ck_assert_uint_eq(f[0].real, 0);
        ck_assert_mem_eq(page, plain, sizeof plain);
        ck_assert_int_eq(call(0, 40), 42);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("patch_function");
    TCase *tests = tcase_create("patch_function");
    tcase_add_checked_fixture(tests, begin, NULL);
    tcase_add_test(tests, a_conditional_jump_leads_where_it_led);
    tcase_add_test(tests, a_plain_beginning_is_moved);
    tcase_add_test(tests, a_call_returns_behind_the_patch);
    tcase_add_test(tests, a_function_that_goes_on_in_another_one);
    tcase_add_test(tests, what_cannot_be_moved_keeps_all_as_they_are);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
