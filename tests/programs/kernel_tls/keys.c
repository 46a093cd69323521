/*
 * A client that gives the kernel its keys by hand, as a program without a library for it does: kernel_tls_keys URL 1.2|1.3 message|read
 * [half]. After GnuTLS's handshake the session is gone, and both directions are plain calls on the socket. message: recvmsg, which shows
 * a record's type beside it. read: read, which fails with EIO where a record is no application data; recvmsg takes that one away.
 */
#include <gnutls/gnutls.h>
#include <linux/tls.h>
#include <netinet/tcp.h>

#include "../raw.h"

#define LEVEL_TLS 282
#define RECORD_ALERT 21
#define RECORD_DATA 23

/* RFC 5288 section 3 and RFC 8446 section 5.3: what of the nonce is fixed, and what the record's number makes of it. */
static void give(int fd, gnutls_session_t session, bool reads, bool is13) {
    struct tls12_crypto_info_aes_gcm_128 info = {.info.version =
                                                     is13 ? TLS_1_3_VERSION : TLS_1_2_VERSION,
                                                 .info.cipher_type = TLS_CIPHER_AES_GCM_128};
    gnutls_datum_t mac, iv, key;
    if (gnutls_record_get_state(session, reads, &mac, &iv, &key, info.rec_seq) != 0)
        raw_die("gnutls_record_get_state");
    if (key.size != sizeof info.key) raw_die("the key's size");
    memcpy(info.key, key.data, sizeof info.key);
    memcpy(info.salt, iv.data, sizeof info.salt);
    memcpy(info.iv, is13 ? iv.data + sizeof info.salt : info.rec_seq, sizeof info.iv);
    if (setsockopt(fd, LEVEL_TLS, reads ? TLS_RX : TLS_TX, &info, sizeof info) != 0)
        raw_die("setsockopt");
}

/* A record of another kind is passed over; 0 is the peer's close_notify, too. */
static ssize_t receive_message(int fd, char *bytes, size_t size) {
    for (;;) {
        char control[CMSG_SPACE(1)];
        struct iovec iov = {bytes, size};
        struct msghdr message = {.msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof control};
        const ssize_t n = recvmsg(fd, &message, 0);
        if (n < 0) raw_die("recvmsg");
        const struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
        const unsigned char type = c && c->cmsg_level == LEVEL_TLS ? *CMSG_DATA(c) : RECORD_DATA;
        if (type == RECORD_DATA) return n;
        fprintf(stderr, "record %u\n", type);
        if (type == RECORD_ALERT) return 0;
    }
}

static ssize_t receive(int fd, bool reads, char *bytes, size_t size) {
    if (!reads) return receive_message(fd, bytes, size);
    const ssize_t n = read(fd, bytes, size);
    if (n >= 0) return n;
    if (errno != EIO) raw_die("read");
    fprintf(stderr, "EIO\n");
    return receive_message(fd, bytes, size);
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    const struct raw_url url = raw_parse(argv[1]);
    const bool is13 = strcmp(argv[2], "1.3") == 0, reads = strcmp(argv[3], "read") == 0;
    const int fd = raw_connect(&url);
    gnutls_certificate_credentials_t credentials;
    gnutls_session_t session;
    gnutls_certificate_allocate_credentials(&credentials);
    gnutls_init(&session, GNUTLS_CLIENT);
    if (gnutls_priority_set_direct(session,
                                   is13 ? "NORMAL:-CIPHER-ALL:+AES-128-GCM:-VERS-ALL:+VERS-TLS1.3"
                                        : "NORMAL:-CIPHER-ALL:+AES-128-GCM:-VERS-ALL:+VERS-TLS1.2",
                                   NULL) != 0)
        raw_die("gnutls_priority_set_direct");
    gnutls_server_name_set(session, GNUTLS_NAME_DNS, "keys.example", 12);
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
    gnutls_transport_set_int(session, fd);
    const int status = gnutls_handshake(session);
    if (status != 0) raw_die(gnutls_strerror(status));
    if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") != 0) raw_die("TCP_ULP");
    give(fd, session, false, is13);
    give(fd, session, true, is13);
    gnutls_deinit(session);

    static char bytes[1 << 16];
    /* HTTP/1.0: the server may end a body with the connection */
    const int n =
        snprintf(bytes, sizeof bytes, "GET %s HTTP/1.0\r\nHost: keys.example\r\n\r\n", url.path);
    if (write(fd, bytes, (size_t)n) != n) raw_die("write"); /* the request */
    size_t total = 0;
    const size_t wanted = argc > 4 ? 2000 : SIZE_MAX;
    for (ssize_t got = 1; total < wanted && got > 0; total += (size_t)got)
        got = receive(fd, reads, bytes, wanted < sizeof bytes ? wanted - total : sizeof bytes);
    printf("%zu\n", total);
    if (wanted == SIZE_MAX) close(fd);
    return 0;
}
