/* Threads as workers: slots, roles' raw material, waits, joins, ends and epoll sets, with real
 * threads and a real trace. */
#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "record/sys.h"
#include "tests/unit/suite.h"
#include "tests/unit/trace_place.h"
#include "track/process.h"
#include "track/wait.h"
#include "track/worker.h"

static struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
static int listener, fd;
static struct connection *c;
static sem_t reached;

static void begin(void) {
    trace_place_enter();
    sem_init(&reached, 0, 0);
    char *argv[] = {(char *)"test", NULL},
         *envp[] = {(char *)"HTTPLEAK_OPTIONS=trace=t:summary=0", NULL};
    process_init(1, argv, envp, "");
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 8), 0);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    connection_connected(fd, (struct sockaddr *)&address, sizeof address, 0, 0);
    c = connection_of_fd(fd);
    ck_assert_ptr_nonnull(c);
}

static void end(void) {
    close(fd);
    close(listener);
    trace_place_leave();
}

static unsigned live_slots(void) {
    unsigned live = 0;
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_WORKER].used; i++)
        live += trace->workers[i].state == TRACE_WORKER_LIVE;
    return live;
}

/* Counts events of a type and gives the newest. */
static unsigned events(enum trace_event_type type, struct trace_event *newest) {
    unsigned n = 0;
    const uint64_t used = trace->header->regions[TRACE_REGION_JOURNAL].used;
    for (uint64_t i = 0; i < used; i++)
        if (trace->journal[i].type == type) n++, *newest = trace->journal[i];
    return n;
}

static pthread_t start(void *(*body)(void *), void *argument, bool detached) {
    pthread_t thread;
    struct thread_start *s = worker_start_new(body, NULL, argument, detached);
    ck_assert_ptr_nonnull(s);
    ck_assert_int_eq(pthread_create(&thread, NULL, worker_trampoline, s), 0);
    return thread;
}

static void join(pthread_t thread) {
    const uint32_t tid = worker_tid_of(thread);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    worker_joined(tid, thread);
}

static void reads(void) {
    worker_io_begin(c, false);
    worker_io_end(c, false, 10, clock_now());
}

static void *reads_and_returns(void *unused) {
    reads();
    sem_post(&reached);
    return unused;
}

START_TEST(main_thread_is_no_worker) {
    ck_assert_uint_eq(live_slots(), 1);
    const struct trace_worker *w = thread_self.slot;
    ck_assert_ptr_nonnull(w);
    ck_assert_uint_eq(w->flags, TRACE_WORKER_MAIN);
    ck_assert_uint_eq(w->tid, (uint32_t)getpid());
}
END_TEST

START_TEST(returned) {
    struct trace_event e;
    const pthread_t thread = start(reads_and_returns, NULL, false);
    sem_wait(&reached);
    const uint32_t tid = worker_tid_of(thread);
    ck_assert_uint_ne(tid, 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(events(TRACE_EVENT_WORKER_END, &e), 1);
    ck_assert_uint_eq(e.a, tid);
    ck_assert_uint_eq(e.arg, WAY_RETURN);
    ck_assert_uint_ne(e.b, 0);
    ck_assert_uint_eq(trace->sites[e.b].workers_exited, 1);
    ck_assert_uint_eq(trace->header->workers_exited, 1);
    ck_assert_uint_eq(live_slots(), 1);
    worker_joined(tid, thread);
    ck_assert_uint_eq(events(TRACE_EVENT_WORKER_JOIN, &e), 1);
    ck_assert_uint_eq(e.a, tid);
    ck_assert_uint_eq(worker_tid_of(thread), 0);
}
END_TEST

static void *reads_and_exits(void *unused) {
    reads();
    worker_exits();
    pthread_exit(unused);
}

START_TEST(exited) {
    struct trace_event e;
    join(start(reads_and_exits, NULL, false));
    ck_assert_uint_eq(events(TRACE_EVENT_WORKER_END, &e), 1);
    ck_assert_uint_eq(e.arg, WAY_EXIT);
}
END_TEST

static void *reads_and_sleeps(void *unused) {
    reads();
    sem_post(&reached);
    for (;;)
        pause();
    return unused;
}

START_TEST(cancelled) {
    struct trace_event e;
    const pthread_t thread = start(reads_and_sleeps, NULL, false);
    sem_wait(&reached);
    worker_cancelled(thread);
    pthread_cancel(thread);
    join(thread);
    ck_assert_uint_eq(events(TRACE_EVENT_WORKER_END, &e), 1);
    ck_assert_uint_eq(e.arg, WAY_CANCEL);
    ck_assert_uint_eq(live_slots(), 1);
}
END_TEST

static void *does_nothing(void *unused) {
    return unused;
}

START_TEST(without_io_no_slot) {
    struct trace_event e;
    const unsigned before = events(TRACE_EVENT_WORKER_START, &e);
    join(start(does_nothing, NULL, false));
    ck_assert_uint_eq(events(TRACE_EVENT_WORKER_START, &e), before);
    ck_assert_uint_eq(trace->header->workers_exited, 0);
}
END_TEST

/* I/O in the destructor of another key still counts: the worker ends in the last round. */
static pthread_key_t late;
static void reads_late(void *unused) {
    (void)unused;
    reads();
}
static void *sets_key(void *unused) {
    pthread_setspecific(late, &late);
    return unused;
}

START_TEST(io_in_a_destructor) {
    struct trace_event e;
    pthread_key_create(&late, reads_late);
    join(start(sets_key, NULL, false));
    ck_assert_uint_eq(events(TRACE_EVENT_WORKER_END, &e), 1);
    ck_assert_uint_eq(trace->header->workers_exited, 1);
    ck_assert_uint_eq(live_slots(), 1);
}
END_TEST

/* A start block comes back however the thread ended: far more threads than there are blocks. */
START_TEST(ten_thousand_threads) {
    for (int i = 0; i < 10000; i++)
        join(start(i % 16 ? does_nothing : reads_and_returns, NULL, false));
    ck_assert_uint_eq(trace->header->workers_exited, 10000 / 16);
    ck_assert_uint_eq(live_slots(), 1);
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_WORKERS], 0);
}
END_TEST

static sem_t go, gone;

static void *detached_from_outside(void *flags) {
    sem_post(&reached);
    sem_wait(&go);
    reads();
    *(uint32_t *)flags = __atomic_load_n(&thread_self.slot->flags, __ATOMIC_RELAXED);
    sem_post(&gone);
    return NULL;
}

START_TEST(detached_before_it_worked) {
    struct trace_event e;
    uint32_t flags = 0;
    sem_init(&go, 0, 0);
    sem_init(&gone, 0, 0);
    const pthread_t thread = start(detached_from_outside, &flags, false);
    sem_wait(&reached);
    worker_detached(thread);
    ck_assert_uint_eq(events(TRACE_EVENT_WORKER_DETACH, &e), 1);
    pthread_detach(thread);
    sem_post(&go);
    sem_wait(&gone);
    ck_assert_uint_eq(flags & TRACE_WORKER_DETACHED, TRACE_WORKER_DETACHED);
}
END_TEST

static uint64_t unjoined(void) {
    uint64_t n = 0;
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_SITE].used; i++)
        n += trace->sites[i].workers_unjoined;
    return n;
}

static void *reads_once(void *unused) {
    reads();
    return unused;
}

/* The program joins it and nobody sees it; the next one may get its identity. */
START_TEST(ended_and_not_joined) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        threads[i] = start(reads_once, NULL, false);
    uint32_t tid[3] = {0};
    for (int i = 0; i < 3; i++)
        while ((tid[i] = worker_tid_of(threads[i])) == 0)
            sched_yield();
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(unjoined(), 3);
    worker_joined(tid[0], threads[0]);
    ck_assert_uint_eq(unjoined(), 2);
    worker_joined(0, threads[1]); /* the join began before the thread came to say who it is */
    ck_assert_uint_eq(unjoined(), 1);
    worker_detached(threads[2]);
    ck_assert_uint_eq(unjoined(), 0);
    join(start(reads_once, NULL, false));
    ck_assert_uint_eq(unjoined(), 0);
}
END_TEST

START_TEST(an_identity_that_comes_again) {
    for (int i = 0; i < 20; i++)
        pthread_join(start(reads_once, NULL, false), NULL);
    ck_assert_uint_le(unjoined(), 2); /* identities that have not come again */
}
END_TEST

START_TEST(how_many_there_were) {
    sem_init(&go, 0, 0);
    sem_init(&gone, 0, 0);
    join(start(reads_once, NULL, false));
    join(start(reads_once, NULL, false));
    for (uint64_t i = 0; i < trace->header->regions[TRACE_REGION_WORKER].used; i++)
        ck_assert_uint_le(trace->workers[i].siblings, 1);
}
END_TEST

START_TEST(creation_stack_and_creator) {
    struct trace_event e;
    join(start(reads_and_returns, NULL, false));
    ck_assert_uint_ge(events(TRACE_EVENT_WORKER_START, &e), 2);
    ck_assert_uint_ne(e.stack, 0);
}
END_TEST

START_TEST(waits) {
    struct trace_worker *w = thread_self.slot;
    int condition = 0;
    worker_wait_begin(TRACE_WAIT_COND, 0, &condition, 77);
    ck_assert_uint_eq(w->wait, TRACE_WAIT_COND);
    ck_assert_uint_eq(w->wait_since_ns, 77);
    ck_assert_uint_eq(w->wait_address, (uintptr_t)&condition);
    worker_wait_end();
    ck_assert_uint_eq(w->wait, TRACE_WAIT_NONE);
    worker_io_begin(c, true);
    ck_assert_uint_eq(w->wait, TRACE_WAIT_WRITE);
    ck_assert_uint_eq(w->wait_connection, c->id);
    worker_io_end(c, true, 5, 99);
    ck_assert_uint_eq(w->wait, TRACE_WAIT_NONE);
    ck_assert_uint_eq(w->write_bytes, 5);
    ck_assert_uint_eq(w->write_ops, 1);
    ck_assert_uint_eq(w->connections_used, 1);
    ck_assert_uint_eq(w->wait_seq % 2, 0);
    ck_assert_uint_eq(w->io_seq % 2, 0);
}
END_TEST

START_TEST(polled_now) {
    struct pollfd fds[3] = {
        {.fd = -1}, {.fd = fd, .events = POLLIN}, {.fd = listener, .events = POLLIN}};
    struct trace_worker *w = thread_self.slot;
    ck_assert(wait_poll_begin(fds, 3));
    ck_assert_uint_eq(c->slot->poll_tid, w->tid);
    ck_assert_uint_eq(w->wait, TRACE_WAIT_POLL);
    ck_assert_uint_eq(w->wait_since_ns, c->slot->wait_ns);
    wait_poll_end(fds, 3, 0);
    ck_assert_uint_eq(w->wait, TRACE_WAIT_NONE);
    ck_assert_uint_ge(c->slot->wait_ns, w->wait_since_ns);
    fds[1].events = POLLOUT; /* that it may be written to is no interest in its answer */
    ck_assert(!wait_poll_begin(fds, 3));
}
END_TEST

START_TEST(selected_now) {
    fd_set in;
    FD_ZERO(&in);
    ck_assert(!wait_select_begin(fd + 1, &in, NULL));
    FD_SET(fd, &in);
    ck_assert(!wait_select_begin(fd, &in, NULL)); /* beyond the count */
    ck_assert(wait_select_begin(fd + 1, &in, NULL));
    const uint64_t since = c->slot->wait_ns;
    ck_assert_uint_eq(thread_self.slot->wait_since_ns, since);
    FD_ZERO(&in); /* nothing was ready */
    wait_select_end(fd + 1, &in, NULL, 0);
    ck_assert_uint_ge(c->slot->wait_ns, since);
    ck_assert_uint_eq(thread_self.slot->wait, TRACE_WAIT_NONE);
}
END_TEST

START_TEST(epoll_interest) {
    const int set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    struct trace_connection *slot = c->slot;
    ck_assert(!wait_epoll_begin(set));
    wait_epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    ck_assert_uint_eq(slot->epoll_interest, 1);
    ck_assert_uint_eq(slot->epoll_edge, 1);
    ck_assert(wait_epoll_begin(set));
    ck_assert_uint_eq(thread_self.slot->wait, TRACE_WAIT_EPOLL);
    ck_assert_uint_eq(thread_self.slot->wait_address, slot->epoll_set);
    ck_assert_uint_ge(slot->epoll_wait_ns, slot->epoll_change_ns);
    wait_epoll_end(set);
    ck_assert_uint_eq(thread_self.slot->wait, TRACE_WAIT_NONE);

    event.events = EPOLLOUT;
    wait_epoll_ctl(set, EPOLL_CTL_MOD, fd, &event);
    ck_assert_uint_eq(slot->epoll_interest, 0);
    event.events = EPOLLIN;
    wait_epoll_ctl(set, EPOLL_CTL_MOD, fd, &event);
    ck_assert_uint_eq(slot->epoll_interest, 1);
    ck_assert_uint_eq(slot->epoll_edge, 0);
    wait_epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL);
    ck_assert_uint_eq(slot->epoll_interest, 0);

    wait_epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    connection_fd_closing(set, false);
    close(set);
    ck_assert_uint_eq(slot->epoll_interest, 0);
    ck_assert(!fd_is_ours(set));
}
END_TEST

START_TEST(forgotten_by_a_child) {
    const uint32_t tid = thread_tid();
    const pid_t child = fork();
    if (child == 0) {
        process_fork_child();
        const bool fresh = !trace && !thread_self.slot && !worker_waits() && thread_tid() != tid;
        _exit(fresh && connection_of_fd(fd) == NULL ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(live_slots(), 1);
    ck_assert_uint_eq(__atomic_load_n(&c->slot->flags, __ATOMIC_RELAXED) & TRACE_CONNECTION_SHARED,
                      TRACE_CONNECTION_SHARED); /* it asked for it */
}
END_TEST

int main(void) {
    Suite *suite = suite_create("worker");
    TCase *cases = tcase_create("worker");
    tcase_add_checked_fixture(cases, begin, end);
    tcase_set_timeout(cases, 60);
    const TTest *const tests[] = {main_thread_is_no_worker,
                                  returned,
                                  exited,
                                  cancelled,
                                  without_io_no_slot,
                                  io_in_a_destructor,
                                  ten_thousand_threads,
                                  detached_before_it_worked,
                                  ended_and_not_joined,
                                  an_identity_that_comes_again,
                                  how_many_there_were,
                                  creation_stack_and_creator,
                                  waits,
                                  polled_now,
                                  selected_now,
                                  epoll_interest,
                                  forgotten_by_a_child};
    for (unsigned i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(cases, tests[i]);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
