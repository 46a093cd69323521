/*
 * HTTP from signal handlers: `signals URL SECONDS THREADS` fetches URL in THREADS threads and, every millisecond, in a signal
 * handler on top of whatever they are doing, and prints how often. URL answers 5,000 bytes.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>

#include "raw.h"

enum { BODY = 5000 };

static struct raw_url url;
static char request[1024];
static size_t request_size;
static atomic_int stop;
static atomic_long in_handlers, in_threads;

/* Only calls that a signal handler may make. */
static bool fetch(void) {
    char data[8192];
    size_t got = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) return false;
    bool ok = connect(fd, (const struct sockaddr *)&url.address, sizeof url.address) == 0 &&
              send(fd, request, request_size, MSG_NOSIGNAL) == (ssize_t)request_size;
    for (ssize_t n = 1; ok && n != 0;) {
        n = recv(fd, data, sizeof data, 0);
        if (n > 0) got += (size_t)n;
        ok = n >= 0 || errno == EINTR;
    }
    close(fd);
    return ok && got > BODY;
}

static void on_alarm(int number) {
    (void)number;
    int saved = errno;
    if (!stop && fetch()) in_handlers++;
    errno = saved;
}

static void *work(void *argument) {
    (void)argument;
    while (!stop)
        if (fetch()) in_threads++;
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    url = raw_parse(argv[1]);
    request_size = (size_t)snprintf(request, sizeof request,
                                    "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
                                    url.path, url.host);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 1000}, {0, 1000}};
    pthread_t threads[16];
    int count = atoi(argv[3]);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < count && i < 16; i++)
        if (pthread_create(threads + i, NULL, work, NULL) != 0) raw_die("pthread_create");
    time_t end = time(NULL) + atoi(argv[2]);
    while (time(NULL) < end)
        if (fetch()) in_threads++;
    stop = 1;
    for (int i = 0; i < count && i < 16; i++)
        pthread_join(threads[i], NULL);
    struct itimerval never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &never, NULL);
    printf("handlers %s, threads %s\n", in_handlers > 20 ? "many" : "few",
           in_threads > 20 ? "many" : "few");
    fprintf(stderr, "%ld in handlers, %ld in threads\n", in_handlers, in_threads);
    return 0;
}
