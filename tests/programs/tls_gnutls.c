/*
 * An https GET over one GnuTLS session: tls_gnutls nested|random|packet|resume URL [half]
 *
 * nested: transport functions of the program's own that do the socket I/O, the ClientHello going
 * out in two pieces. random: ones that only move bytes to and from memory, the socket I/O being
 * done outside. packet: gnutls_record_recv_packet. resume: a socket that does not block and takes
 * little at a time, for a POST whose sends are resumed in the ways that GnuTLS knows.
 */
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <stdint.h>

#include "raw.h"

#define UPLOAD 3000000

static int fd;
static bool is_nested, is_random;

struct queue {
    char bytes[1 << 18];
    size_t start, end;
};
static struct queue incoming, outgoing;

static void send_all(const char *bytes, size_t n) {
    static int sends;
    size_t first = is_nested && sends++ == 0 ? 8 : n;
    for (size_t sent = 0; sent < n; first = n - sent) {
        const ssize_t r = send(fd, bytes + sent, first, MSG_NOSIGNAL);
        if (r <= 0) raw_die("send");
        sent += (size_t)r;
    }
}

static ssize_t push(gnutls_transport_ptr_t session, const void *bytes, size_t n) {
    (void)session;
    if (is_nested) {
        send_all(bytes, n);
    } else {
        if (outgoing.end + n > sizeof outgoing.bytes) raw_die("queue");
        memcpy(outgoing.bytes + outgoing.end, bytes, n);
        outgoing.end += n;
    }
    return (ssize_t)n;
}

static ssize_t pull(gnutls_transport_ptr_t session, void *bytes, size_t n) {
    if (is_nested) return recv(fd, bytes, n, 0);
    const size_t there = incoming.end - incoming.start;
    if (there == 0) {
        gnutls_transport_set_errno((gnutls_session_t)session, EAGAIN);
        return -1;
    }
    if (n > there) n = there;
    memcpy(bytes, incoming.bytes + incoming.start, n);
    incoming.start += n;
    return (ssize_t)n;
}

static int pull_timeout(gnutls_transport_ptr_t session, unsigned ms) {
    (void)session, (void)ms;
    return is_nested || incoming.end > incoming.start;
}

/* Between the calls: sends what is queued, fetches more when the library wants it. False at the end
 * of the socket. */
static bool pump(ssize_t result) {
    if (outgoing.end > 0) send_all(outgoing.bytes, outgoing.end);
    outgoing.end = 0;
    if (result != GNUTLS_E_AGAIN) return true;
    if (!is_random) return poll(&(struct pollfd){.fd = fd, .events = POLLIN | POLLOUT}, 1, -1) > 0;
    if (incoming.end > incoming.start) return true; /* it had something else to do first */
    const ssize_t n = recv(fd, incoming.bytes, sizeof incoming.bytes, 0);
    incoming.start = 0;
    incoming.end = n > 0 ? (size_t)n : 0;
    return n > 0;
}

/* The call is made again with the same data, or with none: the library has kept it. */
static void upload(gnutls_session_t session) {
    static char block[16384];
    bool with_data = false;
    for (size_t sent = 0; sent < UPLOAD;) {
        const size_t n = UPLOAD - sent < sizeof block ? UPLOAD - sent : sizeof block;
        ssize_t r = gnutls_record_send(session, block, n);
        while (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED) {
            if (poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1) < 0) raw_die("poll");
            with_data = !with_data;
            r = with_data ? gnutls_record_send(session, block, n)
                          : gnutls_record_send(session, NULL, 0);
        }
        if (r < 0) raw_die(gnutls_strerror((int)r));
        sent += (size_t)r;
    }
}

static ssize_t receive(gnutls_session_t session, bool as_packet, char *text, size_t size) {
    if (!as_packet) return gnutls_record_recv(session, text, size);
    gnutls_packet_t packet;
    const ssize_t r = gnutls_record_recv_packet(session, &packet);
    if (r > 0) gnutls_packet_deinit(packet);
    return r;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const struct raw_url url = raw_parse(argv[2]);
    is_nested = strcmp(argv[1], "nested") == 0;
    is_random = strcmp(argv[1], "random") == 0;
    const bool as_packet = strcmp(argv[1], "packet") == 0, resume = strcmp(argv[1], "resume") == 0;
    fd = raw_connect(&url);

    gnutls_certificate_credentials_t credentials;
    gnutls_session_t session;
    gnutls_certificate_allocate_credentials(&credentials);
    gnutls_init(&session, GNUTLS_CLIENT | (resume ? GNUTLS_NONBLOCK : 0));
    gnutls_set_default_priority(session);
    gnutls_server_name_set(session, GNUTLS_NAME_DNS, "steps.example", 13);
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
    if (is_nested || is_random) {
        gnutls_transport_set_ptr(session, session);
        gnutls_transport_set_push_function(session, push);
        gnutls_transport_set_pull_function(session, pull);
        gnutls_transport_set_pull_timeout_function(session, pull_timeout);
    } else {
        gnutls_transport_set_int(session, fd);
    }
    if (resume) {
        const int small = 8192;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        fcntl(fd, F_SETFL, O_NONBLOCK);
    }

    int status;
    do
        status = gnutls_handshake(session);
    while (status != 0 && !gnutls_error_is_fatal(status) && pump(status));
    if (status != 0) raw_die("handshake");
    pump(0);

    char text[1 << 14];
    const int n = snprintf(
        text, sizeof text,
        "%s %s HTTP/1.1\r\nHost: steps.example\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
        resume ? "POST" : "GET", url.path, resume ? UPLOAD : 0);
    if (gnutls_record_send(session, text, (size_t)n) != n) raw_die("request");
    if (resume) upload(session);
    pump(0);
    size_t total = 0,
           wanted = argc > 3 ? strtoul(strrchr(url.path, '/') + 1, NULL, 10) / 2 : SIZE_MAX;
    while (total < wanted) {
        const ssize_t r = receive(session, as_packet, text, sizeof text);
        if (r > 0) total += (size_t)r;
        if (r == 0 || (r < 0 && gnutls_error_is_fatal((int)r)) || !pump(r)) break;
    }
    printf("%zu\n", total);
    return 0;
}
