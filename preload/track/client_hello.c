/* Reads the random, the server name and the offered protocols out of a ClientHello, as far as the bytes go. */
#include "track/client_hello.h"

#include <string.h>

#define RECORD_HANDSHAKE 22u
#define HANDSHAKE_CLIENT_HELLO 1u
#define EXTENSION_SERVER_NAME 0u
#define EXTENSION_ALPN 16u
#define NAME_TYPE_HOST 0u
#define NAME_MAX_LENGTH 255u

struct cursor {
    const uint8_t *at, *end;
};

static bool skip(struct cursor *c, size_t n) {
    if ((size_t)(c->end - c->at) < n) return false;
    c->at += n;
    return true;
}

/* A big-endian number of 1 to 3 bytes. */
static bool number(struct cursor *c, unsigned size, size_t *value) {
    if ((size_t)(c->end - c->at) < size) return false;
    *value = 0;
    while (size-- > 0)
        *value = *value << 8 | *c->at++;
    return true;
}

/* Steps over a vector with a length field of that size. */
static bool skip_vector(struct cursor *c, unsigned size) {
    size_t n;
    return number(c, size, &n) && skip(c, n);
}

/* RFC 6066 section 3: a list of names, of which the only type ever defined is host_name. */
static void server_name(struct cursor c, struct client_hello *out) {
    size_t list, type, n;
    if (!number(&c, 2, &list)) return;
    while (number(&c, 1, &type) && number(&c, 2, &n)) {
        const uint8_t *name = c.at;
        if (!skip(&c, n)) return;
        if (type != NAME_TYPE_HOST || n == 0 || n > NAME_MAX_LENGTH) continue;
        out->name = name;
        out->name_length = n;
        return;
    }
}

static bool is_name(const uint8_t *bytes, size_t n, const char *name) {
    return strlen(name) == n && memcmp(bytes, name, n) == 0;
}

/* RFC 7301 section 3.1: a list of protocol names. */
static void protocols(struct cursor c, struct client_hello *out) {
    size_t list, n;
    if (!number(&c, 2, &list)) return;
    while (number(&c, 1, &n)) {
        const uint8_t *name = c.at;
        if (!skip(&c, n)) return;
        if (is_name(name, n, "h2") || is_name(name, n, "http/1.1") || is_name(name, n, "http/1.0"))
            out->http = true;
    }
}

bool client_hello_parse(const uint8_t *bytes, size_t n, struct client_hello *out) {
    *out = (struct client_hello){0};
    struct cursor c = {bytes, bytes + n};
    size_t type, length, total;
    if (!number(&c, 1, &type) || type != RECORD_HANDSHAKE || !number(&c, 1, &type) || type != 3)
        return false;
    if (!skip(&c, 1) || !number(&c, 2, &length)) return false;
    /* A message that goes on in a second record is read to the end of the first. */
    if ((size_t)(c.end - c.at) > length) c.end = c.at + length;
    if (!number(&c, 1, &type) || type != HANDSHAKE_CLIENT_HELLO || !number(&c, 3, &length) ||
        !skip(&c, 2))
        return false;
    const uint8_t *random = c.at;
    if (!skip(&c, CLIENT_HELLO_RANDOM)) return true;
    out->random = random;
    if (!skip_vector(&c, 1) || !skip_vector(&c, 2) || !skip_vector(&c, 1))
        return true; /* session, ciphers, compression */
    if (!number(&c, 2, &total)) return true;
    while (number(&c, 2, &type) && number(&c, 2, &length)) {
        struct cursor extension = c;
        const bool whole = skip(&c, length);
        if (whole) extension.end = c.at;
        if (type == EXTENSION_SERVER_NAME && !out->name) server_name(extension, out);
        if (type == EXTENSION_ALPN) protocols(extension, out);
        if (!whole) break;
    }
    return true;
}
