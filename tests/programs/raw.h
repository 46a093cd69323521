/*
 * HTTP by hand over a plain socket, for the small test programs: every function ends the program with one line on stderr when
 * something fails, since a test program that goes on after that would prove nothing.
 */
#ifndef TESTS_RAW_H
#define TESTS_RAW_H

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct raw_url {
    bool tls;
    char host[128];
    char path[512];
    struct sockaddr_in address;
};

__attribute__((noreturn, unused)) static void raw_die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

__attribute__((unused)) static struct raw_url raw_parse(const char *text) {
    struct raw_url url = {.address.sin_family = AF_INET};
    int port = 0;
    url.tls = strncmp(text, "https://", 8) == 0;
    if (!url.tls && strncmp(text, "http://", 7) != 0) raw_die(text);
    if (sscanf(strstr(text, "://") + 3, "%127[^:/]:%d%511s", url.host, &port, url.path) != 3)
        raw_die(text);
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
    if (getaddrinfo(url.host, NULL, &hints, &list) != 0) raw_die(url.host);
    url.address = *(struct sockaddr_in *)(void *)list->ai_addr;
    url.address.sin_port = htons((uint16_t)port);
    freeaddrinfo(list);
    return url;
}

__attribute__((unused)) static int raw_connect(const struct raw_url *url) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) raw_die("socket");
    if (connect(fd, (const struct sockaddr *)&url->address, sizeof url->address) != 0)
        raw_die("connect");
    return fd;
}

__attribute__((unused)) static size_t raw_request(const struct raw_url *url, char *text,
                                                  size_t size) {
    int n = snprintf(text, size, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUser-Agent: raw\r\n\r\n",
                     url->path, url->host, ntohs(url->address.sin_port));
    if (n < 0 || (size_t)n >= size) raw_die("request");
    return (size_t)n;
}

__attribute__((unused)) static void raw_send(int fd, const struct raw_url *url) {
    char text[1024];
    size_t n = raw_request(url, text, sizeof text);
    if (send(fd, text, n, MSG_NOSIGNAL) != (ssize_t)n) raw_die("send");
}

/* Receives until the head is complete; what of the body came with it. */
__attribute__((unused)) static size_t raw_head(int fd) {
    char text[2048];
    size_t have = 0;
    for (;;) {
        ssize_t n = recv(fd, text + have, sizeof text - 1 - have, 0);
        if (n <= 0) raw_die("recv of the head");
        have += (size_t)n;
        text[have] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        if (end) return have - (size_t)(end + 4 - text);
        if (have == sizeof text - 1) raw_die("head too long");
    }
}

/* Receives until `left` more bytes came; false if the connection ended before. */
__attribute__((unused)) static bool raw_drain(int fd, size_t left) {
    char data[16384];
    while (left > 0) {
        ssize_t n = recv(fd, data, left < sizeof data ? left : sizeof data, 0);
        if (n < 0) raw_die("recv");
        if (n == 0) return false;
        left -= (size_t)n;
    }
    return true;
}

#endif
