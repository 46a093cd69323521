/*
 * The trace file: its name, who may read it, what it never overwrites, and what happens where it
 * cannot be made.
 */
#include <check.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "record/intern.h"
#include "record/options.h"
#include "record/summary.h"
#include "record/trace.h"
#include "record/trace_file.h"
#include "tests/unit/suite.h"
#include "trace_place.h"

static const char *place(const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", trace_place, name);
    return path;
}

static void prepare(const char *text) {
    static char *argv[] = {(char *)"prog", (char *)"secret", NULL};
    options_parse(text, "prog");
    trace_prepare(2, argv);
}

/* One line, no trace, nothing left, and it is not tried again. */
static void ck_refused(const char *reason) {
    ck_assert(!trace_open());
    ck_assert_ptr_null(trace);
    const char *said = trace_place_said();
    ck_assert_msg(strncmp(said, "httpleak: no trace: ", 20) == 0, "said: %s", said);
    ck_assert_msg(strstr(said, reason) != NULL, "'%s' is not in: %s", reason, said);
    ck_assert_ptr_eq(strchr(said, '\n'), said + strlen(said) - 1);
    const size_t length = strlen(said);
    ck_assert(!trace_open());
    trace_after_fork();
    ck_assert(!trace_open());
    ck_assert_uint_eq(strlen(trace_place_said()), length);
    ck_assert_str_eq(trace_path, "");
}

/* The header as another process reads it. */
static struct trace_header header_of(const char *path) {
    struct trace_header h;
    const int fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &h, sizeof h, 0), sizeof h);
    close(fd);
    return h;
}

START_TEST(the_default_name) {
    prepare("");
    char expected[1024];
    snprintf(expected, sizeof expected, "%s/httpleak.%s.%d.trace", trace_place, trace_program(),
             (int)getpid());
    ck_assert_int_eq(chdir("/"), 0); /* relative to where the program started */
    const int lowest = dup(2);
    close(lowest);
    ck_assert(trace_open());
    ck_assert(trace_open());
    ck_assert_str_eq(trace_path, expected);
    const int now = dup(2);
    ck_assert_int_eq(now, lowest); /* no descriptor is held */
    struct stat st;
    ck_assert_int_eq(stat(expected, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(st.st_size, 64 << 20);
    ck_assert_int_lt(st.st_blocks, 400); /* of 512 bytes: sparse */
    const struct trace_header h = header_of(expected);
    ck_assert_mem_eq(h.magic, TRACE_MAGIC, 8);
    ck_assert_uint_eq(h.version, TRACE_VERSION);
    ck_assert_uint_eq(h.byte_order, TRACE_BYTE_ORDER);
    ck_assert_uint_eq(h.file_size, 64u << 20);
    ck_assert_uint_eq(h.pid, (uint32_t)getpid());
    ck_assert_uint_eq(h.ppid, (uint32_t)getppid());
    ck_assert_uint_eq(h.forked_ns, 0);
    ck_assert(h.started_ns <= h.created_ns && h.created_ns <= h.last_moment_ns);
    ck_assert_uint_ne(h.process_start_ticks, 0);
    ck_assert_str_eq(h.argv, "prog");
    ck_assert_uint_eq(h.argv_size, 5);
    ck_assert_uint_eq(h.argv_truncated, 0);
    ck_assert_str_eq(text_base_name(h.exe), trace_program());
    ck_assert_uint_eq(h.end, TRACE_END_RUNNING);
    ck_assert_str_eq(trace_place_said(), "");
}
END_TEST

START_TEST(start_ticks_are_the_kernels) {
    trace_place_open("");
    char text[1024];
    FILE *f = fopen("/proc/self/stat", "r");
    ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
    fclose(f);
    unsigned long long ticks = 0;
    ck_assert_int_eq(
        sscanf(strrchr(text, ')') + 2,
               "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ticks),
        1);
    ck_assert_uint_eq(trace->header->process_start_ticks, ticks);
}
END_TEST

START_TEST(arguments_only_if_asked) {
    prepare("record_argv=1");
    ck_assert(trace_open());
    ck_assert_uint_eq(trace->header->argv_size, sizeof "prog" + sizeof "secret");
    ck_assert_mem_eq(trace->header->argv, "prog\0secret", sizeof "prog" + sizeof "secret");
    ck_assert_uint_eq(trace->header->argv_truncated, 0);
}
END_TEST

START_TEST(long_arguments_are_cut) {
    static char text[4000];
    char *argv[] = {(char *)"prog", text, (char *)"more", NULL};
    memset(text, 'x', sizeof text - 1);
    options_parse("record_argv=1", "prog");
    trace_prepare(3, argv);
    ck_assert(trace_open());
    ck_assert_uint_eq(trace->header->argv_size, sizeof trace->header->argv);
    ck_assert_uint_eq(trace->header->argv_truncated, 1);
    ck_assert_int_eq(trace->header->argv[sizeof trace->header->argv - 1], 0);
}
END_TEST

START_TEST(every_part_of_a_template) {
    struct utsname machine;
    char text[1024], expected[1024];
    uname(&machine);
    snprintf(text, sizeof text, "trace=%s/a%%%%-%%h-%%p-%%e-%%t.x", trace_place);
    prepare(text);
    ck_assert(trace_open());
    snprintf(expected, sizeof expected, "%s/a%%-%s-%d-%s-%llu.x", trace_place, machine.nodename,
             (int)getpid(), trace_program(),
             (unsigned long long)(trace->header->started_realtime_ns / 1000000000u));
    ck_assert_str_eq(trace_path, expected);
    ck_assert_int_eq(access(expected, F_OK), 0);
}
END_TEST

START_TEST(nothing_is_overwritten) {
    const int fd = open("t", O_WRONLY | O_CREAT, 0644);
    ck_assert_int_eq(write(fd, "mine", 4), 4);
    close(fd);
    ck_assert_int_eq(mkdir("t.1", 0700), 0);
    ck_assert_int_eq(symlink("victim", "t.2"), 0);
    ck_assert_int_eq(symlink("t", "t.3"), 0);
    prepare("trace=t");
    ck_assert(trace_open());
    ck_assert_str_eq(trace_path, place("t.4"));
    ck_assert_int_ne(access("victim", F_OK), 0);
    char text[8] = "";
    const int again = open("t", O_RDONLY);
    ck_assert_int_eq(read(again, text, sizeof text), 4);
    close(again);
    ck_assert_str_eq(text, "mine");
    ck_assert_mem_eq(header_of("t.4").magic, TRACE_MAGIC, 8);
}
END_TEST

START_TEST(a_directory_that_is_not_there) {
    prepare("trace=nowhere/t");
    ck_refused("nowhere/t: no such directory");
}
END_TEST

START_TEST(a_file_in_the_way) {
    close(open("file", O_WRONLY | O_CREAT, 0600));
    prepare("trace=file/t");
    ck_refused("file/t: not a directory");
}
END_TEST

START_TEST(no_descriptor_left) {
    prepare("trace=t");
    struct rlimit was;
    getrlimit(RLIMIT_NOFILE, &was);
    const struct rlimit lower = {3, was.rlim_max};
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lower), 0);
    const bool opened = trace_open();
    setrlimit(RLIMIT_NOFILE, &was);
    ck_assert(!opened);
    ck_refused("t: too many open files");
    ck_assert_int_ne(access("t", F_OK), 0);
}
END_TEST

/* As user nobody where the tests run as root: root may write anywhere. */
START_TEST(a_directory_without_permission) {
    ck_assert_int_eq(mkdir("closed", 0500), 0);
    prepare("trace=closed/t");
    if (geteuid() == 0) {
        ck_assert_int_eq(chmod(".", 0755), 0);
        if (seteuid(65534) != 0) return;
        if (access(".", X_OK) != 0) { /* the way here is closed to others */
            ck_assert_int_eq(seteuid(0), 0);
            return;
        }
    }
    const bool opened = trace_open();
    if (getuid() == 0) ck_assert_int_eq(seteuid(0), 0);
    ck_assert(!opened);
    ck_refused("closed/t: permission denied");
}
END_TEST

START_TEST(a_limit_of_file_size_is_kept) {
    prepare("trace=t");
    const struct rlimit limit = {1u << 20, 1u << 20};
    signal(SIGXFSZ, SIG_DFL); /* would end the test */
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert(trace_open());
    struct stat st;
    ck_assert_int_eq(stat("t", &st), 0);
    ck_assert_int_eq(st.st_size, 1 << 20);
    ck_assert_uint_eq(trace->header->file_size, 1u << 20);
    /* It grows to its end all the same. */
    for (int i = 0; i < TRACE_REGION_COUNT; i++)
        ck_assert(trace_populate(i, trace->header->regions[i].size));
    ck_assert_uint_eq(intern_string("x", 1) != 0, 1);
}
END_TEST

START_TEST(a_tiny_limit_of_file_size) {
    prepare("trace=t");
    const struct rlimit limit = {60000, 60000};
    signal(SIGXFSZ, SIG_DFL);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_refused("less than 64 KiB");
    ck_assert_int_ne(access("t", F_OK), 0);
}
END_TEST

/*
 * A kernel before 5.14 knows no MADV_POPULATE_WRITE: blocks are written, and then there are no
 * more.
 */
START_TEST(an_old_kernel) {
    trace_file_advice = 999;
    prepare("trace=t");
    ck_assert(trace_open());
    struct stat st;
    ck_assert_int_eq(stat("t", &st), 0);
    ck_assert_int_eq(st.st_size, 8 << 20);
    ck_assert_int_ge(st.st_blocks * 512, 8 << 20);
    for (int i = 0; i < TRACE_REGION_COUNT; i++)
        ck_assert_uint_eq(trace->header->regions[i].populated, trace->header->regions[i].size);
    ck_assert_uint_ne(intern_string("x", 1), 0);
    ck_assert_uint_eq(slot_take(TRACE_REGION_CONNECTION), 0);
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_CONNECTIONS], 0);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) &&                                                              \
    !defined(__SANITIZE_THREAD__) /* their shadow alone is larger */
START_TEST(a_limited_address_space_is_left_to_the_program) {
    prepare("trace=t");
    const struct rlimit limit = {512u << 20, RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    ck_assert(trace_open());
    ck_assert_uint_eq(trace->header->file_size, 32u << 20);
}
END_TEST
#endif

START_TEST(no_more_traces_than_allowed) {
    close(open("httpleak.a.1.trace", O_WRONLY | O_CREAT, 0600));
    close(open("httpleak.b.trace.12", O_WRONLY | O_CREAT, 0600));
    close(open("httpleak.c.trace.x", O_WRONLY | O_CREAT, 0600));
    close(open("other.c.trace", O_WRONLY | O_CREAT, 0600));
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        prepare("max_traces=3");
        _exit(trace_open() ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    prepare("max_traces=3");
    ck_refused("holds 3 traces already (max_traces)");
}
END_TEST

START_TEST(file_systems_that_keep_their_blocks) {
    static const uint32_t good[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, TMPFS_MAGIC,
                                    F2FS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC};
    static const uint32_t bad[] = {BTRFS_SUPER_MAGIC, NFS_SUPER_MAGIC,  CIFS_SUPER_MAGIC,
                                   SMB2_SUPER_MAGIC,  FUSE_SUPER_MAGIC, V9FS_MAGIC,
                                   0x2fc12fc1};
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(trace_file_system_will_do(good[i]), "%x", good[i]);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(!trace_file_system_will_do(bad[i]), "%x", bad[i]);
        /*
         * The kernel's field is signed and as wide as a long: both forms of a large magic number
         * were seen.
         */
        ck_assert(!trace_file_system_will_do((uint64_t)(int64_t)(int32_t)bad[i]));
    }
}
END_TEST

START_TEST(an_early_trace_without_a_connection_goes_again) {
    trace_place_open("trace=t");
    ck_assert_int_eq(access("t", F_OK), 0);
    trace_discard_if_unused();
    ck_assert_int_ne(access("t", F_OK), 0);
    ck_assert_uint_ne(intern_string("still mapped", 12), 0);
}
END_TEST

START_TEST(what_is_used_or_not_ours_stays) {
    trace_place_open("trace=t");
    slot_give(TRACE_REGION_CONNECTION, slot_take(TRACE_REGION_CONNECTION));
    trace_discard_if_unused();
    ck_assert_int_eq(access("t", F_OK), 0);
}
END_TEST

START_TEST(somebody_elses_file_is_not_removed) {
    trace_place_open("trace=t");
    ck_assert_int_eq(rename("t", "moved"), 0);
    close(open("t", O_WRONLY | O_CREAT, 0600));
    trace_discard_if_unused();
    ck_assert_int_eq(access("t", F_OK), 0);
    ck_assert_int_eq(access("moved", F_OK), 0);
}
END_TEST

static struct trace_map *seen[8];

static void open_and_look(unsigned n) {
    if (trace_open()) seen[n] = trace;
}

START_TEST(a_fork_child_has_its_own) {
    trace_place_open("");
    ck_assert_uint_eq(slot_take(TRACE_REGION_CONNECTION), 0);
    trace->connections[0].id = 77;
    const uint32_t name = intern_string("parents", 7);
    const uint64_t events = trace->header->regions[TRACE_REGION_JOURNAL].used;
    const struct trace_map *ours = trace;
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        trace_after_fork();
        bool ok = trace == NULL && trace_of_parent == ours &&
                  trace_of_parent->connections[0].id == 77 && trace_path[0] == 0;
        ok = ok && trace_open() && trace != ours && trace->connections[0].id == 0;
        ok = ok && trace->header->pid == (uint32_t)getpid() &&
             trace->header->ppid == (uint32_t)getppid() &&
             trace->header->forked_ns > trace->header->started_ns;
        ok = ok && slot_take(TRACE_REGION_CONNECTION) == 0 && intern_string("parents", 7) != 0;
        uint64_t base;
        ok = ok && module_of((uintptr_t)&open_and_look, &base) != 0;
        /* A grandchild knows its parent's, not its grandparent's. */
        const struct trace_map *childs = trace;
        const pid_t grandchild = ok ? fork() : -1;
        if (grandchild == 0) {
            trace_after_fork();
            _exit(trace_of_parent == childs && trace_open() && trace == ours ? 0 : 1);
        }
        int status = 1;
        waitpid(grandchild, &status, 0);
        _exit(ok && status == 0 ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(trace->header->regions[TRACE_REGION_JOURNAL].used, events);
    ck_assert_uint_eq(trace->header->pid, (uint32_t)getpid());
    ck_assert_uint_eq(intern_string("parents", 7), name);
    ck_assert_str_eq(trace_place_said(), "");
}
END_TEST

START_TEST(one_thread_creates_it) {
    prepare("trace=t");
    trace_place_threads(8, open_and_look);
    for (int i = 0; i < 8; i++)
        ck_assert_ptr_eq(seen[i], trace);
    ck_assert_ptr_nonnull(trace);
    ck_assert_int_ne(access("t.1", F_OK), 0);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they need more themselves */
static void *on_a_small_stack(void *opened) {
    *(bool *)opened = trace_open() && stack_here() != UINT32_MAX;
    return NULL;
}

START_TEST(a_small_stack_is_enough) {
    pthread_attr_t small;
    pthread_t thread;
    bool opened = false;
    prepare("trace=t:verbose=1");
    pthread_attr_init(&small);
    ck_assert_int_eq(pthread_attr_setstacksize(&small, 16384), 0);
    ck_assert_int_eq(pthread_create(&thread, &small, on_a_small_stack, &opened), 0);
    pthread_join(thread, NULL);
    ck_assert(opened);
    char expected[1100];
    snprintf(expected, sizeof expected, "httpleak: trace %s\n", place("t"));
    ck_assert_str_eq(trace_place_said(), expected);
}
END_TEST
#endif

START_TEST(the_summary_comes_once_and_only_with_http) {
    trace_place_open("trace=t");
    summary_print();
    ck_assert_str_eq(trace_place_said(), "");
    const uint32_t site = intern_site(1, 0), slot = slot_take(TRACE_REGION_CONNECTION);
    site_at(site)->connections_closed = 3;
    site_at(site)->exchanges = 5;
    site_at(site)->bodies_drained = 2;
    site_at(site)->bodies_discarded = 1;
    trace->connections[slot].state = TRACE_CONNECTION_ESTABLISHED;
    trace->connections[slot].flags = TRACE_CONNECTION_COUNTED;
    trace->bodies[slot_take(TRACE_REGION_BODY)].state = TRACE_BODY_OPEN;
    summary_print();
    summary_print();
    char expected[2000];
    snprintf(expected, sizeof expected,
             "httpleak: %s[%d]: 4 connections (1 still open), 5 requests; 4 response bodies: 2 "
             "drained, 1 discarded, "
             "0 failed, 1 unclosed\nhttpleak: trace in %s\n",
             trace_program(), (int)getpid(), place("t"));
    ck_assert_str_eq(trace_place_said(), expected);
}
END_TEST

START_TEST(standard_error_that_became_something_else) {
    trace_place_open("trace=t");
    const int data = open("data", O_RDWR | O_CREAT, 0600);
    ck_assert_int_eq(dup2(data, 2), 2);
    site_at(intern_site(1, 0))->exchanges = 1;
    summary_print();
    struct stat st;
    ck_assert_int_eq(fstat(data, &st), 0);
    ck_assert_int_eq(st.st_size, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("trace file");
    TCase *tests = tcase_create("trace file");
    tcase_add_checked_fixture(tests, trace_place_enter, trace_place_leave);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, the_default_name);
    tcase_add_test(tests, start_ticks_are_the_kernels);
    tcase_add_test(tests, arguments_only_if_asked);
    tcase_add_test(tests, long_arguments_are_cut);
    tcase_add_test(tests, every_part_of_a_template);
    tcase_add_test(tests, nothing_is_overwritten);
    tcase_add_test(tests, a_directory_that_is_not_there);
    tcase_add_test(tests, a_file_in_the_way);
    tcase_add_test(tests, no_descriptor_left);
    tcase_add_test(tests, a_directory_without_permission);
    tcase_add_test(tests, a_limit_of_file_size_is_kept);
    tcase_add_test(tests, a_tiny_limit_of_file_size);
    tcase_add_test(tests, an_old_kernel);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(tests, a_limited_address_space_is_left_to_the_program);
#endif
    tcase_add_test(tests, no_more_traces_than_allowed);
    tcase_add_test(tests, file_systems_that_keep_their_blocks);
    tcase_add_test(tests, an_early_trace_without_a_connection_goes_again);
    tcase_add_test(tests, what_is_used_or_not_ours_stays);
    tcase_add_test(tests, somebody_elses_file_is_not_removed);
    tcase_add_test(tests, a_fork_child_has_its_own);
    tcase_add_test(tests, one_thread_creates_it);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(tests, a_small_stack_is_enough);
#endif
    tcase_add_test(tests, the_summary_comes_once_and_only_with_http);
    tcase_add_test(tests, standard_error_that_became_something_else);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
