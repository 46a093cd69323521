/*
 * TLS objects (SSL *, gnutls_session_t) and the connections they run on, found in three steps: the
 * socket calls nested in a TLS call, the object's read fd, the ClientHello's random (memory BIOs).
 * Objects are told apart by their address only.
 */
#ifndef TRACK_TLS_H
#define TRACK_TLS_H

#include "track/connection.h"
#include "track/flow.h"

/* The TLS library's own getters, asked for evidence only when an object is not known yet; each may
 * be NULL. */
struct tls_library {
    int (*read_fd)(const struct tls_library *, const void *object); /* -1: none */
    size_t (*client_random)(const struct tls_library *, const void *object,
                            uint8_t out[32]); /* bytes given */
    int (*is_server)(const struct tls_library *, const void *object);
    int (*is_http2)(const struct tls_library *, const void *object); /* ALPN chose "h2" */
};

/*
 * A TLS call on object begins / is over. from_library: the caller is the TLS library itself. Nested
 * calls (a library that calls its own exported functions, TLS inside TLS) return false from
 * tls_enter and must do nothing but the real call. A cancelled or longjmp'ed call heals itself: the
 * stack pointer and the caller tell.
 */
bool tls_enter(const void *object, bool from_library);
void tls_leave(void);
/* The object of the TLS call that this socket call is nested in; NULL outside. */
const void *tls_current(void);

/* The connection of an object, NULL if it is none of ours or not known. library gives what steps 2
 * and 3 need; may be NULL. */
struct connection *tls_connection(const void *object, const struct tls_library *library);
/*
 * The same after a call that found nothing before it and brought or took plaintext, so that the
 * handshake was part of it. finished: it is over, so an object that is still unknown is none of
 * ours.
 */
struct connection *tls_connection_late(const void *object, const struct tls_library *library,
                                       bool finished);
/* After a handshake call returned: steps 2 and 3, ALPN. */
void tls_handshake_after(const void *object, const struct tls_library *library, bool finished);
/* The name the program asked for (SNI); it stands in the ClientHello as well, except an encrypted
 * one. */
void tls_server_name(const void *object, const char *name, size_t n);
/* The object was made for the server's side. */
void tls_object_server(const void *object);
/* It starts anew or was tied to another fd: what was known of its connection does not hold any
 * more. */
void tls_object_reset(const void *object);
/* The object is gone (or was just made at an address that had another one before). */
void tls_object_free(const void *object);

/* From the flow: ciphertext is about to go out / came in on a connection, maybe nested in a TLS call.
 * first: its first bytes. */
void tls_wire_write(struct connection *, const uint8_t *bytes, size_t n, bool first);
void tls_wire_read(struct connection *, const uint8_t *bytes, size_t n);
/* The plaintext of the connection's object turned out to be the ciphertext of another one. */
void tls_inside_tls(struct connection *, const uint8_t *bytes, size_t n);
/*
 * TLS in the kernel: from here on plain writes (reads) of the socket carry plaintext, except those that a TLS library makes
 * inside a call of its own, which tells of them itself.
 */
enum kernel_tls { KERNEL_TLS_WRITES = 1, KERNEL_TLS_READS = 2 };
void tls_kernel(struct connection *, enum kernel_tls direction);
static inline enum flow_layer tls_layer(const struct connection *c, enum kernel_tls direction) {
    if (__builtin_expect(!c || !(c->kernel_tls & direction), 1)) return FLOW_WIRE;
    return tls_current() ? FLOW_WIRE : FLOW_PLAINTEXT;
}
/* The connection ended. */
void tls_connection_closed(struct connection *);
void tls_after_fork(void);

#endif
