/* OpenSSL 1.1 and 3, and whatever has its names: plaintext at SSL_read and SSL_write, and which
 * object works on which fd. */
#include <string.h>

#include "interpose/openssl.h"
#include "interpose/tls_call.h"
#include "track/client.h"

#define CTRL_SET_TLSEXT_HOSTNAME 55
#define NAMETYPE_HOST_NAME 0
#define RECEIVED_SHUTDOWN 2
#define ERROR_WANT_READ 2
#define ERROR_WANT_WRITE 3

/* ---- what we ask the library ourselves; none of these leaves anything in its error queue ---- */

enum { GET_RBIO, GET_RFD, GET_CLIENT_RANDOM, IS_SERVER, GET_ALPN, GET_SHUTDOWN, GET_ERROR };

static void *getter(const struct tls_library *library, int which) {
    return tls_getter((const struct tls_module *)library, which);
}

/* SSL_get_rfd without a BIO puts an error into the queue, which SSL_get_error would give to the
 * program. */
static int read_fd(const struct tls_library *library, const void *ssl) {
    void *(*rbio)(const void *) = getter(library, GET_RBIO);
    int (*rfd)(const void *) = getter(library, GET_RFD);
    return rbio && rfd && rbio(ssl) ? rfd(ssl) : -1;
}

static size_t client_random(const struct tls_library *library, const void *ssl, uint8_t out[32]) {
    size_t (*get)(const void *, uint8_t *, size_t) = getter(library, GET_CLIENT_RANDOM);
    return get ? get(ssl, out, 32) : 0;
}

static int is_server(const struct tls_library *library, const void *ssl) {
    int (*get)(const void *) = getter(library, IS_SERVER);
    return get && get(ssl);
}

static int is_http2(const struct tls_library *library, const void *ssl) {
    void (*get)(const void *, const uint8_t **, unsigned *) = getter(library, GET_ALPN);
    const uint8_t *name = NULL;
    unsigned length = 0;
    if (get) get(ssl, &name, &length);
    return length == 2 && name && memcmp(name, "h2", 2) == 0;
}

const struct tls_flavor openssl = {
    .library = {read_fd, client_random, is_server, is_http2},
    .marker = "SSL_CTX_new",
    .getters = {"SSL_get_rbio", "SSL_get_rfd", "SSL_get_client_random", "SSL_is_server",
                "SSL_get0_alpn_selected", "SSL_get_shutdown", "SSL_get_error"},
};

/* Errors of the network that a read of plaintext ends with; anything else in errno is older than
 * the call. */
static bool is_network_error(int error) {
    return error == ECONNRESET || error == ETIMEDOUT || error == EPIPE || error == ECONNABORTED ||
           error == ENETDOWN || error == ENETUNREACH || error == EHOSTUNREACH;
}

/*
 * A read that gave nothing: the peer said that it ends (close_notify), or its end of the socket
 * came without that and the library does not ask for more, or there is nothing yet.
 */
static ssize_t read_outcome(const struct tls_real *found, const void *ssl,
                            const struct connection *c, int result, int *error) {
    int (*get_shutdown)(const void *) = tls_getter(found->module, GET_SHUTDOWN);
    int (*get_error)(const void *, int) = tls_getter(found->module, GET_ERROR);
    if (get_shutdown && (get_shutdown(ssl) & RECEIVED_SHUTDOWN)) return 0;
    if (c->eof && get_error) {
        const int reason = get_error(ssl, result);
        if (reason != ERROR_WANT_READ && reason != ERROR_WANT_WRITE)
            return is_network_error(*error) ? -1 : 0;
    }
    *error = EAGAIN;
    return -1;
}

void openssl_read_after(struct flow_read *flow, const struct tls_real *found, const void *ssl,
                        void *buffer, size_t wanted, int result, size_t bytes, int error) {
    ssize_t outcome = (ssize_t)bytes;
    if (bytes == 0) {
        if (!flow->connection) return;
        outcome = read_outcome(found, ssl, flow->connection, result, &error);
    }
    tls_read_after(flow, found, ssl, buffer, wanted, outcome, error);
}

/* ---- plaintext ---- */

HTTPLEAK_EXPORT int SSL_read(void *ssl, void *buffer, int size) {
    TLS_FIND(openssl, SSL_read, -1);
    if (!TLS_OUTER(ssl)) return call(ssl, buffer, size);
    struct flow_read flow;
    tls_read_before(&flow, &found, ssl);
    const int r = call(ssl, buffer, size);
    const int error = errno;
    tls_leave();
    openssl_read_after(&flow, &found, ssl, buffer, size > 0 ? (size_t)size : 0, r,
                       r > 0 ? (size_t)r : 0, error);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT int SSL_read_ex(void *ssl, void *buffer, size_t size, size_t *bytes) {
    TLS_FIND(openssl, SSL_read_ex, 0);
    if (!TLS_OUTER(ssl)) return call(ssl, buffer, size, bytes);
    struct flow_read flow;
    tls_read_before(&flow, &found, ssl);
    const int r = call(ssl, buffer, size, bytes);
    const int error = errno;
    tls_leave();
    openssl_read_after(&flow, &found, ssl, buffer, size, r, r == 1 && bytes ? *bytes : 0, error);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT int SSL_peek(void *ssl, void *buffer, int size) {
    TLS_FIND(openssl, SSL_peek, -1);
    if (!TLS_OUTER(ssl)) return call(ssl, buffer, size);
    struct flow_read flow;
    flow_peek_before(&flow, tls_connection(ssl, tls_library_of(&found)));
    const int r = call(ssl, buffer, size);
    const int error = errno;
    tls_leave();
    flow_peek_after(&flow);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT int SSL_peek_ex(void *ssl, void *buffer, size_t size, size_t *bytes) {
    TLS_FIND(openssl, SSL_peek_ex, 0);
    if (!TLS_OUTER(ssl)) return call(ssl, buffer, size, bytes);
    struct flow_read flow;
    flow_peek_before(&flow, tls_connection(ssl, tls_library_of(&found)));
    const int r = call(ssl, buffer, size, bytes);
    const int error = errno;
    tls_leave();
    flow_peek_after(&flow);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT int SSL_write(void *ssl, const void *buffer, int size) {
    TLS_FIND(openssl, SSL_write, -1);
    if (!TLS_OUTER(ssl)) return call(ssl, buffer, size);
    const struct iovec iov = {(void *)buffer, size > 0 ? (size_t)size : 0};
    struct flow_write flow;
    const struct stack_caller caller = STACK_CALLER();
    tls_write_before(&flow, &found, ssl, &iov, &caller);
    const int r = call(ssl, buffer, size);
    const int error = errno;
    tls_leave();
    tls_write_after(&flow, &found, ssl, &iov, r > 0 ? r : -1);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT int SSL_write_ex(void *ssl, const void *buffer, size_t size, size_t *bytes) {
    TLS_FIND(openssl, SSL_write_ex, 0);
    if (!TLS_OUTER(ssl)) return call(ssl, buffer, size, bytes);
    const struct iovec iov = {(void *)buffer, size};
    struct flow_write flow;
    const struct stack_caller caller = STACK_CALLER();
    tls_write_before(&flow, &found, ssl, &iov, &caller);
    const int r = call(ssl, buffer, size, bytes);
    const int error = errno;
    tls_leave();
    tls_write_after(&flow, &found, ssl, &iov, r == 1 && bytes ? (ssize_t)*bytes : -1);
    errno = error;
    return r;
}

/* Data before the handshake is over (RFC 8446 section 2.3): the ClientHello goes out in the same
 * call. */
HTTPLEAK_EXPORT int SSL_write_early_data(void *ssl, const void *buffer, size_t size,
                                         size_t *bytes) {
    TLS_FIND(openssl, SSL_write_early_data, 0);
    if (!TLS_OUTER(ssl)) return call(ssl, buffer, size, bytes);
    const struct iovec iov = {(void *)buffer, size};
    struct flow_write flow;
    const struct stack_caller caller = STACK_CALLER();
    tls_write_before(&flow, &found, ssl, &iov, &caller);
    const int r = call(ssl, buffer, size, bytes);
    const int error = errno;
    tls_leave();
    tls_write_after(&flow, &found, ssl, &iov, r == 1 && bytes ? (ssize_t)*bytes : -1);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT ssize_t SSL_sendfile(void *ssl, int fd, off_t offset, size_t size, int flags) {
    TLS_FIND(openssl, SSL_sendfile, -1);
    if (!TLS_OUTER(ssl)) return call(ssl, fd, offset, size, flags);
    struct connection *c = tls_connection(ssl, tls_library_of(&found));
    const ssize_t r = call(ssl, fd, offset, size, flags);
    const int error = errno;
    tls_leave();
    if (r > 0) flow_write_unseen(c, (uint64_t)r);
    errno = error;
    return r;
}

/* ---- handshake and end ---- */

HTTPLEAK_EXPORT int SSL_connect(void *ssl) {
    TLS_FIND(openssl, SSL_connect, -1);
    if (!TLS_OUTER(ssl)) return call(ssl);
    const int r = call(ssl);
    const int error = errno;
    tls_leave();
    tls_handshake_after(ssl, tls_library_of(&found), r == 1);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT int SSL_do_handshake(void *ssl) {
    TLS_FIND(openssl, SSL_do_handshake, -1);
    if (!TLS_OUTER(ssl)) return call(ssl);
    const int r = call(ssl);
    const int error = errno;
    tls_leave();
    tls_handshake_after(ssl, tls_library_of(&found), r == 1);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT int SSL_shutdown(void *ssl) {
    TLS_FIND(openssl, SSL_shutdown, -1);
    if (!TLS_OUTER(ssl)) return call(ssl);
    const int r = call(ssl);
    tls_leave();
    return r;
}

/* ---- what an object works on ---- */

/* Not when the library does it by itself: every handshake begins with SSL_clear, inside
 * SSL_connect. Inside an executable that is known by the call under way alone. */
#define RESET(ssl)                                                                                 \
    do {                                                                                           \
        if (process_active && !found.from_library && !(found.carried && tls_current() == ssl))     \
            tls_object_reset(ssl), client_restarted(ssl);                                          \
    } while (0)

HTTPLEAK_EXPORT int SSL_set_fd(void *ssl, int fd) {
    TLS_FIND(openssl, SSL_set_fd, 0);
    RESET(ssl);
    return call(ssl, fd);
}

HTTPLEAK_EXPORT int SSL_set_rfd(void *ssl, int fd) {
    TLS_FIND(openssl, SSL_set_rfd, 0);
    RESET(ssl);
    return call(ssl, fd);
}

HTTPLEAK_EXPORT int SSL_set_wfd(void *ssl, int fd) {
    TLS_FIND(openssl, SSL_set_wfd, 0);
    RESET(ssl);
    return call(ssl, fd);
}

HTTPLEAK_EXPORT void SSL_set_bio(void *ssl, void *rbio, void *wbio) {
    TLS_FIND(openssl, SSL_set_bio, );
    RESET(ssl);
    call(ssl, rbio, wbio);
}

HTTPLEAK_EXPORT void SSL_set0_rbio(void *ssl, void *rbio) {
    TLS_FIND(openssl, SSL_set0_rbio, );
    RESET(ssl);
    call(ssl, rbio);
}

HTTPLEAK_EXPORT void SSL_set0_wbio(void *ssl, void *wbio) {
    TLS_FIND(openssl, SSL_set0_wbio, );
    RESET(ssl);
    call(ssl, wbio);
}

HTTPLEAK_EXPORT int SSL_clear(void *ssl) {
    TLS_FIND(openssl, SSL_clear, 0);
    RESET(ssl);
    return call(ssl);
}

HTTPLEAK_EXPORT void *SSL_new(void *context) {
    TLS_FIND(openssl, SSL_new, NULL);
    void *ssl = call(context);
    if (!process_active || !ssl) return ssl;
    const int error = errno;
    client_created(ssl, TRACE_HANDLE_SSL);
    errno = error;
    return ssl;
}

HTTPLEAK_EXPORT int SSL_up_ref(void *ssl) {
    TLS_FIND(openssl, SSL_up_ref, 0);
    const int r = call(ssl);
    if (r == 1 && process_active) client_referred(ssl);
    return r;
}

/* It may only drop a reference: an object that lives on is found again by what it shows. */
HTTPLEAK_EXPORT void SSL_free(void *ssl) {
    TLS_FIND(openssl, SSL_free, );
    if (process_active && ssl) {
        tls_object_free(ssl);
        client_freed(ssl);
    }
    call(ssl);
}

HTTPLEAK_EXPORT long SSL_ctrl(void *ssl, int command, long number, void *pointer) {
    TLS_FIND(openssl, SSL_ctrl, 0);
    const long r = call(ssl, command, number, pointer);
    if (command == CTRL_SET_TLSEXT_HOSTNAME && number == NAMETYPE_HOST_NAME && pointer && r > 0 &&
        process_active) {
        const int error = errno;
        tls_server_name(ssl, pointer, strlen(pointer));
        errno = error;
    }
    return r;
}
