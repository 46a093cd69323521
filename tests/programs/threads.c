/*
 * Threads that serve connections: `threads URL MODE COUNT` asks for URL (/bytes/64) COUNT times, each time in a thread of its own or
 * of a pool, in the way of MODE.
 */
#include <pthread.h>
#include <semaphore.h>

#include "raw.h"

static struct raw_url url;
static int count;
static sem_t never, asked;

static void ask(void) {
    const int fd = raw_connect(&url);
    raw_send(fd, &url);
    if (!raw_drain(fd, 64 - raw_head(fd))) raw_die("the answer");
    close(fd);
}

static void wait_on(sem_t *semaphore) {
    while (sem_wait(semaphore) != 0)
        continue;
}

static pthread_t start(void *(*function)(void *)) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, NULL) != 0) raw_die("pthread_create");
    return thread;
}

static void *ask_once(void *unused) {
    ask();
    sem_post(&asked);
    return unused;
}

static void *ask_and_park(void *unused) {
    ask();
    sem_post(&asked);
    wait_on(&never);
    return unused;
}

/* ---- how many there are ---- */

/* One more every 50 ms, and each stays for ever. */
static void grow(void) {
    for (int i = 0; i < count; i++) {
        pthread_detach(start(ask_and_park)); /* one more */
        wait_on(&asked);
        usleep(50000);
    }
}

/* All at the start, then nothing but waiting. */
static void pool(void) {
    for (int i = 0; i < count; i++)
        pthread_detach(start(ask_and_park));
    for (int i = 0; i < count; i++)
        wait_on(&asked);
    usleep((useconds_t)count * 50000);
}

static sem_t leave;

static void *ask_and_wait_to_leave(void *unused) {
    ask();
    sem_post(&asked);
    wait_on(&leave);
    return unused;
}

/* A pool of 20 whose threads are replaced by and by. */
static void change(void) {
    for (int i = 0; i < count; i++) {
        if (i >= 20) sem_post(&leave);
        pthread_detach(start(ask_and_wait_to_leave));
        wait_on(&asked);
        usleep(i < 20 ? 1000 : 20000);
    }
}

/* ---- who joins them ---- */

static void unjoined(void) {
    for (int i = 0; i < count; i++)
        start(ask_once); /* and forget it */
    for (int i = 0; i < count; i++)
        wait_on(&asked);
    usleep(300000);
}

static void joined(void) {
    pthread_t threads[64];
    for (int i = 0; i < count; i++)
        threads[i] = start(ask_once);
    usleep(300000); /* they have ended long before */
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static void detached(void) {
    for (int i = 0; i < count; i++) {
        const pthread_t thread = start(ask_once);
        wait_on(&asked);
        if (i % 2) usleep(100000); /* before its end, and after it */
        pthread_detach(thread);
    }
    usleep(300000);
}

static const struct {
    const char *name;
    void (*run)(void);
} modes[] = {{"grow", grow},         {"pool", pool},     {"change", change},
             {"unjoined", unjoined}, {"joined", joined}, {"detached", detached}};

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    url = raw_parse(argv[1]);
    count = atoi(argv[3]);
    sem_init(&never, 0, 0);
    sem_init(&asked, 0, 0);
    sem_init(&leave, 0, 0);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i].name, argv[2]) == 0) {
            modes[i].run();
            puts("done");
            return 0;
        }
    return 2;
}
