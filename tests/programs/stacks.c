/*
 * Sends requests by many ways of calls, several of which end with the same registers, and names each way in the request's path:
 * a and b have frames of the same shape, c needs no frame pointer, d's frame has another size each time, e's is realigned.
 * A timer's handler (h) sends its own in the middle of everything; threads do all of that at once. Prints how many were sent.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "raw.h"

#define THREADS 3
#define ROUNDS 6
#define DEPTH 4
#define KINDS 5

struct peer {
    int client, server;
};

static __thread struct peer here;
static __thread const char *path;
static struct peer in_handler;
static volatile sig_atomic_t handled;

static struct peer connected(int listener, const struct sockaddr *address, socklen_t size) {
    struct peer p = {socket(AF_INET, SOCK_STREAM, 0), -1};
    if (p.client < 0 || connect(p.client, address, size) != 0) raw_die("connect");
    p.server = accept(listener, NULL, NULL);
    if (p.server < 0) raw_die("accept");
    return p;
}

/* One exchange, both ends here. */
static __attribute__((noinline)) void leaf(const struct peer *p, const char *of) {
    static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";
    char text[128];
    size_t n = 0;
    for (const char *parts[] = {"GET /", of, " HTTP/1.1\r\nHost: stacks.example\r\n\r\n"},
                    **part = parts;
         part < parts + 3; part++)
        for (const char *c = *part; *c; c++)
            text[n++] = *c;
    if (send(p->client, text, n, 0) != (ssize_t)n) _exit(3);
    for (size_t left = n; left > 0;) {
        const ssize_t r = recv(p->server, text, left, 0);
        if (r <= 0) _exit(4);
        left -= (size_t)r;
    }
    if (write(p->server, answer, sizeof answer - 1) != sizeof answer - 1) _exit(5);
    for (size_t left = sizeof answer - 1; left > 0;) {
        const ssize_t r = read(p->client, text, left);
        if (r <= 0) _exit(6);
        left -= (size_t)r;
    }
}

typedef void step(const char *way);
static step a, b, c, d, e;

static inline __attribute__((always_inline)) void further(const char *way) {
    static step *const steps[KINDS] = {a, b, c, d, e};
    if (*way)
        steps[*way - 'a'](way + 1);
    else
        leaf(&here, path);
    __asm__ volatile("" ::: "memory"); /* no jump in place of the call */
}

static __attribute__((noinline)) void a(const char *way) {
    further(way);
}

static __attribute__((noinline)) void b(const char *way) {
    further(way);
}

static __attribute__((noinline, optimize("omit-frame-pointer"))) void c(const char *way) {
    further(way);
}

static __attribute__((noinline)) void d(const char *way) {
    static __thread unsigned turn;
    char some[16 + turn++ % 8 * 16];
    __asm__ volatile("" ::"r"(some) : "memory");
    further(way);
}

static __attribute__((noinline)) void e(const char *way) {
    char some[64] __attribute__((aligned(64)));
    __asm__ volatile("" ::"r"(some) : "memory");
    further(way);
}

static void h(int signal) {
    (void)signal;
    leaf(&in_handler, "h");
    handled++;
}

static unsigned long sent(unsigned seed) {
    unsigned long count = 0;
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < 700; i++, count++) {
            char way[DEPTH + 1] = "";
            unsigned length = (unsigned)rand_r(&seed) / 7 % (DEPTH + 1);
            for (unsigned k = 0; k < length; k++)
                way[k] = (char)('a' + (unsigned)rand_r(&seed) / 7 % KINDS);
            path = way;
            further(way);
            if (rand_r(&seed) % 2 == 0) further(way), count++; /* the same again */
        }
    return count;
}

struct work {
    struct peer peer;
    unsigned seed;
    unsigned long count;
};

static void *run(void *argument) {
    struct work *w = argument;
    here = w->peer;
    w->count = sent(w->seed);
    return NULL;
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 ||
        listen(listener, 8) != 0 || getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        raw_die("listen");
    in_handler = connected(listener, (struct sockaddr *)&address, size);
    struct work works[THREADS + 1] = {0};
    for (unsigned i = 0; i <= THREADS; i++)
        works[i] = (struct work){connected(listener, (struct sockaddr *)&address, size), i + 1, 0};

    /* Only this thread is interrupted: the handler's connection is one. */
    sigset_t alarms;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarms, NULL);
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, run, &works[i]) != 0) raw_die("pthread_create");
    struct sigaction action = {.sa_handler = h, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
    const struct itimerval often = {{0, 300}, {0, 300}};
    setitimer(ITIMER_REAL, &often, NULL);
    run(&works[THREADS]);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    unsigned long count = works[THREADS].count;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        count += works[i].count;
    }
    printf("%lu %d\n", count, (int)handled);
    return 0;
}
