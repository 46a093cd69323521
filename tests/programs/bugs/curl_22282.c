/*
 * curl#22282: connections are taken out of use with a TLS shutdown that does not block; those whose peer has not said goodbye yet go
 * to a list of connections in shutdown, and nothing ever takes them from there: one CLOSE_WAIT for each transfer.
 */
#include <openssl/ssl.h>

#include "../raw.h"

struct transfer {
    int fd;
    SSL *ssl;
};

static struct transfer in_shutdown[16];
static int in_shutdown_count;

static struct transfer transfer_begin(SSL_CTX *context, const struct raw_url *url) {
    char text[1024];
    struct transfer t = {raw_connect(url), SSL_new(context)};
    const int n = (int)raw_request(url, text, sizeof text);
    if (SSL_set_fd(t.ssl, t.fd) != 1 || SSL_connect(t.ssl) != 1 || SSL_write(t.ssl, text, n) != n)
        raw_die("TLS");
    return t;
}

static void transfer_read(struct transfer *t) {
    char data[16384];
    while (SSL_read(t->ssl, data, sizeof data) > 0)
        continue;
}

static void connection_shutdown(struct transfer *t) {
    SSL_shutdown(t->ssl);
    in_shutdown[in_shutdown_count++] = *t; /* to be closed when the shutdown is complete */
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    const struct raw_url url = raw_parse(argv[1]);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    for (int i = 0; i < 12; i++) {
        struct transfer t = transfer_begin(context, &url);
        transfer_read(&t);
        connection_shutdown(&t);
    }
    return 0;
}
