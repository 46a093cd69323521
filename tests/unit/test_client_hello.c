/* The ClientHello parser: what it finds, every truncation flush against a guard page, and bytes of
 * any kind. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/hello.h"
#include "tests/unit/suite.h"
#include "track/client_hello.h"

/* A copy of the bytes that ends where no byte may be read any more. */
static uint8_t *guarded(const uint8_t *bytes, size_t n) {
    static uint8_t *area;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!area) {
        area = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(area, MAP_FAILED);
        ck_assert_int_eq(mprotect(area + 2 * page, page, PROT_NONE), 0);
    }
    ck_assert_uint_le(n, 2 * page);
    return memcpy(area + 2 * page - n, bytes, n);
}

START_TEST(random_and_name_are_found) {
    struct hello h = hello_make("www.example.com", 7);
    struct client_hello out;
    ck_assert(client_hello_parse(guarded(h.bytes, h.size), h.size, &out));
    ck_assert_ptr_nonnull(out.random);
    ck_assert_mem_eq(out.random, h.bytes + 11, 32);
    ck_assert_uint_eq(out.name_length, strlen("www.example.com"));
    ck_assert_mem_eq(out.name, "www.example.com", out.name_length);
}
END_TEST

START_TEST(a_hello_without_a_name_has_none) {
    struct hello h = hello_make(NULL, 7);
    struct client_hello out;
    ck_assert(client_hello_parse(guarded(h.bytes, h.size), h.size, &out));
    ck_assert_ptr_nonnull(out.random);
    ck_assert_ptr_null(out.name);
}
END_TEST

START_TEST(http_is_what_alpn_offers) {
    static const struct {
        const char *protocol;
        bool http;
    } cases[] = {{NULL, false},         {"http/1.1", true},   {"http/1.0", true}, {"h2", true},
                 {"postgresql", false}, {"http/1.12", false}, {"h", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int named = 0; named < 2; named++) {
            struct hello h = hello_offering(named ? "www.example.com" : NULL, 7, cases[i].protocol);
            struct client_hello out;
            ck_assert(client_hello_parse(guarded(h.bytes, h.size), h.size, &out));
            ck_assert_int_eq(out.http, cases[i].http);
            ck_assert_int_eq(out.name != NULL, named);
        }
}
END_TEST

START_TEST(every_truncation_gives_what_is_there) {
    struct hello h = hello_make("www.example.com", 7);
    for (size_t n = 0; n < h.size; n++) {
        struct client_hello out;
        const bool hello = client_hello_parse(guarded(h.bytes, n), n, &out);
        ck_assert_int_eq(hello, n >= 11);
        ck_assert_int_eq(out.random != NULL, n >= 43);
        ck_assert_int_eq(out.name != NULL, n >= h.name_end);
    }
}
END_TEST

/* Each byte set to each of some values: whatever comes out lies inside. */
START_TEST(no_byte_leads_outside) {
    static const uint8_t values[] = {0, 1, 2, 3, 0x16, 0x7f, 0x80, 0xfe, 0xff};
    struct hello h = hello_offering("www.example.com", 7, "http/1.1");
    for (size_t i = 0; i < h.size; i++)
        for (size_t v = 0; v < sizeof values; v++) {
            struct hello changed = h;
            changed.bytes[i] = values[v];
            const uint8_t *bytes = guarded(changed.bytes, changed.size);
            struct client_hello out;
            client_hello_parse(bytes, changed.size, &out);
            if (out.random) ck_assert(out.random + 32 <= bytes + changed.size);
            if (out.name)
                ck_assert(out.name >= bytes && out.name + out.name_length <= bytes + changed.size);
            if (out.name) ck_assert_uint_le(out.name_length, 255);
        }
}
END_TEST

START_TEST(what_is_no_hello_is_none) {
    static const char *const others[] = {"GET / HTTP/1.1\r\n\r\n",
                                         "\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
                                         "\x17\x03\x03\x00\x10", "PRI * HTTP/2.0"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct client_hello out;
        ck_assert(!client_hello_parse((const uint8_t *)others[i], i == 2 ? 5 : 10, &out));
        ck_assert_ptr_null(out.random);
    }
}
END_TEST

/* The record says how long it is: what follows it in the same buffer is another record. */
START_TEST(a_name_beyond_the_record_does_not_count) {
    struct hello h = hello_make("www.example.com", 7);
    const size_t length = h.name_end - 5 - 4; /* the record ends in the middle of the name */
    h.bytes[3] = (uint8_t)(length >> 8), h.bytes[4] = (uint8_t)length;
    struct client_hello out;
    ck_assert(client_hello_parse(guarded(h.bytes, h.size), h.size, &out));
    ck_assert_ptr_nonnull(out.random);
    ck_assert_ptr_null(out.name);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("client_hello");
    TCase *tests = tcase_create("client_hello");
    tcase_add_test(tests, random_and_name_are_found);
    tcase_add_test(tests, a_hello_without_a_name_has_none);
    tcase_add_test(tests, http_is_what_alpn_offers);
    tcase_add_test(tests, every_truncation_gives_what_is_there);
    tcase_add_test(tests, no_byte_leads_outside);
    tcase_add_test(tests, what_is_no_hello_is_none);
    tcase_add_test(tests, a_name_beyond_the_record_does_not_count);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
