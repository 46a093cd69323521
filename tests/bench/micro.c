/* One measured loop a mode, for tests/bench/run: prints nanoseconds per operation of the loop, of this process as it is. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* A client connection to a listener of our own: what the client says is read from *server by the same thread. */
static int connect_self(int *server) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 ||
        listen(listener, 8) != 0)
        die("listen");
    if (getsockname(listener, (struct sockaddr *)&address, &size) != 0) die("getsockname");
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    if (client < 0 || connect(client, (struct sockaddr *)&address, size) != 0) die("connect");
    *server = accept(listener, NULL, NULL);
    if (*server < 0) die("accept");
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(*server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    close(listener);
    return client;
}

static void put(int fd, const char *text, size_t n) {
    while (n > 0) {
        const ssize_t r = send(fd, text, n, 0);
        if (r <= 0) die("send");
        text += r, n -= (size_t)r;
    }
}

static void take(int fd, size_t n) {
    char buffer[65536];
    while (n > 0) {
        const ssize_t r = recv(fd, buffer, n < sizeof buffer ? n : sizeof buffer, 0);
        if (r <= 0) die("recv");
        n -= (size_t)r;
    }
}

#define REQUEST                                                                                    \
    "GET /a/path/of/usual/length?q=1 HTTP/1.1\r\nHost: bench.example:8080\r\nUser-Agent: "         \
    "micro/1\r\nAccept: */*\r\n\r\n"
#define RESPONSE                                                                                   \
    "HTTP/1.1 200 OK\r\nServer: micro\r\nDate: Sat, 01 Jan 2022 00:00:00 GMT\r\nContent-Type: "    \
    "text/plain\r\n"                                                                               \
    "Content-Length: 100\r\nConnection: keep-alive\r\n\r\n"                                        \
    "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901" \
    "23456789"

/* So that the process is one that does HTTP: everything that is set up once is set up. */
static int warm(int *server) {
    const int client = connect_self(server);
    put(client, REQUEST, strlen(REQUEST));
    take(*server, strlen(REQUEST));
    put(*server, RESPONSE, strlen(RESPONSE));
    take(client, strlen(RESPONSE));
    return client;
}

static double foreign(long rounds) {
    int server;
    warm(&server);
    const int null = open("/dev/null", O_RDWR);
    char byte = 0;
    const double start = now_ns();
    for (long i = 0; i < rounds; i++) {
        if (write(null, &byte, 1) != 1) die("write");
        if (read(null, &byte, 1) != 0) die("read");
    }
    return (now_ns() - start) / (double)rounds / 2;
}

/* Response bytes taken one by one out of a full socket: the cost of recv on a tracked connection, mostly kernel. */
static double receive(long rounds) {
    static char block[32768];
    int server;
    const int client = connect_self(&server);
    char head[128];
    put(client, REQUEST, strlen(REQUEST));
    take(server, strlen(REQUEST));
    const int n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %ld\r\n\r\n",
                           rounds + (long)sizeof block);
    put(server, head, (size_t)n);
    take(client, (size_t)n);
    double spent = 0;
    char byte;
    for (long done = 0; done < rounds; done += (long)sizeof block) {
        put(server, block, sizeof block);
        const double start = now_ns();
        for (size_t i = 0; i < sizeof block; i++)
            if (recv(client, &byte, 1, 0) != 1) die("recv");
        spent += now_ns() - start;
    }
    const long blocks = (rounds + (long)sizeof block - 1) / (long)sizeof block;
    return spent / (double)(blocks * (long)sizeof block);
}

/* Whole keep-alive exchanges, both ends in this thread; the server's end is an accepted socket. */
static double exchange(long rounds) {
    int server;
    const int client = warm(&server);
    const double start = now_ns();
    for (long i = 0; i < rounds; i++) {
        put(client, REQUEST, strlen(REQUEST));
        take(server, strlen(REQUEST));
        put(server, RESPONSE, strlen(RESPONSE));
        take(client, strlen(RESPONSE));
    }
    return (now_ns() - start) / (double)rounds;
}

/* A keep-alive client against another process's server on 127.0.0.1:port. */
static double keepalive(long rounds, const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)atoi(port));
    char request[256], buffer[16384];
    const int n = snprintf(request, sizeof request,
                           "GET /small HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", port);
    const int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    size_t length = 0; /* of one response, head and body, learnt from the first one */
    double start = 0;
    for (long i = 0; i <= rounds; i++) {
        put(fd, request, (size_t)n);
        if (i == 0) {
            size_t have = 0;
            const char *body = NULL;
            while (!body) {
                const ssize_t r = recv(fd, buffer + have, sizeof buffer - 1 - have, 0);
                if (r <= 0) die("recv");
                have += (size_t)r;
                buffer[have] = 0;
                body = strstr(buffer, "\r\n\r\n");
            }
            const char *field = strstr(buffer, "Content-Length: ");
            if (!field) die("no Content-Length");
            length = (size_t)(body + 4 - buffer) + (size_t)atol(field + 16);
            take(fd, length - have);
            start = now_ns();
        } else {
            take(fd, length);
        }
    }
    close(fd);
    return (now_ns() - start) / (double)rounds;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s foreign|receive|exchange|keepalive|once ROUNDS [PORT]\n",
                argv[0]);
        return 2;
    }
    const char *mode = argv[1];
    const long rounds = atol(argv[2]);
    double result;
    if (!strcmp(mode, "foreign"))
        result = foreign(rounds);
    else if (!strcmp(mode, "receive"))
        result = receive(rounds);
    else if (!strcmp(mode, "exchange") || !strcmp(mode, "once"))
        result = exchange(rounds);
    else if (!strcmp(mode, "keepalive") && argc > 3)
        result = keepalive(rounds, argv[3]);
    else
        return 2;
    printf("%.2f\n", result);
    return 0;
}
