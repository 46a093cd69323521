/*
 * Descriptors in the wrong hands: `descriptors URL MODE` has a connection closed by somebody who means another one, or inherited by
 * a program that knows nothing of it, or does something that only looks like that.
 */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "raw.h"

static struct raw_url url;
static sem_t go, done;

static void wait_on(sem_t *semaphore) {
    while (sem_wait(semaphore) != 0)
        continue;
}

static int ask(void) {
    const int fd = raw_connect(&url);
    raw_send(fd, &url);
    if (!raw_drain(fd, 64 - raw_head(fd))) raw_die("the answer");
    return fd;
}

/* ---- close ---- */

static int owned = -1;

static void *owner(void *keeps) {
    wait_on(&go);
    owned = ask(); /* the number that the other thread had before */
    sem_post(&done);
    wait_on(&go);
    if (!keeps) close(owned);
    sem_post(&done);
    return NULL;
}

static int close_twice(void *keeps, void (*second)(int fd)) {
    pthread_t thread;
    const int fd = ask();
    if (pthread_create(&thread, NULL, owner, keeps) != 0) raw_die("pthread_create");
    close(fd);
    sem_post(&go);
    wait_on(&done);
    if (owned != fd) raw_die("the number was to be used again, it");
    second(fd);
    sem_post(&go);
    wait_on(&done);
    pthread_join(thread, NULL);
    return fd;
}

static void again(int fd) {
    close(fd); /* again */
}

/* The mistake: the number is closed a second time, when it is somebody else's, who comes to close it himself. */
static void double_close(void) {
    close_twice(NULL, again);
}

/* One thread opens, another one closes what has become idle: a pool's sweeper. */
static void sweep(void) {
    close_twice(&url, again);
}

static void close_all(int fd) {
    for (int i = 3; i < fd + 40; i++)
        close(i);
}

static void loop(void) {
    close_twice(NULL, close_all);
}

static void close_in_child(int fd) {
    const pid_t child = fork();
    if (child == 0) _exit(close(fd));
    if (waitpid(child, NULL, 0) != child) raw_die("waitpid");
}

static void in_child(void) {
    close_twice(NULL, close_in_child);
}

/* Closed twice, and nobody had the number in between. */
static void harmless(void) {
    const int fd = ask();
    close(fd);
    close(fd);
}

/* ---- exec ---- */

extern char **environ;

/* `sleep` for that long, with whatever descriptors it gets. */
static pid_t sleeper(char *seconds) {
    char *argv[] = {"sleep", seconds, NULL};
    const pid_t child = fork();
    if (child == 0) {
        execvp(argv[0], argv);
        _exit(127);
    }
    return child;
}

static void end(pid_t child) {
    kill(child, SIGTERM);
    waitpid(child, NULL, 0);
}

/* A second request later: the recorder looks again when something happens. */
static void later(int fd) {
    usleep(1300000);
    raw_send(fd, &url);
    if (!raw_drain(fd, 64 - raw_head(fd))) raw_die("the answer");
}

static void inherited(void) {
    const int fd = ask();
    const pid_t child = sleeper("60");
    later(fd);
    end(child);
}

static void spawned(void) {
    char *argv[] = {"sleep", "60", NULL};
    const int fd = ask();
    pid_t child;
    if (posix_spawnp(&child, argv[0], NULL, NULL, argv, environ) != 0) raw_die("posix_spawn");
    later(fd);
    end(child);
}

/* Closed here while the child still has it. */
static void inherited_and_closed(void) {
    const int fd = ask();
    const pid_t child = sleeper("60");
    usleep(1300000);
    close(fd);
    end(child);
}

static void close_on_exec(void) {
    const int fd = ask();
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    const pid_t child = sleeper("60");
    later(fd);
    end(child);
}

/* Gone with the child before the second is over. */
static void short_lived(void) {
    const int fd = ask();
    const pid_t child = sleeper("0.1");
    later(fd);
    waitpid(child, NULL, 0);
}

static void redirected(void) {
    const int fd = ask();
    const pid_t child = fork();
    if (child == 0) {
        dup2(fd, 0);
        close(fd);
        execlp("sleep", "sleep", "60", (char *)NULL);
        _exit(127);
    }
    later(fd);
    end(child);
}

static const struct {
    const char *name;
    void (*run)(void);
} modes[] = {{"double-close", double_close},
             {"sweep", sweep},
             {"loop", loop},
             {"in-child", in_child},
             {"harmless", harmless},
             {"inherited", inherited},
             {"spawned", spawned},
             {"inherited-and-closed", inherited_and_closed},
             {"close-on-exec", close_on_exec},
             {"short-lived", short_lived},
             {"redirected", redirected}};

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    url = raw_parse(argv[1]);
    sem_init(&go, 0, 0);
    sem_init(&done, 0, 0);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i].name, argv[2]) == 0) {
            modes[i].run();
            puts("done");
            return 0;
        }
    return 2;
}
