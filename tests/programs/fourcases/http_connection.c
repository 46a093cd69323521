/* One connection: its socket and TLS, its reader and its writer thread and the handing over of turns between them. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_connection.h"

static ssize_t connection_receive(struct http_connection *c, void *data, size_t size) {
    if (c->ssl) {
        int n = SSL_read(c->ssl, data, (int)size);
        if (n > 0) return n;
        return SSL_get_error(c->ssl, n) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
    }
    ssize_t n;
    do
        n = recv(c->fd, data, size, 0);
    while (n < 0 && errno == EINTR);
    return n;
}

static bool connection_send(struct http_connection *c, const char *data, size_t size) {
    while (size > 0) {
        ssize_t n =
            c->ssl ? SSL_write(c->ssl, data, (int)size) : send(c->fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && !c->ssl && errno == EINTR) continue;
        if (n <= 0) return false;
        data += n, size -= (size_t)n;
    }
    return true;
}

ssize_t http_connection_read(struct http_connection *c, void *data, size_t size) {
    size_t buffered = c->buffer_end - c->buffer_start;
    if (buffered == 0) return connection_receive(c, data, size);
    if (size > buffered) size = buffered;
    memcpy(data, c->buffer + c->buffer_start, size);
    c->buffer_start += size;
    return (ssize_t)size;
}

ssize_t http_connection_line(struct http_connection *c, char *line, size_t size) {
    for (size_t n = 0;;) {
        if (c->buffer_start == c->buffer_end) {
            ssize_t got = connection_receive(c, c->buffer, sizeof c->buffer);
            if (got <= 0) return -1;
            c->buffer_start = 0, c->buffer_end = (size_t)got;
        }
        char byte = c->buffer[c->buffer_start++];
        if (byte == '\n') {
            if (n > 0 && line[n - 1] == '\r') n--;
            line[n] = '\0';
            return (ssize_t)n;
        }
        if (n + 1 >= size) return -1;
        line[n++] = byte;
    }
}

/* Passes the turn on, unless the connection was closed meanwhile. */
static void connection_give_turn(struct http_connection *c, enum http_turn turn) {
    pthread_mutex_lock(&c->lock);
    if (c->turn != TURN_DEAD) c->turn = turn;
    pthread_cond_signal(&c->changed_for_reader);
    pthread_cond_signal(&c->changed_for_writer);
    pthread_cond_signal(&c->changed_for_caller);
    pthread_mutex_unlock(&c->lock);
}

static bool writer_wait_for_request(struct http_connection *c) {
    pthread_mutex_lock(&c->lock);
    while (c->turn != TURN_WRITE && c->turn != TURN_DEAD)
        pthread_cond_wait(&c->changed_for_writer, &c->lock);
    bool alive = c->turn != TURN_DEAD;
    pthread_mutex_unlock(&c->lock);
    return alive;
}

static void *writer_loop(void *argument) {
    struct http_connection *c = argument;
    ANNOTATION(httpleak_worker_role(HTTPLEAK_WRITER));
    while (writer_wait_for_request(c)) {
        bool sent = connection_send(c, c->request, c->request_size);
        connection_give_turn(c, sent ? TURN_READ : TURN_FAILED);
    }
    return NULL;
}

static bool reader_wait_for_response(struct http_connection *c) {
    pthread_mutex_lock(&c->lock);
    while (c->turn != TURN_READ && c->turn != TURN_DEAD)
        pthread_cond_wait(&c->changed_for_reader, &c->lock);
    bool alive = c->turn != TURN_DEAD;
    pthread_mutex_unlock(&c->lock);
    return alive;
}

/* The caller reads the body from the socket itself; the reader stays behind the body until it was read or given up. */
static void reader_wait_for_body_end(struct http_connection *c) {
    pthread_mutex_lock(&c->lock);
    while (c->turn == TURN_HEAD || c->turn == TURN_BODY)
        pthread_cond_wait(&c->changed_for_reader, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

static void *reader_loop(void *argument) {
    struct http_connection *c = argument;
    ANNOTATION(httpleak_worker_role(HTTPLEAK_READER));
    while (reader_wait_for_response(c)) {
        bool understood = http_head_read(c, &c->head);
        connection_give_turn(c, understood ? TURN_HEAD : TURN_FAILED);
        if (understood) reader_wait_for_body_end(c);
    }
    return NULL;
}

bool http_connection_exchange(struct http_connection *c) {
    connection_give_turn(c, TURN_WRITE);
    pthread_mutex_lock(&c->lock);
    while (c->turn != TURN_HEAD && c->turn != TURN_FAILED)
        pthread_cond_wait(&c->changed_for_caller, &c->lock);
    bool ok = c->turn == TURN_HEAD;
    if (ok) c->turn = TURN_BODY;
    pthread_mutex_unlock(&c->lock);
    return ok;
}

void http_connection_rest(struct http_connection *c) {
    connection_give_turn(c, TURN_IDLE);
}

static int connection_dial(const struct http_address *address) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    int error = getaddrinfo(address->host, address->port, &hints, &list);
    if (error) {
        fprintf(stderr, "%s: %s\n", address->host, gai_strerror(error));
        return -1;
    }
    int fd = -1;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd < 0 || connect(fd, a->ai_addr, a->ai_addrlen) == 0) continue;
        fprintf(stderr, "%s:%s: %s\n", address->host, address->port, strerror(errno));
        close(fd), fd = -1;
    }
    freeaddrinfo(list);
    return fd;
}

static SSL *connection_handshake(const struct http_address *address, SSL_CTX *tls, int fd) {
    SSL *ssl = SSL_new(tls);
    if (ssl && SSL_set_fd(ssl, fd) == 1 && SSL_set_tlsext_host_name(ssl, address->host) == 1 &&
        SSL_connect(ssl) == 1)
        return ssl;
    fprintf(stderr, "%s:%s: the TLS handshake failed\n", address->host, address->port);
    SSL_free(ssl);
    return NULL;
}

struct http_connection *http_connection_open(const struct http_address *address, SSL_CTX *tls) {
    int fd = connection_dial(address);
    if (fd < 0) return NULL;
    SSL *ssl = NULL;
    struct http_connection *c = calloc(1, sizeof *c);
    if (!c || (address->tls && !(ssl = connection_handshake(address, tls, fd)))) {
        close(fd), free(c);
        return NULL;
    }
    c->address = *address, c->fd = fd, c->ssl = ssl, c->turn = TURN_IDLE;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed_for_reader, NULL);
    pthread_cond_init(&c->changed_for_writer, NULL);
    pthread_cond_init(&c->changed_for_caller, NULL);
    if (pthread_create(&c->reader, NULL, reader_loop, c) ||
        pthread_create(&c->writer, NULL, writer_loop, c)) {
        fprintf(stderr, "no more threads\n");
        exit(1);
    }
    return c;
}

void http_connection_close(struct http_connection *c) {
    connection_give_turn(c, TURN_DEAD);
    pthread_join(c->reader, NULL);
    pthread_join(c->writer, NULL);
    if (c->ssl) {
        SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
    }
    close(c->fd);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed_for_reader);
    pthread_cond_destroy(&c->changed_for_writer);
    pthread_cond_destroy(&c->changed_for_caller);
    free(c);
}
