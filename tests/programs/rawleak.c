/*
 * Leaks made by hand: `rawleak URL MODE COUNT [SECONDS]` leaks COUNT connections in the way of MODE, sleeps SECONDS and returns
 * from main.
 */
#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/wait.h>

#include "raw.h"

struct channel {
    int fd;
    SSL *ssl;
};

static SSL_CTX *tls;

static struct channel channel_open(const struct raw_url *url) {
    struct channel c = {.fd = raw_connect(url)};
    if (!url->tls) return c;
    if (!tls) tls = SSL_CTX_new(TLS_client_method());
    c.ssl = SSL_new(tls);
    if (!c.ssl || SSL_set_fd(c.ssl, c.fd) != 1 || SSL_set_tlsext_host_name(c.ssl, url->host) != 1 ||
        SSL_connect(c.ssl) != 1)
        raw_die("TLS handshake");
    return c;
}

static ssize_t channel_read(struct channel *c, void *data, size_t size) {
    if (!c->ssl) return recv(c->fd, data, size, 0);
    int n = SSL_read(c->ssl, data, (int)size);
    return n > 0 ? n : SSL_get_error(c->ssl, n) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static struct channel channel_ask(const struct raw_url *url) {
    struct channel c = channel_open(url);
    char text[1024];
    size_t n = raw_request(url, text, sizeof text);
    ssize_t sent = c.ssl ? SSL_write(c.ssl, text, (int)n) : send(c.fd, text, n, MSG_NOSIGNAL);
    if (sent != (ssize_t)n) raw_die("send");
    return c;
}

/* The head and what came with it: at most 2 KiB of the response. */
static struct channel channel_get(const struct raw_url *url) {
    struct channel c = channel_ask(url);
    char data[2048];
    if (channel_read(&c, data, sizeof data) <= 0) raw_die("recv");
    return c;
}

static void leak_unread(const struct raw_url *url) {
    channel_get(url);
}

/* The peer closes (use /close/N or /truncate/N); the end is seen, the descriptor kept. */
static void leak_close_wait(const struct raw_url *url) {
    struct channel c = channel_get(url);
    char data[16384];
    ssize_t n;
    while ((n = channel_read(&c, data, sizeof data)) > 0)
        continue;
    if (n < 0) raw_die("recv");
}

static void leak_unused(const struct raw_url *url) {
    raw_connect(url);
}

static void leak_copy(const struct raw_url *url) {
    struct channel c = channel_get(url);
    if (dup(c.fd) < 0) raw_die("dup");
    close(c.fd);
}

/* A vfork child shares the memory, not the descriptors: its close leaves the connection open in the parent. */
static void leak_vfork(const struct raw_url *url) {
    struct channel c = channel_get(url);
    pid_t child = vfork();
    if (child < 0) raw_die("vfork");
    if (child == 0) {
        close(c.fd);
        _exit(7);
    }
    int status;
    if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 7) raw_die("waitpid");
}

/* To a port whose queue is full: the connect takes longer than the caller's patience, and the descriptor is forgotten. */
static void leak_connecting(const struct raw_url *url) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, (const struct sockaddr *)&url->address, sizeof url->address) == 0 ||
        errno != EINPROGRESS)
        raw_die("the connect was to hang, it");
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    if (poll(&wait, 1, 100) != 0) raw_die("the connect was to time out, it");
}

static void leak_unanswered(const struct raw_url *url) {
    channel_ask(url);
}

/* As above, after waiting for the answer (/hang) for a while. */
static void leak_gave_up(const struct raw_url *url) {
    struct channel c = channel_ask(url);
    struct pollfd wait = {.fd = c.fd, .events = POLLIN};
    poll(&wait, 1, 50);
}

static const struct {
    const char *name;
    void (*leak)(const struct raw_url *);
} modes[] = {{"unread", leak_unread},         {"close-wait", leak_close_wait},
             {"unused", leak_unused},         {"copy", leak_copy},
             {"vfork", leak_vfork},           {"connecting", leak_connecting},
             {"unanswered", leak_unanswered}, {"gave-up", leak_gave_up}};

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    struct raw_url url = raw_parse(argv[1]);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(argv[2], modes[i].name) != 0) continue;
        for (int n = atoi(argv[3]); n > 0; n--)
            modes[i].leak(&url);
        printf("%s done\n", argv[2]);
        fflush(stdout);
        sleep(argc > 4 ? (unsigned)atoi(argv[4]) : 0);
        return 0;
    }
    return 2;
}
