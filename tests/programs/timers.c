/*
 * Timers in C beside a plain HTTP fetch: `timers MODE N URL`; the modes are posix and fd (never ended), posix-ended and
 * fd-ended, fd-set (one, set anew each time), fd-copies (ended by dup2 over them and by close_range), early (made before the
 * first connection), burst (as many as N at once, then nothing more for some seconds).
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>

#include "raw.h"

static struct raw_url url;

static void fetch(void) {
    int fd = raw_connect(&url);
    raw_send(fd, &url);
    if (!raw_drain(fd, 100 - raw_head(fd))) raw_die("the body ended early");
    close(fd);
}

static timer_t make_posix(void) {
    timer_t timer;
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    if (timer_create(CLOCK_MONOTONIC, &none, &timer) != 0) raw_die("timer_create"); /* posix */
    return timer;
}

static int make_fd(void) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC); /* fd */
    if (fd < 0) raw_die("timerfd_create");
    return fd;
}

static void make(const char *mode, int n) {
    struct itimerspec minute = {.it_value.tv_sec = 60};
    bool posix = strncmp(mode, "posix", 5) == 0, ended = strstr(mode, "-ended") != NULL;
    int one = strcmp(mode, "fd-set") == 0 ? make_fd() : -1;
    for (int i = 0; i < n; i++) {
        if (one >= 0) {
            if (timerfd_settime(one, 0, &minute, NULL) != 0) raw_die("timerfd_settime");
        } else if (posix) {
            timer_t timer = make_posix();
            if (ended && timer_delete(timer) != 0) raw_die("timer_delete");
        } else {
            int fd = make_fd();
            if (ended) close(fd);
        }
    }
}

/* Each round ends ten: one by dup2 over it, the others by close_range. */
static void copies(int n) {
    for (int i = 0; i < n; i += 10) {
        int first = make_fd(), last = first;
        for (int k = 1; k < 10; k++)
            last = make_fd();
        if (dup2(STDOUT_FILENO, first) != first) raw_die("dup2");
        if (close_range((unsigned)first, (unsigned)last, 0) != 0) raw_die("close_range");
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: timers MODE N URL\n");
        return 2;
    }
    struct rlimit limit = {65536, 65536};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
    url = raw_parse(argv[3]);
    int n = atoi(argv[2]);
    if (strcmp(argv[1], "early") == 0) {
        make("posix", n);
        fetch();
        return 0;
    }
    fetch();
    if (strcmp(argv[1], "fd-copies") == 0)
        copies(n);
    else
        make(strcmp(argv[1], "burst") == 0 ? "posix" : argv[1], n);
    if (strcmp(argv[1], "burst") == 0) sleep(3);
    return 0;
}
