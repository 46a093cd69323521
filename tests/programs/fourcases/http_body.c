/* Response heads and bodies: where a body ends, and what becomes of its connection then. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_connection.h"

static bool field_is(const char *line, const char *name, const char **value) {
    size_t n = strlen(name);
    if (strncasecmp(line, name, n) != 0 || line[n] != ':') return false;
    *value = line + n + 1 + strspn(line + n + 1, " \t");
    return true;
}

bool http_head_read(struct http_connection *connection, struct http_head *head) {
    char line[1024];
    const char *value;
    int minor;
    do {
        if (http_connection_line(connection, line, sizeof line) < 0) return false;
        if (sscanf(line, "HTTP/1.%1d %3d", &minor, &head->status) != 2) return false;
        head->framing = FRAMING_CLOSE, head->length = -1, head->keep_alive = minor >= 1;
        for (;;) {
            ssize_t n = http_connection_line(connection, line, sizeof line);
            if (n < 0) return false;
            if (n == 0) break;
            if (field_is(line, "Content-Length", &value) && head->framing != FRAMING_CHUNKED) {
                head->framing = FRAMING_LENGTH, head->length = strtoll(value, NULL, 10);
                if (head->length < 0) return false;
            } else if (field_is(line, "Transfer-Encoding", &value) &&
                       strcasecmp(value, "chunked") == 0) {
                head->framing = FRAMING_CHUNKED, head->length = -1;
            } else if (field_is(line, "Connection", &value)) {
                if (strcasecmp(value, "close") == 0) head->keep_alive = false;
                if (strcasecmp(value, "keep-alive") == 0) head->keep_alive = true;
            }
        }
    } while (head->status / 100 == 1);
    if (head->status == 204 || head->status == 304 || head->length == 0)
        head->framing = FRAMING_NONE;
    return true;
}

static void body_release(struct http_body *body) {
    struct http_connection *connection = body->connection;
    body->connection = NULL;
    if (body->ended && body->keep_alive && body->framing != FRAMING_CLOSE)
        http_client_pool(body->client, connection);
    else
        http_connection_close(connection);
}

struct http_body *http_body_new(struct http_client *client, struct http_connection *connection) {
    struct http_body *body = calloc(1, sizeof *body);
    if (!body) abort();
    *body = (struct http_body){.client = client,
                               .connection = connection,
                               .framing = connection->head.framing,
                               .keep_alive = connection->head.keep_alive};
    if (body->framing == FRAMING_LENGTH) body->left = connection->head.length;
    if (body->framing == FRAMING_NONE) {
        body->ended = true;
        body_release(body);
        free(body);
        return NULL;
    }
    ANNOTATION(httpleak_body_opened(body, connection->fd));
    return body;
}

/* As in Go, the connection goes back to the pool when the end was seen, whether the body is ever closed or not. */
static void body_end(struct http_body *body) {
    ANNOTATION(httpleak_body_drained(body));
    body->ended = true;
    body_release(body);
}

/* RFC 9112, section 7.1: the size line of the next chunk; after the last one the trailer section. False: not chunked coding. */
static bool body_next_chunk(struct http_body *body) {
    char line[1024], *end;
    if (body->chunk_started && http_connection_line(body->connection, line, sizeof line) != 0)
        return false;
    if (http_connection_line(body->connection, line, sizeof line) <= 0) return false;
    body->left = strtoll(line, &end, 16);
    if (end == line || body->left < 0) return false;
    body->chunk_started = true;
    if (body->left > 0) return true;
    ssize_t n;
    while ((n = http_connection_line(body->connection, line, sizeof line)) > 0)
        continue;
    return n == 0;
}

ssize_t http_body_read(struct http_body *body, void *buffer, size_t size) {
    if (body->ended) return 0;
    if (!body->connection) return -1;
    if (body->framing == FRAMING_CHUNKED && body->left == 0) {
        if (!body_next_chunk(body)) return -1;
        if (body->left == 0) {
            body_end(body);
            return 0;
        }
    }
    if (body->framing != FRAMING_CLOSE && (long long)size > body->left) size = (size_t)body->left;
    ssize_t n = http_connection_read(body->connection, buffer, size);
    if (body->framing == FRAMING_CLOSE) {
        if (n == 0) body_end(body);
        return n;
    }
    if (n <= 0) return -1;
    body->left -= n;
    if (body->framing == FRAMING_LENGTH && body->left == 0) body_end(body);
    return n;
}

void http_body_close(struct http_body *body) {
    ANNOTATION(httpleak_body_closed(body));
    if (body->connection) body_release(body);
    free(body);
}
