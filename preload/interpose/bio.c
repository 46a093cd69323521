/*
 * OpenSSL's BIO_f_ssl: a BIO that is an SSL object (BIO_new_ssl_connect). Its reads and writes call
 * SSL_read's inside directly, so they are taken here. Only calls on that very BIO count: what goes
 * through a buffer before it comes by as a call of libcrypto.
 */
#include "interpose/openssl.h"
#include "interpose/tls_call.h"

#define TYPE_SSL 0x0207
#define CTRL_GET_SSL 110

enum { METHOD_TYPE, CTRL };

static const struct tls_flavor bio = {.marker = "BIO_new",
                                      .getters = {"BIO_method_type", "BIO_ctrl"}};

/* The SSL object behind an outermost call on such a BIO, else NULL. */
static void *ssl_of(const struct tls_real *found, void *b) {
    int (*method_type)(const void *) = tls_getter(found->module, METHOD_TYPE);
    long (*ctrl)(void *, int, long, void *) = tls_getter(found->module, CTRL);
    void *ssl = NULL;
    if (!process_active || !b || !method_type || !ctrl || method_type(b) != TYPE_SSL ||
        tls_current())
        return NULL;
    return ctrl(b, CTRL_GET_SSL, 0, &ssl) > 0 ? ssl : NULL;
}

/* The library of that object: what the caller's SSL_read would be. */
#define SSL_OUTER(b, ssl, ssl_found)                                                               \
    struct tls_real ssl_found;                                                                     \
    void *const ssl = ssl_of(&found, (b));                                                         \
    if (!ssl || !tls_real_find(&ssl_found, &openssl, "SSL_read", __builtin_return_address(0)) ||   \
        !tls_enter(ssl, false))

HTTPLEAK_EXPORT int BIO_read(void *b, void *buffer, int size) {
    TLS_FIND(bio, BIO_read, -1);
    SSL_OUTER(b, ssl, library) return call(b, buffer, size);
    struct flow_read flow;
    tls_read_before(&flow, &library, ssl);
    const int r = call(b, buffer, size);
    const int error = errno;
    tls_leave();
    openssl_read_after(&flow, &library, ssl, buffer, size > 0 ? (size_t)size : 0, r,
                       r > 0 ? (size_t)r : 0, error);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT int BIO_read_ex(void *b, void *buffer, size_t size, size_t *bytes) {
    TLS_FIND(bio, BIO_read_ex, 0);
    SSL_OUTER(b, ssl, library) return call(b, buffer, size, bytes);
    struct flow_read flow;
    tls_read_before(&flow, &library, ssl);
    const int r = call(b, buffer, size, bytes);
    const int error = errno;
    tls_leave();
    openssl_read_after(&flow, &library, ssl, buffer, size, r, r == 1 && bytes ? *bytes : 0, error);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT int BIO_write(void *b, const void *buffer, int size) {
    TLS_FIND(bio, BIO_write, -1);
    SSL_OUTER(b, ssl, library) return call(b, buffer, size);
    const struct iovec iov = {(void *)buffer, size > 0 ? (size_t)size : 0};
    struct flow_write flow;
    const struct stack_caller caller = STACK_CALLER();
    tls_write_before(&flow, &library, ssl, &iov, &caller);
    const int r = call(b, buffer, size);
    const int error = errno;
    tls_leave();
    tls_write_after(&flow, &library, ssl, &iov, r > 0 ? r : -1);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT int BIO_write_ex(void *b, const void *buffer, size_t size, size_t *bytes) {
    TLS_FIND(bio, BIO_write_ex, 0);
    SSL_OUTER(b, ssl, library) return call(b, buffer, size, bytes);
    const struct iovec iov = {(void *)buffer, size};
    struct flow_write flow;
    const struct stack_caller caller = STACK_CALLER();
    tls_write_before(&flow, &library, ssl, &iov, &caller);
    const int r = call(b, buffer, size, bytes);
    const int error = errno;
    tls_leave();
    tls_write_after(&flow, &library, ssl, &iov, r == 1 && bytes ? (ssize_t)*bytes : -1);
    errno = error;
    return r;
}
