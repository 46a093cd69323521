/* Managed lifecycles: the same counts in slots, sites and journal, in every order that a client's goroutines can tell them. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record/intern.h"
#include "record/trace.h"
#include "tests/unit/suite.h"
#include "tests/unit/trace_place.h"
#include "trace/replay.h"
#include "track/managed.h"
#include "track/managed_map.h"

#define TRANSPORT UINT64_C(0xc000100000)
#define HANDLE UINT64_C(0xc000200000)

static const struct managed_text GET = {"GET", 3}, PATH = {"/a", 2}, HOST = {"Example.com:81", 14};

static void begin(void) {
    trace_place_enter();
    trace_place_open("trace=t:summary=0");
}

static struct trace_site sum(void) {
    struct trace_site all = {0};
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_SITE].used; i++) {
        const struct trace_site *s = &trace->sites[i];
        all.connections_closed += s->connections_closed;
        all.exchanges += s->exchanges;
        all.exchanges_reused += s->exchanges_reused;
        all.bodies_drained += s->bodies_drained;
        all.bodies_discarded += s->bodies_discarded;
        all.bodies_failed += s->bodies_failed;
        all.drained_unclosed += s->drained_unclosed;
        all.workers_exited += s->workers_exited;
    }
    return all;
}

static uint64_t open_bodies(void) {
    uint64_t n = 0;
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_BODY].used; i++)
        n += trace->bodies[i].state == TRACE_BODY_OPEN;
    return n;
}

static uint64_t open_connections(void) {
    uint64_t n = 0;
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_CONNECTION].used; i++)
        n += trace->connections[i].state != TRACE_CONNECTION_FREE;
    return n;
}

/* drained, of them unclosed, discarded, failed, open */
static void check_bodies(uint64_t drained, uint64_t unclosed, uint64_t discarded, uint64_t failed,
                         uint64_t open) {
    const struct trace_site all = sum();
    ck_assert_uint_eq(all.bodies_drained, drained);
    ck_assert_uint_eq(all.drained_unclosed, unclosed);
    ck_assert_uint_eq(all.bodies_discarded, discarded);
    ck_assert_uint_eq(all.bodies_failed, failed);
    ck_assert_uint_eq(open_bodies(), open);
}

static void check_replay(void) {
    struct trace_error error;
    struct trace_file *file = trace_file_open("t", &error);
    ck_assert_msg(file != NULL, "%s", error.text);
    ck_assert_int_eq(trace_replay_check(file, 0, stdout), REPLAY_EQUAL);
    trace_file_close(file);
}

static void connect_to(uint64_t transport) {
    const struct managed_opening how = {.fd = -1,
                                        .authority = HOST,
                                        .scheme = TRACE_SCHEME_HTTP,
                                        .protocol = TRACE_PROTOCOL_HTTP1,
                                        .goid = 1};
    struct managed_connection *c = managed_connection_get(transport);
    ck_assert_ptr_nonnull(c);
    managed_connection_open(c, &how);
    managed_connection_leave(c);
}

static void ask_with(struct managed_exchange *e, uint64_t transport, uint64_t goid) {
    const struct managed_request request = {
        .method = GET, .path = PATH, .authority = HOST, .goid = goid};
    struct managed_connection *c = managed_connection_find(transport);
    if (!c) return;
    managed_request(c, &request, e);
    managed_connection_leave(c);
}

static struct managed_exchange ask(uint64_t transport, uint64_t goid) {
    struct managed_exchange e = {0};
    ask_with(&e, transport, goid);
    return e;
}

static void answer(struct managed_exchange *e, uint64_t handle) {
    const struct managed_response response = {
        .status = 200, .expected = 10, .framing = TRACE_FRAMING_LENGTH};
    managed_body_open(e, handle, &response);
}

static void get(uint64_t transport, uint64_t handle) {
    struct managed_exchange e = ask(transport, 7);
    ck_assert_uint_ne(e.connection, 0);
    answer(&e, handle);
    ck_assert_uint_eq(e.connection, 0);
}

static void read_to(uint64_t handle, enum managed_read_result result) {
    const struct managed_read read = managed_read_begin(handle, 7);
    managed_read_end(&read, 10, result, 7);
}

START_TEST(a_body_read_and_closed) {
    connect_to(TRANSPORT);
    const struct trace_connection *slot = &trace->connections[0];
    ck_assert_uint_eq(slot->protocol, TRACE_PROTOCOL_HTTP1);
    get(TRANSPORT, HANDLE);
    ck_assert_uint_eq(slot->requests, 1);
    ck_assert_uint_eq(slot->responses, 0);
    ck_assert_uint_ne(slot->pending_ns, 0);
    ck_assert_uint_eq(slot->idle_since_ns, 0);
    ck_assert_uint_eq(trace->bodies[0].handle, HANDLE);
    ck_assert_uint_eq(trace->bodies[0].asker_goid, 7);
    const struct managed_read read = managed_read_begin(HANDLE, 7);
    ck_assert_uint_eq(trace->bodies[0].attempts_now, 1);
    managed_read_end(&read, 4, MANAGED_READ_MORE, 7);
    ck_assert_uint_eq(trace->bodies[0].attempts_now, 0);
    ck_assert_uint_eq(trace->bodies[0].bytes_read, 4);
    check_bodies(0, 0, 0, 0, 1);
    read_to(HANDLE, MANAGED_READ_EOF);
    check_bodies(1, 1, 0, 0, 0);
    ck_assert_uint_ne(slot->idle_since_ns, 0);
    ck_assert_uint_eq(slot->responses, 1);
    managed_body_close(HANDLE, false, 7);
    check_bodies(1, 0, 0, 0, 0);
    managed_body_close(HANDLE, false, 7);
    check_bodies(1, 0, 0, 0, 0);
    get(TRANSPORT, HANDLE);
    ck_assert_uint_eq(sum().exchanges_reused, 1);
    /* Host: in lower case, its port its own. */
    const struct trace_host *host = &trace->hosts[slot->host];
    const struct trace_string *name = (const void *)(trace->strings + (size_t)host->name * 8);
    ck_assert_str_eq(name->bytes, "example.com");
    ck_assert_uint_eq(host->port, 81);
    check_replay();
}
END_TEST

START_TEST(closed_before_the_end) {
    connect_to(TRANSPORT);
    get(TRANSPORT, HANDLE);
    managed_body_close(HANDLE, false, 7);
    check_bodies(0, 0, 1, 0, 0);
    managed_connection_close(TRANSPORT);
    check_bodies(0, 0, 1, 0, 0);
    ck_assert_uint_eq(open_connections(), 0);
    ck_assert_uint_eq(sum().connections_closed, 1);
    managed_connection_close(TRANSPORT);
    ck_assert_uint_eq(sum().connections_closed, 1);
    check_replay();
}
END_TEST

START_TEST(given_up_with_its_connection) {
    connect_to(TRANSPORT);
    get(TRANSPORT, HANDLE);
    managed_connection_close(TRANSPORT);
    check_bodies(0, 0, 1, 0, 0);
    read_to(HANDLE, MANAGED_READ_ERROR);
    managed_body_close(HANDLE, false, 7);
    check_bodies(0, 0, 1, 0, 0);
    check_replay();
}
END_TEST

/* The last read of a connection that is not kept alive returns after the close. */
START_TEST(a_read_under_way_decides) {
    connect_to(TRANSPORT);
    get(TRANSPORT, HANDLE);
    struct managed_read read = managed_read_begin(HANDLE, 7);
    managed_connection_close(TRANSPORT);
    check_bodies(0, 0, 0, 0, 1);
    managed_read_end(&read, 10, MANAGED_READ_EOF, 7);
    managed_body_close(HANDLE, false, 7);
    check_bodies(1, 0, 0, 0, 0);

    connect_to(TRANSPORT);
    get(TRANSPORT, HANDLE);
    read = managed_read_begin(HANDLE, 7);
    managed_connection_close(TRANSPORT);
    managed_read_end(&read, 0, MANAGED_READ_ERROR, 7);
    check_bodies(1, 0, 1, 0, 0);
    check_replay();
}
END_TEST

/* Its slot is nobody else's before the read returns, and what it had given up by then does not count. */
START_TEST(a_read_under_way_keeps_the_slot) {
    connect_to(TRANSPORT);
    get(TRANSPORT, HANDLE);
    const struct managed_read read = managed_read_begin(HANDLE, 7);
    managed_body_close(HANDLE, false, 8);
    check_bodies(0, 0, 1, 0, 0);
    get(TRANSPORT, HANDLE + 64);
    ck_assert_uint_eq(trace->bodies[0].state, TRACE_BODY_FREE);
    ck_assert_uint_eq(trace->bodies[1].state, TRACE_BODY_OPEN);
    managed_read_end(&read, 4, MANAGED_READ_MORE, 7);
    check_bodies(0, 0, 1, 0, 1);
    ck_assert_uint_eq(trace->bodies[0].bytes_read, 0);
    read_to(HANDLE + 64, MANAGED_READ_EOF);
    managed_body_close(HANDLE + 64, false, 7);
    get(TRANSPORT, HANDLE);
    get(TRANSPORT, HANDLE + 64);
    ck_assert_uint_eq(trace->header->regions[TRACE_REGION_BODY].used, 2); /* both were given back */
    check_replay();
}
END_TEST

/* A panic went through its Read: the goroutine's end is the read's end. */
START_TEST(a_goroutine_ends_in_a_read) {
    connect_to(TRANSPORT);
    get(TRANSPORT, HANDLE);
    struct managed_worker *w = managed_worker_get(7);
    w->reads[w->reads_count++].read = managed_read_begin(HANDLE, 7);
    managed_worker_end(7);
    ck_assert_ptr_null(managed_worker_find(7));
    ck_assert_uint_eq(trace->bodies[0].attempts_now, 0);
    managed_connection_close(TRANSPORT);
    check_bodies(0, 0, 1, 0, 0);
    check_replay();
}
END_TEST

static unsigned events(enum trace_event_type type, uint16_t flag) {
    unsigned n = 0;
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_JOURNAL].used; i++)
        n += trace->journal[i].type == type && (trace->journal[i].flags & flag) == flag;
    return n;
}

static void pause_longer_than_the_clock_steps(void) {
    usleep(50000);
}

/* Read and closed at once: one record says all of it. */
START_TEST(ended_at_once) {
    connect_to(TRANSPORT);
    const uint16_t marks = TRACE_EVENT_DONE;
    for (unsigned i = 0; i < 1000 && events(TRACE_EVENT_BODY_OPEN, marks) == 0;
         i++) { /* the clock may step in between */
        get(TRANSPORT, HANDLE);
        read_to(HANDLE, MANAGED_READ_EOF);
        managed_body_close(HANDLE, false, 7);
    }
    ck_assert_uint_eq(events(TRACE_EVENT_BODY_OPEN, marks), 1);
    check_replay();
}
END_TEST

static unsigned agains(void) {
    unsigned n = 0;
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_JOURNAL].used; i++)
        n += trace->journal[i].again;
    return n;
}

/* One goroutine's loop: its records are few, and tell the same as slots and counters at every moment. */
START_TEST(the_same_again_and_again) {
    connect_to(TRANSPORT);
    struct managed_exchange e = {0};
    const uint64_t before = trace->header->regions[TRACE_REGION_JOURNAL].used;
    for (unsigned i = 0; i < 3000; i++) {
        ask_with(&e, TRANSPORT, 7);
        if (i % 500 == 101) check_replay();
        answer(&e, HANDLE + i % 3 * 64);
        if (i % 500 == 202) check_replay();
        read_to(HANDLE + i % 3 * 64, MANAGED_READ_EOF);
        if (i % 500 == 303) check_replay();
        managed_body_close(HANDLE + i % 3 * 64, false, 7);
        if (i % 500 == 404) check_replay();
    }
    const uint64_t after = trace->header->regions[TRACE_REGION_JOURNAL].used;
    ck_assert_uint_gt(agains(), 1500);
    ck_assert_uint_lt(after - before, 3000);
    ck_assert_uint_eq(sum().exchanges, 3000);
    ck_assert_uint_eq(sum().exchanges_reused, 2999);
    check_bodies(3000, 0, 0, 0, 0);
    check_replay();
}
END_TEST

/* Another goroutine, an answer without a body, one that is given up, another's records in between: the rest is told as ever. */
START_TEST(the_same_again_but_once) {
    connect_to(TRANSPORT);
    connect_to(TRANSPORT + 64);
    struct managed_exchange mine = {0}, other = {0};
    for (unsigned i = 0; i < 2000; i++) {
        ask_with(&mine, TRANSPORT, 7);
        if (i % 7 == 1) {
            ask_with(&other, TRANSPORT + 64, 8);
            managed_answered(&other, 204);
        }
        if (i % 5 == 1) {
            managed_answered(&mine, 204);
            continue;
        }
        answer(&mine, HANDLE);
        if (i % 11 == 1) ask_with(&other, TRANSPORT + 64, 8);
        if (i % 3 == 1) read_to(HANDLE, MANAGED_READ_EOF);
        if (i % 11 == 1) managed_answered(&other, 204);
        managed_body_close(HANDLE, false, i % 13 == 1 ? 9 : 7);
    }
    ck_assert_uint_gt(agains(), 0);
    ck_assert_uint_eq(open_bodies(), 0);
    ck_assert_uint_eq(sum().drained_unclosed, 0);
    check_replay();
}
END_TEST

/* What comes later has a record of its own. */
START_TEST(ended_later) {
    connect_to(TRANSPORT);
    get(TRANSPORT, HANDLE);
    pause_longer_than_the_clock_steps();
    read_to(HANDLE, MANAGED_READ_EOF);
    pause_longer_than_the_clock_steps();
    check_replay();
    managed_body_close(HANDLE, false, 7);
    ck_assert_uint_eq(events(TRACE_EVENT_BODY_OPEN, TRACE_EVENT_DRAINED), 0);
    ck_assert_uint_eq(events(TRACE_EVENT_BODY_DRAINED, 0), 1);
    ck_assert_uint_eq(events(TRACE_EVENT_BODY_DRAINED, TRACE_EVENT_CLOSED), 0);
    ck_assert_uint_eq(events(TRACE_EVENT_HANDLE_CLOSE, 0), 1);
    check_replay();
}
END_TEST

/* And so has what somebody else does, what comes behind another record, and what is not all that was expected. */
START_TEST(ended_otherwise) {
    connect_to(TRANSPORT);
    get(TRANSPORT, HANDLE);
    const struct managed_read read = managed_read_begin(HANDLE, 9);
    managed_read_end(&read, 10, MANAGED_READ_EOF, 9);
    managed_body_close(HANDLE, false, 7);
    ck_assert_uint_eq(events(TRACE_EVENT_BODY_DRAINED, 0), 1);
    ck_assert_uint_eq(events(TRACE_EVENT_HANDLE_CLOSE, 0), 1);
    get(TRANSPORT, HANDLE);
    connect_to(TRANSPORT + 64);
    read_to(HANDLE, MANAGED_READ_EOF);
    ck_assert_uint_eq(events(TRACE_EVENT_BODY_DRAINED, 0), 2);
    managed_body_close(HANDLE, false, 7);
    get(TRANSPORT, HANDLE);
    read_to(HANDLE, MANAGED_READ_MORE);
    read_to(HANDLE, MANAGED_READ_EOF); /* twice ten of ten */
    ck_assert_uint_eq(events(TRACE_EVENT_BODY_DRAINED, 0), 3);
    ck_assert_uint_eq(events(TRACE_EVENT_BODY_OPEN, TRACE_EVENT_DRAINED), 0);
    check_bodies(3, 1, 0, 0, 0);
    check_replay();
}
END_TEST

START_TEST(failed_by_the_network) {
    connect_to(TRANSPORT);
    get(TRANSPORT, HANDLE);
    read_to(HANDLE, MANAGED_READ_ERROR);
    managed_connection_close(TRANSPORT);
    managed_body_close(HANDLE, false, 7);
    check_bodies(0, 0, 0, 1, 0);
    check_replay();
}
END_TEST

/* Go 1.27: Close leaves to the connection's goroutine what becomes of an unread body. */
START_TEST(closed_and_drained_later) {
    connect_to(TRANSPORT);
    get(TRANSPORT, HANDLE);
    managed_body_close(HANDLE, true, 7);
    check_bodies(0, 0, 0, 0, 1);
    ck_assert_uint_ne(trace->bodies[0].flags & TRACE_BODY_HANDLE_CLOSED, 0);
    managed_body_end(HANDLE, MANAGED_DRAINED, 8);
    check_bodies(1, 0, 0, 0, 0);
    get(TRANSPORT, HANDLE);
    managed_body_close(HANDLE, true, 7);
    managed_connection_close(TRANSPORT);
    check_bodies(1, 0, 1, 0, 0);
    check_replay();
}
END_TEST

/* What was never closed and is collected stays what it was, also when its address is another's. */
START_TEST(a_known_address_is_a_new_body) {
    connect_to(TRANSPORT);
    get(TRANSPORT, HANDLE);
    get(TRANSPORT, HANDLE);
    check_bodies(0, 0, 0, 0, 2);
    read_to(HANDLE, MANAGED_READ_EOF);
    get(TRANSPORT, HANDLE);
    read_to(HANDLE, MANAGED_READ_EOF);
    managed_body_close(HANDLE, false, 7);
    check_bodies(2, 1, 0, 0, 1);
    check_replay();
}
END_TEST

/* ... until its connection goes: a Client's timeout closes it long after the body was collected. */
START_TEST(collected_and_then_given_up_with_its_connection) {
    const uint64_t other = TRANSPORT + 4096;
    connect_to(TRANSPORT);
    connect_to(other);
    get(TRANSPORT, HANDLE);
    get(other, HANDLE);
    check_bodies(0, 0, 0, 0, 2);
    managed_connection_close(TRANSPORT);
    check_bodies(0, 0, 1, 0, 1);
    ck_assert_uint_eq(open_connections(), 1);
    managed_connection_close(other);
    check_bodies(0, 0, 2, 0, 0);
    check_replay();
}
END_TEST

START_TEST(answers_without_a_body) {
    connect_to(TRANSPORT);
    struct managed_exchange e = ask(TRANSPORT, 7);
    managed_answered(&e, 204);
    ck_assert_uint_eq(trace->connections[0].responses, 1);
    ck_assert_uint_eq(trace->connections[0].last_status, 204);
    e = ask(TRANSPORT, 7);
    managed_connection_close(TRANSPORT);
    managed_answered(&e, 0);
    ck_assert_uint_eq(sum().exchanges, 2);
    check_replay();
}
END_TEST

START_TEST(workers_and_reservations) {
    struct managed_connection *c = managed_connection_get(TRANSPORT);
    struct managed_opening how = {.fd = -1, .stack = 5, .goid = 1};
    managed_connection_asked(c, &how);
    struct managed_worker *reader = managed_worker_get(21);
    managed_worker_start(reader, TRACE_ROLE_READER, c);
    ck_assert_uint_eq(open_connections(), 0); /* reserved: nobody sees it */
    ck_assert_uint_eq(trace->workers[0].dedicated, managed_connection_id(c));
    ck_assert_uint_eq(trace->workers[0].created_stack, 0);
    how.stack = 6;
    managed_connection_open(c, &how);
    ck_assert_uint_eq(trace->connections[0].connect_stack, 5);
    ck_assert_uint_eq(trace->workers[0].created_stack, 5);
    struct managed_worker *writer = managed_worker_get(22);
    managed_worker_start(writer, TRACE_ROLE_WRITER, c);
    ck_assert_uint_eq(trace->workers[1].created_stack, 5);
    managed_connection_leave(c);
    ck_assert_ptr_eq(managed_worker_find(21), reader);
    managed_worker_end(21);
    managed_worker_end(21);
    managed_worker_end(99);
    ck_assert_ptr_null(managed_worker_find(21));
    ck_assert_uint_eq(trace->header->workers_exited, 1);
    ck_assert_uint_eq(trace->workers[1].state, TRACE_WORKER_LIVE);
    /* Closed before anybody saw it: as if it had never been. */
    c = managed_connection_get(TRANSPORT + 64);
    managed_connection_withdraw(c);
    managed_connection_leave(c);
    ck_assert_ptr_null(managed_connection_find(TRANSPORT + 64));
    ck_assert_uint_eq(sum().connections_closed, 0);
    check_replay();
}
END_TEST

/* ---- threads ---- */

#define THREADS 4u
#define ROUNDS 3000u

/* Each has a connection of its own and one that all of them use; bodies end in every way. */
static void work(unsigned n) {
    const uint64_t own = TRANSPORT + 64 * (n + 1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        const bool shared = i % 3 == 0;
        const uint64_t transport = shared ? TRANSPORT : own, handle = HANDLE + 64 * (n * 8 + i % 8);
        if (!shared) connect_to(own);
        struct managed_exchange e = ask(transport, n + 1);
        if (!e.connection) continue;
        answer(&e, handle);
        if (i % 4 == 0) read_to(handle, MANAGED_READ_EOF);
        if (i % 4 == 1) read_to(handle, MANAGED_READ_ERROR);
        if (!shared && i % 5 == 0) managed_connection_close(own);
        if (i % 7) managed_body_close(handle, i % 2, n + 1);
        if (i % 4 == 3) managed_body_end(handle, MANAGED_DRAINED, n + 1);
        struct managed_worker *w = managed_worker_get(n * 100000 + i + 1);
        struct managed_connection *c = managed_connection_find(transport);
        if (c) {
            managed_worker_start(w, TRACE_ROLE_READER, c);
            managed_connection_leave(c);
        }
        managed_worker_end(n * 100000 + i + 1);
    }
}

START_TEST(threads_count_exactly) {
    connect_to(TRANSPORT);
    trace_place_threads(THREADS, work);
    const struct trace_site all = sum();
    ck_assert_uint_eq(all.exchanges, THREADS * ROUNDS);
    ck_assert_uint_eq(all.bodies_drained + all.bodies_discarded + all.bodies_failed + open_bodies(),
                      THREADS * ROUNDS);
    ck_assert_uint_eq(all.workers_exited, trace->header->workers_exited);
    for (unsigned i = 0; i < TRACE_LOST_COUNT; i++)
        ck_assert_uint_eq(trace->header->lost[i], 0);
    check_replay();
}
END_TEST

/* The connection is published, used and closed by different threads at once. */
static uint32_t round_of[THREADS];
static void race(unsigned n) {
    for (unsigned i = 1; i <= ROUNDS; i++) {
        __atomic_store_n(&round_of[n], i, __ATOMIC_SEQ_CST);
        const uint64_t transport = TRANSPORT + 64 * (uint64_t)(i % 16);
        connect_to(transport);
        struct managed_exchange e = ask(transport, n + 1);
        managed_answered(&e, 200);
        if (n == i % THREADS) managed_connection_close(transport);
    }
}

START_TEST(threads_open_and_close_one_connection) {
    trace_place_threads(THREADS, race);
    for (unsigned i = 0; i < 16; i++)
        managed_connection_close(TRANSPORT + 64 * (uint64_t)i);
    ck_assert_uint_eq(open_connections(), 0);
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_CONNECTIONS], 0);
    check_replay();
}
END_TEST

/* ---- places ---- */

static unsigned left;
static void count_leave(uint32_t place, uint64_t todo) {
    (void)place;
    left += (todo & GUARD_TODO(1)) != 0;
}
struct entry {
    struct managed_guard guard;
    uint64_t value;
};
static struct managed_map map = {
    .buckets = 16, .shift = 3, .entry_size = sizeof(struct entry), .leave = count_leave};

START_TEST(the_last_one_out_does_what_is_left) {
    const uint32_t place = managed_map_claim(&map, 80);
    ck_assert_uint_eq(managed_map_find(&map, 80), MANAGED_NONE); /* not published */
    managed_guard_begin(managed_map_at(&map, place));
    managed_map_publish(&map, place, 80);
    ck_assert_uint_eq(managed_map_find(&map, 80), place);
    ck_assert_ptr_nonnull(managed_pin(&map, place, 80));
    ck_assert(managed_map_hide(&map, place, 80));
    ck_assert(!managed_map_hide(&map, place, 80));
    managed_mark(managed_map_at(&map, place), GUARD_TODO(1) | GUARD_FREE);
    ck_assert_ptr_null(managed_pin(&map, place, 80)); /* too late */
    managed_release(&map, place);
    ck_assert_uint_eq(left, 0);
    managed_release(&map, place);
    ck_assert_uint_eq(left, 1);
    ck_assert_uint_eq(managed_map_claim(&map, 80), place);
}
END_TEST

START_TEST(a_full_bucket_says_so) {
    unsigned claimed = 0;
    for (uint64_t key = 8; key <= MANAGED_NEAR * MANAGED_WAYS * 8 * 8; key += 8)
        claimed += managed_map_claim(&map, key) != MANAGED_NONE;
    ck_assert_uint_eq(claimed, (MANAGED_NEAR + 16) * MANAGED_WAYS);
}
END_TEST

/* Of what is there one at a time, at ever new addresses, no page of the far part is touched. */
START_TEST(few_at_a_time_stay_near) {
    for (uint64_t key = 8; key <= 100000 * 8; key += 8) {
        const uint32_t place = managed_map_claim(&map, key);
        ck_assert_uint_lt(place, MANAGED_NEAR * MANAGED_WAYS);
        managed_map_publish(&map, place, key);
        ck_assert_uint_eq(managed_map_find(&map, key), place);
        managed_map_free(&map, place);
        ck_assert_uint_eq(managed_map_find(&map, key), MANAGED_NONE);
    }
}
END_TEST

START_TEST(what_has_no_room_near_is_found_far) {
    enum { KEYS = MANAGED_NEAR * MANAGED_WAYS * 8 };
    static uint32_t places[KEYS];
    unsigned near = 0, far = 0;
    for (uint64_t i = 0; i < KEYS; i++) {
        places[i] = managed_map_claim(&map, (i + 1) * 8);
        if (places[i] == MANAGED_NONE) continue;
        managed_map_publish(&map, places[i], (i + 1) * 8);
        *(places[i] < MANAGED_NEAR * MANAGED_WAYS ? &near : &far) += 1;
    }
    ck_assert_uint_eq(near, MANAGED_NEAR * MANAGED_WAYS);
    ck_assert_uint_eq(far, 16 * MANAGED_WAYS);
    for (uint64_t i = 0; i < KEYS; i++)
        ck_assert_uint_eq(managed_map_find(&map, (i + 1) * 8), places[i]);
    for (uint64_t i = 0; i < KEYS; i++) /* all of the near part goes */
        if (places[i] < MANAGED_NEAR * MANAGED_WAYS) managed_map_free(&map, places[i]);
    for (uint64_t i = 0; i < KEYS; i++)
        ck_assert_uint_eq(managed_map_find(&map, (i + 1) * 8),
                          places[i] < MANAGED_NEAR * MANAGED_WAYS ? MANAGED_NONE : places[i]);
}
END_TEST

static uint32_t firsts;
static void claim_all(unsigned n) {
    (void)n;
    for (uint64_t key = 8; key <= 60 * 8; key += 8) {
        bool found;
        const uint32_t place = managed_map_claim_once(&map, key, &found);
        if (place == MANAGED_NONE || found) continue;
        __atomic_add_fetch(&firsts, 1, __ATOMIC_RELAXED);
        managed_map_publish(&map, place, key);
    }
}

START_TEST(one_of_many_claims_a_key) {
    trace_place_threads(THREADS, claim_all);
    ck_assert_uint_eq(firsts, 60);
}
END_TEST

/* Whoever has claimed a key in one part is seen by who looks for a place in the other. */
START_TEST(one_of_many_claims_a_key_near_or_far) {
    enum { KEYS = MANAGED_NEAR * MANAGED_WAYS * 8 };
    const uint64_t first = UINT64_C(1) << 32;
    uint64_t near_key = 0, far_key = 0;
    bool found;
    for (uint64_t key = first; key < first + KEYS * 8; key += 8) {
        const uint32_t place = managed_map_claim(&map, key);
        if (place < MANAGED_NEAR * MANAGED_WAYS)
            managed_map_publish(&map, place, near_key = key);
        else if (place != MANAGED_NONE)
            managed_map_free(&map, place), far_key = key;
    }
    /* claimed far, when there is room near again */
    uint32_t place = managed_map_claim(&map, far_key);
    ck_assert_uint_ge(place, MANAGED_NEAR * MANAGED_WAYS);
    for (uint64_t key = first; key < first + KEYS * 8; key += 8)
        if (managed_map_find(&map, key) < MANAGED_NEAR * MANAGED_WAYS)
            managed_map_free(&map, managed_map_find(&map, key));
    ck_assert_uint_eq(managed_map_claim_once(&map, far_key, &found), MANAGED_NONE);
    managed_map_publish(&map, place, far_key);
    ck_assert_uint_eq(managed_map_claim_once(&map, far_key, &found), place);
    ck_assert(found);
    /* claimed near, when there is no more room there */
    place = managed_map_claim(&map, near_key);
    ck_assert_uint_lt(place, MANAGED_NEAR * MANAGED_WAYS);
    for (uint64_t key = first + KEYS * 8; key < first + 2 * KEYS * 8; key += 8)
        managed_map_claim(&map, key);
    managed_map_free(&map, managed_map_far(&map, near_key));
    ck_assert_uint_eq(managed_map_claim_once(&map, near_key, &found), MANAGED_NONE);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("managed");
    TCase *tests = tcase_create("managed");
    tcase_add_checked_fixture(tests, begin, trace_place_leave);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_body_read_and_closed);
    tcase_add_test(tests, closed_before_the_end);
    tcase_add_test(tests, given_up_with_its_connection);
    tcase_add_test(tests, a_read_under_way_decides);
    tcase_add_test(tests, a_read_under_way_keeps_the_slot);
    tcase_add_test(tests, a_goroutine_ends_in_a_read);
    tcase_add_test(tests, ended_at_once);
    tcase_add_test(tests, the_same_again_and_again);
    tcase_add_test(tests, the_same_again_but_once);
    tcase_add_test(tests, ended_later);
    tcase_add_test(tests, ended_otherwise);
    tcase_add_test(tests, failed_by_the_network);
    tcase_add_test(tests, closed_and_drained_later);
    tcase_add_test(tests, a_known_address_is_a_new_body);
    tcase_add_test(tests, collected_and_then_given_up_with_its_connection);
    tcase_add_test(tests, answers_without_a_body);
    tcase_add_test(tests, workers_and_reservations);
    tcase_add_test(tests, threads_count_exactly);
    tcase_add_test(tests, threads_open_and_close_one_connection);
    tcase_add_test(tests, the_last_one_out_does_what_is_left);
    tcase_add_test(tests, a_full_bucket_says_so);
    tcase_add_test(tests, few_at_a_time_stay_near);
    tcase_add_test(tests, what_has_no_room_near_is_found_far);
    tcase_add_test(tests, one_of_many_claims_a_key);
    tcase_add_test(tests, one_of_many_claims_a_key_near_or_far);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
