/*
 * TLS objects (SSL *, gnutls_session_t) and the connections they run on, found in three steps: the socket calls nested in a TLS
 * call, the object's read fd, the ClientHello's random (memory BIOs). Objects are told apart by their address only.
 */
#ifndef TRACK_TLS_H
#define TRACK_TLS_H

#include "track/connection.h"

struct tls_library { /* asked for evidence only when an object is not known yet; each may be NULL */
    int (*read_fd)(const void *object);                               /* -1: none */
    size_t (*client_random)(const void *object, unsigned char out[32]); /* bytes given */
    int (*is_server)(const void *object);
    int (*alpn)(const void *object, const unsigned char **name, unsigned *length);
};

/*
 * A TLS call on object begins / is over. Nested calls (a library that calls its own exported functions) return false from
 * tls_enter and must do nothing but the real call. A cancelled or longjmp'ed call heals itself: the stack pointer tells.
 */
bool tls_enter(const void *object);
void tls_leave(void);
/* The object of the TLS call that this socket call is nested in; NULL outside. */
const void *tls_current(void);

/* The connection of an object, NULL if it is none of ours or not known. library gives what steps 2 and 3 need. */
struct connection *tls_connection(const void *object, const struct tls_library *library);
/* After a handshake call returned: steps 2 and 3, ALPN. */
void tls_handshake_after(const void *object, const struct tls_library *library, bool finished);
/* The name the program asked for (SNI). */
void tls_server_name(const void *object, const char *name, size_t n);
/* The program tied an fd to the object by itself. */
void tls_fd_set(const void *object, int fd);
/* The object is gone or starts anew. */
void tls_object_free(const void *object);
/* End of the plaintext stream (close_notify received). */
void tls_eof(const void *object);

/* From flow.c: ciphertext is about to go out / came in on a connection, maybe nested in a TLS call. */
void tls_wire_write(struct connection *, const uint8_t *bytes, size_t n, bool first);
void tls_wire_read(struct connection *, const uint8_t *bytes, size_t n);
/* The connection ended. */
void tls_connection_closed(struct connection *);
void tls_after_fork(void);

#endif
