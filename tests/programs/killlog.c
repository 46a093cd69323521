/*
 * A leaking program that keeps its own books: `killlog URL LOG THREADS`. Each thread counts a step in a shared mapping of LOG
 * right BEFORE it takes it, so whenever the program is killed a trace may differ by one event a thread and counter, no more.
 *
 * LOG holds one struct books (eight 64-bit counters, 64 bytes) for each thread.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

#include "raw.h"

struct books {
    uint64_t connects, reuses, heads, drained, discarded, closes, reserved[2];
};

enum { BODY = 262144, LEAKS = 24 }; /* a thread leaks that many, then only does what ends */

static struct raw_url url;

static void count_step(uint64_t *counter) {
    __atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
}

static size_t ask(int fd, struct books *books) {
    raw_send(fd, &url);
    count_step(&books->heads);
    return raw_head(fd);
}

static void finish(int fd, struct books *books, size_t have) {
    if (!raw_drain(fd, BODY - have - 1)) raw_die("the body ended early");
    count_step(&books->drained);
    if (!raw_drain(fd, 1)) raw_die("the body ended early");
}

static void hang_up(int fd, struct books *books) {
    count_step(&books->closes);
    close(fd);
}

static void leak_body(struct books *books) {
    count_step(&books->connects);
    ask(raw_connect(&url), books);
}

static void keep_alive(struct books *books) {
    count_step(&books->connects);
    int fd = raw_connect(&url);
    finish(fd, books, ask(fd, books));
    count_step(&books->reuses);
    finish(fd, books, ask(fd, books));
    hang_up(fd, books);
}

static void discard_body(struct books *books) {
    count_step(&books->connects);
    int fd = raw_connect(&url);
    ask(fd, books);
    count_step(&books->discarded);
    hang_up(fd, books);
}

static void *work(void *argument) {
    struct books *books = argument;
    for (unsigned turn = 0, leaks = 0;; turn++) {
        if (turn % 3 == 0 && leaks < LEAKS) leaks++, leak_body(books);
        if (turn % 3 == 1) keep_alive(books);
        if (turn % 3 == 2) discard_body(books);
    }
    return NULL;
}

int main(int argc, char **argv) {
    int threads = argc == 4 ? atoi(argv[3]) : 0;
    if (threads < 1) return 2;
    url = raw_parse(argv[1]);
    int log = open(argv[2], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t size = (size_t)threads * sizeof(struct books);
    if (log < 0 || ftruncate(log, (off_t)size) != 0) raw_die(argv[2]);
    struct books *books = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, log, 0);
    if (books == MAP_FAILED) raw_die("mmap");
    pthread_t thread;
    for (int i = 0; i < threads; i++)
        if (pthread_create(&thread, NULL, work, books + i) != 0) raw_die("pthread_create");
    for (;;)
        pause();
}
