/* Names for addresses: a ring of what the resolver was asked lately, and the parts of an authority. */
#include "track/host.h"

#include <netinet/in.h>
#include <string.h>

#include "record/text.h"

#define NAMES 128u
#define NAME_MAX_LENGTH 255u
#define ADDRESSES_PER_NAME 16u

struct resolved {
    uint32_t seq; /* odd while changing */
    uint8_t family;
    uint8_t length;
    uint8_t address[16];
    char name[NAME_MAX_LENGTH + 1];
};
static struct resolved names[NAMES];
static uint32_t next;

/* The address bytes; a v4-mapped v6 address is the v4 one, as dual-stack programs connect to it. */
static unsigned address_bytes(const struct sockaddr *address, socklen_t size, uint8_t out[16],
                              uint8_t *family) {
    if (address->sa_family == AF_INET && size >= sizeof(struct sockaddr_in)) {
        memcpy(out, &((const struct sockaddr_in *)address)->sin_addr, 4);
        *family = AF_INET;
        return 4;
    }
    if (address->sa_family == AF_INET6 && size >= sizeof(struct sockaddr_in6)) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)address)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(a)) {
            memcpy(out, &a->s6_addr[12], 4);
            *family = AF_INET;
            return 4;
        }
        memcpy(out, a, 16);
        *family = AF_INET6;
        return 16;
    }
    return 0;
}

static bool entry_is(const struct resolved *entry, const uint8_t *address, unsigned n,
                     uint8_t family) {
    return entry->family == family && memcmp(entry->address, address, n) == 0;
}

/* An address given as text was not asked for by name: letters other than hex digits, or no digit at the end, make a name. */
static bool is_numeric(const char *node) {
    bool colon = false, other = false;
    for (const char *p = node; *p; p++) {
        if (*p == ':')
            colon = true;
        else if (!((*p >= '0' && *p <= '9') || *p == '.'))
            other = true;
    }
    return colon || !other;
}

static void remember(const struct sockaddr *address, socklen_t size, const char *name,
                     size_t length) {
    uint8_t bytes[16] = {0}, family = 0;
    const unsigned n = address_bytes(address, size, bytes, &family);
    if (n == 0) return;
    struct resolved *entry = NULL;
    for (unsigned i = 0; i < NAMES && !entry; i++)
        if (entry_is(&names[i], bytes, n, family)) entry = &names[i];
    if (!entry) entry = &names[__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % NAMES];
    uint32_t seq = __atomic_load_n(&entry->seq, __ATOMIC_RELAXED);
    if ((seq & 1) || !__atomic_compare_exchange_n(&entry->seq, &seq, seq + 1, false,
                                                  __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return; /* another thread writes it right now: its name is as good */
    entry->family = family;
    entry->length = (uint8_t)length;
    memcpy(entry->address, bytes, sizeof bytes);
    memcpy(entry->name, name, length);
    entry->name[length] = 0;
    __atomic_store_n(&entry->seq, seq + 2, __ATOMIC_RELEASE);
}

void host_resolved(const char *node, const struct addrinfo *list) {
    if (!node || is_numeric(node)) return;
    char lower[NAME_MAX_LENGTH + 1];
    size_t length = 0;
    for (; node[length]; length++) {
        if (length == NAME_MAX_LENGTH) return;
        const char c = node[length];
        lower[length] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    if (length > 1 && lower[length - 1] == '.') length--; /* the root's dot */
    unsigned n = 0;
    for (const struct addrinfo *a = list; a && n < ADDRESSES_PER_NAME; a = a->ai_next, n++)
        if (a->ai_addr) remember(a->ai_addr, a->ai_addrlen, lower, length);
}

bool host_name_of(const struct sockaddr *address, socklen_t address_size, char *out,
                  unsigned size) {
    uint8_t bytes[16] = {0}, family = 0;
    const unsigned n = address_bytes(address, address_size, bytes, &family);
    if (n == 0) return false;
    for (unsigned i = 0; i < NAMES; i++) {
        const uint32_t seq = __atomic_load_n(&names[i].seq, __ATOMIC_ACQUIRE);
        if (seq == 0 || (seq & 1) || !entry_is(&names[i], bytes, n, family)) continue;
        const unsigned length = names[i].length;
        if (length + 1 > size) return false;
        memcpy(out, names[i].name, length);
        out[length] = 0;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&names[i].seq, __ATOMIC_RELAXED) == seq) return true;
    }
    return false;
}

/* RFC 3986 3.2: host [":" port]; an IPv6 literal stands in brackets, which are kept. */
bool host_split(const char *authority, const char **name, unsigned *name_length, uint16_t *port) {
    const char *end = authority;
    if (*authority == '[') {
        end = strchr(authority, ']');
        if (!end) return false;
        end++;
    } else {
        while (*end && *end != ':')
            end++;
    }
    *name = authority;
    *name_length = (unsigned)(end - authority);
    *port = 0;
    if (*name_length == 0) return false;
    if (*end == 0) return true;
    if (*end != ':') return false;
    const char *rest;
    const uint64_t value = text_u64(end + 1, &rest);
    if (*rest != 0 || value > 65535) return false;
    *port = (uint16_t)value;
    return true;
}
