/* Places for keys, eight to a bucket; pins and what the last one out has to do. */
#include "track/managed_map.h"

#include "record/clock.h"
#include "record/sys.h"

#define CLAIMED UINT64_C(1) /* bit of a key that is not published yet */
#define HIDDEN UINT64_C(2)  /* instead of a key that nobody finds any more */
#define SPINS 100u
#define WAIT_MOST_NS 500000000u /* a thread may have to wait for its processor */

bool managed_map_make(struct managed_map *map) {
    const size_t places = (size_t)(MANAGED_NEAR + map->buckets) * MANAGED_WAYS;
    if (__builtin_expect(__atomic_load_n(&map->keys, __ATOMIC_ACQUIRE) != NULL, 1)) return true;
    if (!sys_memory_once(&map->entries, places * map->entry_size)) return false;
    return sys_memory_once(&map->keys, places * sizeof *map->keys) != NULL;
}

/* Set before the first claim there, so whoever knows a key of the far part finds it set. */
static bool is_far(const struct managed_map *map) {
    return __builtin_expect(__atomic_load_n(&map->far, __ATOMIC_SEQ_CST) != 0, 0);
}

static inline uint32_t find_from(const uint64_t *keys, uint32_t first, uint64_t key) {
    for (uint32_t i = first; i < first + MANAGED_WAYS; i++)
        if (__atomic_load_n(&keys[i], __ATOMIC_ACQUIRE) == key) return i;
    return MANAGED_NONE;
}

uint32_t managed_map_search(const struct managed_map *map, uint64_t key) {
    const uint64_t *keys = managed_map_keys(map);
    if (__builtin_expect(!keys, 0)) return MANAGED_NONE;
    const uint32_t place = find_from(keys, managed_map_near(key), key);
    if (place != MANAGED_NONE || !is_far(map)) return place;
    return find_from(keys, managed_map_far(map, key), key);
}

static uint32_t claim_from(uint64_t *keys, uint32_t first, uint64_t key) {
    for (uint32_t i = first; i < first + MANAGED_WAYS; i++) {
        uint64_t none = 0;
        if (__atomic_load_n(&keys[i], __ATOMIC_RELAXED) == 0 &&
            __atomic_compare_exchange_n(&keys[i], &none, key | CLAIMED, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED))
            return i;
    }
    return MANAGED_NONE;
}

uint32_t managed_map_claim(struct managed_map *map, uint64_t key) {
    if (!managed_map_make(map)) return MANAGED_NONE;
    uint64_t *keys = managed_map_keys(map);
    const uint32_t place = claim_from(keys, managed_map_near(key), key);
    if (place != MANAGED_NONE) return place;
    if (!is_far(map)) __atomic_store_n(&map->far, 1, __ATOMIC_SEQ_CST);
    return claim_from(keys, managed_map_far(map, key), key);
}

void managed_map_publish(struct managed_map *map, uint32_t place, uint64_t key) {
    __atomic_store_n(&managed_map_keys(map)[place], key, __ATOMIC_SEQ_CST);
}

bool managed_patient(struct managed_patience *p) {
    if (p->tries++ < SPINS) {
        __builtin_ia32_pause();
        return true;
    }
    if (p->since == 0) p->since = clock_now();
    return clock_wait(p->since, WAIT_MOST_NS);
}

static bool is_claimed_from(const uint64_t *keys, uint32_t first, uint32_t but, uint64_t key) {
    for (uint32_t i = first; i < first + MANAGED_WAYS; i++)
        if (i != but && (__atomic_load_n(&keys[i], __ATOMIC_SEQ_CST) & ~CLAIMED) == key)
            return true;
    return false;
}

/* Who sees another's claim after his own takes his back: of two at least one sees the other. */
uint32_t managed_map_claim_once(struct managed_map *map, uint64_t key, bool *found) {
    struct managed_patience patience = {0};
    do {
        uint32_t place = managed_map_find(map, key);
        *found = place != MANAGED_NONE;
        if (*found) return place;
        if ((place = managed_map_claim(map, key)) == MANAGED_NONE) return MANAGED_NONE;
        const uint64_t *keys = managed_map_keys(map);
        if (!is_claimed_from(keys, managed_map_near(key), place, key) &&
            !(is_far(map) && is_claimed_from(keys, managed_map_far(map, key), place, key)))
            return place;
        managed_map_free(map, place);
        for (uint32_t i = 0; i < (place & 7) * 8; i++)
            __builtin_ia32_pause();
    } while (managed_patient(&patience));
    return MANAGED_NONE;
}

bool managed_map_hide(struct managed_map *map, uint32_t place, uint64_t key) {
    return __atomic_compare_exchange_n(&managed_map_keys(map)[place], &key, HIDDEN, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

void managed_map_free(struct managed_map *map, uint32_t place) {
    __atomic_store_n(&managed_map_keys(map)[place], 0, __ATOMIC_RELEASE);
}

void managed_map_reset(struct managed_map *map) {
    map->keys = NULL;
    map->entries = NULL;
    map->far = 0;
}

/* ---- pins ---- */

static uint64_t take_over(struct managed_guard *guard, uint64_t word) {
    for (;;) {
        const uint64_t todo = word & GUARD_TODO_ALL;
        if ((word & (GUARD_PINS | GUARD_BUSY)) || !todo) return 0;
        if (__atomic_compare_exchange_n(&guard->word, &word, (word & ~todo) | GUARD_BUSY, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return todo;
    }
}

/* Nobody had it pinned a moment ago, and something is left to do. */
static __attribute__((noinline)) void last_out(struct managed_map *map, uint32_t place,
                                               uint64_t word) {
    struct managed_guard *guard = managed_map_at(map, place);
    uint64_t todo = take_over(guard, word);
    while (todo) {
        if (map->leave) map->leave(place, todo);
        if (todo & GUARD_FREE) { /* nobody finds it any more, so nothing is left in it */
            __atomic_fetch_and(&guard->word, GUARD_PINS, __ATOMIC_SEQ_CST);
            managed_map_free(map, place);
            return;
        }
        todo = take_over(guard, __atomic_and_fetch(&guard->word, ~GUARD_BUSY, __ATOMIC_SEQ_CST));
    }
}

static inline void release(struct managed_map *map, uint32_t place, uint64_t held) {
    struct managed_guard *guard = managed_map_at(map, place);
    const uint64_t word = __atomic_sub_fetch(&guard->word, held, __ATOMIC_SEQ_CST);
    if (__builtin_expect(!(word & (GUARD_PINS | GUARD_BUSY)) && (word & GUARD_TODO_ALL), 0))
        last_out(map, place, word);
}

void managed_release(struct managed_map *map, uint32_t place) {
    release(map, place, 1);
}

void managed_release_one(struct managed_map *map, uint32_t place) {
    release(map, place, 1 + GUARD_ONE);
}

void managed_release_hidden(struct managed_map *map, uint32_t place) {
    struct managed_guard *guard = managed_map_at(map, place);
    uint64_t word = managed_flags(guard);
    /* The usual case: nobody else is here, and nothing else is to do. */
    if ((word & (GUARD_PINS | GUARD_BUSY | GUARD_TODO_ALL)) == 1 &&
        __atomic_compare_exchange_n(&guard->word, &word, 0, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_RELAXED)) {
        managed_map_free(map, place);
        return;
    }
    managed_mark(guard, GUARD_FREE);
    release(map, place, 1);
}

void *managed_pin(struct managed_map *map, uint32_t place, uint64_t key) {
    struct managed_guard *guard = managed_map_at(map, place);
    __atomic_fetch_add(&guard->word, 1, __ATOMIC_SEQ_CST);
    if (__builtin_expect(__atomic_load_n(&managed_map_keys(map)[place], __ATOMIC_SEQ_CST) == key,
                         1))
        return guard;
    managed_release(map, place);
    return NULL;
}
