/*
 * An https GET over one SSL object whose connection can be told in one way only:
 *
 *   tls_steps nested|fd|random URL [half]
 *
 * nested: a BIO of the program's own, without a fd, that does its socket I/O inside the TLS call.
 * fd: one that names its fd, but is filled and emptied outside TLS calls. random: one without a fd,
 * filled and emptied outside. The ClientHello goes out in two pieces but for random, so that no
 * single write shows its random. half: exits with half of the body unread.
 */
#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "raw.h"

static int fd;
static int is_nested, is_fd, is_split;

struct queue {
    char bytes[1 << 18];
    size_t start, end;
};
static struct queue incoming, outgoing;

static void send_all(const char *bytes, size_t n) {
    static int sends;
    size_t first = is_split && sends++ == 0 ? 8 : n;
    for (size_t sent = 0; sent < n; first = n - sent) {
        const ssize_t r = send(fd, bytes + sent, first, MSG_NOSIGNAL);
        if (r <= 0) raw_die("send");
        sent += (size_t)r;
    }
}

static int bio_write(BIO *bio, const char *bytes, int n) {
    (void)bio;
    if (is_nested) {
        send_all(bytes, (size_t)n);
    } else {
        if (outgoing.end + (size_t)n > sizeof outgoing.bytes) raw_die("queue");
        memcpy(outgoing.bytes + outgoing.end, bytes, (size_t)n);
        outgoing.end += (size_t)n;
    }
    return n;
}

static int bio_read(BIO *bio, char *bytes, int n) {
    BIO_clear_retry_flags(bio);
    if (is_nested) return (int)recv(fd, bytes, (size_t)n, 0);
    const size_t there = incoming.end - incoming.start;
    if (there == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if ((size_t)n > there) n = (int)there;
    memcpy(bytes, incoming.bytes + incoming.start, (size_t)n);
    incoming.start += (size_t)n;
    return n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number;
    if (command == BIO_CTRL_FLUSH) return 1;
    if (command == BIO_C_GET_FD && is_fd) {
        if (pointer) *(int *)pointer = fd;
        return fd;
    }
    return 0;
}

/* Between the TLS calls: what is queued goes out; if the library wants more, more is read. False at
 * the end of the socket. */
static int pump(SSL *ssl, int result) {
    if (outgoing.end > 0) send_all(outgoing.bytes, outgoing.end);
    outgoing.end = 0;
    if (result > 0 || SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ) return result > 0;
    const ssize_t n = recv(fd, incoming.bytes, sizeof incoming.bytes, 0);
    incoming.start = 0;
    incoming.end = n > 0 ? (size_t)n : 0;
    return n > 0;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const struct raw_url url = raw_parse(argv[2]);
    is_nested = strcmp(argv[1], "nested") == 0;
    is_fd = strcmp(argv[1], "fd") == 0;
    is_split = is_nested || is_fd;
    fd = raw_connect(&url);

    const int type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | (is_fd ? BIO_TYPE_DESCRIPTOR : 0);
    BIO_METHOD *method = BIO_meth_new(type, "test");
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_ctrl(method, bio_ctrl);
    BIO *bio = BIO_new(method);
    BIO_set_init(bio, 1);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    SSL_set_tlsext_host_name(ssl, "steps.example");
    SSL_set_bio(ssl, bio, bio);

    int r;
    do
        r = SSL_connect(ssl);
    while (r != 1 && pump(ssl, r));
    if (r != 1) raw_die("handshake");

    char text[1 << 14];
    const int n =
        snprintf(text, sizeof text,
                 "GET %s HTTP/1.1\r\nHost: steps.example\r\nConnection: close\r\n\r\n", url.path);
    if (SSL_write(ssl, text, n) != n) raw_die("SSL_write");
    pump(ssl, 1);
    size_t total = 0,
           wanted = argc > 3 ? strtoul(strrchr(url.path, '/') + 1, NULL, 10) / 2 : SIZE_MAX;
    while (total < wanted) {
        r = SSL_read(ssl, text, sizeof text);
        if (r > 0) total += (size_t)r;
        if (!pump(ssl, r) && r <= 0) break;
    }
    printf("%zu\n", total);
    return 0;
}
