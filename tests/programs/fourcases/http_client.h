/*
 * An HTTP/1.1 client built as Go's net/http Transport is: every connection has a reader and a writer thread, parked on condition
 * variables between requests, and goes back to a keep-alive pool once its response body was read to the end.
 *
 * The caller owns every body that it gets: a body that is neither read to its end nor closed keeps its connection and both
 * threads for ever; one that is closed early costs the connection. All functions may be called from any thread, but a body only
 * from one at a time.
 */
#ifndef FOURCASES_HTTP_CLIENT_H
#define FOURCASES_HTTP_CLIENT_H

#include <sys/types.h>

struct http_client;
struct http_body;

struct http_response {
    int status;
    long long length;       /* bytes of the body, -1: not announced */
    struct http_body *body; /* NULL: the response has none */
};

struct http_client *http_client_new(void);

/* http:// and https:// (whose certificate is not verified). 0, or -1 with one line on stderr. */
int http_client_get(struct http_client *client, const char *url, struct http_response *response);

/* Bytes read, 0 at the end of the body, -1 if the connection failed or sent something that is not HTTP. */
ssize_t http_body_read(struct http_body *body, void *buffer, size_t size);

void http_body_close(struct http_body *body);

#endif
