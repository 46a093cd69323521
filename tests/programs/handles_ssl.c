/*
 * SSL objects, well and badly kept: `handles_ssl URL MODE COUNT` makes COUNT requests over a connection each, closes each
 * connection, and treats the SSL objects in the way of MODE.
 */
#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "raw.h"

static SSL_CTX *context;

/* One request on a fresh connection, read to its end; the socket is closed, the object is not freed. */
static void request(SSL *ssl, const struct raw_url *url) {
    const int fd = raw_connect(url);
    char text[1024], data[16384];
    const size_t n = raw_request(url, text, sizeof text);
    if (SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) raw_die("TLS handshake");
    if (SSL_write(ssl, text, (int)n) != (int)n) raw_die("SSL_write");
    int got, total = 0;
    do { /* the head and the 64 bytes of /bytes/64 */
        got = SSL_read(ssl, data + total, (int)sizeof data - 1 - total);
        if (got <= 0) raw_die("SSL_read");
        data[total += got] = '\0';
    } while (!strstr(data, "\r\n\r\n") || strlen(strstr(data, "\r\n\r\n")) < 68);
    SSL_shutdown(ssl);
    close(fd);
}

static SSL *object(void) {
    SSL *ssl = SSL_new(context);
    if (!ssl) raw_die("SSL_new");
    return ssl;
}

static void leak(const struct raw_url *url, int count) {
    for (int i = 0; i < count; i++)
        request(object(), url);
}

static void clean(const struct raw_url *url, int count) {
    for (int i = 0; i < count; i++) {
        SSL *ssl = object();
        request(ssl, url);
        SSL_free(ssl);
    }
}

/* With one reference more, which has to be given back too. */
static void referred(const struct raw_url *url, int count) {
    for (int i = 0; i < count; i++) {
        SSL *ssl = object();
        SSL_up_ref(ssl);
        SSL_free(ssl);
        request(ssl, url);
        SSL_free(ssl);
    }
}

static void leak_reference(const struct raw_url *url, int count) {
    for (int i = 0; i < count; i++) {
        SSL *ssl = object();
        SSL_up_ref(ssl);
        request(ssl, url);
        SSL_free(ssl);
    }
}

/* One object for all, cleared between. */
static void reuse(const struct raw_url *url, int count) {
    SSL *ssl = object();
    for (int i = 0; i < count; i++) {
        request(ssl, url);
        if (SSL_clear(ssl) != 1) raw_die("SSL_clear");
    }
}

/* Freed by the BIO that it was given to, inside the library. */
static void by_bio(const struct raw_url *url, int count) {
    for (int i = 0; i < count; i++) {
        SSL *ssl = object();
        BIO *bio = BIO_new(BIO_f_ssl());
        BIO_set_ssl(bio, ssl, BIO_CLOSE);
        request(ssl, url);
        BIO_free_all(bio);
    }
}

static const struct {
    const char *name;
    void (*run)(const struct raw_url *, int count);
} modes[] = {{"leak", leak},         {"clean", clean},
             {"referred", referred}, {"leak-reference", leak_reference},
             {"reuse", reuse},       {"bio", by_bio}};

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    const struct raw_url url = raw_parse(argv[1]);
    context = SSL_CTX_new(TLS_client_method());
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i].name, argv[2]) == 0) {
            modes[i].run(&url, atoi(argv[3]));
            puts("done");
            return 0;
        }
    return 2;
}
