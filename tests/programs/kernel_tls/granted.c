/*
 * A client that has the kernel do OpenSSL's TLS, and is sure of it: kernel_tls_granted URL 1.2|1.3 ssl|plain|sendfile [half]. ssl: through
 * OpenSSL all the same. plain: write on the socket, and read where the kernel decrypts. sendfile: a POST of a file.
 */
#include <openssl/ssl.h>

#include "../raw.h"

#define RESPONSES 2

static size_t taken(SSL *ssl, bool plain, size_t wanted, int fd) {
    static char bytes[1 << 14];
    size_t total = 0;
    while (total < wanted) {
        const size_t room = wanted - total < sizeof bytes ? wanted - total : sizeof bytes;
        const ssize_t n = plain ? read(fd, bytes, room) : SSL_read(ssl, bytes, (int)room);
        if (n <= 0) raw_die("read");
        char *end = total == 0 ? memmem(bytes, (size_t)n, "\r\n\r\n", 4) : NULL;
        char *length = end ? memmem(bytes, (size_t)n, "Content-Length: ", 16) : NULL;
        if (length && wanted == SIZE_MAX)
            wanted = (size_t)(end + 4 - bytes) + strtoul(length + 16, NULL, 10);
        total += (size_t)n;
    }
    return total;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    const struct raw_url url = raw_parse(argv[1]);
    const bool plain = strcmp(argv[3], "plain") == 0, sends = strcmp(argv[3], "sendfile") == 0;
    const int version = strcmp(argv[2], "1.3") == 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    SSL *ssl = SSL_new(context);
    const int fd = raw_connect(&url);
    SSL_set_fd(ssl, fd);
    SSL_set_tlsext_host_name(ssl, "granted.example");
    if (SSL_connect(ssl) != 1) raw_die("SSL_connect");
    const bool writes = BIO_get_ktls_send(SSL_get_wbio(ssl)) > 0;
    const bool reads = BIO_get_ktls_recv(SSL_get_rbio(ssl)) > 0;
    printf("kernel:%s%s\n", writes ? " writes" : "", reads ? " reads" : "");
    if (!writes) return 3;

    for (int i = 0; i < RESPONSES; i++) {
        char head[1024];
        FILE *body = sends ? fopen(argv[0], "r") : NULL;
        if (body) fseek(body, 0, SEEK_END);
        const long size = body ? ftell(body) : 0;
        const int n =
            snprintf(head, sizeof head,
                     "%s %s HTTP/1.1\r\nHost: granted.example\r\nContent-Length: %ld\r\n\r\n",
                     sends ? "POST" : "GET", url.path, size);
        const ssize_t sent = plain ? write(fd, head, (size_t)n) : SSL_write(ssl, head, n);
        if (sent != n) raw_die("the request");
        for (long done = 0; done < size;) {
            const ossl_ssize_t part =
                SSL_sendfile(ssl, fileno(body), done, (size_t)(size - done), 0);
            if (part <= 0) raw_die("SSL_sendfile");
            done += part;
        }
        if (body) fclose(body);
        const bool half = argc > 4 && i == RESPONSES - 1;
        printf("%zu\n", taken(ssl, plain && reads, half ? 2000 : SIZE_MAX, fd));
        if (half) return 0;
    }
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
    return 0;
}
