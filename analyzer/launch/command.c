/* fork, exec and wait, with the signals of the terminal left to the command. */
#include "launch/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "launch/inject.h"

static const int command_signals[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
enum { COMMAND_SIGNALS = sizeof command_signals / sizeof *command_signals };

static volatile sig_atomic_t command_pid;
/* As this process was started, to be given to the command and taken back after it. */
static struct sigaction command_saved[COMMAND_SIGNALS], command_saved_child;
static sigset_t command_saved_mask;

static void command_restore_signals(void) {
    for (int i = 0; i < COMMAND_SIGNALS; i++)
        sigaction(command_signals[i], &command_saved[i], NULL);
    sigaction(SIGCHLD, &command_saved_child, NULL);
    sigprocmask(SIG_SETMASK, &command_saved_mask, NULL);
}

/* Now, in nanoseconds of CLOCK_MONOTONIC. */
static uint64_t command_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int command_exit_status(const struct command_end *end) {
    return end->signal ? 128 + end->signal : end->status;
}

bool command_alive(pid_t pid, uint64_t start_ticks) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *in = fopen(path, "re");
    size_t n = in ? fread(text, 1, sizeof text - 1, in) : 0;
    if (in) fclose(in);
    text[n] = '\0';
    /* The name is in parentheses and may hold some itself; field 3 follows the last one. */
    const char *p = strrchr(text, ')');
    if (!p || p[1] != ' ' || p[2] == 'Z' || p[2] == 'X') return false;
    p += 2;
    for (int field = 3; field < 22 && p; field++)
        if ((p = strchr(p, ' '))) p++;
    return p && (start_ticks == 0 || strtoull(p, NULL, 10) == start_ticks);
}

/*
 * The kernel's own signals (a key on the terminal, its hang-up) went to the whole foreground group:
 * not sent again.
 */
static void command_forward(int number, siginfo_t *info, void *context) {
    (void)context;
    int saved = errno;
    if (info->si_code <= 0 && command_pid > 0 && info->si_pid != command_pid)
        kill(command_pid, number);
    errno = saved;
}

/*
 * In the child: waits for the word to go on if there is one, so that whoever holds it does so before it execs.
 */
static void command_wait(int go) {
    char byte;
    while (go >= 0 && read(go, &byte, 1) < 0 && errno == EINTR) {
    }
}

/* In the child: reports through the pipe why exec failed; a successful exec closes the pipe. */
static void command_exec(char *const *argv, int report) {
    execvp(argv[0], argv);
    int error = errno;
    ssize_t n = write(report, &error, sizeof error);
    _exit(n == (ssize_t)sizeof error ? 127 : 126);
}

/*
 * Holds the child and lets it go on; with `inject` what became of it, which is over when this returns. Without the means to
 * hold it, it runs all the same.
 */
static void command_hold(pid_t pid, int go, struct inject *inject) {
    struct tracee tracee;
    const bool held = tracee_seize(&tracee, pid, false);
    if (!held) {
        inject->end = INJECT_FAILED;
        snprintf(inject->why, sizeof inject->why, "ptrace is refused: %s", strerror(errno));
    }
    close(go);
    if (held) *inject = inject_at_exec(&tracee, false);
}

static pid_t command_start(char *const *argv, struct inject *inject, int *error) {
    const struct sigaction forward = {.sa_sigaction = command_forward,
                                      .sa_flags = SA_SIGINFO | SA_RESTART};
    const struct sigaction wait = {
        .sa_handler = SIG_DFL}; /* with SIGCHLD ignored nobody could be waited for */
    int report[2], go[2] = {-1, -1};
    sigset_t all;
    if (pipe2(report, O_CLOEXEC) != 0) return *error = errno, -1;
    if (inject && pipe2(go, O_CLOEXEC) != 0) inject = NULL;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &command_saved_mask);
    for (int i = 0; i < COMMAND_SIGNALS; i++)
        sigaction(command_signals[i], &forward, &command_saved[i]);
    sigaction(SIGCHLD, &wait, &command_saved_child);
    pid_t pid = fork();
    *error = errno;
    if (pid == 0) {
        if (inject) close(go[1]);
        command_wait(go[0]);
        command_restore_signals();
        command_exec(argv, report[1]);
    }
    command_pid = pid;
    sigset_t usual = command_saved_mask;
    for (int i = 0; i < COMMAND_SIGNALS; i++)
        sigdelset(&usual, command_signals[i]);
    sigprocmask(SIG_SETMASK, &usual, NULL);
    close(report[1]);
    if (inject) {
        close(go[0]);
        if (pid > 0)
            command_hold(pid, go[1], inject);
        else
            close(go[1]);
    }
    if (pid > 0) {
        ssize_t n;
        while ((n = read(report[0], error, sizeof *error)) < 0 && errno == EINTR) {
        }
        if (n != (ssize_t)sizeof *error) *error = 0;
    } else {
        command_restore_signals();
    }
    close(report[0]);
    return pid;
}

/*
 * Another thread may hold the command by ptrace for a moment (launch/service.h), and a wait would take its stops away. So the
 * end is waited for where there is nothing else to see.
 */
static void command_poll(pid_t pid) {
    struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    if (end.fd < 0) return;
    while (poll(&end, 1, -1) < 0 && errno == EINTR) {
    }
    close(end.fd);
}

struct command_end command_run(char *const *argv, struct inject *inject) {
    struct command_end end = {.started_ns = command_now()};
    end.pid = command_start(argv, inject, &end.error);
    int status = inject ? inject->status : 0;
    const bool ended = inject && inject->end == INJECT_ENDED;
    if (end.pid > 0 && !ended) command_poll(end.pid);
    while (end.pid > 0 && !ended && waitpid(end.pid, &status, 0) < 0) {
        if (errno == EINTR) continue;
        end.error = errno;
        break;
    }
    command_pid = 0;
    end.ended_ns = command_now();
    if (end.pid > 0) command_restore_signals();
    if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
    if (WIFEXITED(status)) end.status = WEXITSTATUS(status);
    return end;
}
