/* One exchange, threads of every kind, every exec: built in ways that are hard on a preload (musl,
 * sanitizers). */
#include <pthread.h>
#include <threads.h>

#include "../raw.h"

static struct raw_url url;

static void fetch(void) {
    const int fd = raw_connect(&url);
    raw_send(fd, &url);
    size_t had = raw_head(fd);
    if (!raw_drain(fd, 65536 - had)) raw_die("body");
    close(fd);
}

static void *returns(void *unused) {
    fetch();
    return unused;
}

static void *exits(void *unused) {
    fetch();
    pthread_exit(unused);
}

static int fetched;

static void *is_cancelled(void *unused) {
    fetch();
    __atomic_store_n(&fetched, 1, __ATOMIC_RELEASE);
    for (;;)
        sleep(1);
    return unused;
}

__attribute__((unused)) static int c11(void *unused) {
    (void)unused;
    fetch();
    return 7;
}

static void run_threads(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, returns, NULL) != 0) raw_die("pthread_create");
    pthread_join(thread, NULL);
    if (pthread_create(&thread, NULL, exits, NULL) != 0) raw_die("pthread_create");
    pthread_join(thread, NULL);
    if (pthread_create(&thread, NULL, is_cancelled, NULL) != 0) raw_die("pthread_create");
    while (!__atomic_load_n(&fetched, __ATOMIC_ACQUIRE))
        usleep(1000);
    pthread_cancel(thread);
    void *result;
    if (pthread_join(thread, &result) != 0 || result != PTHREAD_CANCELED) raw_die("not cancelled");
#if !WITHOUT_C11_THREADS
    thrd_t c;
    int status;
    if (thrd_create(&c, c11, NULL) != thrd_success) raw_die("thrd_create");
    if (thrd_join(c, &status) != thrd_success || status != 7) raw_die("thrd_join");
#endif
}

static void run_exec(const char *which) {
    char *const argv[] = {(char *)"sh",  (char *)"-c",        (char *)"echo \"$0 $1 $GUEST\"",
                          (char *)which, (char *)"two words", NULL};
    char *const envp[] = {(char *)"GUEST=new", NULL};
    setenv("GUEST", "old", 1);
    fflush(stdout);
    if (strcmp(which, "execv") == 0) execv("/bin/sh", argv);
    if (strcmp(which, "execve") == 0) execve("/bin/sh", argv, envp);
    if (strcmp(which, "execvp") == 0) execvp("sh", argv);
    if (strcmp(which, "execl") == 0)
        execl("/bin/sh", argv[0], argv[1], argv[2], argv[3], argv[4], NULL);
    if (strcmp(which, "execlp") == 0)
        execlp("sh", argv[0], argv[1], argv[2], argv[3], argv[4], NULL);
    if (strcmp(which, "execle") == 0)
        execle("/bin/sh", argv[0], argv[1], argv[2], argv[3], argv[4], NULL, envp);
    if (strcmp(which, "fails") == 0) {
        if (execl("/nowhere/at/all", "x", NULL) == -1 && errno == ENOENT) fetch(), exit(5);
    }
    raw_die(which);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    url = raw_parse(argv[2]);
    if (strcmp(argv[1], "threads") == 0) {
        run_threads();
        return 0;
    }
    fetch();
    if (strcmp(argv[1], "fetch") != 0) run_exec(argv[1]);
    return 0;
}
