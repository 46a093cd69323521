/* The table of pending timers, and the counters of the places that made them. */
#include "track/timer.h"

#include "record/sys.h"
#include "record/trace.h"

/*
 * Open addressing within a window: a key stands in one of the WINDOW places from its hash on, or nowhere, so that every look-up
 * is bounded and nobody waits. A place is claimed by exchanging its key, to take it as to leave it; its record is its owner's, and
 * its key is written last.
 */
#define PLACES (1u << 17)
#define WINDOW 16u
enum { KEY_NONE = 0, KEY_CLAIMED = 1 };

struct timer_place {
    uint64_t key;
    uint32_t record; /* in the trace; 0: made before there was one, or no record could be had */
    uint32_t collectable;
};
static struct timer_place *places; /* mapped with the first timer: most programs have none */
static uint32_t pending;

/* From (kind, stack) to the record: the same window. Records are few; one that finds no place here is made again. */
#define INDEX 4096u
static uint32_t record_index[INDEX];

static uint32_t hash_of(uint64_t key) {
    key *= UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(key >> 40);
}

/* ---- records ---- */

static struct trace_timer *record_at(uint32_t id) {
    struct trace_map *t = trace;
    return t && id ? &t->timers[id] : NULL;
}

static bool record_is(uint32_t id, uint32_t kind, uint32_t stack) {
    const struct trace_timer *record = record_at(id);
    return record && record->kind == kind && record->stack == stack;
}

static uint32_t record_make(const struct timer_start *start) {
    const uint32_t id = trace_take_record(TRACE_REGION_TIMER);
    struct trace_timer *record = id == UINT32_MAX ? NULL : record_at(id);
    if (!record) return 0;
    record->stack = start->stack;
    record->kind = start->kind;
    record->first_ns = start->now;
    record->mark_next = 64;
    __atomic_store_n(&record->ready, 1, __ATOMIC_RELEASE);
    return id;
}

static uint32_t record_of(const struct timer_start *start) {
    if (!trace) return 0;
    const uint32_t at = hash_of((uint64_t)start->stack << 8 | start->kind);
    uint32_t made = 0;
    for (uint32_t i = 0; i < WINDOW; i++) {
        uint32_t *place = &record_index[(at + i) % INDEX];
        uint32_t id = __atomic_load_n(place, __ATOMIC_ACQUIRE);
        if (record_is(id, start->kind, start->stack)) return id;
        if (id != 0) continue;
        if (!made && (made = record_make(start)) == 0) return 0;
        if (__atomic_compare_exchange_n(place, &id, made, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return made;
        if (record_is(id, start->kind, start->stack)) return id; /* another thread was first */
    }
    return 0;
}

/* One thread at a time; who comes meanwhile has a mark's neighbour to tell. */
static void record_mark(struct trace_timer *record, uint64_t count, uint64_t now) {
    uint64_t next = __atomic_load_n(&record->mark_next, __ATOMIC_RELAXED);
    const uint64_t step = count / 8 > 64 ? count / 8 : 64;
    if (count < next || !__atomic_compare_exchange_n(&record->mark_next, &next, UINT64_MAX, false,
                                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    const uint64_t n = __atomic_load_n(&record->mark_count, __ATOMIC_RELAXED);
    record->marks[n % TRACE_TIMER_MARKS] = (struct trace_timer_mark){now, count};
    __atomic_store_n(&record->mark_count, n + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&record->mark_next, count + step, __ATOMIC_RELEASE);
}

static void record_started(struct trace_timer *record, const struct timer_start *start) {
    const uint64_t made = __atomic_add_fetch(&record->created, 1, __ATOMIC_RELAXED);
    const uint64_t gone = __atomic_load_n(&record->fired, __ATOMIC_RELAXED) +
                          __atomic_load_n(&record->stopped, __ATOMIC_RELAXED) +
                          __atomic_load_n(&record->forgotten, __ATOMIC_RELAXED);
    if (start->collectable) {
        counter_add(&record->collectable, 1);
        __atomic_fetch_or(&record->flags, TRACE_TIMER_COLLECTABLE, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&record->last_ns, start->now, __ATOMIC_RELAXED);
    __atomic_store_n(&record->duration_ns, start->duration_ns, __ATOMIC_RELAXED);
    const uint64_t count = made > gone ? made - gone : 0;
    uint64_t peak = __atomic_load_n(&record->peak, __ATOMIC_RELAXED);
    while (count > peak)
        if (__atomic_compare_exchange_n(&record->peak, &peak, count, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            __atomic_store_n(&record->peak_ns, start->now, __ATOMIC_RELAXED);
            record_mark(record, count, start->now);
            return;
        }
}

/* ---- pending ones ---- */

enum timer_end { TIMER_FIRED, TIMER_STOPPED, TIMER_FORGOTTEN };

static void record_ended(uint32_t id, enum timer_end end) {
    struct trace_timer *record = record_at(id);
    if (!record) return;
    counter_add(end == TIMER_FIRED     ? &record->fired
                : end == TIMER_STOPPED ? &record->stopped
                                       : &record->forgotten,
                1);
}

static struct timer_place *place_find(uint64_t key) {
    struct timer_place *all = __atomic_load_n(&places, __ATOMIC_ACQUIRE);
    const uint32_t at = hash_of(key);
    for (uint32_t i = 0; all && i < WINDOW; i++) {
        struct timer_place *place = &all[(at + i) % PLACES];
        if (__atomic_load_n(&place->key, __ATOMIC_ACQUIRE) == key) return place;
    }
    return NULL;
}

static bool timer_ended(uint64_t key, enum timer_end end) {
    struct timer_place *place = place_find(key);
    if (!place) return false;
    if (!__atomic_compare_exchange_n(&place->key, &key, KEY_CLAIMED, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return false;
    const uint32_t record = place->record;
    __atomic_store_n(&place->key, KEY_NONE, __ATOMIC_RELEASE);
    __atomic_sub_fetch(&pending, 1, __ATOMIC_RELAXED);
    record_ended(record, end);
    return true;
}

/* A free place for the key. Where all are taken, one that a collectable timer has: it may be long gone. */
static struct timer_place *place_claim(uint64_t key) {
    const uint32_t at = hash_of(key);
    for (uint32_t i = 0; i < 2 * WINDOW; i++) {
        struct timer_place *place = &places[(at + i % WINDOW) % PLACES];
        uint64_t found = __atomic_load_n(&place->key, __ATOMIC_ACQUIRE);
        const bool taken = found != KEY_NONE;
        if (taken && (i < WINDOW || found == KEY_CLAIMED ||
                      !__atomic_load_n(&place->collectable, __ATOMIC_RELAXED)))
            continue;
        if (!__atomic_compare_exchange_n(&place->key, &found, KEY_CLAIMED, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED))
            continue;
        if (taken)
            record_ended(place->record, TIMER_FORGOTTEN);
        else
            __atomic_add_fetch(&pending, 1, __ATOMIC_RELAXED);
        return place;
    }
    return NULL;
}

void timer_started(const struct timer_start *start) {
    if (!sys_memory_once(&places, PLACES * sizeof *places)) return;
    timer_ended(start->key, TIMER_FORGOTTEN);
    struct timer_place *place = place_claim(start->key);
    if (!place) {
        trace_lose(TRACE_LOST_TIMERS);
        return;
    }
    const bool traced = trace != NULL; /* one that another thread is making is not there yet */
    const uint32_t id = traced ? record_of(start) : 0;
    struct trace_timer *record = record_at(id);
    if (record)
        record_started(record, start);
    else if (traced)
        trace_lose(TRACE_LOST_TIMERS);
    place->record = id;
    __atomic_store_n(&place->collectable, start->collectable, __ATOMIC_RELAXED);
    __atomic_store_n(&place->key, start->key, __ATOMIC_RELEASE);
}

void timer_fired(uint64_t key) {
    timer_ended(key, TIMER_FIRED);
}

void timer_stopped(uint64_t key) {
    timer_ended(key, TIMER_STOPPED);
}

bool timer_is_known(uint64_t key) {
    return place_find(key) != NULL;
}

uint32_t timer_pending(void) {
    return __atomic_load_n(&pending, __ATOMIC_RELAXED);
}

/* The child has no other threads, none of the parent's POSIX timers, and a trace of its own. */
void timer_after_fork(void) {
    if (places) sys_memory_free(places, PLACES * sizeof *places);
    places = NULL;
    pending = 0;
    for (uint32_t i = 0; i < INDEX; i++)
        record_index[i] = 0;
}
