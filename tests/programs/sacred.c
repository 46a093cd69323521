/*
 * Corners in which a preload must not show: `sacred MODE URL` prints what the calls said, so that two runs can be compared. URL
 * answers 65,536 bytes.
 */
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "raw.h"

/* What the kernel refuses is what is tested here. */
#pragma GCC diagnostic ignored "-Wnonnull"
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"

static struct raw_url url;

static void say(const char *what, long value) {
    printf("%s %ld\n", what, value);
    fflush(stdout);
}

/* ---- pointers that the kernel answers with EFAULT, and counts that it answers with EINVAL ---- */

/* In a child of its own, since the call may end it: what a call on a fresh non-blocking connection says. */
#define SAY(call)                                                                                  \
    do {                                                                                           \
        pid_t child = fork();                                                                      \
        if (child == 0) {                                                                          \
            const int fd = raw_connect(&url);                                                      \
            fcntl(fd, F_SETFL, O_NONBLOCK);                                                        \
            errno = 0;                                                                             \
            const long result = (long)(call);                                                      \
            const int error = errno;                                                               \
            printf("%s: %ld, errno %d, %d\n", #call, result, error, fd);                           \
            fflush(stdout);                                                                        \
            _exit(0);                                                                              \
        }                                                                                          \
        int status = -1;                                                                           \
        waitpid(child, &status, 0);                                                                \
        if (status != 0) printf("%s: status %x\n", #call, (unsigned)status);                       \
        fflush(stdout);                                                                            \
    } while (0)

static void sacred_refused(void) {
    void *volatile nowhere = (void *)16;
    void *volatile kernel = (void *)-4096;
    char byte[16];
    struct iovec one[1] = {{byte, 1}}, half[2] = {{"GET ", 4}, {nowhere, 10}};
    struct msghdr many = {.msg_iov = one, .msg_iovlen = (size_t)1 << 40};
    struct msghdr unmapped = {.msg_iov = nowhere, .msg_iovlen = 4};
    struct mmsghdr messages[2] = {{.msg_hdr = unmapped}};
    struct pollfd polled = {.fd = 3, .events = POLLIN};
    struct timeval at_once = {0, 0};
    const int set = epoll_create1(0);

    SAY(poll(nowhere, 3, 0));
    SAY(poll(kernel, 3, 0));
    SAY(poll(&polled, (nfds_t)-1, 0));
    SAY(poll(&polled, INT_MAX, 0));
    SAY(select(64, nowhere, NULL, NULL, &at_once));
    SAY(select(-1, NULL, NULL, NULL, &at_once));
    SAY(read(fd, nowhere, 10));
    SAY(readv(fd, nowhere, 2));
    SAY(readv(fd, one, -2));
    SAY(readv(fd, one, INT_MAX));
    SAY(recvmsg(fd, nowhere, 0));
    SAY(recvmsg(fd, &many, 0));
    SAY(recvmsg(fd, &unmapped, 0));
    SAY(recvmmsg(fd, nowhere, 2, MSG_DONTWAIT, NULL));
    SAY(write(fd, nowhere, 10));
    SAY(write(fd, kernel, 10));
    SAY(write(fd, nowhere, 0));
    SAY((raw_send(fd, &url), write(fd, nowhere, 10)));
    SAY(sendto(fd, nowhere, 10, MSG_NOSIGNAL, NULL, 0));
    SAY(writev(fd, nowhere, 2));
    SAY(writev(fd, half, 2));
    SAY(writev(fd, one, -2));
    SAY(writev(fd, one, INT_MAX));
    SAY(sendmsg(fd, nowhere, MSG_NOSIGNAL));
    SAY(sendmsg(fd, &many, MSG_NOSIGNAL));
    SAY(sendmsg(fd, &unmapped, MSG_NOSIGNAL));
    SAY(sendmmsg(fd, nowhere, 2, MSG_NOSIGNAL));
    SAY(sendmmsg(fd, messages, 2, MSG_NOSIGNAL));
    SAY(connect(fd, nowhere, 16));
    SAY(connect(socket(AF_INET, SOCK_STREAM, 0), nowhere, 16));
    SAY(connect(fd, (struct sockaddr *)&url.address, 1));
    SAY(epoll_ctl(set, EPOLL_CTL_ADD, fd, nowhere));
    SAY(epoll_ctl(set, EPOLL_CTL_ADD, 1, nowhere));
    SAY(epoll_wait(set, nowhere, 2, 0));
    SAY(dup2(900, fd));
    SAY(dup2(fd, -1));
    SAY(dup3(1, fd, 12345));
    SAY(dup3(fd, fd, 0));
    SAY(close_range((unsigned)fd, (unsigned)fd, 1234));
    SAY(fcntl(fd, F_DUPFD, -1));
    SAY(shutdown(fd, 77));
}

/* ---- select(getdtablesize(), ...), as old programs call it: far more than there are bits in a set ---- */

static void *select_at_the_end_of_memory(void *argument) {
    const int fd = *(int *)argument;
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + 4096, 4096, PROT_NONE) != 0) raw_die("mmap");
    fd_set *set = (fd_set *)(void *)(pages + 4096 - sizeof(fd_set));
    struct timeval soon = {0, 1000};
    FD_SET(fd, set);
    say("select", select(1 << 20, set, NULL, NULL, &soon));
    return NULL;
}

static void sacred_select(void) {
    int fd = raw_connect(&url);
    pthread_t thread;
    errno = 77;
    if (pthread_create(&thread, NULL, select_at_the_end_of_memory, &fd) != 0)
        raw_die("pthread_create");
    say("errno", errno);
    pthread_join(thread, NULL);
}

/* ---- stacks that are just large enough for the program ---- */

static char request[1024];
static size_t request_size;

static void fetch(void) {
    char data[512];
    size_t got = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&url.address, sizeof url.address) != 0)
        raw_die("connect");
    if (send(fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size) raw_die("send");
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    for (ssize_t n = 1; n > 0 && got < 65536; got += (size_t)n) {
        poll(&polled, 1, -1);
        n = recv(fd, data, sizeof data, 0);
    }
    if (got < 65536) raw_die("recv");
    close(fd);
}

/* With pages around it that nobody may touch, and memory below those that anybody may. */
static void *stack_of(size_t size) {
    const size_t other = 16384, guard = 4096;
    char *pages =
        mmap(NULL, other + guard + size + guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *stack = pages + other + guard;
    if (pages == MAP_FAILED || mprotect(pages, other, PROT_READ | PROT_WRITE) != 0 ||
        mprotect(stack, size, PROT_READ | PROT_WRITE) != 0)
        raw_die("mmap");
    return stack;
}

static void *fetch_in_thread(void *unused) {
    fetch();
    return unused;
}

static void fetch_in_handler(int number) {
    (void)number;
    fetch();
}

static void sacred_small_stacks(void) {
    request_size = raw_request(&url, request, sizeof request);
    stack_t handlers = {.ss_sp = stack_of(8192), .ss_size = 8192};
    struct sigaction action = {.sa_handler = fetch_in_handler, .sa_flags = SA_ONSTACK};
    sigaltstack(&handlers, NULL);
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 3; i++) {
        raise(SIGUSR1); /* the first one is where a trace begins */
        say("handler", i);
    }
    for (int i = 0; i < 3; i++) {
        pthread_attr_t attributes;
        pthread_t thread;
        pthread_attr_init(&attributes);
        const size_t size = 16384;
        if (i == 0) pthread_attr_setstacksize(&attributes, size);
        if (i == 1) pthread_attr_setstack(&attributes, stack_of(size), size);
        if (pthread_create(&thread, &attributes, fetch_in_thread, NULL) != 0)
            raw_die("pthread_create");
        pthread_join(thread, NULL);
        say("thread", i);
    }
    static ucontext_t here, there;
    for (int i = 0; i < 3; i++) {
        getcontext(&there);
        there.uc_stack = (stack_t){.ss_sp = stack_of(8192), .ss_size = 8192};
        there.uc_link = &here;
        makecontext(&there, fetch, 0);
        swapcontext(&here, &there);
        say("coroutine", i);
    }
}

/* ---- seccomp's strict mode: read, write, exit, and no time stamp counter ---- */

static void sacred_strict(void) {
    request_size = raw_request(&url, request, sizeof request);
    for (int used = 0; used < 2; used++) {
        int fd = raw_connect(&url), status = 0;
        pid_t child = fork();
        if (child == 0) {
            char data[4096];
            int own = raw_connect(&url);
            if (used) raw_send(own, &url), raw_head(own);
            if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) raw_die("prctl");
            bool ok = true;
            for (int i = 0; i < 2; i++)
                ok &= write(own, request, request_size) > 0 && read(own, data, sizeof data) > 0;
            syscall(SYS_exit, ok ? 7 : 8);
        }
        waitpid(child, &status, 0);
        say("strict", status);
        close(fd);
    }
}

/* ---- a fork while another thread is inside the loader: the child may do what signal handlers may ---- */

static sem_t inside, leave;

static int stay_inside(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)info, (void)size, (void)unused;
    sem_post(&inside);
    sem_wait(&leave);
    return 1;
}

static void *hold_the_loader(void *unused) {
    dl_iterate_phdr(stay_inside, NULL);
    return unused;
}

static void sacred_loader_lock(void) {
    sem_init(&inside, 0, 0), sem_init(&leave, 0, 0);
    request_size = raw_request(&url, request, sizeof request);
    for (int traced = 0; traced < 2; traced++) {
        pthread_t thread;
        int status = 0;
        if (traced) fetch();
        if (pthread_create(&thread, NULL, hold_the_loader, NULL) != 0) raw_die("pthread_create");
        sem_wait(&inside);
        pid_t child = fork();
        if (child == 0) {
            alarm(10);
            fetch();
            _exit(7);
        }
        waitpid(child, &status, 0);
        say("child", status);
        sem_post(&leave);
        pthread_join(thread, NULL);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} modes[] = {{"refused", sacred_refused},
             {"select", sacred_select},
             {"small-stacks", sacred_small_stacks},
             {"strict", sacred_strict},
             {"loader-lock", sacred_loader_lock}};

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    url = raw_parse(argv[2]);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].run();
            return 3;
        }
    return 2;
}
