/* Hosts: authorities in lower case, their ports, and the peers' addresses. */
#include "track/managed_host.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "record/sys.h"
#include "record/text.h"
#include "track/managed_inside.h"

#define NAME_MOST 255u

static uint16_t from_network(uint16_t port) {
    return (uint16_t)(port >> 8 | port << 8);
}

void managed_peer_of(struct managed_peer *peer, int fd) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } address;
    char buffer[sizeof address + 32];
    struct text text = TEXT_ON(buffer);
    uint32_t size = sizeof address;
    *peer = (struct managed_peer){0};
    if (sys_call(SYS_getpeername, fd, &address, &size) != 0) return;
    if (size > sizeof address) size = sizeof address;
    if (address.any.sa_family == AF_UNIX) {
        peer->local = true;
        text_put(&text, "unix:");
    } else if (address.any.sa_family == AF_INET) {
        peer->port = from_network(address.v4.sin_port);
    } else if (address.any.sa_family == AF_INET6) {
        static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
        peer->port = from_network(address.v6.sin6_port);
        /* Go's dual-stack sockets are IPv6 ones: the peer is called what everybody calls it. */
        if (memcmp(&address.v6.sin6_addr, mapped, sizeof mapped) == 0) {
            struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = address.v6.sin6_port};
            memcpy(&v4.sin_addr, (const uint8_t *)&address.v6.sin6_addr + 12, 4);
            address.v4 = v4;
            size = sizeof v4;
        }
    }
    text_put_address(&text, &address.any, size);
    peer->name = intern_string(text.bytes, text.length);
}

/* RFC 3986 3.2: host [":" port]; an IPv6 literal stands in brackets, which are kept. False: malformed. */
static bool split(struct managed_text authority, size_t *name, uint16_t *port) {
    const char *s = authority.bytes;
    size_t end = 0;
    uint32_t value = 0;
    if (authority.size == 0) return false;
    if (s[0] == '[') {
        while (end < authority.size && s[end] != ']')
            end++;
        if (end++ == authority.size) return false;
    } else {
        while (end < authority.size && s[end] != ':')
            end++;
    }
    *name = end;
    *port = 0;
    if (end == 0 || end > NAME_MOST) return false;
    if (end == authority.size) return true;
    if (s[end] != ':') return false;
    for (size_t i = end + 1; i < authority.size; i++) {
        if (s[i] < '0' || s[i] > '9') return false;
        value = value * 10 + (uint32_t)(s[i] - '0');
        if (value > 65535) return false;
    }
    *port = (uint16_t)value;
    return true;
}

static uint32_t lower(const char *s, size_t n) {
    char name[NAME_MOST + 1];
    for (size_t i = 0; i < n; i++)
        name[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
    return intern_string(name, n);
}

static uint32_t host(const struct managed_connection *c, uint32_t name, uint16_t port) {
    if (c->scheme == TRACE_SCHEME_UNIX) name = c->peer, port = 0;
    return intern_host(name, port, c->scheme, c->peer);
}

/* The peer's address without its port. */
static uint32_t address_name(uint32_t peer) {
    if (!peer) return 0;
    const struct trace_string *s = (const void *)(trace->strings + (uint64_t)peer * 8);
    size_t n = s->length;
    while (n > 0 && s->bytes[n - 1] != ':')
        n--;
    return intern_string(s->bytes, n ? n - 1 : s->length);
}

uint32_t managed_host_first(struct managed_connection *c, struct managed_text authority) {
    size_t name;
    uint16_t port;
    if (!split(authority, &name, &port)) return host(c, address_name(c->peer), c->port);
    if (port) c->port = port;
    return host(c, lower(authority.bytes, name), c->port);
}

/* Both in one word: several requests may be under way on a connection, each with a host of its own. */
uint32_t managed_host_of(struct managed_connection *c, struct managed_text authority) {
    const uint64_t last = __atomic_load_n(&c->authority_host, __ATOMIC_ACQUIRE);
    size_t name;
    uint16_t port;
    if (intern_string_is((uint32_t)(last >> 32), authority.bytes, authority.size))
        return (uint32_t)last;
    if (authority.size > NAME_MOST + 6 || !split(authority, &name, &port))
        return __atomic_load_n(&connection_slot(c)->host, __ATOMIC_RELAXED);
    const uint32_t id = host(c, lower(authority.bytes, name), port ? port : c->port);
    const uint64_t both = (uint64_t)intern_string(authority.bytes, authority.size) << 32 | id;
    __atomic_store_n(&c->authority_host, both, __ATOMIC_RELEASE);
    return id;
}
