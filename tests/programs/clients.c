/*
 * How a program deals with its HTTP client, by hand: `clients MODE N URL` asks N times for 100 bytes; the modes are fresh (a
 * client for each request, never closed), shared (one for all), closed (fresh, and closed), burst (N opened before the first
 * asks), threads (each thread has one of its own, and keeps it).
 */
#include <pthread.h>

#include "raw.h"

static struct raw_url url;

struct client {
    int fd;
};

static void client_ask(struct client *client) {
    raw_send(client->fd, &url);
    if (!raw_drain(client->fd, 100 - raw_head(client->fd))) raw_die("the body ended early");
}

static void *own_client(void *argument) {
    struct client *client = argument;
    client->fd = raw_connect(&url); /* threads */
    client_ask(client);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: clients MODE N URL\n");
        return 2;
    }
    const char *mode = argv[1];
    int n = atoi(argv[2]);
    url = raw_parse(argv[3]);
    struct client *clients = calloc((size_t)n, sizeof *clients), shared = {-1};
    if (!clients) raw_die("memory");
    if (strcmp(mode, "burst") == 0)
        for (int i = 0; i < n; i++)
            clients[i].fd = raw_connect(&url); /* burst */
    if (strcmp(mode, "shared") == 0) shared.fd = raw_connect(&url);
    for (int i = 0; i < n; i++) {
        if (strcmp(mode, "threads") == 0) {
            pthread_t thread;
            if (pthread_create(&thread, NULL, own_client, &clients[i]) != 0) raw_die("thread");
            pthread_join(thread, NULL);
            continue;
        }
        if (strcmp(mode, "shared") == 0) {
            client_ask(&shared);
            continue;
        }
        if (strcmp(mode, "burst") != 0) clients[i].fd = raw_connect(&url); /* fresh */
        client_ask(&clients[i]);
        if (strcmp(mode, "closed") == 0) close(clients[i].fd);
    }
    printf("%s: %d requests\n", mode, n);
    free(clients);
    return 0;
}
