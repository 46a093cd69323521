/*
 * Waits for an answer in every way there is: `waits URL NAME` asks and waits in NAME for ever (SIGTERM ends it); URL is one that
 * stalls after its head. `waits URL cond` waits for another thread that waits in recv.
 */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "raw.h"

static int asked;

static void in_recv(int fd) {
    char byte;
    recv(fd, &byte, 1, 0);
}

static void in_read(int fd) {
    char byte;
    if (read(fd, &byte, 1) < 0) perror("read");
}

static void in_recvmsg(int fd) {
    char byte;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    (void)recvmsg(fd, &message, 0);
}

static void in_poll(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    poll(&p, 1, -1);
}

static void in_ppoll(int fd) {
    struct pollfd p[2] = {{.fd = -1}, {.fd = fd, .events = POLLIN}};
    ppoll(p, 2, NULL, NULL);
}

static void in_select(int fd) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    select(fd + 1, &set, NULL, NULL, NULL);
}

static void in_pselect(int fd) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    pselect(fd + 1, &set, NULL, NULL, NULL, NULL);
}

static int epoll_of(int fd, uint32_t more) {
    int set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | more};
    if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0) raw_die("epoll_ctl");
    return set;
}

static void in_epoll(int fd) {
    struct epoll_event event;
    epoll_wait(epoll_of(fd, 0), &event, 1, -1);
}

/* Edge triggered: everything is read first, then the next edge is waited for. */
static void in_epoll_edge(int fd) {
    struct epoll_event event;
    char data[4096];
    int set = epoll_of(fd, EPOLLET);
    for (;;) {
        epoll_pwait(set, &event, 1, -1, NULL);
        while (recv(fd, data, sizeof data, MSG_DONTWAIT) > 0)
            continue;
    }
}

static void in_epoll_pwait2(int fd) {
    struct epoll_event event;
    epoll_pwait2(epoll_of(fd, 0), &event, 1, NULL, NULL);
}

static sem_t answered;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void *receive(void *argument) {
    (void)argument;
    in_recv(asked);
    return NULL;
}

static void receive_elsewhere(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, receive, NULL) != 0) raw_die("pthread_create");
}

static void in_cond(int fd) {
    asked = fd;
    receive_elsewhere();
    pthread_mutex_lock(&lock);
    for (;;)
        pthread_cond_wait(&changed, &lock);
}

static void in_semaphore(int fd) {
    asked = fd;
    receive_elsewhere();
    sem_wait(&answered);
}

static const struct {
    const char *name;
    void (*wait)(int fd);
} kinds[] = {{"recv", in_recv},
             {"read", in_read},
             {"recvmsg", in_recvmsg},
             {"poll", in_poll},
             {"ppoll", in_ppoll},
             {"select", in_select},
             {"pselect", in_pselect},
             {"epoll", in_epoll},
             {"epoll-edge", in_epoll_edge},
             {"epoll_pwait2", in_epoll_pwait2},
             {"cond", in_cond},
             {"semaphore", in_semaphore}};

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    struct raw_url url = raw_parse(argv[1]);
    sem_init(&answered, 0, 0);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(argv[2], kinds[i].name) != 0) continue;
        int fd = raw_connect(&url);
        raw_send(fd, &url);
        if (!strstr(url.path, "hang")) raw_head(fd);
        kinds[i].wait(fd);
        return 1;
    }
    return 2;
}
