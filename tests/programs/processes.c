/*
 * Connections and processes: `processes MODE URL` forks, spawns or execs around HTTP exchanges in the way of MODE. URL answers
 * 256 KiB with Content-Length.
 */
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

#include "raw.h"

enum { BODY = 262144 };

extern char **environ;
static struct raw_url url;
static char *self, *url_text;

static int leak_body(void) {
    int fd = raw_connect(&url);
    raw_send(fd, &url);
    raw_head(fd);
    return fd;
}

static int leave_idle(void) {
    int fd = raw_connect(&url);
    raw_send(fd, &url);
    if (!raw_drain(fd, BODY - raw_head(fd))) raw_die("the body ended early");
    return fd;
}

static void reap(pid_t child, int expected) {
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child) raw_die("child");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected) raw_die("the child's status");
}

/* Only the child speaks HTTP, and leaks. */
static void fork_child_leaks(void) {
    pid_t child = fork();
    if (child == 0) {
        leak_body(), leak_body();
        exit(4);
    }
    reap(child, 4);
}

/* The child inherits an open body and an idle connection, closes them, and does one exchange of its own. */
static void fork_inherits(void) {
    int body = leak_body(), idle = leave_idle();
    pid_t child = fork();
    if (child == 0) {
        close(body), close(idle);
        close(leave_idle());
        exit(4);
    }
    reap(child, 4);
    if (fcntl(body, F_GETFD) < 0 || fcntl(idle, F_GETFD) < 0) raw_die("the parent's descriptors");
}

/* A child that inherits everything and leaves at once has leaked nothing. */
static void fork_only(void) {
    leak_body();
    pid_t child = fork();
    if (child == 0) exit(4);
    reap(child, 4);
    child = fork();
    if (child == 0) _exit(5);
    reap(child, 5);
}

static void vfork_exec(void) {
    int fd = leak_body();
    char *arguments[] = {"true", NULL};
    pid_t child = vfork();
    if (child == 0) {
        close(fd);
        dup2(1, 2);
        execve("/bin/true", arguments, environ);
        _exit(9);
    }
    reap(child, 0);
    child = vfork();
    if (child == 0) {
        execve("/nowhere/true", arguments, environ);
        _exit(9);
    }
    reap(child, 9);
    leak_body();
}

static void spawn(void) {
    int fd = leak_body();
    char *arguments[] = {"true", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addclose(&actions, fd);
    pid_t child;
    if (posix_spawn(&child, "/bin/true", &actions, NULL, arguments, environ) != 0)
        raw_die("posix_spawn");
    posix_spawn_file_actions_destroy(&actions);
    reap(child, 0);
    leak_body();
}

/* Two programs, one pid: the first drops two bodies by close-on-exec, the second leaks one. */
static void exec_self(void) {
    for (int i = 0; i < 2; i++)
        fcntl(leak_body(), F_SETFD, FD_CLOEXEC);
    execl("/nowhere/processes", self, "leak-one", url_text, (char *)NULL);
    execl(self, self, "leak-one", url_text, (char *)NULL);
    raw_die("execl");
}

static void leak_one(void) {
    leak_body();
}

/* Detached from its parent, as a daemon is. */
static void daemonize(void) {
    int done[2];
    if (pipe(done) != 0) raw_die("pipe");
    pid_t child = fork();
    if (child == 0) {
        setsid();
        if (fork() != 0) _exit(0);
        leak_body(), close(leave_idle());
        exit(write(done[1], "", 1) == 1 ? 0 : 1);
    }
    reap(child, 0);
    close(done[1]);
    char byte;
    while (read(done[0], &byte, 1) > 0)
        continue;
}

static int stop;

static void *fetch_on(void *argument) {
    (void)argument;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE))
        close(leave_idle());
    return NULL;
}

/* Forks while three threads are in the middle of exchanges; every child does one of its own. */
static void fork_among_threads(void) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        if (pthread_create(threads + i, NULL, fetch_on, NULL) != 0) raw_die("pthread_create");
    for (int i = 0; i < 40; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            close(leave_idle());
            exit(4);
        }
        reap(child, 4);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

static const struct {
    const char *name;
    void (*run)(void);
} modes[] = {{"fork-child-leaks", fork_child_leaks},
             {"fork-inherits", fork_inherits},
             {"fork-only", fork_only},
             {"vfork-exec", vfork_exec},
             {"spawn", spawn},
             {"exec-self", exec_self},
             {"leak-one", leak_one},
             {"daemonize", daemonize},
             {"fork-among-threads", fork_among_threads}};

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    self = argv[0], url_text = argv[2];
    url = raw_parse(argv[2]);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(argv[1], modes[i].name) != 0) continue;
        modes[i].run();
        return 0;
    }
    return 2;
}
