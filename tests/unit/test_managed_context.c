/* Bodies of a managed client that are given up with what they hang on: contexts that end, connections that close, also after the
 * collector took their handles. */
#include <check.h>
#include <stdlib.h>

#include "record/trace.h"
#include "tests/unit/suite.h"
#include "tests/unit/trace_place.h"
#include "trace/replay.h"
#include "track/managed.h"
#include "track/managed_map.h"

#define TRANSPORT UINT64_C(0xc000100000)
#define HANDLE UINT64_C(0xc000200000)
#define CONTEXT UINT64_C(0xc000300000)
#define DONE UINT64_C(0xc000400000)
#define MANY 40u /* more than a context has room for */

static const struct managed_text GET = {"GET", 3}, PATH = {"/a", 2}, HOST = {"example.com", 11};
static const struct managed_life NONE = {0, 0}, LIFE = {CONTEXT, DONE};

static void begin(void) {
    trace_place_enter();
    trace_place_open("trace=t:summary=0");
}

static void connect_to(uint64_t transport) {
    const struct managed_opening how = {
        .fd = -1, .authority = HOST, .scheme = TRACE_SCHEME_HTTP, .goid = 1};
    struct managed_connection *c = managed_connection_get(transport);
    ck_assert_ptr_nonnull(c);
    managed_connection_open(c, &how);
    managed_connection_leave(c);
}

static void get(uint64_t transport, uint64_t handle, const struct managed_life *life) {
    const struct managed_request request = {
        .method = GET, .path = PATH, .authority = HOST, .goid = 7};
    const struct managed_response response = {.status = 200,
                                              .expected = 10,
                                              .framing = TRACE_FRAMING_LENGTH,
                                              .stream = life->context != 0,
                                              .life = *life};
    struct managed_exchange e = {0};
    struct managed_connection *c = managed_connection_find(transport);
    ck_assert_ptr_nonnull(c);
    managed_request(c, &request, &e);
    managed_connection_leave(c);
    managed_body_open(&e, handle, &response);
}

static void check_bodies(uint64_t drained, uint64_t discarded, uint64_t open) {
    uint64_t drained_seen = 0, discarded_seen = 0, open_seen = 0;
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_SITE].used; i++) {
        drained_seen += trace->sites[i].bodies_drained;
        discarded_seen += trace->sites[i].bodies_discarded;
    }
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_BODY].used; i++)
        open_seen += trace->bodies[i].state == TRACE_BODY_OPEN;
    ck_assert_uint_eq(drained_seen, drained);
    ck_assert_uint_eq(discarded_seen, discarded);
    ck_assert_uint_eq(open_seen, open);
    for (unsigned i = 0; i < TRACE_LOST_COUNT; i++)
        ck_assert_uint_eq(trace->header->lost[i], 0);
}

static void check_replay(void) {
    struct trace_error error;
    struct trace_file *file = trace_file_open("t", &error);
    ck_assert_msg(file != NULL, "%s", error.text);
    ck_assert_int_eq(trace_replay_check(file, 0, stdout), REPLAY_EQUAL);
    trace_file_close(file);
}

START_TEST(a_context_ends) {
    connect_to(TRANSPORT);
    for (unsigned i = 0; i < MANY; i++)
        get(TRANSPORT, HANDLE + 64 * i, &LIFE);
    get(TRANSPORT, HANDLE + UINT64_C(64) * MANY, &NONE);
    const struct managed_life other = {CONTEXT + 96, DONE + 96};
    get(TRANSPORT, HANDLE + UINT64_C(64) * (MANY + 1), &other);
    managed_body_close(HANDLE, false, 7);
    check_bodies(0, 1, MANY + 1);
    managed_cancelled(&LIFE, 7);
    check_bodies(0, MANY, 2);
    managed_cancelled(&LIFE, 7);
    managed_cancelled(&other, 7);
    check_bodies(0, MANY + 1, 1);
    check_replay();
}
END_TEST

/* What was read to its end is drained, and stays it. */
START_TEST(it_ends_after_them) {
    connect_to(TRANSPORT);
    for (unsigned i = 0; i < MANY; i++) {
        get(TRANSPORT, HANDLE + 64 * i, &LIFE);
        const struct managed_read read = managed_read_begin(HANDLE + 64 * i, 7);
        managed_read_end(&read, 10, MANAGED_READ_EOF, 7);
    }
    managed_cancelled(&LIFE, 7);
    check_bodies(MANY, 0, 0);
    check_replay();
}
END_TEST

START_TEST(a_read_under_way_decides) {
    connect_to(TRANSPORT);
    for (unsigned i = 0; i < 2; i++) {
        get(TRANSPORT, HANDLE, &LIFE);
        const struct managed_read read = managed_read_begin(HANDLE, 7);
        managed_cancelled(&LIFE, 7);
        check_bodies(i, 0, 1);
        managed_read_end(&read, 10, i ? MANAGED_READ_MORE : MANAGED_READ_EOF, 7);
        check_bodies(1, i, 0);
    }
    check_replay();
}
END_TEST

/* The address says nothing alone: another context had it before. */
START_TEST(a_known_address_is_a_new_context) {
    const struct managed_life later = {CONTEXT, DONE + 96};
    connect_to(TRANSPORT);
    get(TRANSPORT, HANDLE, &LIFE);
    managed_cancelled(&later, 7);
    check_bodies(0, 0, 1);
    get(TRANSPORT, HANDLE + 64, &later);
    managed_cancelled(&LIFE, 7);
    check_bodies(0, 0, 2);
    managed_cancelled(&later, 7);
    check_bodies(0, 1, 1);
    managed_body_close(HANDLE, false, 7);
    check_bodies(0, 2, 0);
    check_replay();
}
END_TEST

/* The collector took the handles, and gave their address to others. */
START_TEST(collected_before_the_end) {
    connect_to(TRANSPORT);
    for (unsigned i = 0; i < 3; i++)
        get(TRANSPORT, HANDLE, &LIFE);
    get(TRANSPORT, HANDLE, &NONE);
    check_bodies(0, 0, 4);
    managed_cancelled(&LIFE, 7);
    check_bodies(0, 3, 1);
    managed_body_close(HANDLE, false, 7);
    check_bodies(0, 4, 0);
    check_replay();
}
END_TEST

START_TEST(collected_before_the_connection_closes) {
    connect_to(TRANSPORT);
    connect_to(TRANSPORT + 64);
    get(TRANSPORT, HANDLE, &NONE);
    get(TRANSPORT + 64, HANDLE, &NONE);
    check_bodies(0, 0, 2);
    managed_connection_close(TRANSPORT);
    check_bodies(0, 1, 1);
    managed_connection_close(TRANSPORT + 64);
    check_bodies(0, 2, 0);
    check_replay();
}
END_TEST

/* However many. */
START_TEST(collected_without_end) {
    connect_to(TRANSPORT);
    for (unsigned i = 0; i < MANY; i++)
        get(TRANSPORT, HANDLE, &LIFE);
    check_bodies(0, 0, MANY);
    ck_assert_uint_eq(trace->connections[0].responses, 0);
    managed_cancelled(&LIFE, 7);
    check_bodies(0, MANY, 0);
    ck_assert_uint_eq(trace->connections[0].responses, MANY);
    check_replay();
}
END_TEST

/* ---- threads ---- */

#define THREADS 4u
#define ROUNDS 3000u

/* Four contexts at a time that all of them use, each cancelled by whoever comes; handles are used again without a close. */
static void work(unsigned n) {
    for (unsigned i = 0; i < ROUNDS; i++) {
        const uint64_t generation = i / 16, which = generation * 4 + i % 4;
        const struct managed_life life = {CONTEXT + 96 * (which % 64), DONE + 96 * which};
        const uint64_t handle = HANDLE + 64 * (n * 8 + i % 8);
        get(TRANSPORT, handle, &life);
        if (i % 3 == 0) {
            const struct managed_read read = managed_read_begin(handle, n + 1);
            managed_read_end(&read, 10, i % 2 ? MANAGED_READ_EOF : MANAGED_READ_MORE, n + 1);
        }
        if (i % 5 == 0) managed_body_close(handle, false, n + 1);
        if (i % 7 == n) managed_cancelled(&life, n + 1);
    }
}

START_TEST(threads_count_exactly) {
    connect_to(TRANSPORT);
    trace_place_threads(THREADS, work);
    uint64_t ended = 0, open = 0;
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_SITE].used; i++)
        ended += trace->sites[i].bodies_drained + trace->sites[i].bodies_discarded;
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_BODY].used; i++)
        open += trace->bodies[i].state == TRACE_BODY_OPEN;
    ck_assert_uint_eq(ended + open, THREADS * ROUNDS);
    ck_assert_uint_gt(ended, THREADS * ROUNDS / 4);
    for (unsigned i = 0; i < TRACE_LOST_COUNT; i++)
        ck_assert_uint_eq(trace->header->lost[i], 0);
    check_replay();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("managed_context");
    TCase *tests = tcase_create("managed_context");
    tcase_add_checked_fixture(tests, begin, trace_place_leave);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_context_ends);
    tcase_add_test(tests, it_ends_after_them);
    tcase_add_test(tests, a_read_under_way_decides);
    tcase_add_test(tests, a_known_address_is_a_new_context);
    tcase_add_test(tests, collected_before_the_end);
    tcase_add_test(tests, collected_before_the_connection_closes);
    tcase_add_test(tests, collected_without_end);
    tcase_add_test(tests, threads_count_exactly);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
