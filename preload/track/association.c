/* A hash table of 16-byte entries: two candidate buckets of eight entries, no chains; untouched
 * pages cost nothing. */
#include "track/association.h"

#include "record/sys.h"
#include "track/process.h"

#define BUCKET_BITS 15
#define WAYS 8u
#define BUSY UINT64_MAX /* key of an entry that is being rewritten */

struct entry {
    uint64_t key; /* 0: free */
    uint64_t value;
};
static struct entry (*table)[WAYS]; /* made with the first entry */

struct place {
    struct entry *bucket[2];
};

static struct place place_of(uint64_t key) {
    const uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15);
    const uint32_t first = (uint32_t)(h >> (64 - BUCKET_BITS));
    const uint32_t second = (uint32_t)(h >> (64 - 2 * BUCKET_BITS)) & ((1u << BUCKET_BITS) - 1);
    struct entry(*buckets)[WAYS] = __atomic_load_n(&table, __ATOMIC_RELAXED);
    return (struct place){{buckets[first], buckets[first == second ? second ^ 1 : second]}};
}

static uint64_t generation(void) {
    return (uint64_t)(process_generation & 0x7f) << ASSOCIATION_PAYLOAD;
}

static uint64_t pack(struct association a) {
    return (uint64_t)a.kind << 60 | generation() |
           (a.payload & ((UINT64_C(1) << ASSOCIATION_PAYLOAD) - 1));
}

static struct association unpack(uint64_t value) {
    if ((value & (UINT64_C(0x7f) << ASSOCIATION_PAYLOAD)) != generation())
        return (struct association){0};
    return (struct association){(enum association_kind)(value >> 60),
                                value & ((UINT64_C(1) << ASSOCIATION_PAYLOAD) - 1)};
}

struct association association_find(uint64_t key) {
    if (!__atomic_load_n(&table, __ATOMIC_ACQUIRE)) return (struct association){0};
    const struct place place = place_of(key);
    for (int b = 0; b < 2; b++) {
        struct entry *bucket = place.bucket[b];
        for (unsigned i = 0; i < WAYS; i++) {
            if (__atomic_load_n(&bucket[i].key, __ATOMIC_ACQUIRE) != key) continue;
            const uint64_t value = __atomic_load_n(&bucket[i].value, __ATOMIC_ACQUIRE);
            if (__atomic_load_n(&bucket[i].key, __ATOMIC_RELAXED) == key)
                return unpack(value); /* not rewritten meanwhile */
        }
    }
    return (struct association){0};
}

/* How readily an entry gives way: 0 not at all. */
static unsigned expendable(uint64_t value, bool (*stale)(uint64_t payload)) {
    const struct association a = unpack(value);
    switch (a.kind) {
    case ASSOCIATION_UNKNOWN: return 4; /* another generation's */
    case ASSOCIATION_TUNNEL:
    case ASSOCIATION_CONNECTION: return stale && stale(a.payload) ? 3 : 0;
    case ASSOCIATION_GONE: return 2;
    default: return 1;
    }
}

/* The key stands last, so who finds it finds its value. */
static bool take(struct entry *e, uint64_t seen, uint64_t key, uint64_t value) {
    if (!__atomic_compare_exchange_n(&e->key, &seen, BUSY, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return false;
    __atomic_store_n(&e->value, value, __ATOMIC_RELEASE);
    __atomic_store_n(&e->key, key, __ATOMIC_RELEASE);
    return true;
}

/* One attempt: done, no place, or somebody else took the place that was chosen. */
enum outcome { SET, FULL, RACED };
static enum outcome set(uint64_t key, uint64_t value, bool (*stale)(uint64_t payload)) {
    const struct place place = place_of(key);
    struct entry *found = 0, *free_one = 0, *victim = 0;
    uint64_t victim_key = 0;
    unsigned best = 0;
    for (int b = 0; b < 2; b++)
        for (unsigned i = 0; i < WAYS; i++) {
            struct entry *e = &place.bucket[b][i];
            const uint64_t k = __atomic_load_n(&e->key, __ATOMIC_ACQUIRE);
            if (k == key && !found)
                found = e;
            else if (k == key) /* two threads inserted at once */
                __atomic_store_n(&e->value, value, __ATOMIC_RELEASE);
            else if (k == 0 && !free_one)
                free_one = e;
            else if (k != 0 && k != BUSY && !free_one) {
                const unsigned readiness =
                    expendable(__atomic_load_n(&e->value, __ATOMIC_RELAXED), stale);
                if (readiness > best) best = readiness, victim = e, victim_key = k;
            }
        }
    if (found) {
        __atomic_store_n(&found->value, value, __ATOMIC_RELEASE);
        return SET;
    }
    if (free_one) return take(free_one, 0, key, value) ? SET : RACED;
    if (!victim) return FULL;
    return take(victim, victim_key, key, value) ? SET : RACED;
}

bool association_set(uint64_t key, struct association a, bool (*stale)(uint64_t payload)) {
    if (!sys_memory_once(&table, sizeof *table << BUCKET_BITS)) return false;
    for (int attempt = 0; attempt < 8; attempt++) {
        const enum outcome outcome = set(key, pack(a), stale);
        if (outcome != RACED) return outcome == SET;
    }
    return false;
}

void association_remove(uint64_t key) {
    if (!__atomic_load_n(&table, __ATOMIC_ACQUIRE)) return;
    const struct place place = place_of(key);
    for (int b = 0; b < 2; b++)
        for (unsigned i = 0; i < WAYS; i++) {
            uint64_t k = key;
            __atomic_compare_exchange_n(&place.bucket[b][i].key, &k, 0, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED);
        }
}
