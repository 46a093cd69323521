/* The client's inside: one connection with its two threads, and the body that is being read from it. */
#ifndef FOURCASES_HTTP_CONNECTION_H
#define FOURCASES_HTTP_CONNECTION_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "http_client.h"

#ifdef ANNOTATE
#include "httpleak/client.h"
#define ANNOTATION(call) call
#else
#define ANNOTATION(call) (void)0
#endif

struct http_address {
    bool tls;
    char host[256];
    char port[8];
};

/* Whose turn it is. One exchange goes WRITE, READ, HEAD (the caller takes the response), BODY, IDLE. */
enum http_turn { TURN_IDLE, TURN_WRITE, TURN_READ, TURN_HEAD, TURN_BODY, TURN_FAILED, TURN_DEAD };

enum http_framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };

struct http_head {
    int status;
    enum http_framing framing;
    long long length;
    bool keep_alive;
};

struct http_connection {
    struct http_connection *next; /* in the pool */
    struct http_address address;
    int fd;
    SSL *ssl;
    pthread_t reader, writer;
    pthread_mutex_t lock; /* of turn; what the turn's owner uses needs no lock */
    pthread_cond_t changed_for_reader, changed_for_writer, changed_for_caller;
    enum http_turn turn;
    char request[2048];
    size_t request_size;
    struct http_head head;
    char buffer[4096];
    size_t buffer_start, buffer_end;
};

struct http_body {
    struct http_client *client;
    struct http_connection *connection; /* NULL once it went back to the pool or was closed */
    enum http_framing framing;
    long long left;     /* of the body, or of the chunk */
    bool chunk_started; /* some chunk was read: its line end comes before the next size */
    bool keep_alive;
    bool ended;
};

/* Connects, does the TLS handshake and starts both threads; NULL with one line on stderr. */
struct http_connection *http_connection_open(const struct http_address *address, SSL_CTX *tls);
/* Ends both threads and waits for them, then closes the socket. */
void http_connection_close(struct http_connection *connection);
/* Hands the request in connection->request over to the writer and waits until the reader has the head; false: it failed. */
bool http_connection_exchange(struct http_connection *connection);
/* The body was read to its end: both threads park until the next request. */
void http_connection_rest(struct http_connection *connection);
/* What the buffer holds, else straight from the socket: bytes, 0 at its end, -1. Belongs to the owner of the turn. */
ssize_t http_connection_read(struct http_connection *connection, void *data, size_t size);
/* One line without its end, through the buffer: its length, -1 at the end of the connection or when it does not fit. */
ssize_t http_connection_line(struct http_connection *connection, char *line, size_t size);

/* Reads status line and header fields; false: this is not HTTP/1. */
bool http_head_read(struct http_connection *connection, struct http_head *head);

struct http_body *http_body_new(struct http_client *client, struct http_connection *connection);
/* Takes a connection whose exchange is over back into the pool. */
void http_client_pool(struct http_client *client, struct http_connection *connection);

#endif
