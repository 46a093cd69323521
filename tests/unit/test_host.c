/* Names for addresses: what the resolver said is found again, authorities are split as RFC 3986 has them. */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/suite.h"
#include "track/host.h"

static struct sockaddr_in v4(const char *text) {
    struct sockaddr_in a = {.sin_family = AF_INET};
    ck_assert_int_eq(inet_pton(AF_INET, text, &a.sin_addr), 1);
    return a;
}

static void resolve(const char *name, const char *address) {
    struct sockaddr_in a = v4(address);
    struct addrinfo info = {.ai_addr = (struct sockaddr *)&a, .ai_addrlen = sizeof a};
    host_resolved(name, &info);
}

START_TEST(a_resolved_address_has_the_name_asked_last) {
    char name[64];
    resolve("First.Example", "192.0.2.1");
    resolve("second.example.", "192.0.2.1");
    struct sockaddr_in a = v4("192.0.2.1");
    ck_assert(host_name_of((struct sockaddr *)&a, sizeof a, name, sizeof name));
    ck_assert_str_eq(name, "second.example");
}
END_TEST

START_TEST(a_mapped_address_is_the_v4_one) {
    char name[64];
    resolve("mapped.example", "192.0.2.7");
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    ck_assert_int_eq(inet_pton(AF_INET6, "::ffff:192.0.2.7", &a.sin6_addr), 1);
    ck_assert(host_name_of((struct sockaddr *)&a, sizeof a, name, sizeof name));
    ck_assert_str_eq(name, "mapped.example");
}
END_TEST

START_TEST(an_address_given_as_text_is_no_name) {
    char name[64];
    resolve("192.0.2.9", "192.0.2.9");
    struct sockaddr_in a = v4("192.0.2.9");
    ck_assert(!host_name_of((struct sockaddr *)&a, sizeof a, name, sizeof name));
}
END_TEST

START_TEST(the_ring_forgets_the_oldest_and_a_small_buffer_gets_nothing) {
    char name[64], address[32];
    resolve("oldest.example", "198.51.100.1");
    for (int i = 0; i < 128; i++) {
        snprintf(name, sizeof name, "host%d.example", i);
        snprintf(address, sizeof address, "203.0.113.%d", i);
        resolve(name, address);
    }
    struct sockaddr_in old = v4("198.51.100.1"), newest = v4("203.0.113.127");
    ck_assert(!host_name_of((struct sockaddr *)&old, sizeof old, name, sizeof name));
    ck_assert(!host_name_of((struct sockaddr *)&newest, sizeof newest, name, 5));
    ck_assert(host_name_of((struct sockaddr *)&newest, sizeof newest, name, sizeof name));
    ck_assert_str_eq(name, "host127.example");
}
END_TEST

static const struct {
    const char *authority, *name;
    int port; /* -1: malformed */
} splits[] = {
    {"example", "example", 0},
    {"example:80", "example", 80},
    {"[::1]", "[::1]", 0},
    {"[::1]:8443", "[::1]", 8443},
    {"example:", "example", 0},
    {":80", NULL, -1},
    {"", NULL, -1},
    {"[::1", NULL, -1},
    {"example:65536", NULL, -1},
    {"example:8x", NULL, -1},
    {"[::1]x", NULL, -1},
    {"example:65535", "example", 65535},
};

START_TEST(authorities_split) {
    const char *name;
    unsigned length;
    uint16_t port;
    const bool ok = host_split(splits[_i].authority, &name, &length, &port);
    ck_assert_int_eq(ok, splits[_i].port >= 0);
    if (!ok) return;
    ck_assert_uint_eq(length, strlen(splits[_i].name));
    ck_assert_int_eq(memcmp(name, splits[_i].name, length), 0);
    ck_assert_int_eq(port, splits[_i].port);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("host");
    TCase *tests = tcase_create("host");
    tcase_add_test(tests, a_resolved_address_has_the_name_asked_last);
    tcase_add_test(tests, a_mapped_address_is_the_v4_one);
    tcase_add_test(tests, an_address_given_as_text_is_no_name);
    tcase_add_test(tests, the_ring_forgets_the_oldest_and_a_small_buffer_gets_nothing);
    tcase_add_loop_test(tests, authorities_split, 0, sizeof splits / sizeof splits[0]);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
