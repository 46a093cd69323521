/*
 * Slots, records and heaps of a real trace: taken by several threads, given back, full, and short
 * of disk.
 */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "record/trace.h"
#include "record/trace_file.h"
#include "tests/unit/suite.h"
#include "trace_place.h"

static uint64_t lost(enum trace_lost kind) {
    return trace->header->lost[kind];
}

START_TEST(regions_fill_the_file) {
    for (uint64_t pages = 16; pages < 40000; pages += pages < 600 ? 1 : 997) {
        struct trace_region r[TRACE_REGION_COUNT];
        trace_region_layout(r, pages * 4096);
        uint64_t at = TRACE_HEADER_SIZE;
        for (int i = 0; i < TRACE_REGION_COUNT; i++) {
            ck_assert_uint_eq(r[i].offset, at);
            ck_assert_uint_ge(r[i].size, 4096);
            ck_assert_uint_eq(r[i].size % 4096, 0);
            at += r[i].size;
        }
        ck_assert_uint_eq(at, pages * 4096);
    }
    struct trace_region r[TRACE_REGION_COUNT];
    trace_region_layout(r, 64u << 20);
    ck_assert_uint_eq(r[TRACE_REGION_CONNECTION].size * 100 / (64u << 20),
                      23); /* 24 %, rounded down to pages */
    ck_assert_uint_eq(r[TRACE_REGION_JOURNAL].size * 100 / (64u << 20), 24);
}
END_TEST

START_TEST(a_slot_comes_zeroed_and_comes_again) {
    trace_place_open("");
    const uint32_t a = slot_take(TRACE_REGION_BODY), b = slot_take(TRACE_REGION_BODY);
    ck_assert_uint_ne(a, b);
    memset(&trace->bodies[a], 0xff, sizeof *trace->bodies);
    slot_give(TRACE_REGION_BODY, a);
    ck_assert_uint_eq(slot_take(TRACE_REGION_BODY), a);
    static const struct trace_body zero;
    ck_assert_mem_eq(&trace->bodies[a], &zero, sizeof zero);
    ck_assert_uint_eq(trace->header->regions[TRACE_REGION_BODY].used, 2);
    slot_give(TRACE_REGION_BODY, a);
    slot_give(TRACE_REGION_BODY, b);
    ck_assert_uint_eq(slot_take(TRACE_REGION_BODY), b);
    ck_assert_uint_eq(slot_take(TRACE_REGION_BODY), a);
}
END_TEST

START_TEST(nothing_without_a_trace) {
    ck_assert_uint_eq(slot_take(TRACE_REGION_CONNECTION), UINT32_MAX);
    slot_give(TRACE_REGION_CONNECTION, 0);
    ck_assert(!trace_populate(TRACE_REGION_BODY, 1));
    ck_assert_uint_eq(trace_take_record(TRACE_REGION_SITE), UINT32_MAX);
    ck_assert_uint_eq(trace_take_heap(TRACE_REGION_STRING, 8), 0);
    trace_lose(TRACE_LOST_BODIES);
    trace_place_open("");
    ck_assert_uint_eq(slot_take(TRACE_REGION_SITE), UINT32_MAX);
}
END_TEST

START_TEST(full_regions_are_counted_as_lost) {
    trace_place_open("max_trace=256k");
    const uint32_t limit = trace->worker_limit;
    ck_assert_uint_gt(limit, 8);
    for (uint32_t i = 0; i < limit; i++)
        ck_assert_uint_eq(slot_take(TRACE_REGION_WORKER), i);
    ck_assert_uint_eq(lost(TRACE_LOST_WORKERS), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(slot_take(TRACE_REGION_WORKER), UINT32_MAX);
    ck_assert_uint_eq(lost(TRACE_LOST_WORKERS), 3);
    ck_assert_uint_eq(trace->header->regions[TRACE_REGION_WORKER].used, limit);
    slot_give(TRACE_REGION_WORKER, limit / 2);
    ck_assert_uint_eq(slot_take(TRACE_REGION_WORKER), limit / 2);
    ck_assert_uint_eq(lost(TRACE_LOST_WORKERS), 3);
}
END_TEST

START_TEST(blocks_come_before_records) {
    trace_place_open("");
    struct trace_region *r = &trace->header->regions[TRACE_REGION_CONNECTION];
    ck_assert_uint_lt(r->populated, 64u << 10);
    for (uint32_t i = 0; i < 3000; i++) {
        ck_assert_uint_eq(slot_take(TRACE_REGION_CONNECTION), i);
        ck_assert_uint_ge(r->populated, (i + 1) * sizeof(struct trace_connection));
        trace->connections[i].state = TRACE_CONNECTION_ESTABLISHED;
    }
    ck_assert_uint_lt(r->populated, 3000 * sizeof(struct trace_connection) + (65u << 10));
    ck_assert(!trace_populate(TRACE_REGION_CONNECTION, r->size + 1));
}
END_TEST

/* No more blocks: an advice that no kernel knows stands for a disk without room. */
START_TEST(without_blocks_it_is_lost_and_nothing_is_touched) {
    trace_place_open("");
    struct trace_region *r = &trace->header->regions[TRACE_REGION_BODY];
    const int advice = trace_file_advice;
    const uint64_t populated = r->populated;
    trace_file_advice = 999;
    uint32_t taken = 0;
    while (slot_take(TRACE_REGION_BODY) != UINT32_MAX)
        taken++;
    ck_assert_uint_eq(taken, populated / sizeof(struct trace_body));
    ck_assert_uint_eq(r->populated, populated);
    ck_assert_uint_eq(lost(TRACE_LOST_BODIES), 1);
    /* It is not asked again at once, nor for ever. */
    trace_file_advice = advice;
    ck_assert_uint_eq(slot_take(TRACE_REGION_BODY), UINT32_MAX);
    ck_assert_uint_eq(lost(TRACE_LOST_BODIES), 2);
    ck_assert(trace_populate(TRACE_REGION_WORKER, r->size / 4));
}
END_TEST

START_TEST(restricted_it_makes_do_with_what_it_reserved) {
    trace_place_open("");
    trace_reserve();
    trace_restrict();
    const struct trace_region *r = &trace->header->regions[TRACE_REGION_CONNECTION];
    const uint64_t populated = r->populated;
    ck_assert_uint_ge(populated, 64u << 10);
    uint32_t taken = 0;
    while (slot_take(TRACE_REGION_CONNECTION) != UINT32_MAX)
        taken++;
    ck_assert_uint_eq(taken, populated / sizeof(struct trace_connection));
    ck_assert_uint_eq(r->populated, populated);
    trace_after_fork();
    ck_assert(!trace_open());
    ck_assert_str_eq(trace_place_said(), "");
}
END_TEST

START_TEST(records_and_heaps_start_after_none) {
    trace_place_open("max_trace=256k");
    ck_assert_uint_eq(trace_take_record(TRACE_REGION_HOST), 1);
    ck_assert_uint_eq(trace_take_record(TRACE_REGION_HOST), 2);
    const struct trace_region *r = &trace->header->regions[TRACE_REGION_STACK];
    const uint64_t first = r->used;
    ck_assert_uint_ge(first, 8);
    ck_assert_uint_eq(trace_take_heap(TRACE_REGION_STACK, 9), first / 8);
    ck_assert_uint_eq(trace_take_heap(TRACE_REGION_STACK, 8), first / 8 + 2);
    ck_assert_uint_eq(r->used, first + 24);
    ck_assert_uint_eq(trace_take_heap(TRACE_REGION_STACK, r->size), 0);
    ck_assert_uint_eq(r->used, first + 24);
    ck_assert_uint_ne(trace_take_heap(TRACE_REGION_STACK, r->size - r->used), 0);
    ck_assert_uint_eq(trace_take_heap(TRACE_REGION_STACK, 1), 0);
}
END_TEST

/* ---- four threads at once -------------------------------------------------------------------- */

#define THREADS 4
#define HELD 40
static uint32_t collisions, misses;
static uint32_t owners[4096];

/* Each slot has one owner at a time; who holds it writes its mark all over it. */
static void churn(unsigned n) {
    uint32_t held[HELD], count = 0, seed = n * 7919 + 1;
    for (int step = 0; step < 60000; step++) {
        seed = seed * 1664525u + 1013904223u;
        if (count < HELD && (count == 0 || seed >> 31)) {
            const uint32_t i = slot_take(TRACE_REGION_CONNECTION);
            if (i == UINT32_MAX) {
                __atomic_fetch_add(&misses, 1, __ATOMIC_RELAXED);
                continue;
            }
            if (__atomic_exchange_n(&owners[i], n + 1, __ATOMIC_RELAXED) != 0)
                __atomic_fetch_add(&collisions, 1, __ATOMIC_RELAXED);
            if (trace->connections[i].id != 0) __atomic_fetch_add(&collisions, 1, __ATOMIC_RELAXED);
            trace->connections[i].id = n + 1;
            held[count++] = i;
        } else {
            const uint32_t at = (seed >> 8) % count, i = held[at];
            if (trace->connections[i].id != n + 1)
                __atomic_fetch_add(&collisions, 1, __ATOMIC_RELAXED);
            held[at] = held[--count];
            __atomic_store_n(&owners[i], 0, __ATOMIC_RELAXED);
            slot_give(TRACE_REGION_CONNECTION, i);
        }
    }
    while (count) {
        const uint32_t i = held[--count];
        __atomic_store_n(&owners[i], 0, __ATOMIC_RELAXED);
        slot_give(TRACE_REGION_CONNECTION, i);
    }
}

START_TEST(threads_never_share_a_slot) {
    trace_place_open("");
    trace_place_threads(THREADS, churn);
    ck_assert_uint_eq(collisions, 0);
    ck_assert_uint_eq(misses, 0);
    const uint64_t used = trace->header->regions[TRACE_REGION_CONNECTION].used;
    ck_assert_uint_le(used, THREADS * HELD);
    /* Nothing leaked out of the list: all of them can be had again, and only then a new one. */
    static uint8_t seen[THREADS * HELD];
    for (uint64_t i = 0; i < used; i++) {
        const uint32_t slot = slot_take(TRACE_REGION_CONNECTION);
        ck_assert_uint_lt(slot, used);
        ck_assert_uint_eq(seen[slot]++, 0);
    }
    ck_assert_uint_eq(slot_take(TRACE_REGION_CONNECTION), used);
}
END_TEST

static uint32_t taken_by[THREADS][2000];

static void take_records(unsigned n) {
    for (int i = 0; i < 2000; i++)
        taken_by[n][i] = trace_take_record(TRACE_REGION_SITE);
}

START_TEST(threads_never_share_a_record) {
    static uint8_t seen[THREADS * 2000 + 1];
    trace_place_open("");
    trace_place_threads(THREADS, take_records);
    for (int t = 0; t < THREADS; t++)
        for (int i = 0; i < 2000; i++) {
            ck_assert_uint_ge(taken_by[t][i], 1);
            ck_assert_uint_le(taken_by[t][i], THREADS * 2000);
            ck_assert_uint_eq(seen[taken_by[t][i]]++, 0);
        }
    ck_assert_uint_eq(trace->header->regions[TRACE_REGION_SITE].used, THREADS * 2000 + 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("slots");
    TCase *tests = tcase_create("slots");
    tcase_add_checked_fixture(tests, trace_place_enter, trace_place_leave);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, regions_fill_the_file);
    tcase_add_test(tests, a_slot_comes_zeroed_and_comes_again);
    tcase_add_test(tests, nothing_without_a_trace);
    tcase_add_test(tests, full_regions_are_counted_as_lost);
    tcase_add_test(tests, blocks_come_before_records);
    tcase_add_test(tests, without_blocks_it_is_lost_and_nothing_is_touched);
    tcase_add_test(tests, restricted_it_makes_do_with_what_it_reserved);
    tcase_add_test(tests, records_and_heaps_start_after_none);
    tcase_add_test(tests, threads_never_share_a_slot);
    tcase_add_test(tests, threads_never_share_a_record);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
