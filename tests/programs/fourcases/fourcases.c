/* The four ways to treat a response: `fourcases URL CASE [--linger SECONDS]` does five GETs of URL in one of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http_client.h"

enum { GETS = 5 };

static struct http_body *get(struct http_client *client, const char *url) {
    struct http_response response;
    if (http_client_get(client, url, &response) != 0) exit(1);
    if (response.status != 200 || !response.body) {
        fprintf(stderr, "%s: status %d\n", url, response.status);
        exit(1);
    }
    return response.body;
}

static void read_to_the_end(struct http_body *body) {
    char buffer[16384];
    ssize_t n;
    while ((n = http_body_read(body, buffer, sizeof buffer)) > 0)
        continue;
    if (n < 0) {
        fprintf(stderr, "the response ended early\n");
        exit(1);
    }
}

static void neither_read_nor_closed(struct http_client *client, const char *url) {
    get(client, url);
}

static void closed_unread(struct http_client *client, const char *url) {
    http_body_close(get(client, url));
}

static void read_not_closed(struct http_client *client, const char *url) {
    read_to_the_end(get(client, url));
}

static void read_and_closed(struct http_client *client, const char *url) {
    struct http_body *body = get(client, url);
    read_to_the_end(body);
    http_body_close(body);
}

static void (*const cases[])(struct http_client *, const char *) = {
    neither_read_nor_closed, closed_unread, read_not_closed, read_and_closed};

int main(int argc, char **argv) {
    unsigned number = argc >= 3 ? (unsigned)atoi(argv[2]) : 0, linger = 0;
    if (argc == 5 && strcmp(argv[3], "--linger") == 0)
        linger = (unsigned)atoi(argv[4]);
    else if (argc != 3)
        number = 0;
    if (number < 1 || number > 4) {
        fprintf(stderr, "usage: fourcases URL 1|2|3|4 [--linger SECONDS]\n");
        return 2;
    }
    struct http_client *client = http_client_new();
    for (int i = 0; i < GETS; i++)
        cases[number - 1](client, argv[1]);
    printf("case %u done\n", number);
    fflush(stdout);
    sleep(linger);
    return 0;
}
