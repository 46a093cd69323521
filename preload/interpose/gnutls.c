/* GnuTLS: plaintext at gnutls_record_send and _recv, and which session works on what. */
#include <string.h>

#include "interpose/tls_call.h"

#define FLAG_SERVER 1u
#define NAME_DNS 1
#define E_AGAIN (-28)
#define E_INTERRUPTED (-52)

struct datum {
    const uint8_t *data;
    unsigned size;
};

/* ---- what we ask the library ourselves ---- */

enum { GET_RANDOM, GET_ALPN, GET_PACKET };

static size_t client_random(const struct tls_library *library, const void *session,
                            uint8_t out[32]) {
    void (*get)(const void *, struct datum *, struct datum *) =
        tls_getter((const struct tls_module *)library, GET_RANDOM);
    struct datum client = {0}, server = {0};
    if (get) get(session, &client, &server);
    if (!client.data || client.size != 32) return 0;
    memcpy(out, client.data, 32);
    return 32;
}

static int is_http2(const struct tls_library *library, const void *session) {
    int (*get)(const void *, struct datum *) =
        tls_getter((const struct tls_module *)library, GET_ALPN);
    struct datum name = {0};
    return get && get(session, &name) == 0 && name.size == 2 && name.data &&
           memcmp(name.data, "h2", 2) == 0;
}

/* No read_fd: what gnutls_transport_get_int gives is garbage when the program has functions of its
 * own for the transport. */
static const struct tls_flavor gnutls = {
    .library = {NULL, client_random, NULL, is_http2},
    .marker = "gnutls_init",
    .getters = {"gnutls_session_get_random", "gnutls_alpn_get_selected_protocol",
                "gnutls_packet_get"},
};

/* ---- plaintext ---- */

static void read_after(struct flow_read *flow, const struct tls_real *found, const void *session,
                       void *buffer, size_t wanted, ssize_t result, int error) {
    ssize_t bytes = result;
    if (result == E_INTERRUPTED) error = EINTR;
    /* An end of the socket without close_notify is an error of the library, but the end of
     * plaintext all the same. */
    else if (result < 0 && result != E_AGAIN && flow->connection && flow->connection->eof)
        bytes = error == ECONNRESET ? -1 : 0;
    else if (result < 0)
        error = EAGAIN;
    tls_read_after(flow, found, session, buffer, wanted, bytes < 0 ? -1 : bytes, error);
}

HTTPLEAK_EXPORT ssize_t gnutls_record_recv(void *session, void *buffer, size_t size) {
    TLS_FIND(gnutls, gnutls_record_recv, -1);
    if (!TLS_OUTER(session)) return call(session, buffer, size);
    struct flow_read flow;
    tls_read_before(&flow, &found, session);
    const ssize_t r = call(session, buffer, size);
    const int error = errno;
    tls_leave();
    read_after(&flow, &found, session, buffer, size, r, error);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT ssize_t gnutls_record_recv_seq(void *session, void *buffer, size_t size,
                                               unsigned char *sequence) {
    TLS_FIND(gnutls, gnutls_record_recv_seq, -1);
    if (!TLS_OUTER(session)) return call(session, buffer, size, sequence);
    struct flow_read flow;
    tls_read_before(&flow, &found, session);
    const ssize_t r = call(session, buffer, size, sequence);
    const int error = errno;
    tls_leave();
    read_after(&flow, &found, session, buffer, size, r, error);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT ssize_t gnutls_record_recv_packet(void *session, void **packet) {
    TLS_FIND(gnutls, gnutls_record_recv_packet, -1);
    if (!TLS_OUTER(session)) return call(session, packet);
    struct flow_read flow;
    tls_read_before(&flow, &found, session);
    const ssize_t r = call(session, packet);
    const int error = errno;
    tls_leave();
    void (*get)(const void *, struct datum *, unsigned char *) =
        tls_getter(found.module, GET_PACKET);
    struct datum data = {0};
    if (r > 0 && get && *packet) get(*packet, &data, NULL);
    const bool seen = r <= 0 || (data.data && data.size == (size_t)r);
    read_after(&flow, &found, session, (void *)data.data, 1, seen ? r : E_AGAIN, error);
    if (!seen) flow_read_unseen(tls_connection(session, tls_library_of(&found)), (uint64_t)r);
    errno = error;
    return r;
}

/*
 * Data NULL and size 0 sends on what an earlier call gave EAGAIN for; its result is that of the
 * earlier call, whose bytes are the program's no more.
 */
static void write_after(struct flow_write *flow, const struct tls_real *found, const void *session,
                        const struct iovec *iov, ssize_t result) {
    if (result > 0 && (size_t)result > iov->iov_len) {
        tls_write_after(flow, found, session, iov, -1);
        flow_write_unseen(tls_connection(session, tls_library_of(found)), (uint64_t)result);
    } else {
        tls_write_after(flow, found, session, iov, result > 0 ? result : -1);
    }
}

HTTPLEAK_EXPORT ssize_t gnutls_record_send(void *session, const void *data, size_t size) {
    TLS_FIND(gnutls, gnutls_record_send, -1);
    if (!TLS_OUTER(session)) return call(session, data, size);
    const struct iovec iov = {(void *)data, size};
    struct flow_write flow;
    const struct stack_caller caller = STACK_CALLER();
    tls_write_before(&flow, &found, session, &iov, &caller);
    const ssize_t r = call(session, data, size);
    const int error = errno;
    tls_leave();
    write_after(&flow, &found, session, &iov, r);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT ssize_t gnutls_record_send2(void *session, const void *data, size_t size,
                                            size_t pad, unsigned flags) {
    TLS_FIND(gnutls, gnutls_record_send2, -1);
    if (!TLS_OUTER(session)) return call(session, data, size, pad, flags);
    const struct iovec iov = {(void *)data, size};
    struct flow_write flow;
    const struct stack_caller caller = STACK_CALLER();
    tls_write_before(&flow, &found, session, &iov, &caller);
    const ssize_t r = call(session, data, size, pad, flags);
    const int error = errno;
    tls_leave();
    write_after(&flow, &found, session, &iov, r);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT ssize_t gnutls_record_send_range(void *session, const void *data, size_t size,
                                                 const void *range) {
    TLS_FIND(gnutls, gnutls_record_send_range, -1);
    if (!TLS_OUTER(session)) return call(session, data, size, range);
    const struct iovec iov = {(void *)data, size};
    struct flow_write flow;
    const struct stack_caller caller = STACK_CALLER();
    tls_write_before(&flow, &found, session, &iov, &caller);
    const ssize_t r = call(session, data, size, range);
    const int error = errno;
    tls_leave();
    write_after(&flow, &found, session, &iov, r);
    errno = error;
    return r;
}

/* What was sent while the session was corked counted then. */
HTTPLEAK_EXPORT int gnutls_record_uncork(void *session, unsigned flags) {
    TLS_FIND(gnutls, gnutls_record_uncork, -1);
    if (!TLS_OUTER(session)) return call(session, flags);
    const int r = call(session, flags);
    tls_leave();
    return r;
}

/* ---- handshake and end ---- */

HTTPLEAK_EXPORT int gnutls_init(void **session, unsigned flags) {
    TLS_FIND(gnutls, gnutls_init, -1);
    const int r = call(session, flags);
    if (r != 0 || !process_active || !*session) return r;
    const int error = errno;
    tls_object_free(*session);
    if (flags & FLAG_SERVER) tls_object_server(*session);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT void gnutls_deinit(void *session) {
    TLS_FIND(gnutls, gnutls_deinit, );
    if (process_active && session) tls_object_free(session);
    call(session);
}

HTTPLEAK_EXPORT int gnutls_handshake(void *session) {
    TLS_FIND(gnutls, gnutls_handshake, -1);
    if (!TLS_OUTER(session)) return call(session);
    const int r = call(session);
    const int error = errno;
    tls_leave();
    tls_handshake_after(session, tls_library_of(&found), r == 0);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT int gnutls_bye(void *session, int how) {
    TLS_FIND(gnutls, gnutls_bye, -1);
    if (!TLS_OUTER(session)) return call(session, how);
    const int r = call(session, how);
    tls_leave();
    return r;
}

HTTPLEAK_EXPORT int gnutls_server_name_set(void *session, int type, const void *name, size_t size) {
    TLS_FIND(gnutls, gnutls_server_name_set, -1);
    const int r = call(session, type, name, size);
    if (r != 0 || type != NAME_DNS || !name || !process_active) return r;
    const int error = errno;
    tls_server_name(session, name, size);
    errno = error;
    return r;
}

/* ---- what a session works on ---- */

HTTPLEAK_EXPORT void gnutls_transport_set_int2(void *session, int receive, int send) {
    TLS_FIND(gnutls, gnutls_transport_set_int2, );
    if (process_active) tls_object_reset(session);
    call(session, receive, send);
}

HTTPLEAK_EXPORT void gnutls_transport_set_ptr(void *session, void *pointer) {
    TLS_FIND(gnutls, gnutls_transport_set_ptr, );
    if (process_active) tls_object_reset(session);
    call(session, pointer);
}

HTTPLEAK_EXPORT void gnutls_transport_set_ptr2(void *session, void *receive, void *send) {
    TLS_FIND(gnutls, gnutls_transport_set_ptr2, );
    if (process_active) tls_object_reset(session);
    call(session, receive, send);
}
