/* Timers: what is pending, for each place that makes them, and how it grew; from several threads, and with a full table. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>

#include "record/trace.h"
#include "record/trace_file.h"
#include "tests/unit/suite.h"
#include "trace_place.h"
#include "track/timer.h"

static void start(uint64_t key, uint32_t stack, uint64_t now) {
    timer_started(&(struct timer_start){
        .key = key, .kind = TRACE_TIMER_POSIX, .stack = stack, .duration_ns = 7, .now = now});
}

static uint64_t record_count(void) {
    return trace->header->regions[TRACE_REGION_TIMER].used - 1;
}

static uint64_t record_pending(const struct trace_timer *t) {
    return t->created - t->fired - t->stopped - t->forgotten;
}

START_TEST(counted_for_each_place) {
    trace_place_open("");
    for (uint64_t i = 0; i < 10; i++)
        start(1000 + 8 * i, 1 + (uint32_t)(i % 2), 100 + i);
    ck_assert_uint_eq(record_count(), 2);
    ck_assert_uint_eq(timer_pending(), 10);
    const struct trace_timer *first = &trace->timers[1], *second = &trace->timers[2];
    ck_assert_uint_eq(first->stack, 1);
    ck_assert_uint_eq(first->kind, TRACE_TIMER_POSIX);
    ck_assert_uint_eq(first->ready, 1);
    ck_assert_uint_eq(first->created, 5);
    ck_assert_uint_eq(first->first_ns, 100);
    ck_assert_uint_eq(first->last_ns, 108);
    ck_assert_uint_eq(first->duration_ns, 7);
    ck_assert_uint_eq(first->peak, 5);
    timer_fired(1000);
    timer_stopped(1008);
    timer_stopped(1008); /* not known any more */
    timer_stopped(4);
    ck_assert_uint_eq(first->fired, 1);
    ck_assert_uint_eq(second->stopped, 1);
    ck_assert_uint_eq(record_pending(first), 4);
    ck_assert_uint_eq(record_pending(second), 4);
    ck_assert(!timer_is_known(1000) && timer_is_known(1016));
    /* the same key again: whatever it stood for is gone */
    start(1016, 1, 200);
    ck_assert_uint_eq(first->forgotten, 1);
    ck_assert_uint_eq(record_pending(first), 4);
    ck_assert_uint_eq(first->peak, 5);
    ck_assert_uint_eq(timer_pending(), 8);
}
END_TEST

START_TEST(marks_of_a_pile_up) {
    trace_place_open("");
    for (uint64_t i = 0; i < 20000; i++)
        start(1000 + 8 * i, 1, i);
    const struct trace_timer *timer = &trace->timers[1];
    ck_assert_uint_eq(timer->peak, 20000);
    ck_assert_uint_gt(timer->mark_count, TRACE_TIMER_MARKS);
    const struct trace_timer_mark *last =
        &timer->marks[(timer->mark_count - 1) % TRACE_TIMER_MARKS];
    ck_assert_uint_ge(last->pending, 17500);
    ck_assert_uint_eq(last->time_ns, last->pending - 1);
    /* what stays below the most that ever were makes no mark */
    const uint64_t marks = timer->mark_count;
    for (uint64_t i = 0; i < 20000; i++) {
        timer_stopped(1000 + 8 * i);
        start(1000 + 8 * i, 1, 30000 + i);
    }
    ck_assert_uint_eq(timer->mark_count, marks);
    ck_assert_uint_eq(timer->peak, 20000);
    ck_assert_uint_eq(record_pending(timer), 20000);
}
END_TEST

START_TEST(without_a_trace_they_are_only_known) {
    start(1000, 1, 1);
    ck_assert_uint_eq(timer_pending(), 1);
    trace_place_open("");
    timer_stopped(1000);
    ck_assert_uint_eq(timer_pending(), 0);
    ck_assert_uint_eq(record_count(), 0);
    start(1008, 1, 1);
    timer_after_fork();
    ck_assert_uint_eq(timer_pending(), 0);
    ck_assert(!timer_is_known(1008));
}
END_TEST

/* More than the table holds: what has no place is lost and counted, what can be collected gives way. */
START_TEST(a_full_table) {
    enum { MANY = 200000 };
    trace_place_open("");
    for (uint64_t i = 0; i < MANY; i++)
        start(1000 + 8 * i, 1, i);
    const struct trace_timer *timer = &trace->timers[1];
    const uint64_t lost = trace->header->lost[TRACE_LOST_TIMERS];
    ck_assert_uint_gt(lost, MANY - (1 << 17) - 1);
    ck_assert_uint_eq(timer->created + lost, MANY);
    ck_assert_uint_eq(timer_pending(), timer->created);
    for (uint64_t i = 0; i < MANY; i++)
        timer_fired(1000 + 8 * i);
    ck_assert_uint_eq(record_pending(timer), 0);
    ck_assert_uint_eq(timer_pending(), 0);
    for (uint64_t i = 0; i < MANY; i++)
        timer_started(&(struct timer_start){.key = 1000 + 8 * i,
                                            .kind = TRACE_TIMER_GO_CHANNEL,
                                            .stack = 2,
                                            .collectable = true,
                                            .now = i});
    const struct trace_timer *garbage = &trace->timers[2];
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_TIMERS], lost);
    ck_assert_uint_eq(garbage->created, MANY);
    ck_assert_uint_eq(garbage->collectable, MANY);
    ck_assert_uint_eq(garbage->flags, TRACE_TIMER_COLLECTABLE);
    ck_assert_uint_eq(record_pending(garbage), timer_pending());
}
END_TEST

enum { ROUNDS = 20000 };
static void churn(unsigned n) {
    for (uint64_t i = 0; i < ROUNDS; i++) {
        const uint64_t key = 1000 + 8 * (i + (uint64_t)n * 2 * ROUNDS);
        start(key, 1 + (uint32_t)(i % 50), i);
        if (i % 10) timer_stopped(key);
    }
}

START_TEST(several_threads) {
    trace_place_open("");
    trace_place_threads(4, churn);
    uint64_t created = 0, pending = 0;
    for (uint64_t id = 1; id <= record_count(); id++) {
        created += trace->timers[id].created;
        pending += record_pending(&trace->timers[id]);
    }
    ck_assert_uint_eq(created + trace->header->lost[TRACE_LOST_TIMERS], 4 * ROUNDS);
    ck_assert_uint_eq(pending, timer_pending());
    ck_assert_uint_eq(pending + trace->header->lost[TRACE_LOST_TIMERS], 4 * ROUNDS / 10);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("timer");
    TCase *tests = tcase_create("timer");
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, trace_place_enter, trace_place_leave);
    tcase_add_test(tests, counted_for_each_place);
    tcase_add_test(tests, marks_of_a_pile_up);
    tcase_add_test(tests, without_a_trace_they_are_only_known);
    tcase_add_test(tests, a_full_table);
    tcase_add_test(tests, several_threads);
    return suite_run(suite);
}
