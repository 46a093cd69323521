/*
 * What is known of a program's own objects (connections, bodies, goroutines), found by their addresses or numbers: fixed tables
 * in private memory, without locks, without libc. A key is a multiple of 8 and not 0.
 *
 * A table has a near part in front, of a few pages: keys stand there as long as there is room. A program that has few objects at a
 * time has them at ever new addresses, and the first touch of each page of the far part would cost it more than all the rest does.
 *
 * A key keeps its place from claim to free, and an entry of the caller's own array goes with each place. Whoever found a place
 * may be late: the entry can belong to another key by then. Hence pins: an entry's `word` counts who looks at it, and what its
 * end leaves to do is done by the last one out.
 */
#ifndef TRACK_MANAGED_MAP_H
#define TRACK_MANAGED_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MANAGED_WAYS 8u
#define MANAGED_NEAR 32u /* buckets */
#define MANAGED_NONE UINT32_MAX

struct managed_map {
    uint64_t *keys;   /* NULL: not made yet */
    uint8_t *entries; /* each starts with a struct managed_guard */
    uint32_t buckets; /* of the far part, a power of two */
    uint32_t entry_size;
    uint32_t shift; /* 1 << shift is about the size of what the keys are the addresses of */
    uint32_t far;   /* 1: the far part is or was in use */
    void (*leave)(
        uint32_t place,
        uint64_t todo); /* does what was left to do; the last one out calls it. May be NULL */
};

/* Makes the tables if they are not there; false: no memory. */
bool managed_map_make(struct managed_map *);
static inline void *managed_map_at(const struct managed_map *map, uint32_t place) {
    return __atomic_load_n(&map->entries, __ATOMIC_RELAXED) + (size_t)place * map->entry_size;
}
/* The two places' beginnings, in the order in which a key takes them: near, far. The first of the MANAGED_WAYS places that it can have. */
static inline uint32_t managed_map_near(uint64_t key) {
    return (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) % MANAGED_NEAR * MANAGED_WAYS;
}
static inline uint32_t managed_map_far(const struct managed_map *map, uint64_t key) {
    /* Neighbours lie side by side, as the program's allocator has them: what is in use is in few pages and cache lines. */
    const uint64_t at = key >> map->shift;
    return (MANAGED_NEAR + ((uint32_t)(at + (at >> 14) * 2657) & (map->buckets - 1))) *
           MANAGED_WAYS;
}
static inline uint64_t *managed_map_keys(const struct managed_map *map) {
    return __atomic_load_n(&map->keys, __ATOMIC_ACQUIRE);
}
/* Place of a key; MANAGED_NONE. Mostly it is the first one; search looks at all of them. */
uint32_t managed_map_search(const struct managed_map *, uint64_t key);
static inline uint32_t managed_map_find(const struct managed_map *map, uint64_t key) {
    const uint64_t *keys = managed_map_keys(map);
    const uint32_t first = managed_map_near(key);
    if (keys && __atomic_load_n(&keys[first], __ATOMIC_ACQUIRE) == key) return first;
    return managed_map_search(map, key);
}
/* A place for a key that is not there; the entry is the caller's until he publishes it. MANAGED_NONE: the bucket is full. */
uint32_t managed_map_claim(struct managed_map *, uint64_t key);
void managed_map_publish(struct managed_map *, uint32_t place, uint64_t key);
/*
 * The same where several may come with one key at once: one of them claims it, and *found is false; the others find it, *found is
 * true. The claimer must publish soon, the others wait for it.
 */
uint32_t managed_map_claim_once(struct managed_map *, uint64_t key, bool *found);
/* Nobody finds it any more; true for the one who did it. The place stays taken. */
bool managed_map_hide(struct managed_map *, uint32_t place, uint64_t key);
/* The place is free for other keys. For entries without pins; others leave GUARD_FREE to do. */
void managed_map_free(struct managed_map *, uint32_t place);
/* Forgets all: a fork child. */
void managed_map_reset(struct managed_map *);

/* ---- waiting for another thread, which is a few instructions away unless the kernel took its processor ---- */

struct managed_patience {
    uint64_t since;
    uint32_t tries;
};
/* Waits a little; false: that was enough (half a second in all). */
bool managed_patient(struct managed_patience *);

/* ---- pins ---- */

struct managed_guard {
    uint64_t
        word; /* pins in the low 32 bits; above: GUARD_BUSY, what is left to do, the owner's bits, a number of the owner's */
};
#define GUARD_PINS UINT64_C(0xffffffff)
#define GUARD_BUSY (UINT64_C(1) << 32)
#define GUARD_TODO(n) (UINT64_C(1) << (33 + (n))) /* n: 0..7 */
#define GUARD_FREE GUARD_TODO(0) /* the place is given back, after everything else */
#define GUARD_TODO_ALL (UINT64_C(0xff) << 33)
#define GUARD_OWN(n) (UINT64_C(1) << (41 + (n))) /* n: 0..6, the owner's */
#define GUARD_ONE (UINT64_C(1) << 48)            /* of the owner's number, 16 bits */
#define GUARD_NUMBER(word) ((word) >> 48)

/* Pins what has that key at the place; NULL: it is another's by now. */
void *managed_pin(struct managed_map *, uint32_t place, uint64_t key);
static inline void *managed_pin_key(struct managed_map *map, uint64_t key) {
    const uint32_t place = managed_map_find(map, key);
    return place == MANAGED_NONE ? NULL : managed_pin(map, place, key);
}
/* Takes the pin off, and does what is left to do if it was the last one. */
void managed_release(struct managed_map *, uint32_t place);
/* The same, and one off the owner's number in the same step. */
void managed_release_one(struct managed_map *, uint32_t place);
/* The same for what the caller has hidden: the last one out gives the place back. */
void managed_release_hidden(struct managed_map *, uint32_t place);
static inline uint64_t managed_flags(const struct managed_guard *guard) {
    return __atomic_load_n(&guard->word, __ATOMIC_SEQ_CST);
}
/* Whether the caller's pin is the only one: whoever comes from now on sees what the caller wrote before. */
static inline bool managed_is_alone(const struct managed_guard *guard) {
    return (managed_flags(guard) & (GUARD_PINS | GUARD_BUSY)) == 1;
}
/* Sets bits; those that were there before. */
static inline uint64_t managed_mark(struct managed_guard *guard, uint64_t bits) {
    return __atomic_fetch_or(&guard->word, bits, __ATOMIC_SEQ_CST);
}
/* Pins a fresh entry, which has no bits, before it is published: nobody else can yet, but late ones may come and go. */
static inline void managed_guard_begin(struct managed_guard *guard) {
    __atomic_fetch_add(&guard->word, 1, __ATOMIC_SEQ_CST);
}

#endif
