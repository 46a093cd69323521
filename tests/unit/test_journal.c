/*
 * The journal: what is appended is there, whoever appends, also around the ring and beside a writer
 * that slept.
 */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "record/trace.h"
#include "record/trace_file.h"
#include "tests/unit/suite.h"
#include "trace_place.h"

static struct trace_region *ring(void) {
    return &trace->header->regions[TRACE_REGION_JOURNAL];
}

static bool valid(const struct trace_event *e) {
    struct trace_event copy = *e;
    copy.check = 0;
    return e->seq && trace_event_check(&copy) == e->check;
}

static void append(uint64_t object, uint64_t now) {
    struct trace_event e = {.type = TRACE_EVENT_REQUEST,
                            .connection = object + 7,
                            .object = object,
                            .a = ~object,
                            .b = object * 3,
                            .stack = (uint32_t)object,
                            .arg = (uint16_t)object};
    /* That it is safe in a handler is what is tested. NOLINTNEXTLINE(bugprone-signal-handler) */
    journal_append(&e, now, 42);
}

static bool is(const struct trace_event *e, uint64_t object) {
    return e->type == TRACE_EVENT_REQUEST && e->connection == object + 7 && e->object == object &&
           e->a == ~object && e->b == object * 3 && e->stack == (uint32_t)object &&
           e->arg == (uint16_t)object;
}

START_TEST(a_record_is_whole) {
    trace_place_open("");
    const uint64_t before = ring()->used; /* modules were noted */
    append(5, 123456789);
    ck_assert_uint_eq(ring()->used, before + 1);
    const struct trace_event *e = &trace->journal[before];
    ck_assert(is(e, 5));
    ck_assert_uint_eq(e->seq, before + 1);
    ck_assert_uint_eq(e->time_ns, 123456789);
    ck_assert_uint_eq(e->tid, 42);
    ck_assert_uint_eq(e->flags, 0);
    ck_assert(valid(e));
    /* A changed bit shows, but for one in 65536, the marks and again. */
    unsigned unseen = 0;
    for (unsigned bit = 0; bit < sizeof *e * 8; bit++) {
        struct trace_event torn = *e;
        ((uint8_t *)&torn)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        unseen += valid(&torn) && (torn.flags & TRACE_EVENT_MARKS) == 0 && torn.again == 0;
    }
    ck_assert_uint_le(unseen, 1);
}
END_TEST

START_TEST(time_and_thread_are_filled_in) {
    trace_place_open("");
    const uint64_t place = ring()->used;
    struct trace_event e = {.type = TRACE_EVENT_FORK};
    const uint64_t created = trace->header->created_ns;
    journal_append(&e, 0, 0);
    ck_assert_uint_ge(trace->journal[place].time_ns, created);
    ck_assert_uint_lt(trace->journal[place].time_ns, created + 60000000000u);
    ck_assert_uint_eq(trace->journal[place].tid, (uint32_t)getpid());
}
END_TEST

START_TEST(the_last_moment_never_goes_back) {
    trace_place_open("");
    const uint64_t late = trace->header->last_moment_ns + 1000000;
    append(1, late);
    ck_assert_uint_eq(trace->header->last_moment_ns, late);
    append(2, late - 5000);
    ck_assert_uint_eq(trace->header->last_moment_ns, late);
}
END_TEST

START_TEST(nothing_without_a_trace) {
    append(1, 1);
    ck_assert_ptr_null(trace);
}
END_TEST

START_TEST(around_the_ring) {
    trace_place_open("max_trace=64k");
    const uint64_t limit = trace->journal_limit, first = ring()->used;
    ck_assert_uint_eq(limit * sizeof(struct trace_event), ring()->size);
    for (uint64_t p = first; p < 5 * limit + 11; p++)
        append(p, p + 1);
    ck_assert_uint_eq(ring()->used, 5 * limit + 11);
    for (uint64_t p = 4 * limit + 11; p < 5 * limit + 11; p++) {
        const struct trace_event *e = &trace->journal[p % limit];
        ck_assert_uint_eq(e->seq, p + 1);
        ck_assert(valid(e) && is(e, p));
    }
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_EVENTS], 0);
}
END_TEST

/*
 * A writer that slept through a lap writes its old fields into a newer record, or its record
 * between newer ones.
 */
START_TEST(a_late_writer_is_told_by_the_checksum) {
    trace_place_open("max_trace=64k");
    const uint64_t limit = trace->journal_limit;
    while (ring()->used < limit)
        append(ring()->used, 1000);
    const struct trace_event old = trace->journal[20];
    append(limit, 2000);
    while (ring()->used < limit + 30)
        append(ring()->used, 2000);
    struct trace_event *e = &trace->journal[20];
    ck_assert(valid(e));
    ck_assert_uint_eq(e->seq, limit + 21);
    const struct trace_event newer = *e;
    uint64_t *words = (uint64_t *)e, was[8], now[8];
    memcpy(was, &old, sizeof was);
    memcpy(now, &newer, sizeof now);
    for (unsigned from = 1; from < 8; from++) {
        for (unsigned i = 0; i < 8; i++)
            words[i] = i < from ? now[i] : was[i];
        ck_assert(!valid(e));
    }
}
END_TEST

START_TEST(blocks_come_on_demand) {
    trace_place_open("");
    ck_assert_uint_le(ring()->populated, 16u << 10);
    for (uint64_t p = ring()->used; p < 30000; p++) {
        append(p, 1);
        ck_assert_uint_ge(ring()->populated, (p + 1) * sizeof(struct trace_event));
    }
    ck_assert_uint_le(ring()->populated, 30000 * sizeof(struct trace_event) + (256u << 10));
    for (uint64_t p = 29000; p < 30000; p++)
        ck_assert(valid(&trace->journal[p]) && is(&trace->journal[p], p));
}
END_TEST

/* A mark is set where the record is there still, of that moment and thread; that a body was drained, while it is the newest. */
START_TEST(marks) {
    trace_place_open("max_trace=64k");
    struct trace_event e = {.type = TRACE_EVENT_BODY_OPEN};
    journal_append(&e, 1000, 42);
    const uint64_t seq = e.seq;
    const struct trace_event *at = &trace->journal[seq - 1];
    ck_assert(!journal_mark(seq, 1001, 42, TRACE_EVENT_DRAINED));
    ck_assert(!journal_mark(seq, 1000, 43, TRACE_EVENT_DRAINED));
    ck_assert(!journal_mark(seq + 1, 1000, 42, TRACE_EVENT_DRAINED));
    ck_assert(!journal_mark(0, 1000, 42, TRACE_EVENT_DRAINED));
    ck_assert_uint_eq(at->flags, 0);
    ck_assert(journal_mark(seq, 1000, 42, TRACE_EVENT_DRAINED));
    ck_assert_uint_eq(at->flags, TRACE_EVENT_DRAINED);
    append(1, 1000);
    ck_assert(!journal_mark(seq, 1000, 42, TRACE_EVENT_DRAINED));
    ck_assert(journal_mark(seq, 1000, 42, TRACE_EVENT_CLOSED));
    ck_assert_uint_eq(at->flags, TRACE_EVENT_DRAINED | TRACE_EVENT_CLOSED);
    ck_assert(valid(at));
    for (uint64_t p = 0; p < trace->journal_limit; p++)
        append(p, 1000);
    ck_assert(!journal_mark(seq, 1000, 42, TRACE_EVENT_CLOSED));
}
END_TEST

static struct trace_event body_open(uint64_t id, uint64_t number) {
    return (struct trace_event){.type = TRACE_EVENT_BODY_OPEN,
                                .flags = TRACE_EVENT_HANDLE,
                                .connection = 5,
                                .object = id,
                                .a = 100,
                                .b = number << 32 | 3,
                                .stack = 9,
                                .arg = TRACE_FRAMING_LENGTH};
}

static struct trace_event request(uint64_t number) {
    return (struct trace_event){
        .type = TRACE_EVENT_REQUEST, .connection = 5, .object = number, .stack = 9, .arg = 1};
}

static bool again(uint64_t seq, struct trace_event e) {
    return journal_again(seq, &e, 1000, 42);
}

static void end(uint64_t seq) {
    ck_assert(journal_mark(seq, 1000, 42, TRACE_EVENT_DRAINED));
    ck_assert(journal_mark(seq, 1000, 42, TRACE_EVENT_CLOSED));
}

/* The same exchange once more is told in the same record, one step after the other. */
START_TEST(the_same_again) {
    trace_place_open("");
    struct trace_event e = body_open(70, 7);
    journal_append(&e, 1000, 42);
    const uint64_t seq = e.seq;
    const struct trace_event *at = &trace->journal[seq - 1];
    ck_assert(!again(seq, request(8))); /* not over */
    ck_assert(journal_mark(seq, 1000, 42, TRACE_EVENT_DRAINED));
    ck_assert(!again(seq, request(8))); /* not closed */
    ck_assert(journal_mark(seq, 1000, 42, TRACE_EVENT_CLOSED));
    ck_assert(!again(seq, body_open(71, 8))); /* not asked */
    for (unsigned i = 1; i <= TRACE_EVENT_AGAIN_MOST; i++) {
        ck_assert(again(seq, request(7 + i)));
        ck_assert(!again(seq, request(8 + i)));
        ck_assert_uint_eq(at->again, i - 1);
        ck_assert_uint_eq(at->flags, TRACE_EVENT_HANDLE | TRACE_EVENT_MARKS);
        ck_assert(again(seq, body_open(70 + i, 7 + i)));
        ck_assert_uint_eq(at->again, i);
        ck_assert_uint_eq(at->flags, TRACE_EVENT_HANDLE);
        end(seq);
    }
    ck_assert(!again(seq, request(8 + TRACE_EVENT_AGAIN_MOST)));
    ck_assert_uint_eq(ring()->used, seq);
    ck_assert(valid(at));
}
END_TEST

/* What differs, comes later or from somebody else, or behind another record, has one of its own. */
START_TEST(not_the_same_again) {
    trace_place_open("");
    struct trace_event e = body_open(70, 7);
    journal_append(&e, 1000, 42);
    const uint64_t seq = e.seq;
    end(seq);
    struct trace_event ask = request(8);
    ck_assert(!journal_again(seq, &ask, 1001, 42));
    ck_assert(!journal_again(seq, &ask, 1000, 43));
    ck_assert(!again(0, ask));
    ck_assert(!again(seq + 1, ask));
    ck_assert(!again(seq, request(9)));
    ask.connection = 6;
    ck_assert(!again(seq, ask));
    ask = request(8);
    ask.stack = 10;
    ck_assert(!again(seq, ask));
    ck_assert(again(seq, request(8)));

    ck_assert(!again(seq, body_open(72, 8)));
    struct trace_event body = body_open(71, 8);
    body.a = 101;
    ck_assert(!again(seq, body));
    body = body_open(71, 8);
    body.b++;
    ck_assert(!again(seq, body));
    body = body_open(71, 8);
    body.arg = TRACE_FRAMING_CHUNKED;
    ck_assert(!again(seq, body));
    const struct trace_event *at = &trace->journal[seq - 1];
    ck_assert_uint_eq(at->flags, TRACE_EVENT_HANDLE | TRACE_EVENT_MARKS);
    append(1, 1000);
    ck_assert(!again(seq, body_open(71, 8)));
    ck_assert_uint_eq(at->again, 0);
    ck_assert(valid(at));
}
END_TEST

/* What found no room has no number that another record could have. */
START_TEST(lost_records_have_no_number) {
    trace_place_open("");
    trace_file_advice = 999;
    ring()->populated = 0;
    struct trace_event e = {.type = TRACE_EVENT_BODY_OPEN};
    journal_append(&e, 1000, 42);
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_EVENTS], 1);
    ck_assert_uint_eq(e.seq, 0);
}
END_TEST

/* No more blocks: the ring closes where they end, and goes on. */
START_TEST(a_full_disk_makes_a_smaller_ring) {
    trace_place_open("");
    const uint64_t populated = ring()->populated, places = populated / sizeof(struct trace_event);
    trace_file_advice = 999;
    for (uint64_t p = ring()->used; p < 7 * places + 3; p++)
        append(p, 1);
    ck_assert_uint_eq(ring()->populated, populated);
    ck_assert_uint_eq(ring()->size, populated);
    ck_assert_uint_eq(trace->journal_limit, places);
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_EVENTS], 0);
    for (uint64_t p = 6 * places + 3; p < 7 * places + 3; p++) {
        const struct trace_event *e = &trace->journal[p % places];
        ck_assert(valid(e) && is(e, p));
        ck_assert_uint_eq(e->seq, p + 1);
    }
}
END_TEST

/* ---- several writers ------------------------------------------------------------------------- */

#define EACH 20000u

static void append_many(unsigned n) {
    for (uint64_t i = 0; i < EACH; i++)
        append((uint64_t)n << 32 | i, i + 1);
}

START_TEST(threads_lose_nothing) {
    static uint32_t next[4];
    trace_place_open("");
    const uint64_t first = ring()->used;
    ck_assert_uint_gt(trace->journal_limit, first + 4 * EACH);
    trace_place_threads(4, append_many);
    ck_assert_uint_eq(ring()->used, first + 4 * EACH);
    for (uint64_t p = first; p < first + 4 * EACH; p++) {
        const struct trace_event *e = &trace->journal[p];
        ck_assert_uint_eq(e->seq, p + 1);
        ck_assert(valid(e) && is(e, e->object));
        /* Each thread's own events are in its order. */
        ck_assert_uint_eq((uint32_t)e->object, next[e->object >> 32]++);
    }
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_EVENTS], 0);
}
END_TEST

START_TEST(threads_around_a_small_ring) {
    trace_place_open("max_trace=64k");
    const uint64_t limit = trace->journal_limit, first = ring()->used;
    trace_place_threads(4, append_many);
    const uint64_t end = first + 4 * EACH;
    ck_assert_uint_eq(ring()->used, end);
    unsigned newest = 0;
    for (uint64_t i = 0; i < limit; i++) {
        const struct trace_event *e = &trace->journal[i];
        if (!valid(e)) continue; /* two writers met a lap apart */
        ck_assert(is(e, e->object));
        ck_assert_uint_eq((e->seq - 1) % limit, i);
        newest += e->seq > end - limit;
    }
    ck_assert_uint_ge(newest, limit - 8);
}
END_TEST

static volatile sig_atomic_t alarms;

static void on_alarm(int signal) {
    (void)signal;
    alarms++;
    append((uint64_t)9 << 32 | (uint64_t)alarms, 1);
}

START_TEST(a_signal_handler_may_append) {
    trace_place_open("max_trace=32m");
    const uint64_t first = ring()->used;
    const struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &often, NULL);
    uint64_t own = 0;
    for (; alarms < 200 && own < 60000; own++)
        append(own, 1);
    setitimer(ITIMER_REAL, &never, NULL);
    ck_assert_int_gt(alarms, 0);
    const uint64_t end = first + own + (uint64_t)alarms;
    ck_assert_uint_eq(ring()->used, end);
    ck_assert_uint_le(end, trace->journal_limit);
    for (uint64_t p = first; p < end; p++)
        ck_assert(valid(&trace->journal[p]) && is(&trace->journal[p], trace->journal[p].object));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("journal");
    TCase *tests = tcase_create("journal");
    tcase_add_checked_fixture(tests, trace_place_enter, trace_place_leave);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_record_is_whole);
    tcase_add_test(tests, time_and_thread_are_filled_in);
    tcase_add_test(tests, the_last_moment_never_goes_back);
    tcase_add_test(tests, nothing_without_a_trace);
    tcase_add_test(tests, around_the_ring);
    tcase_add_test(tests, a_late_writer_is_told_by_the_checksum);
    tcase_add_test(tests, marks);
    tcase_add_test(tests, the_same_again);
    tcase_add_test(tests, not_the_same_again);
    tcase_add_test(tests, lost_records_have_no_number);
    tcase_add_test(tests, blocks_come_on_demand);
    tcase_add_test(tests, a_full_disk_makes_a_smaller_ring);
    tcase_add_test(tests, threads_lose_nothing);
    tcase_add_test(tests, threads_around_a_small_ring);
    tcase_add_test(tests, a_signal_handler_may_append);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
