/* The table of TLS objects: what is put in is found, what is full gives way in order, by several
 * threads. */
#include <check.h>
#include <stdlib.h>

#include "tests/unit/suite.h"
#include "tests/unit/trace_place.h"
#include "track/association.h"

static bool even_ones_are_stale(uint64_t payload) {
    return payload % 2 == 0;
}

START_TEST(what_is_put_in_is_found_until_removed) {
    enum { N = 100000 };
    for (uint64_t i = 1; i <= N; i++)
        ck_assert(association_set(i << 4, (struct association){ASSOCIATION_CONNECTION, i}, NULL));
    for (uint64_t i = 1; i <= N; i += 2)
        association_remove(i << 4);
    for (uint64_t i = 1; i <= N; i++) {
        const struct association a = association_find(i << 4);
        ck_assert_int_eq(a.kind, i % 2 ? ASSOCIATION_UNKNOWN : ASSOCIATION_CONNECTION);
        if (i % 2 == 0) ck_assert_uint_eq(a.payload, i);
    }
    ck_assert(association_set(32, (struct association){ASSOCIATION_GONE, 0}, NULL));
    ck_assert_int_eq(association_find(32).kind, ASSOCIATION_GONE);
}
END_TEST

START_TEST(a_full_table_gives_up_the_stale_first) {
    uint64_t i = 0, refused = 0;
    while (refused < 1000 && ++i < 1000000)
        if (!association_set(i << 4, (struct association){ASSOCIATION_CONNECTION, i}, NULL))
            refused++;
    ck_assert_uint_eq(refused, 1000);
    ck_assert_uint_gt(i, 200000); /* two choices fill a table of 262,144 well */
    for (uint64_t key = i + 1; key <= i + 1000; key++)
        if (association_set(key << 4, (struct association){ASSOCIATION_CONNECTION, 1},
                            even_ones_are_stale))
            refused--;
    ck_assert_uint_lt(refused, 10);
    for (uint64_t k = 1; k < i; k += 2) { /* no live one went */
        const struct association a = association_find(k << 4);
        ck_assert(a.kind == ASSOCIATION_UNKNOWN || a.payload == k);
    }
}
END_TEST

static void hammer(unsigned thread) {
    for (uint64_t round = 0; round < 2000; round++)
        for (uint64_t i = 0; i < 16; i++) {
            const uint64_t key = ((uint64_t)(thread + 1) << 16 | i) << 4;
            ck_assert(
                association_set(key, (struct association){ASSOCIATION_WAITING, key + round}, NULL));
            ck_assert_uint_eq(association_find(key).payload, key + round);
            association_remove(key);
            ck_assert_int_eq(association_find(key).kind, ASSOCIATION_UNKNOWN);
        }
}

START_TEST(threads_do_not_disturb_each_other) {
    trace_place_threads(4, hammer);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("association");
    TCase *tests = tcase_create("association");
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, what_is_put_in_is_found_until_removed);
    tcase_add_test(tests, a_full_table_gives_up_the_stale_first);
    tcase_add_test(tests, threads_do_not_disturb_each_other);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
