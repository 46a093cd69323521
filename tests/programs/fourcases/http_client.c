/* The client: URLs, the keep-alive pool and one GET. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_connection.h"

struct http_client {
    pthread_mutex_t lock; /* of the pool */
    struct http_connection *pool;
    SSL_CTX *tls;
};

struct http_client *http_client_new(void) {
    struct http_client *client = calloc(1, sizeof *client);
    if (!client || !(client->tls = SSL_CTX_new(TLS_client_method()))) abort();
    SSL_CTX_set_verify(client->tls, SSL_VERIFY_NONE, NULL);
    pthread_mutex_init(&client->lock, NULL);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    return client;
}

static bool address_parse(const char *url, struct http_address *address, char *path,
                          size_t path_size) {
    if (strncmp(url, "http://", 7) == 0)
        url += 7, address->tls = false;
    else if (strncmp(url, "https://", 8) == 0)
        url += 8, address->tls = true;
    else
        return false;
    size_t authority = strcspn(url, "/?#"), host = strcspn(url, ":/?#");
    if (host == 0 || host >= sizeof address->host) return false;
    memcpy(address->host, url, host);
    address->host[host] = '\0';
    memcpy(address->port, address->tls ? "443" : "80", address->tls ? 4 : 3);
    if (host < authority) {
        size_t port = authority - host - 1;
        if (port == 0 || port >= sizeof address->port) return false;
        memcpy(address->port, url + host + 1, port);
        address->port[port] = '\0';
    }
    url += authority;
    int n =
        snprintf(path, path_size, "%s%.*s", *url == '/' ? "" : "/", (int)strcspn(url, "#"), url);
    return n > 0 && (size_t)n < path_size;
}

static struct http_connection *client_take(struct http_client *client,
                                           const struct http_address *address) {
    pthread_mutex_lock(&client->lock);
    struct http_connection **place = &client->pool, *found;
    while ((found = *place)) {
        if (found->address.tls == address->tls && strcmp(found->address.host, address->host) == 0 &&
            strcmp(found->address.port, address->port) == 0) {
            *place = found->next;
            break;
        }
        place = &found->next;
    }
    pthread_mutex_unlock(&client->lock);
    return found;
}

void http_client_pool(struct http_client *client, struct http_connection *connection) {
    http_connection_rest(connection);
    pthread_mutex_lock(&client->lock);
    connection->next = client->pool;
    client->pool = connection;
    pthread_mutex_unlock(&client->lock);
}

int http_client_get(struct http_client *client, const char *url, struct http_response *response) {
    struct http_address address;
    char path[1024];
    if (!address_parse(url, &address, path, sizeof path)) {
        fprintf(stderr, "%s: not a URL\n", url);
        return -1;
    }
    for (;;) {
        struct http_connection *connection = client_take(client, &address);
        bool reused = connection != NULL;
        if (!reused && !(connection = http_connection_open(&address, client->tls))) return -1;
        connection->request_size =
            (size_t)snprintf(connection->request, sizeof connection->request,
                             "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: fourcases\r\n\r\n",
                             path, address.host, address.port);
        if (http_connection_exchange(connection)) {
            response->status = connection->head.status;
            response->length = connection->head.length;
            response->body = http_body_new(client, connection);
            return 0;
        }
        http_connection_close(connection);
        /* RFC 9112, section 9.3.1: a GET may be tried again when an idle connection turns out to be closed. */
        if (!reused) {
            fprintf(stderr, "%s: no answer\n", url);
            return -1;
        }
    }
}
