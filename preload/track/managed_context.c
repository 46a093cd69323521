/*
 * Contexts that bodies were asked for under: who cancels one gives up its bodies, also those that had come whole and of which
 * nothing else would tell that (HTTP/2), and those whose handles the collector took.
 *
 * An entry is there as long as one of its bodies is open. A collector gives a context's address anew, so a second address (of the
 * channel that its end closes) belongs to it. More bodies than an entry has room for are found by looking through all.
 */
#include <string.h>

#include "record/sys.h"
#include "track/managed_inside.h"

#define ROOM 25u

struct context {
    struct managed_guard guard;
    uint64_t key, done;
    uint32_t count;        /* bodies; 0: it is on its way out */
    uint32_t more;         /* some have no room here */
    uint32_t bodies[ROOM]; /* slots + 1; 0: none */
} __attribute__((aligned(64)));

static struct managed_map contexts = {
    .buckets = 16384, .shift = 7, .entry_size = sizeof(struct context)};

/* For each slot of the trace: its body's context and connection (places + 1 and as they are); 0: none. */
static uint64_t *memberships;

#define MEMBERSHIP(context, connection) ((uint64_t)((context) + 1) << 32 | (connection))
#define CONTEXT_OF(membership) ((uint32_t)((membership) >> 32) - 1)

static struct context *context_at(uint32_t place) {
    return managed_map_at(&contexts, place);
}

static bool room_for(uint32_t body) {
    return body < trace->body_limit &&
           sys_memory_once(&memberships, trace->body_limit * sizeof *memberships) != NULL;
}

static uint64_t membership_of(uint32_t body) {
    const uint64_t *all = __atomic_load_n(&memberships, __ATOMIC_ACQUIRE);
    return all ? __atomic_load_n(&all[body], __ATOMIC_SEQ_CST) : 0;
}

bool managed_context_has(uint32_t body, uint32_t context) {
    const uint64_t membership = membership_of(body);
    return membership && CONTEXT_OF(membership) == context;
}

/* ---- joining ---- */

static bool count_in(struct context *c) {
    uint32_t count = __atomic_load_n(&c->count, __ATOMIC_ACQUIRE);
    while (count && !__atomic_compare_exchange_n(&c->count, &count, count + 1, false,
                                                 __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
    }
    return count != 0;
}

static void make(uint32_t place, const struct managed_life *life) {
    struct context *c = context_at(place);
    memset((uint8_t *)c + sizeof c->guard, 0, sizeof *c - sizeof c->guard);
    c->key = life->context;
    c->done = life->done;
    c->count = 1;
    managed_guard_begin(&c->guard);
    managed_map_publish(&contexts, place, life->context);
    managed_release(&contexts, place);
}

/* Joins what is there; false: it was on its way out, or another one's that had the address before. */
static bool join(uint32_t place, const struct managed_life *life) {
    struct context *c = managed_pin(&contexts, place, life->context);
    if (!c) return false;
    const bool same = c->done == life->done;
    if (!same) managed_map_hide(&contexts, place, life->context);
    const bool joined = same && count_in(c);
    managed_release(&contexts, place);
    return joined;
}

static uint32_t context_of(const struct managed_life *life) {
    struct managed_patience patience = {0};
    do {
        bool found;
        const uint32_t place = managed_map_claim_once(&contexts, life->context, &found);
        if (place == MANAGED_NONE) break;
        if (!found) make(place, life);
        if (!found || join(place, life)) return place;
    } while (managed_patient(&patience));
    return MANAGED_NONE;
}

static bool replace(struct context *c, uint32_t from, uint32_t to) {
    for (unsigned i = 0; i < ROOM; i++) {
        uint32_t old = from;
        if (__atomic_load_n(&c->bodies[i], __ATOMIC_RELAXED) == from &&
            __atomic_compare_exchange_n(&c->bodies[i], &old, to, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

void managed_context_join(const struct managed_life *life, uint32_t body, uint32_t connection) {
    const uint32_t context = room_for(body) ? context_of(life) : MANAGED_NONE;
    if (context == MANAGED_NONE) return;
    struct context *c = context_at(context);
    __atomic_store_n(&memberships[body], MEMBERSHIP(context, connection), __ATOMIC_SEQ_CST);
    if (!replace(c, 0, body + 1)) __atomic_store_n(&c->more, 1, __ATOMIC_SEQ_CST);
}

bool managed_context_part(uint32_t body, uint32_t context, uint32_t *connection) {
    uint64_t membership = membership_of(body);
    if (membership == 0) return false;
    if (context != MANAGED_NONE && CONTEXT_OF(membership) != context) return false;
    if (!__atomic_compare_exchange_n(&memberships[body], &membership, 0, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return false;
    const uint32_t place = CONTEXT_OF(membership);
    struct context *c = context_at(place); /* its own body keeps it here */
    replace(c, body + 1, 0);
    __atomic_fetch_add(&c->guard.word, 1, __ATOMIC_SEQ_CST); /* a pin: it may be hidden already */
    if (__atomic_sub_fetch(&c->count, 1, __ATOMIC_SEQ_CST) == 0) {
        managed_map_hide(&contexts, place, c->key);
        managed_mark(&c->guard, GUARD_FREE);
    }
    managed_release(&contexts, place);
    if (connection) *connection = (uint32_t)membership;
    return true;
}

/* ---- its end ---- */

static void cancel_all(uint32_t context, uint64_t goid) {
    const uint64_t used =
        __atomic_load_n(&trace->header->regions[TRACE_REGION_BODY].used, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < used && i < trace->body_limit; i++)
        managed_body_cancelled(i, context, goid);
}

void managed_cancelled(const struct managed_life *life, uint64_t goid) {
    const uint32_t context = managed_map_find(&contexts, life->context);
    if (__builtin_expect(context == MANAGED_NONE, 1)) return;
    struct context *c = managed_pin(&contexts, context, life->context);
    if (!c) return;
    if (c->done == life->done) {
        for (unsigned i = 0; i < ROOM; i++) {
            const uint32_t body = __atomic_load_n(&c->bodies[i], __ATOMIC_ACQUIRE);
            if (body) managed_body_cancelled(body - 1, context, goid);
        }
        if (__atomic_load_n(&c->more, __ATOMIC_ACQUIRE)) cancel_all(context, goid);
    }
    managed_release(&contexts, context);
}

void managed_contexts_reset(void) {
    managed_map_reset(&contexts);
    memberships = NULL;
}
