/*
 * The table behind tls.c: what is known of a TLS object, by its address, and of a ClientHello, by
 * its random.
 *
 * Fixed size, lock-free, never allocates, may be called from signal handlers. Values of another
 * fork generation read as unknown, so a child needs not clear what it inherited.
 */
#ifndef TRACK_ASSOCIATION_H
#define TRACK_ASSOCIATION_H

#include <stdbool.h>
#include <stdint.h>

enum association_kind {
    ASSOCIATION_UNKNOWN = 0,
    ASSOCIATION_CONNECTION, /* payload: slot and id of a connection */
    ASSOCIATION_OBJECT,     /* under a random: payload is the object that will use it */
    ASSOCIATION_WAITING, /* an object whose random is known (payload) and was not seen on the wire
                            yet */
    ASSOCIATION_NAME,    /* the server name set for an object: payload is a string id */
    ASSOCIATION_SERVER,  /* the object is a server's */
    ASSOCIATION_TUNNEL,  /* its plaintext is the ciphertext of another object; payload as CONNECTION
                          */
    ASSOCIATION_FOREIGN, /* it runs over nothing of ours */
    ASSOCIATION_GONE     /* its connection has ended */
};

struct association {
    enum association_kind kind;
    uint64_t payload; /* at most ASSOCIATION_PAYLOAD bits */
};
#define ASSOCIATION_PAYLOAD 53

/* Keys: an object; its server name; a random (a hash of ASSOCIATION_PAYLOAD bits, not 0). Objects
 * are aligned to 8 bytes or more. */
static inline uint64_t association_object_key(const void *object) {
    return (uint64_t)(uintptr_t)object;
}
static inline uint64_t association_name_key(const void *object) {
    return (uint64_t)(uintptr_t)object | 2;
}
static inline uint64_t association_random_key(uint64_t random) {
    return random << 3 | 1;
}

/* A connection's slot index and id as a payload; the low 32 bits of the id tell its slot's users
 * apart. */
static inline uint64_t association_payload(uint32_t slot, uint64_t id) {
    return (uint64_t)(slot & 0x1fffff) << 32 | (uint32_t)id;
}
static inline uint32_t association_slot(uint64_t payload) {
    return (uint32_t)(payload >> 32);
}
static inline uint32_t association_id(uint64_t payload) {
    return (uint32_t)payload;
}

struct association association_find(uint64_t key);
/*
 * Sets or replaces. stale says of a connection's payload that the connection is gone: with a full
 * bucket such entries make room, then those that can be found out again. False: no place.
 */
bool association_set(uint64_t key, struct association, bool (*stale)(uint64_t payload));
void association_remove(uint64_t key);

#endif
