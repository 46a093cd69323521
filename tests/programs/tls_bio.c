/*
 * An https GET through OpenSSL's own connecting BIO, with no SSL_ call for its bytes:
 *
 *   tls_bio plain|buffered|ex URL
 *
 * buffered puts a buffer in front of it, as programs do that read lines; ex uses the functions of
 * OpenSSL 1.1.1.
 */
#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "raw.h"

static BIO *ssl_bio(const struct raw_url *url) {
    char port[8];
    snprintf(port, sizeof port, "%d", ntohs(url->address.sin_port));
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    BIO *bio = BIO_new_ssl_connect(context);
    BIO_set_conn_hostname(bio, "127.0.0.1");
    BIO_set_conn_port(bio, port);
    SSL_CTX_free(context);
    return bio;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    const struct raw_url url = raw_parse(argv[2]);
    const int buffered = strcmp(argv[1], "buffered") == 0, ex = strcmp(argv[1], "ex") == 0;
    BIO *bio = ssl_bio(&url);
    if (BIO_do_handshake(bio) <= 0) raw_die("handshake");
    if (buffered) bio = BIO_push(BIO_new(BIO_f_buffer()), bio);

    char text[8192];
    size_t total = 0,
           n = (size_t)snprintf(text, sizeof text,
                                "GET %s HTTP/1.1\r\nHost: bio.example\r\nConnection: close\r\n\r\n",
                                url.path);
    if (ex ? BIO_write_ex(bio, text, n, &n) != 1 : BIO_puts(bio, text) <= 0) raw_die("write");
    if (BIO_flush(bio) <= 0) raw_die("flush");
    if (buffered) {
        int line;
        do {
            line = BIO_gets(bio, text, sizeof text);
            if (line <= 0) raw_die("head");
            total += (size_t)line;
        } while (strcmp(text, "\r\n") != 0);
    }
    for (;;) {
        if (ex) {
            if (BIO_read_ex(bio, text, sizeof text, &n) != 1) break;
        } else {
            const int r = BIO_read(bio, text, sizeof text);
            if (r <= 0) break;
            n = (size_t)r;
        }
        total += n;
    }
    printf("%zu\n", total);
    BIO_free_all(bio);
    return 0;
}
