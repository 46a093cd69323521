/*
 * What a preload must not change: `behave MODE URL [ARG]` does something that programs do to their descriptors, rights, limits
 * and threads around a plain HTTP fetch, and prints what came of it, so that two runs can be compared.
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "raw.h"

enum { BODY = 65536 };

static struct raw_url url;

static void say(const char *what, long value) {
    printf("%s %ld\n", what, value);
    fflush(stdout);
}

static void fetch_on(int fd) {
    raw_send(fd, &url);
    if (!raw_drain(fd, BODY - raw_head(fd))) raw_die("the body ended early");
}

static void fetch(void) {
    int fd = raw_connect(&url);
    say("socket is", fd);
    fetch_on(fd);
    say("close", close(fd));
}

static void say_lowest_descriptor(void) {
    int fd = open("/dev/null", O_RDONLY);
    say("lowest free descriptor", fd);
    close(fd);
}

static void behave_descriptors(const char *argument) {
    (void)argument;
    say_lowest_descriptor();
    int first = raw_connect(&url), second = raw_connect(&url);
    say("first", first), say("second", second);
    fetch_on(first), fetch_on(second);
    int copy = dup(first);
    say("dup", copy);
    say("fcntl dup", fcntl(second, F_DUPFD, 40));
    say("close", close(first));
    fetch_on(copy);
    say_lowest_descriptor();
    say("dup2", dup2(second, copy));
    fetch_on(copy);
    say("close again", close(first));
    say("errno", errno);
}

static void behave_closefrom(const char *argument) {
    (void)argument;
    fetch_on(raw_connect(&url));
    closefrom(3);
    say_lowest_descriptor();
    fetch();
    raw_connect(&url);
    say("close_range", close_range(3, ~0u, 0));
    fetch();
    raw_connect(&url);
    say("syscall close", syscall(SYS_close, 3));
    say_lowest_descriptor();
}

/* Connections as standard input, output and error: what is said to nobody must not be said to a server. */
static void behave_standard_descriptors(const char *result) {
    close(0), close(1), close(2);
    for (int fd = 0; fd < 3; fd++)
        fetch_on(raw_connect(&url));
    int found = open("/dev/null", O_RDONLY), out = open(result, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dprintf(out, "lowest free descriptor %d\n", found);
    for (int fd = 0; fd < 3; fd++)
        dprintf(out, "taken from server %d: %zd\n", fd,
                recv(fd, (char[100]){0}, 100, MSG_DONTWAIT));
    exit(3);
}

static void behave_high_descriptors(const char *argument) {
    (void)argument;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) raw_die("setrlimit");
    for (int number = 1000; number < 20000 && (rlim_t)number < limit.rlim_max; number += 3333) {
        int fd = raw_connect(&url);
        if (dup2(fd, number) != number) raw_die("dup2");
        close(fd);
        fetch_on(number);
        if (number % 2 == 0) close(number);
    }
}

static void behave_dup2_over_all(const char *argument) {
    (void)argument;
    fetch_on(raw_connect(&url));
    int null = open("/dev/null", O_RDWR);
    for (int fd = 3; fd < 256; fd++)
        if (fd != null && dup2(null, fd) != fd) raw_die("dup2");
    fetch();
    for (int fd = 3; fd < 256; fd++)
        close(fd);
    fetch();
    say_lowest_descriptor();
}

static void behave_no_descriptors(const char *argument) {
    (void)argument;
    struct rlimit limit = {24, 24};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) raw_die("setrlimit");
    int last = -1, fd;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0)
        last = fd;
    say("descriptors exhausted, errno", errno);
    close(last);
    fetch();
    int s = raw_connect(&url);
    say("socket is", s);
    say("one more", open("/dev/null", O_RDONLY));
    fetch_on(s);
}

static void behave_chroot(const char *directory) {
    if (chroot(directory) != 0 || chdir("/") != 0) raw_die("chroot");
    fetch();
}

static void behave_setuid(const char *argument) {
    (void)argument;
    if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0) raw_die("setuid");
    fetch();
    say("uid", (long)getuid());
    say("dumpable", prctl(PR_GET_DUMPABLE));
}

/* The calls that apt's methods are killed for. */
static void behave_seccomp(const char *argument) {
    (void)argument;
    static const int killed[] = {
        SYS_mincore,     SYS_memfd_create, SYS_fallocate,      SYS_process_vm_readv,  SYS_readlink,
        SYS_getcpu,      SYS_membarrier,   SYS_sigaltstack,    SYS_sched_getaffinity, SYS_clone3,
        SYS_close_range, SYS_ptrace,       SYS_perf_event_open};
    enum { N = sizeof killed / sizeof killed[0] };
    struct sock_filter code[2 * N + 2];
    size_t n = 0;
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < N; i++) {
        code[n++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)killed[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = (unsigned short)n, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        raw_die("seccomp");
    fetch();
}

static void behave_errors(const char *argument) {
    (void)argument;
    struct sockaddr_in nowhere = url.address;
    nowhere.sin_port = htons(1);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    say("connect", connect(fd, (struct sockaddr *)&nowhere, sizeof nowhere)), say("errno", errno);
    say("recv", recv(fd, &nowhere, 1, 0)), say("errno", errno);
    say("send", send(fd, &nowhere, 1, MSG_NOSIGNAL)), say("errno", errno);
    close(fd);
    say("recv", recv(fd, &nowhere, 1, 0)), say("errno", errno);
    fd = raw_connect(&url);
    char byte;
    say("recv nonblocking", recv(fd, &byte, 1, MSG_DONTWAIT)), say("errno", errno);
    say("connect again", connect(fd, (struct sockaddr *)&url.address, sizeof url.address)),
        say("errno", errno);
    errno = 77;
    fetch_on(fd);
    say("errno kept", errno);
    say("shutdown", shutdown(fd, SHUT_RDWR)), say("send", send(fd, &byte, 1, MSG_NOSIGNAL)),
        say("errno", errno);
    say("read", read(fd, &byte, 1)), say("readv of nothing", readv(fd, NULL, 0));
}

/* Nothing of the process changes but what it asked for. */
static void behave_itself(const char *argument) {
    (void)argument;
    sigset_t mask;
    struct sigaction action;
    fetch();
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int number = 1; number < 65; number++) {
        if (sigismember(&mask, number) == 1) say("blocked", number);
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            say("handled", number);
    }
    for (const char *name = "task"; name; name = *name == 't' ? "fd" : NULL) {
        char path[32];
        snprintf(path, sizeof path, "/proc/self/%s", name);
        DIR *directory = opendir(path);
        long n = 0;
        while (readdir(directory))
            n++;
        closedir(directory);
        say(name, n);
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit), say("nofile", (long)limit.rlim_cur);
    getrlimit(RLIMIT_FSIZE, &limit), say("fsize", (long)limit.rlim_cur);
    say("umask", umask(0));
}

static void *wait_for_ever(void *argument) {
    int fd = raw_connect(&url);
    raw_send(fd, &url);
    raw_head(fd);
    __atomic_store_n((int *)argument, fd, __ATOMIC_RELEASE);
    char byte[16];
    for (;;) /* /head-then-stall: nothing comes */
        if (recv(fd, byte, sizeof byte, 0) <= 0) break;
    return NULL;
}

/* A thread cancelled while it blocks in recv; use /head-then-stall. */
static void behave_cancel(const char *argument) {
    (void)argument;
    for (int i = 0; i < 20; i++) {
        volatile int fd = -1;
        pthread_t thread;
        void *result;
        if (pthread_create(&thread, NULL, wait_for_ever, (void *)&fd) != 0)
            raw_die("pthread_create");
        while (fd < 0)
            usleep(1000);
        usleep(5000);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        if (result != PTHREAD_CANCELED) raw_die("not cancelled");
        close(fd);
    }
    say("cancelled", 20);
}

static sigjmp_buf escape;

static void on_alarm(int number) {
    (void)number;
    siglongjmp(escape, 1);
}

/* A signal handler that jumps out of recv; use /head-then-stall. */
static void behave_longjmp(const char *argument) {
    (void)argument;
    signal(SIGALRM, on_alarm);
    for (volatile int i = 0; i < 10; i++) {
        int fd = raw_connect(&url);
        raw_send(fd, &url);
        raw_head(fd);
        char byte;
        if (sigsetjmp(escape, 1) == 0) {
            ualarm(20000, 0);
            recv(fd, &byte, 1, 0);
            raw_die("recv was to be left");
        }
        close(fd);
    }
    say("left", 10);
}

/* A socket as a stdio stream, both ways. */
static void behave_stdio(const char *argument) {
    (void)argument;
    for (int i = 0; i < 3; i++) {
        FILE *stream = fdopen(raw_connect(&url), "r+");
        if (!stream) raw_die("fdopen");
        fprintf(stream, "GET %s HTTP/1.1\r\nHost: %s:%d\r\n", url.path, url.host,
                ntohs(url.address.sin_port));
        fputs("Accept: */*\r\n\r\n", stream);
        fflush(stream);
        char line[512];
        long size = 0;
        while (fgets(line, sizeof line, stream) && strcmp(line, "\r\n") != 0)
            continue;
        while (size < BODY && fgetc(stream) != EOF)
            size++;
        say("bytes", size);
        say("fclose", fclose(stream));
    }
}

static const struct {
    const char *name;
    void (*behave)(const char *argument);
} modes[] = {{"descriptors", behave_descriptors},
             {"standard-descriptors", behave_standard_descriptors},
             {"high-descriptors", behave_high_descriptors},
             {"closefrom", behave_closefrom},
             {"dup2-over-all", behave_dup2_over_all},
             {"no-descriptors", behave_no_descriptors},
             {"chroot", behave_chroot},
             {"setuid", behave_setuid},
             {"seccomp", behave_seccomp},
             {"errors", behave_errors},
             {"itself", behave_itself},
             {"cancel", behave_cancel},
             {"longjmp", behave_longjmp},
             {"stdio", behave_stdio}};

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    url = raw_parse(argv[2]);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(argv[1], modes[i].name) != 0) continue;
        modes[i].behave(argv[3]);
        say("done", 0);
        return 3;
    }
    return 2;
}
