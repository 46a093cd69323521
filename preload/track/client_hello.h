/* The ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2) in the first TLS record of a
 * connection. */
#ifndef TRACK_CLIENT_HELLO_H
#define TRACK_CLIENT_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_HELLO_RANDOM 32u

struct client_hello { /* both point into the bytes that were parsed */
    const uint8_t
        *random; /* CLIENT_HELLO_RANDOM bytes; NULL: the bytes end before it is complete */
    const uint8_t
        *name; /* host name of the SNI extension, not NUL terminated; NULL: none in the bytes */
    size_t name_length;
    bool http; /* ALPN offers HTTP (RFC 7301 section 6: http/1.0, http/1.1, h2) */
};

/* False: no ClientHello. What a cut one still shows is given all the same. Reads nothing beyond. */
bool client_hello_parse(const uint8_t *bytes, size_t n, struct client_hello *out);

#endif
