/*
 * Starting commands: their ends, signals and environments; what would reach them; where their
 * traces are.
 */
#include <check.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/command.h"
#include "launch/library.h"
#include "launch/target.h"
#include "launch/traces.h"
#include "tests/unit/suite.h"

static char home[] = "/tmp/httpleak-launch-XXXXXX";

static void make_home(void) {
    ck_assert_ptr_nonnull(mkdtemp(home));
}
static void remove_home(void) {
    unsetenv("LD_PRELOAD");
    char *argv[] = {"rm", "-rf", home, NULL};
    ck_assert_int_eq(command_run(argv, NULL).status, 0);
    memcpy(home + strlen(home) - 6, "XXXXXX", 6);
}

/* A file below the home; content may be binary. */
static const char *make_file(const char *name, const void *content, size_t size, mode_t mode) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", home, name);
    FILE *out = fopen(path, "w");
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(content, 1, size, out), size);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
    return path;
}

static struct command_end shell(const char *script) {
    char *argv[] = {"sh", "-c", (char *)script, NULL};
    return command_run(argv, NULL);
}

START_TEST(ends_of_commands) {
    struct command_end end = shell("exit 7");
    ck_assert_int_eq(end.error, 0);
    ck_assert_int_eq(end.status, 7);
    ck_assert_int_eq(command_exit_status(&end), 7);
    ck_assert_uint_lt(end.started_ns, end.ended_ns);
    end = shell("kill -KILL $$");
    ck_assert_int_eq(end.signal, SIGKILL);
    ck_assert_int_eq(command_exit_status(&end), 137);
    char *missing[] = {"/no/such/command", NULL}, *directory[] = {"/", NULL},
         *plain[] = {"/etc/passwd", NULL};
    ck_assert_int_eq(command_run(missing, NULL).error, ENOENT);
    ck_assert_int_eq(command_run(directory, NULL).error, EACCES);
    ck_assert_int_eq(command_run(plain, NULL).error, EACCES);
}
END_TEST

/* timeout, nohup and shells give dispositions and masks that must arrive unchanged. */
START_TEST(a_command_inherits_signals_as_they_were) {
    signal(SIGINT, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    char *argv[] = {"grep", "-qE", "^SigIgn:.*[13579bdf][0-9a-f]{3}[2367abef]$",
                    "/proc/self/status", NULL};
    ck_assert_int_eq(command_run(argv, NULL).status, 0);
    char *mask[] = {"grep", "-qE", "^SigBlk:[[:space:]]*0+$", "/proc/self/status", NULL};
    ck_assert_int_eq(command_run(mask, NULL).status, 0);
}
END_TEST

#ifndef __SANITIZE_THREAD__
static void with_sender(int number, void (*test)(void)) {
    pid_t parent = getpid(), sender = fork();
    if (sender == 0) {
        usleep(300000);
        kill(parent, number);
        _exit(0);
    }
    test();
    waitpid(sender, NULL, 0);
}

static void term_is_answered(void) {
    struct command_end end = shell(
        "trap 'exit 9' TERM; i=0; while [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; exit 3");
    ck_assert_int_eq(end.status, 9);
}
static void interrupt_ends_it(void) {
    struct command_end end = shell("exec sleep 10");
    ck_assert_int_eq(end.signal, SIGINT);
}

START_TEST(signals_sent_to_us_alone_are_handed_on) {
    with_sender(SIGTERM, term_is_answered);
    with_sender(SIGINT, interrupt_ends_it);
}
END_TEST
#endif

START_TEST(life_is_told_from_a_reused_pid) {
    char text[1024] = "";
    FILE *in = fopen("/proc/self/stat", "r");
    ck_assert_ptr_nonnull(fgets(text, sizeof text, in));
    fclose(in);
    unsigned long long ticks = 0;
    ck_assert_int_eq(
        sscanf(strrchr(text, ')') + 2,
               "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ticks),
        1);
    ck_assert(command_alive(getpid(), ticks));
    ck_assert(command_alive(getpid(), 0));
    ck_assert(!command_alive(getpid(), ticks + 1));
    pid_t child = fork();
    if (child == 0) _exit(0);
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    ck_assert(!command_alive(child, 0)); /* a zombie */
    waitpid(child, NULL, 0);
    ck_assert(!command_alive(child, 0));
}
END_TEST

static void export_to(const char *library, const char *directory) {
    char error[512] = "";
    ck_assert_msg(library_export(library, directory, error, sizeof error), "%s", error);
}

START_TEST(environment_of_a_command) {
    unsetenv("LD_PRELOAD");
    unsetenv("HTTPLEAK_OPTIONS");
    export_to("/lib/libhttpleak.so", home);
    ck_assert_str_eq(getenv("LD_PRELOAD"), "/lib/libhttpleak.so");
    char expected[256];
    snprintf(expected, sizeof expected, "trace=%s/httpleak.%%e.%%p.trace:summary=0", home);
    ck_assert_str_eq(getenv("HTTPLEAK_OPTIONS"), expected);

    setenv("LD_PRELOAD", "/lib/a.so /lib/b.so", 1);
    setenv("HTTPLEAK_OPTIONS", "stack_depth=8:summary=1", 1);
    export_to("/lib/libhttpleak.so", "/tmp/100%");
    ck_assert_str_eq(getenv("LD_PRELOAD"), "/lib/libhttpleak.so:/lib/a.so /lib/b.so");
    ck_assert_str_eq(getenv("HTTPLEAK_OPTIONS"),
                     "stack_depth=8:summary=1:trace=/tmp/100%%/httpleak.%e.%p.trace");

    setenv("HTTPLEAK_OPTIONS", "trace=/var/x:trace=/var/mine.%p:verbose=1", 1);
    char *named = library_option("trace");
    ck_assert_str_eq(named, "/var/mine.%p");
    free(named);
    export_to("/lib/libhttpleak.so", home);
    ck_assert_str_eq(getenv("HTTPLEAK_OPTIONS"),
                     "trace=/var/x:trace=/var/mine.%p:verbose=1:summary=0");
}
END_TEST

START_TEST(paths_that_the_loader_would_split) {
    char error[512] = "", path[256], expected[300];
    snprintf(path, sizeof path, "%s", make_file("a b:c.so", "", 0, 0600));
    unsetenv("LD_PRELOAD");
    unsetenv("HTTPLEAK_OPTIONS");
    export_to(path, home);
    snprintf(expected, sizeof expected, "%s/libhttpleak.so", home);
    ck_assert_str_eq(getenv("LD_PRELOAD"), expected);
    ck_assert_int_eq(access(expected, R_OK), 0);
    ck_assert(!library_export(path, "/tmp/a b", error, sizeof error));
    ck_assert_ptr_nonnull(strstr(error, "space or colon"));
    unsetenv("HTTPLEAK_OPTIONS");
    export_to("/lib/libhttpleak.so", "/tmp/a:'b");
    ck_assert_str_eq(getenv("HTTPLEAK_OPTIONS"),
                     "trace=\"/tmp/a:'b/httpleak.%e.%p.trace\":summary=0");
    char *quoted = library_option("trace");
    ck_assert_str_eq(quoted, "/tmp/a:'b/httpleak.%e.%p.trace");
    free(quoted);
    unsetenv("HTTPLEAK_OPTIONS");
    ck_assert(!library_export("/lib/libhttpleak.so", "/tmp/a:'\"b", error, sizeof error));
    ck_assert_ptr_nonnull(strstr(error, "quotes"));
}
END_TEST

/* An ELF file of nothing but its header: no program interpreter, so it is static. */
static void elf_header(Elf64_Ehdr *header, int class, int machine) {
    memset(header, 0, sizeof *header);
    memcpy(header->e_ident, ELFMAG, SELFMAG);
    header->e_ident[EI_CLASS] = (unsigned char)class;
    header->e_ident[EI_DATA] = ELFDATA2LSB;
    header->e_ident[EI_VERSION] = EV_CURRENT;
    header->e_type = ET_EXEC;
    header->e_machine = (Elf64_Half)machine;
    header->e_version = EV_CURRENT;
    header->e_ehsize = sizeof *header;
    header->e_phentsize = sizeof(Elf64_Phdr);
    header->e_shentsize = sizeof(Elf64_Shdr);
}

static enum target_reach reach_of(const char *command) {
    struct target target;
    target_inspect(&target, command);
    ck_assert_int_eq(target.error, 0);
    enum target_reach reach = target.reach;
    target_free(&target);
    return reach;
}

START_TEST(what_a_preload_reaches) {
    Elf64_Ehdr header;
    ck_assert_int_eq(reach_of("sh"), TARGET_REACHED);
    ck_assert_ptr_null(target_blind(&(struct target){.reach = TARGET_REACHED}));
    /* a dynamic Go program says itself, in its trace, why it is not followed */
    ck_assert_ptr_null(target_blind(&(struct target){.runtime = TARGET_GO}));
#ifdef __x86_64__
    elf_header(&header, ELFCLASS64, EM_X86_64);
    ck_assert_int_eq(reach_of(make_file("static", &header, sizeof header, 0700)), TARGET_STATIC);
    elf_header(&header, ELFCLASS64, EM_AARCH64);
    ck_assert_int_eq(reach_of(make_file("foreign", &header, sizeof header, 0700)),
                     TARGET_OTHER_MACHINE);
#endif
    ck_assert_ptr_nonnull(strstr(target_blind(&(struct target){.reach = TARGET_STATIC}), "static"));
    elf_header(&header, ELFCLASS64, EM_X86_64);
    ck_assert_int_eq(reach_of(make_file("cut", &header, 20, 0700)), TARGET_NO_ELF);
    ck_assert_int_eq(reach_of(make_file("text", "echo hello\n", 11, 0700)), TARGET_NO_ELF);
    ck_assert_int_eq(reach_of(make_file("nothing", "", 0, 0700)), TARGET_NO_ELF);
}
END_TEST

START_TEST(setuid_programs_are_not_reached) {
    if (getuid() != 0) return; /* only root can give a file away */
    char command[512];
    snprintf(command, sizeof command, "cp /bin/sh %s/su && chown 65534 %s/su && chmod 4755 %s/su",
             home, home, home);
    ck_assert_int_eq(shell(command).status, 0);
    snprintf(command, sizeof command, "%s/su", home);
    ck_assert_int_eq(reach_of(command), TARGET_PRIVILEGED);
    ck_assert_int_eq(chmod(command, 0755), 0);
    ck_assert_int_eq(reach_of(command), TARGET_REACHED);
}
END_TEST

START_TEST(scripts_lead_to_their_interpreter) {
    struct target target;
    const char script[] = "#!/usr/bin/env -S FOO=1 sh -e\n";
    const char *path = make_file("script", script, sizeof script - 1, 0700);
    target_inspect(&target, path);
    ck_assert_int_eq(target.error, 0);
    ck_assert_str_eq(target.script, path);
    ck_assert_ptr_nonnull(strstr(target.path, "/sh"));
    ck_assert_int_eq(target.reach, TARGET_REACHED);
    ck_assert_int_eq(target.runtime, TARGET_SHELL);
    ck_assert_ptr_nonnull(target_needs(&target, "libc.so.6"));
    ck_assert_ptr_null(target_needs(&target, "libnothing.so*"));
    ck_assert_uint_eq(target.missing_count, 0);
    target_free(&target);
}
END_TEST

START_TEST(commands_that_are_not_there) {
    struct target target;
    target_inspect(&target, "no-such-command-anywhere");
    ck_assert_int_eq(target.error, ENOENT);
    target_free(&target);
    target_inspect(&target, "");
    ck_assert_int_eq(target.error, ENOENT);
    target_free(&target);
    target_inspect(&target, "/tmp");
    ck_assert_int_eq(target.error, EACCES);
    target_free(&target);
    target_inspect(&target, make_file("plain", "x", 1, 0600));
    ck_assert_int_eq(target.error, EACCES);
    target_free(&target);
}
END_TEST

/* Another time of change for a file: how lists are ordered. */
static void make_trace(const char *name, time_t changed) {
    const char *path = make_file(name, "x", 1, 0600);
    const struct timespec times[2] = {{changed, 0}, {changed, 0}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static const char *name_of(const struct traces_list *list, size_t i) {
    ck_assert_uint_lt(i, list->count);
    return strrchr(list->paths[i], '/') + 1;
}

START_TEST(traces_of_a_directory_by_age) {
    struct traces_list list;
    make_trace("httpleak.b.1.trace", 100);
    make_trace("httpleak.a.2.trace", 300);
    make_trace("httpleak.a.2.trace.2", 200);
    make_trace("httpleak.a.2.trace.gz", 400);
    make_trace("other.trace", 500);
    char path[256];
    snprintf(path, sizeof path, "%s/httpleak.link.3.trace", home);
    ck_assert_int_eq(symlink("other.trace", path), 0);
    ck_assert(traces_in_directory(home, &list));
    ck_assert_uint_eq(list.count, 3);
    ck_assert_str_eq(name_of(&list, 0), "httpleak.b.1.trace");
    ck_assert_str_eq(name_of(&list, 1), "httpleak.a.2.trace.2");
    ck_assert_str_eq(name_of(&list, 2), "httpleak.a.2.trace");
    traces_free(&list);
    ck_assert(!traces_in_directory("/no/such/place", &list));
    ck_assert_uint_eq(list.count, 0);
}
END_TEST

START_TEST(a_run_sees_new_traces_only) {
    struct traces_place place;
    struct traces_list list;
    char error[512];
    make_trace("httpleak.old.1.trace", 100);
    ck_assert_msg(traces_place_open(&place, home, error, sizeof error), "%s", error);
    make_trace("httpleak.new.2.trace", 50);
    ck_assert(traces_place_new(&place, &list));
    ck_assert_uint_eq(list.count, 1);
    ck_assert_str_eq(name_of(&list, 0), "httpleak.new.2.trace");
    traces_free(&list);
    traces_place_close(&place);
    ck_assert_int_eq(access(home, F_OK), 0); /* named by the user: stays */
}
END_TEST

START_TEST(a_private_place_is_private_and_goes_away) {
    struct traces_place place;
    struct stat st;
    char error[512], path[256];
    setenv("TMPDIR", home, 1);
    ck_assert(traces_place_open(&place, NULL, error, sizeof error));
    ck_assert_int_eq(strncmp(place.directory, home, strlen(home)), 0);
    ck_assert_int_eq(stat(place.directory, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0700);
    snprintf(path, sizeof path, "%s", place.directory);
    char trace[300];
    snprintf(trace, sizeof trace, "%s/httpleak.x.1.trace", path + strlen(home) + 1);
    make_file(trace, "x", 1, 0600);
    traces_place_close(&place);
    ck_assert_int_ne(access(path, F_OK), 0);
    setenv("TMPDIR", "/no/such/place", 1);
    ck_assert(!traces_place_open(&place, NULL, error, sizeof error));
    ck_assert_ptr_nonnull(strstr(error, "/no/such/place"));
    traces_place_close(&place);
}
END_TEST

START_TEST(a_template_of_the_user) {
    struct traces_list list;
    char template[256];
    make_trace("x[1]*-curl-42%.t", 100);
    make_trace("x[1]*-curl-42%.t.2", 200);
    make_trace("x1-curl-42%.t", 300);
    snprintf(template, sizeof template, "%s/x[1]*-%%e-%%p%%%%.t", home);
    traces_of_template(template, &list);
    ck_assert_uint_eq(list.count, 2);
    ck_assert_str_eq(name_of(&list, 0), "x[1]*-curl-42%.t");
    traces_free(&list);
}
END_TEST

START_TEST(places_that_cannot_be) {
    struct traces_place place;
    char error[512], path[256];
    snprintf(path, sizeof path, "%s", make_file("file", "", 0, 0600));
    ck_assert(!traces_place_open(&place, path, error, sizeof error));
    ck_assert_ptr_nonnull(strstr(error, path));
    traces_place_close(&place);
    ck_assert(!traces_place_open(&place, "/no/such/place", error, sizeof error));
    ck_assert_ptr_nonnull(strstr(error, "/no/such/place"));
    traces_place_close(&place);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("launch");
    TCase *tests = tcase_create("launch");
    tcase_add_checked_fixture(tests, make_home, remove_home);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, ends_of_commands);
    tcase_add_test(tests, a_command_inherits_signals_as_they_were);
#ifndef __SANITIZE_THREAD__ /* its runtime keeps signals back while waitpid blocks */
    tcase_add_test(tests, signals_sent_to_us_alone_are_handed_on);
#endif
    tcase_add_test(tests, life_is_told_from_a_reused_pid);
    tcase_add_test(tests, environment_of_a_command);
    tcase_add_test(tests, paths_that_the_loader_would_split);
    tcase_add_test(tests, what_a_preload_reaches);
    tcase_add_test(tests, setuid_programs_are_not_reached);
    tcase_add_test(tests, scripts_lead_to_their_interpreter);
    tcase_add_test(tests, commands_that_are_not_there);
    tcase_add_test(tests, traces_of_a_directory_by_age);
    tcase_add_test(tests, a_run_sees_new_traces_only);
    tcase_add_test(tests, a_private_place_is_private_and_goes_away);
    tcase_add_test(tests, a_template_of_the_user);
    tcase_add_test(tests, places_that_cannot_be);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
