/* Live workers by the place that made them: a table that only grows, by the id of the creation stack. */
#include "track/crowd.h"

#include <stdbool.h>
#include <string.h>

#define PLACES 1024u
#define PROBES 16u

static struct place {
    uint32_t stack; /* 0: free */
    uint32_t live;
} places[PLACES];
static uint32_t touched;

static struct place *place_of(uint32_t stack) {
    const uint32_t hash = stack * 0x9e3779b1u >> 22;
    for (uint32_t i = 0; i < PROBES; i++) {
        struct place *place = &places[(hash + i) % PLACES];
        uint32_t there = __atomic_load_n(&place->stack, __ATOMIC_ACQUIRE);
        if (there == 0 && __atomic_compare_exchange_n(&place->stack, &there, stack, false,
                                                      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            __atomic_store_n(&touched, 1, __ATOMIC_RELAXED);
            return place;
        }
        if (there == stack) return place;
    }
    return 0;
}

uint32_t crowd_enter(uint32_t stack) {
    struct place *place = stack ? place_of(stack) : 0;
    return place ? __atomic_add_fetch(&place->live, 1, __ATOMIC_RELAXED) : 0;
}

void crowd_leave(uint32_t stack) {
    struct place *place = stack ? place_of(stack) : 0;
    if (place && __atomic_load_n(&place->live, __ATOMIC_RELAXED) > 0)
        __atomic_fetch_sub(&place->live, 1, __ATOMIC_RELAXED);
}

/* A child's stacks have other ids, and none of these threads. */
void crowd_after_fork(void) {
    if (touched) memset(places, 0, sizeof places);
    touched = 0;
}
