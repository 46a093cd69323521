/* Client handles as the recorder follows them: made before and after there is a trace, used, freed, too many, by many threads. */
#include "tests/unit/suite.h"
#include "track/client.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "record/sys.h"
#include "tests/unit/trace_place.h"
#include "track/bad_close.h"
#include "track/crowd.h"
#include "track/process.h"
#include "track/worker.h"

static struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
static int listener;

static void begin(void) {
    trace_place_enter();
    char *argv[] = {(char *)"test", NULL},
         *envp[] = {(char *)"HTTPLEAK_OPTIONS=trace=t:summary=0", NULL};
    process_init(1, argv, envp, "");
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 64), 0);
}

static void end(void) {
    close(listener);
    trace_place_leave();
}

/* A connection of ours; the first one makes the trace. */
static int connected(void) {
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    connection_connected(fd, (struct sockaddr *)&address, sizeof address, 0, 0);
    ck_assert_ptr_nonnull(connection_of_fd(fd));
    return fd;
}

static const void *object(uintptr_t n) {
    return (const void *)(0x10000000 + n * 0x1b0);
}

static unsigned live(void) {
    unsigned n = 0;
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_HANDLE].used; i++)
        n += trace->handles[i].state == TRACE_HANDLE_LIVE;
    return n;
}

static const struct trace_handle *slot_for(const void *o) {
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_HANDLE].used; i++)
        if (trace->handles[i].state == TRACE_HANDLE_LIVE &&
            trace->handles[i].handle == (uintptr_t)o)
            return &trace->handles[i];
    return NULL;
}

START_TEST(made_before_there_is_a_trace) {
    for (uintptr_t i = 0; i < 600; i++)
        client_created(object(i), TRACE_HANDLE_CURL_EASY);
    client_freed(object(0));
    const uint64_t before = clock_now();
    connected();
    ck_assert_uint_eq(live(), 511); /* of the first 512 */
    const struct trace_handle *handle = slot_for(object(1));
    ck_assert_uint_ne(handle->created_stack, 0);
    ck_assert_uint_lt(handle->created_ns, before);
    ck_assert_uint_eq(handle->creator_tid, thread_tid());
    /* the others when they are used */
    ck_assert_ptr_null(slot_for(object(599)));
    client_used(object(599));
    ck_assert_uint_eq(slot_for(object(599))->created_stack, 0);
}
END_TEST

START_TEST(made_used_and_freed) {
    struct client_call call;
    connected();
    client_created(object(1), TRACE_HANDLE_CURL_EASY);
    const struct trace_handle *handle = slot_for(object(1));
    ck_assert_int_eq(handle->kind, TRACE_HANDLE_CURL_EASY);
    ck_assert_uint_ne(handle->created_stack, 0);
    client_begin(&call, object(1), true);
    ck_assert_uint_eq(handle->busy, 1);
    ck_assert_uint_eq(handle->uses, 1);
    client_paused(object(1), true);
    ck_assert_uint_eq(handle->flags, TRACE_HANDLE_PAUSED);
    client_end(&call);
    ck_assert_uint_eq(handle->busy, 0);
    client_used(object(1));
    ck_assert_uint_eq(handle->flags, 0);
    ck_assert_uint_eq(handle->uses, 1);
    client_freed(object(1));
    ck_assert_uint_eq(live(), 0);
    client_freed(object(1));
    client_used(object(1));
    client_begin(&call, object(1), true);
    ck_assert_ptr_null(call.object);
}
END_TEST

START_TEST(an_address_that_comes_again) {
    connected();
    client_created(object(1), TRACE_HANDLE_CURL_EASY);
    client_created(object(1), TRACE_HANDLE_CURL_SHARE);
    ck_assert_uint_eq(live(), 1);
    ck_assert_int_eq(slot_for(object(1))->kind, TRACE_HANDLE_CURL_SHARE);
}
END_TEST

START_TEST(references) {
    connected();
    client_created(object(1), TRACE_HANDLE_CURL_SHARE);
    client_referred(object(1));
    client_freed(object(1));
    ck_assert_uint_eq(live(), 1);
    client_freed(object(1));
    ck_assert_uint_eq(live(), 0);
}
END_TEST

START_TEST(easy_handles_in_a_multi) {
    connected();
    client_created(object(0), TRACE_HANDLE_CURL_MULTI);
    for (uintptr_t i = 1; i <= 3; i++) {
        client_created(object(i), TRACE_HANDLE_CURL_EASY);
        client_joined(object(i), object(0));
    }
    const struct trace_handle *multi = slot_for(object(0));
    ck_assert_uint_eq(multi->members, 3);
    ck_assert_uint_eq(slot_for(object(1))->parent, multi->id);
    client_joined(object(1), NULL);
    client_freed(object(2));
    ck_assert_uint_eq(multi->members, 1);
    ck_assert_uint_eq(slot_for(object(1))->parent, 0);
    client_freed(object(0));
    ck_assert_uint_eq(slot_for(object(3))->parent, 0);
    ck_assert_uint_eq(live(), 2);
}
END_TEST

START_TEST(ssl_objects_have_a_slot_with_their_connection) {
    const int fd = connected();
    const struct connection *c = connection_of_fd(fd);
    client_created(object(1), TRACE_HANDLE_SSL);
    client_connected(object(2), c); /* nobody saw it made */
    ck_assert_uint_eq(live(), 0);
    client_connected(object(1), c);
    const struct trace_handle *handle = slot_for(object(1));
    ck_assert_uint_eq(handle->connection, c->id);
    ck_assert_uint_eq(handle->since_ns, 0);
    client_disconnected(object(1), c);
    ck_assert_uint_ne(handle->since_ns, 0);
    client_restarted(object(1));
    ck_assert_uint_eq(handle->since_ns, 0);
    client_freed(object(1));
    ck_assert_uint_eq(live(), 0);
}
END_TEST

START_TEST(more_than_there_is_place_for) {
    connected();
    for (uintptr_t i = 0; i < 12000; i++)
        client_created(object(i), TRACE_HANDLE_CURL_EASY);
    ck_assert_uint_gt(live(), 6000);
    ck_assert_uint_eq(live() + trace->header->lost[TRACE_LOST_HANDLES], 12000);
    for (uintptr_t i = 0; i < 12000; i++)
        client_freed(object(i));
    ck_assert_uint_eq(live(), 0);
    ck_assert_uint_eq(trace->header->features & TRACE_FEATURE_HANDLES_UNSURE, 0);
}
END_TEST

static void make_and_free(unsigned n) {
    for (uintptr_t round = 0; round < 2000; round++) {
        const void *o = object(n * 16 + round % 16);
        client_created(o, TRACE_HANDLE_CURL_EASY);
        client_used(o);
        client_freed(o);
    }
    client_created(object(n * 16), TRACE_HANDLE_CURL_EASY);
}

START_TEST(many_threads_at_once) {
    connected();
    trace_place_threads(4, make_and_free);
    ck_assert_uint_eq(live(), 4);
    ck_assert_uint_eq(trace->header->features & TRACE_FEATURE_HANDLES_UNSURE, 0);
}
END_TEST

/* ---- crowds ---- */

START_TEST(how_many_of_a_place_there_are) {
    ck_assert_uint_eq(crowd_enter(7), 1);
    ck_assert_uint_eq(crowd_enter(7), 2);
    ck_assert_uint_eq(crowd_enter(9), 1);
    crowd_leave(7);
    ck_assert_uint_eq(crowd_enter(7), 2);
    ck_assert_uint_eq(crowd_enter(0), 0);
    crowd_leave(0);
    crowd_leave(11);
    ck_assert_uint_eq(crowd_enter(11), 1);
    unsigned known = 0;
    for (uint32_t stack = 100; stack < 3000; stack++)
        known += crowd_enter(stack) == 1;
    ck_assert_uint_gt(known, 500);
    ck_assert_uint_lt(known, 1024);
}
END_TEST

/* ---- bad closes ---- */

static int number;

static void close_as_program(int fd) {
    bad_close_before(fd);
    connection_fd_closing(fd, false);
    close(fd);
}

static void *open_again(void *result) {
    *(int *)result = connected();
    return NULL;
}

static void *find_it_gone(void *unused) {
    bad_close_failed(number, EBADF);
    return unused;
}

static void *open_and_find_it_gone(void *meanwhile) {
    number = connected();
    ((void (*)(void))meanwhile)();
    return find_it_gone(NULL);
}

static pthread_barrier_t barrier;

static void wait_twice(void) {
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
}

static uint64_t bad_closes(void) {
    uint64_t n = 0;
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_SITE].used; i++)
        n += trace->sites[i].bad_closes;
    return n;
}

/* Closes a number, lets another thread have it, closes it again; then `nothing` EBADFs near by make it a loop. */
static void close_twice(bool in_a_loop) {
    pthread_t thread;
    const int first = connected();
    close_as_program(first);
    pthread_barrier_init(&barrier, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, open_and_find_it_gone, (void *)wait_twice), 0);
    pthread_barrier_wait(&barrier);
    ck_assert_int_eq(number, first);
    close_as_program(first);
    if (in_a_loop) bad_close_failed(first + 1, EBADF);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
}

START_TEST(closed_twice_and_found_gone) {
    close_twice(false);
    ck_assert_uint_eq(bad_closes(), 1);
}
END_TEST

START_TEST(a_loop_over_all_numbers) {
    close_twice(true);
    ck_assert_uint_eq(bad_closes(), 0);
}
END_TEST

/* Who opened it has given it away, as to a pool, and misses nothing. */
START_TEST(a_sweeper) {
    pthread_t thread;
    const int first = connected();
    close_as_program(first);
    int again = -1;
    pthread_create(&thread, NULL, open_again, &again);
    pthread_join(thread, NULL);
    ck_assert_int_eq(again, first);
    close_as_program(again);
    bad_close_failed(first, EBADF); /* the sweeper himself */
    ck_assert_uint_eq(bad_closes(), 0);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        made_before_there_is_a_trace,  made_used_and_freed,
        an_address_that_comes_again,   references,
        easy_handles_in_a_multi,       ssl_objects_have_a_slot_with_their_connection,
        more_than_there_is_place_for,  many_threads_at_once,
        how_many_of_a_place_there_are, closed_twice_and_found_gone,
        a_loop_over_all_numbers,       a_sweeper,
    };
    Suite *all = suite_create("client");
    TCase *cases = tcase_create("client");
    suite_add_tcase(all, cases);
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, begin, end);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(cases, tests[i]);
    return suite_run(all);
}
