/* A client whose TLS is the kernel's from the handshake on: kernel_tls PORT read|keep. What it sends after that is plaintext. */
#include <arpa/inet.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LEVEL_TLS 282 /* linux/tls.h */
#define SET_RECORD_TYPE 1
#define RECORD_ALERT 21

/* A ClientHello of 5 + 47 bytes: no session, one cipher suite, no compression, no extension. */
static size_t hello(unsigned char *out) {
    static const unsigned char head[] = {0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, 3};
    memcpy(out, head, sizeof head);
    for (int i = 0; i < 32; i++)
        out[sizeof head + (size_t)i] = (unsigned char)(i * 7 + 1);
    static const unsigned char tail[] = {0, 0, 2, 0x13, 1, 1, 0, 0, 0};
    memcpy(out + sizeof head + 32, tail, sizeof tail);
    return sizeof head + 32 + sizeof tail;
}

/* As a TLS library does it: a record of another kind goes through sendmsg, with its type beside it. */
static void send_alert(int fd) {
    char alert[] = {1, 0}, control[CMSG_SPACE(1)] = {0};
    struct iovec iov = {alert, sizeof alert};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = LEVEL_TLS;
    c->cmsg_type = SET_RECORD_TYPE;
    c->cmsg_len = CMSG_LEN(1);
    *CMSG_DATA(c) = RECORD_ALERT;
    if (sendmsg(fd, &message, 0) != sizeof alert) err(1, "sendmsg");
}

static size_t receive_message(int fd, char *buffer, size_t size) {
    char control[CMSG_SPACE(1)];
    struct iovec iov = {buffer, size};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    const ssize_t n = recvmsg(fd, &message, 0);
    if (n <= 0) err(1, "recvmsg");
    return (size_t)n;
}

int main(int argc, char **argv) {
    static char buffer[1 << 16];
    unsigned char out[64];
    if (argc != 3) errx(2, "usage: kernel_tls PORT read|keep");
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) err(1, "connect");
    const size_t n = hello(out);
    if (send(fd, out, n, 0) != (ssize_t)n) err(1, "send");
    if (recv(fd, buffer, 9, MSG_WAITALL) != 9) err(1, "recv");
    for (int direction = 1; direction <= 2; direction++)
        if (setsockopt(fd, LEVEL_TLS, direction, "keys", 4) != 0) err(1, "setsockopt");
    send_alert(fd);
    static const char request[] = "GET /body HTTP/1.1\r\nHost: kernel.example\r\n\r\n";
    if (write(fd, request, sizeof request - 1) != sizeof request - 1) err(1, "write");
    receive_message(fd, buffer, 6); /* a session ticket comes first */
    size_t total = 0;
    const size_t wanted = strcmp(argv[2], "read") == 0 ? SIZE_MAX : 4096;
    while (total < wanted) {
        const ssize_t got =
            read(fd, buffer, wanted - total < sizeof buffer ? wanted - total : sizeof buffer);
        if (got <= 0) break;
        total += (size_t)got;
    }
    printf("%zu\n", total);
    if (wanted == SIZE_MAX) close(fd);
    return 0;
}
