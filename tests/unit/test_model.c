/* The model: how processes ended, fresh samples of real sockets, roles of workers, what may not be believed. */
#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/model.h"
#include "tests/unit/suite.h"
#include "tests/unit/trace_builder.h"

static struct builder *trace;
static struct model *loaded;
static struct trace_file *opened;

static void setup(void) {
    trace = builder_new();
}

static void forget(void) {
    model_free(loaded);
    trace_file_close(opened);
    loaded = NULL, opened = NULL;
}

static void teardown(void) {
    forget();
    builder_free(trace);
}

static int try_load(const struct process_fate *fate, const struct model_options *options,
                    struct trace_error *error) {
    forget();
    opened = trace_file_open(builder_write(trace), error);
    ck_assert_msg(opened != NULL, "%s", error->text);
    loaded = model_new(options);
    return model_add_trace(loaded, opened, fate, error);
}

static struct model_process *load(const struct process_fate *fate) {
    struct trace_error error;
    struct model_options options = {.now_ns = builder_time(50)};
    ck_assert_msg(try_load(fate, &options, &error) == 0, "%s", error.text);
    return loaded->processes;
}

START_TEST(an_orderly_end) {
    struct model_process *process = load(NULL);
    ck_assert_int_eq(process->end, REPORT_END_EXIT);
    ck_assert(process->orderly && process->status_known && !process->alive);
    ck_assert_int_eq(process->status, 0);
    ck_assert_uint_eq(process->now_ns, builder_time(100));
    trace->header->status_known = 0; /* return from main */
    ck_assert(!load(NULL)->status_known);
    process =
        load(&(struct process_fate){.waited = true, .status = 3, .ended_ns = builder_time(101)});
    ck_assert(process->status_known);
    ck_assert_int_eq(process->status, 3);
    ck_assert_uint_eq(process->now_ns, builder_time(100));
}
END_TEST

START_TEST(killed_and_waited_for) {
    builder_killed(trace, 30);
    struct model_process *process =
        load(&(struct process_fate){.waited = true, .signal = 9, .ended_ns = builder_time(33)});
    ck_assert_int_eq(process->end, REPORT_END_SIGNAL);
    ck_assert_int_eq(process->status, 9);
    ck_assert(!process->orderly);
    ck_assert_uint_eq(process->now_ns, builder_time(33));
    process =
        load(&(struct process_fate){.waited = true, .status = 1, .ended_ns = builder_time(33)});
    ck_assert_int_eq(process->end, REPORT_END_EXIT);
    ck_assert(
        !process->orderly); /* the recorder did not see it: its evidence is that of a killed one */
}
END_TEST

START_TEST(vanished) {
    builder_killed(trace, 30);
    builder_connection(trace)->read_attempt_ns =
        builder_time(31); /* later than the last transition */
    struct model_process *process = load(NULL);
    ck_assert_int_eq(process->end, REPORT_END_LOST);
    ck_assert(!process->status_known);
    ck_assert_uint_eq(process->now_ns, builder_time(31));
}
END_TEST

START_TEST(running_and_a_pid_used_again) {
    builder_running(trace);
    struct model_process *process = load(NULL);
    ck_assert_int_eq(process->end, REPORT_END_RUNNING);
    ck_assert(process->alive);
    ck_assert_uint_eq(process->now_ns, builder_time(50));
    trace->header->process_start_ticks = 1; /* somebody else started then */
    ck_assert_int_eq(load(NULL)->end, REPORT_END_LOST);
    trace->header->process_start_ticks = 0;
    strcpy(trace->header->exe, "/another/program");
    ck_assert_int_eq(load(NULL)->end, REPORT_END_LOST);
}
END_TEST

START_TEST(a_zombie_is_gone) {
    builder_running(trace);
    pid_t child = fork();
    if (child == 0) _exit(0);
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    trace->header->pid = (uint32_t)child;
    ck_assert_int_eq(load(NULL)->end, REPORT_END_LOST);
    waitpid(child, NULL, 0);
}
END_TEST

START_TEST(a_trace_of_another_boot_is_not_running) {
    struct trace_error error;
    struct model_options options = {.now_ns = builder_time(0.5)};
    builder_running(trace);
    ck_assert_int_eq(try_load(NULL, &options, &error), 0);
    ck_assert_int_eq(loaded->processes->end, REPORT_END_LOST);
}
END_TEST

/* A connected pair of real sockets of this process. */
static int connect_pair(int *accepted) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    ck_assert_int_eq(connect(client, (struct sockaddr *)&address, size), 0);
    *accepted = accept(listener, NULL, NULL);
    close(listener);
    return client;
}

START_TEST(samples_of_a_running_process_are_taken_anew) {
    int accepted, client = connect_pair(&accepted);
    struct trace_connection *connection = builder_connection(trace);
    builder_running(trace);
    connection->fd = client;
    connection->rx_known = 1; /* an old sample that says nothing waits */
    connection->sample_ns = builder_time(10);
    ck_assert_int_eq(write(accepted, "12345", 5), 5);
    struct model_process *process = load(NULL);
    ck_assert_int_eq(process->connections[0].bytes, MODEL_BYTES_WAIT);
    ck_assert_uint_eq(process->connections[0].raw.rx_queued, 5);
    ck_assert_uint_eq(process->connections[0].raw.tcp_state, 1);
    char buffer[5];
    ck_assert_int_eq(read(client, buffer, 5), 5);
    close(accepted); /* a FIN is no byte that waits */
    process = load(NULL);
    ck_assert_int_eq(process->connections[0].bytes, MODEL_BYTES_NONE);
    ck_assert_uint_eq(process->connections[0].raw.tcp_state, 8);
    close(client);
}
END_TEST

START_TEST(a_stale_sample_says_nothing) {
    struct trace_connection *connection = builder_connection(trace);
    connection->rx_known = 1;
    connection->rx_queued = 100;
    connection->sample_ns = builder_time(10.9);
    ck_assert_int_eq(load(NULL)->connections[0].bytes, MODEL_BYTES_UNKNOWN);
    connection->sample_ns = builder_time(11);
    ck_assert_int_eq(load(NULL)->connections[0].bytes, MODEL_BYTES_WAIT);
}
END_TEST

START_TEST(roles) {
    struct trace_connection *connection = builder_connection(trace);
    struct trace_worker *reader =
        builder_worker(trace, connection, 2000, true, false, TRACE_WAIT_NONE);
    struct model_process *process = load(NULL);
    ck_assert_int_eq(process->workers[0].role,
                     TRACE_ROLE_READER); /* another thread, no worker of ours, wrote */
    connection->writer_tid = 0;
    ck_assert_int_eq(load(NULL)->workers[0].role, TRACE_ROLE_BOTH); /* nobody writes: no pair */
    struct trace_worker *writer =
        builder_worker(trace, connection, 2001, false, true, TRACE_WAIT_NONE);
    process = load(NULL);
    ck_assert_int_eq(process->workers[0].role, TRACE_ROLE_READER);
    ck_assert_int_eq(process->workers[1].role, TRACE_ROLE_WRITER);
    ck_assert_ptr_eq(process->workers[1].dedicated, &process->connections[0]);
    writer->connections_used = 2; /* serves several */
    ck_assert_int_eq(load(NULL)->workers[1].role, TRACE_ROLE_BOTH);
    ck_assert_ptr_null(loaded->processes->workers[1].dedicated);
    reader->declared_role = TRACE_ROLE_BOTH;
    ck_assert_int_eq(load(NULL)->workers[0].role, TRACE_ROLE_BOTH);
}
END_TEST

START_TEST(threads_of_other_protocols_are_no_workers) {
    builder_worker(trace, NULL, 2000, true, true, TRACE_WAIT_NONE)->last_connection =
        77; /* was dropped as foreign */
    ck_assert(!load(NULL)->workers[0].counted);
    builder_site_at(trace, trace->site)->connections_closed = 1; /* a host that spoke HTTP */
    ck_assert(load(NULL)->workers[0].counted);
}
END_TEST

START_TEST(links_that_lead_nowhere_are_errors) {
    struct trace_connection *connection = builder_connection(trace);
    struct trace_error error;
    connection->host = 999;
    ck_assert_int_eq(try_load(NULL, NULL, &error), -1);
    ck_assert_msg(strstr(error.text, "999") != NULL, "%s", error.text);
    ck_assert_uint_eq(error.offset, trace->header->regions[TRACE_REGION_CONNECTION].offset);
    ck_assert_ptr_null(loaded->processes);
    connection->host = trace->host;
    builder_body(trace, connection)->connection_id =
        999; /* its connection went while the process was killed */
    ck_assert_int_eq(try_load(NULL, NULL, &error), 0);
    ck_assert_ptr_null(loaded->processes->bodies[0].connection);
}
END_TEST

START_TEST(history_starts_where_the_ring_does) {
    for (int i = 0; i < BUILDER_JOURNAL_PLACES; i++)
        builder_event(trace,
                      (struct trace_event){.type = TRACE_EVENT_FORK, .time_ns = builder_time(i)});
    ck_assert_uint_eq(load(NULL)->history_from_ns, 0);
    builder_event(trace,
                  (struct trace_event){.type = TRACE_EVENT_FORK, .time_ns = builder_time(99)});
    ck_assert_uint_eq(load(NULL)->history_from_ns, builder_time(1));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("model");
    TCase *tests = tcase_create("model");
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, an_orderly_end);
    tcase_add_test(tests, killed_and_waited_for);
    tcase_add_test(tests, vanished);
    tcase_add_test(tests, running_and_a_pid_used_again);
    tcase_add_test(tests, a_zombie_is_gone);
    tcase_add_test(tests, a_trace_of_another_boot_is_not_running);
    tcase_add_test(tests, samples_of_a_running_process_are_taken_anew);
    tcase_add_test(tests, a_stale_sample_says_nothing);
    tcase_add_test(tests, roles);
    tcase_add_test(tests, threads_of_other_protocols_are_no_workers);
    tcase_add_test(tests, links_that_lead_nowhere_are_errors);
    tcase_add_test(tests, history_starts_where_the_ring_does);
    return suite_run(suite);
}
