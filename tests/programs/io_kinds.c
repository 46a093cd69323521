/*
 * The same exchange by every way to move bytes over a socket: `io_kinds URL [NAME]` does each of them (or the named one) on a
 * connection of its own and prints its name and the bytes of the body. URL answers BODY bytes with Content-Length.
 */
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "raw.h"

enum { BODY = 262144, STEP = 7000 };

static struct raw_url url;
static char request[1024];
static size_t request_size;

static void all_sent(ssize_t n) {
    if (n != (ssize_t)request_size) raw_die("send");
}

/* Takes the response in steps of a size that meets no boundary; returns the bytes after the head. */
static size_t take(int fd, ssize_t (*receive)(int fd, void *data, size_t size)) {
    char data[STEP], head[4096];
    size_t have = 0, body = 0;
    bool in_body = false;
    while (body < BODY) {
        ssize_t n = receive(fd, data,
                            in_body && BODY - body < STEP ? BODY - body
                            : in_body                     ? STEP
                                                          : 50);
        if (n <= 0) raw_die("receive");
        if (in_body) {
            body += (size_t)n;
            continue;
        }
        memcpy(head + have, data, (size_t)n);
        have += (size_t)n;
        head[have] = '\0';
        char *end = strstr(head, "\r\n\r\n");
        if (end) in_body = true, body = have - (size_t)(end + 4 - head);
    }
    return body;
}

static ssize_t by_read(int fd, void *data, size_t size) {
    return read(fd, data, size);
}

static ssize_t by_recv(int fd, void *data, size_t size) {
    return recv(fd, data, size, 0);
}

static ssize_t by_recvfrom(int fd, void *data, size_t size) {
    return recvfrom(fd, data, size, 0, NULL, NULL);
}

/* Into buffers whose size the compiler knows: the checked functions in a fortified build. */
static ssize_t by_checked(int fd, void *data, size_t size) {
    static int turn;
    char local[STEP];
    ssize_t n = ++turn % 3 == 0 ? read(fd, local, size)
                : turn % 3 == 1 ? recv(fd, local, size, 0)
                                : recvfrom(fd, local, size, 0, NULL, NULL);
    if (n > 0) memcpy(data, local, (size_t)n);
    return n;
}

static ssize_t by_readv(int fd, void *data, size_t size) {
    struct iovec parts[3] = {
        {data, size / 3}, {(char *)data + size / 3, 0}, {(char *)data + size / 3, size - size / 3}};
    return readv(fd, parts, 3);
}

static ssize_t by_preadv2(int fd, void *data, size_t size) {
    struct iovec part = {data, size};
    return preadv2(fd, &part, 1, -1, 0);
}

static ssize_t by_recvmsg(int fd, void *data, size_t size) {
    struct iovec parts[2] = {{data, 1}, {(char *)data + 1, size - 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    return recvmsg(fd, &message, MSG_CMSG_CLOEXEC); /* a high bit among the flags */
}

static ssize_t by_recvmmsg(int fd, void *data, size_t size) {
    struct iovec parts[2] = {{data, size / 2}, {(char *)data + size / 2, size - size / 2}};
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = parts, .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_iov = parts + 1, .msg_iovlen = 1}}};
    int count = recvmmsg(fd, messages, size > 100 ? 2 : 1, MSG_WAITFORONE, NULL);
    if (count < 1) return -1;
    if (count == 2)
        memmove((char *)data + messages[0].msg_len, parts[1].iov_base, messages[1].msg_len);
    return (ssize_t)messages[0].msg_len + (count == 2 ? (ssize_t)messages[1].msg_len : 0);
}

/* Looks first, twice: what is only looked at is not taken. */
static ssize_t by_peek(int fd, void *data, size_t size) {
    if (recv(fd, data, size, MSG_PEEK) <= 0 || recv(fd, data, 1, MSG_PEEK) != 1) return -1;
    return recv(fd, data, size, 0);
}

/* The kernel throws the bytes away: nobody sees them. The head is read as usual. */
static ssize_t by_truncation(int fd, void *data, size_t size) {
    return recv(fd, data, size, size > 50 ? MSG_TRUNC : 0);
}

static int pipes[2];

static ssize_t by_splice(int fd, void *data, size_t size) {
    if (size <= 50) return recv(fd, data, size, 0);
    ssize_t n = splice(fd, NULL, pipes[1], NULL, size, 0);
    for (ssize_t left = n; left > 0;) {
        ssize_t got = read(pipes[0], data, (size_t)left);
        if (got <= 0) return -1;
        left -= got;
    }
    return n;
}

static void send_by_write(int fd) {
    all_sent(write(fd, request, request_size));
}

static void send_by_send(int fd) {
    all_sent(send(fd, request, request_size, MSG_NOSIGNAL));
}

static void send_by_sendto(int fd) {
    all_sent(sendto(fd, request, request_size, 0, NULL, 0));
}

static void send_by_writev(int fd) {
    struct iovec parts[3] = {{request, 5}, {request + 5, 40}, {request + 45, request_size - 45}};
    all_sent(writev(fd, parts, 3));
}

static void send_by_pwritev2(int fd) {
    struct iovec part = {request, request_size};
    all_sent(pwritev2(fd, &part, 1, -1, 0));
}

static void send_by_sendmsg(int fd) {
    struct iovec parts[2] = {{request, 1}, {request + 1, request_size - 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    all_sent(sendmsg(fd, &message, 0));
}

static void send_by_sendmmsg(int fd) {
    struct iovec parts[2] = {{request, 30}, {request + 30, request_size - 30}};
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = parts, .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_iov = parts + 1, .msg_iovlen = 1}}};
    if (sendmmsg(fd, messages, 2, 0) != 2) raw_die("sendmmsg");
}

static void send_byte_by_byte(int fd) {
    for (size_t i = 0; i < request_size; i++)
        if (write(fd, request + i, 1) != 1) raw_die("write");
}

/* A POST whose body the kernel takes from a file. */
static void send_by_sendfile(int fd) {
    char head[1024];
    FILE *file = tmpfile();
    if (!file || ftruncate(fileno(file), 50000) != 0) raw_die("tmpfile");
    int n =
        snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 50000\r\n\r\n",
                 url.path, url.host);
    if (write(fd, head, (size_t)n) != n) raw_die("write");
    off_t offset = 0;
    while (offset < 50000)
        if (sendfile(fd, fileno(file), &offset, (size_t)(50000 - offset)) <= 0) raw_die("sendfile");
    fclose(file);
}

/* The sending half is closed once the request is out; the response comes all the same. */
static void send_and_shut_down(int fd) {
    send_by_send(fd);
    if (shutdown(fd, SHUT_WR) != 0) raw_die("shutdown");
}

static const struct {
    const char *name;
    void (*send)(int fd);
    ssize_t (*receive)(int fd, void *data, size_t size);
} kinds[] = {{"read", send_by_write, by_read},          {"recv", send_by_send, by_recv},
             {"recvfrom", send_by_sendto, by_recvfrom}, {"checked", send_by_send, by_checked},
             {"readv", send_by_writev, by_readv},       {"preadv2", send_by_pwritev2, by_preadv2},
             {"recvmsg", send_by_sendmsg, by_recvmsg},  {"recvmmsg", send_by_sendmmsg, by_recvmmsg},
             {"peek", send_by_send, by_peek},           {"truncation", send_by_send, by_truncation},
             {"splice", send_by_send, by_splice},       {"bytes", send_byte_by_byte, by_recv},
             {"sendfile", send_by_sendfile, by_read},   {"shutdown", send_and_shut_down, by_read}};

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    url = raw_parse(argv[1]);
    request_size = raw_request(&url, request, sizeof request);
    if (pipe(pipes) != 0) raw_die("pipe");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (argc > 2 && strcmp(argv[2], kinds[i].name) != 0) continue;
        int fd = raw_connect(&url);
        kinds[i].send(fd);
        printf("%s %zu\n", kinds[i].name, take(fd, kinds[i].receive));
        close(fd);
    }
    /* three requests at once, three answers in one stream */
    if (argc == 2) {
        int fd = raw_connect(&url);
        char all[3072];
        for (int i = 0; i < 3; i++)
            memcpy(all + (size_t)i * request_size, request, request_size);
        if (send(fd, all, 3 * request_size, MSG_NOSIGNAL) != (ssize_t)(3 * request_size))
            raw_die("send");
        size_t sum = 0;
        for (int i = 0; i < 3; i++)
            sum += take(fd, by_recv);
        printf("pipelined %zu\n", sum);
        close(fd);
    }
    return 0;
}
