/* Puts a ClientHello together: RFC 8446 section 4.1.2, RFC 6066 section 3. */
#include "tests/unit/hello.h"

#include <string.h>

static void put(struct hello *h, unsigned size, size_t value) {
    while (size-- > 0)
        h->bytes[h->size++] = (uint8_t)(value >> 8 * size);
}

static void set_length(struct hello *h, size_t at, unsigned size) {
    const size_t value = h->size - at - size;
    for (unsigned i = 0; i < size; i++)
        h->bytes[at + i] = (uint8_t)(value >> 8 * (size - 1 - i));
}

static void put_name(struct hello *h, const char *name) {
    put(h, 2, 0); /* server_name */
    put(h, 2, strlen(name) + 5);
    put(h, 2, strlen(name) + 3);
    put(h, 1, 0); /* host_name */
    put(h, 2, strlen(name));
    memcpy(h->bytes + h->size, name, strlen(name));
    h->size += strlen(name);
    h->name_end = h->size;
}

/* RFC 7301 section 3.1 */
static void put_protocol(struct hello *h, const char *name) {
    put(h, 2, 16); /* application_layer_protocol_negotiation */
    put(h, 2, strlen(name) + 3);
    put(h, 2, strlen(name) + 1);
    put(h, 1, strlen(name));
    memcpy(h->bytes + h->size, name, strlen(name));
    h->size += strlen(name);
}

struct hello hello_make(const char *name, uint8_t seed) {
    return hello_offering(name, seed, NULL);
}

struct hello hello_offering(const char *name, uint8_t seed, const char *protocol) {
    struct hello h = {0};
    put(&h, 3, 0x160301); /* handshake record */
    put(&h, 2, 0);
    put(&h, 1, 1); /* client_hello */
    put(&h, 3, 0);
    put(&h, 2, 0x0303);
    for (unsigned i = 0; i < 32; i++)
        put(&h, 1, (uint8_t)(seed * 37 + i * 11 + 1));
    put(&h, 1, 32); /* session id */
    for (unsigned i = 0; i < 32; i++)
        put(&h, 1, i);
    put(&h, 2, 4); /* cipher suites */
    put(&h, 4, 0x13011302);
    put(&h, 2, 0x0100); /* compression: none */
    const size_t extensions = h.size;
    put(&h, 2, 0);
    put(&h, 4, 0x00170000); /* extended_master_secret */
    if (name) put_name(&h, name);
    if (protocol) put_protocol(&h, protocol);
    put(&h, 4, 0x002b0003); /* supported_versions */
    put(&h, 3, 0x020304);
    set_length(&h, extensions, 2);
    set_length(&h, 6, 3);
    set_length(&h, 3, 2);
    return h;
}
