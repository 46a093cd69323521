/* Frames seen before: one comparison in place of two tables and three names. */
#include "record/interpreter/known.h"

#include <string.h>

#define ENTRIES 4096u

static struct entry {
    uint64_t check; /* hash ^ value: half an entry of another thread's fits no hash */
    uint64_t value;
} entries[ENTRIES];

uint64_t known_hash(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * UINT64_C(0xff51afd7ed558ccd);
    return hash ^ hash >> 32;
}

uint64_t known_bytes(uint64_t hash, struct frame_text bytes) {
    uint64_t word;
    size_t i = 0;
    hash = known_hash(hash, bytes.size);
    for (; i + sizeof word <= bytes.size; i += sizeof word) {
        memcpy(&word, bytes.bytes + i, sizeof word);
        hash = known_hash(hash, word);
    }
    word = 0;
    memcpy(&word, bytes.bytes + i, bytes.size - i);
    return known_hash(hash, word);
}

uint64_t known_find(uint64_t hash) {
    const struct entry *e = &entries[hash % ENTRIES];
    const uint64_t value = __atomic_load_n(&e->value, __ATOMIC_RELAXED);
    return (__atomic_load_n(&e->check, __ATOMIC_RELAXED) ^ value) == hash ? value : 0;
}

void known_keep(uint64_t hash, uint64_t value) {
    struct entry *e = &entries[hash % ENTRIES];
    __atomic_store_n(&e->value, value, __ATOMIC_RELAXED);
    __atomic_store_n(&e->check, hash ^ value, __ATOMIC_RELAXED);
}
