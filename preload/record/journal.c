/* The journal: a ring of transitions that any thread appends to, also from a signal handler. */
#include "record/clock.h"
#include "record/sys.h"
#include "record/trace_file.h"

static inline uint64_t ring_index(uint64_t place, uint64_t limit) {
    if (place < limit) return place;
    if (((place | limit) >> 32) == 0)
        return (uint32_t)place % (uint32_t)limit; /* half the cost on many processors */
    return place % limit;
}

/* Two threads at once may leave the earlier of two moments that are nanoseconds apart: nobody minds. */
static inline void touch_last_moment(struct trace_header *h, uint64_t now) {
    if (__atomic_load_n(&h->last_moment_ns, __ATOMIC_RELAXED) < now)
        __atomic_store_n(&h->last_moment_ns, now, __ATOMIC_RELAXED);
}

void journal_append(struct trace_event *e, uint64_t now, uint32_t tid) {
    struct trace_map *m = trace;
    if (!m) return;
    e->time_ns = now ? now : clock_now();
    e->tid = tid ? tid : sys_gettid();
    const uint64_t place =
        __atomic_fetch_add(&m->header->regions[TRACE_REGION_JOURNAL].used, 1, __ATOMIC_RELAXED);
    e->seq = place + 1;
    e->check = 0;
    e->check = trace_event_check(e);
    touch_last_moment(m->header, e->time_ns);

    uint64_t index;
    for (;;) {
        const uint64_t limit = __atomic_load_n(&m->journal_limit, __ATOMIC_RELAXED);
        index = ring_index(place, limit);
        if (trace_region_populate(m, TRACE_REGION_JOURNAL, (index + 1) * sizeof *e)) break;
        if (!trace_region_shrink_journal(m, limit)) {
            trace_lose(TRACE_LOST_EVENTS);
            e->seq = 0;
            return;
        }
    }
    /*
     * The old record is invalid before the first of its fields changes, the new one valid after its
     * last. Two writers a whole lap apart may still meet here: then the record's checksum tells.
     */
    struct trace_event *at = &m->journal[index];
    __atomic_store_n(&at->seq, 0, __ATOMIC_RELAXED);
    const uint64_t seq = e->seq;
    uint64_t __attribute__((may_alias)) *to = (uint64_t *)at;
    const uint64_t __attribute__((may_alias)) *from = (const uint64_t *)e;
    for (unsigned i = 1; i < sizeof *e / sizeof *to; i++)
        __atomic_store_n(&to[i], from[i], __ATOMIC_RELEASE);
    __atomic_store_n(&at->seq, seq, __ATOMIC_RELEASE);
}

/* Type, flags and thread are one word: whoever overwrites the record in between has others, or is a whole lap ahead. */
bool journal_mark(uint64_t seq, uint64_t now, uint32_t tid, uint16_t mark) {
    struct trace_map *m = trace;
    if (!m || seq == 0) return false;
    const uint64_t limit = __atomic_load_n(&m->journal_limit, __ATOMIC_RELAXED);
    const uint64_t newest =
        __atomic_load_n(&m->header->regions[TRACE_REGION_JOURNAL].used, __ATOMIC_RELAXED);
    struct trace_event *at = &m->journal[ring_index(seq - 1, limit)];
    uint64_t __attribute__((may_alias)) *word = (uint64_t *)(void *)&at->type;
    uint64_t was = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    if (was >> 32 != tid || at->time_ns != now || (mark == TRACE_EVENT_DRAINED && newest != seq) ||
        __atomic_load_n(&at->seq, __ATOMIC_ACQUIRE) != seq)
        return false;
    return __atomic_compare_exchange_n(word, &was, was | (uint64_t)mark << 16, false,
                                       __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

void journal_expect(void) {
    const struct trace_map *m = trace;
    if (!m) return;
    const uint64_t place =
        __atomic_load_n(&m->header->regions[TRACE_REGION_JOURNAL].used, __ATOMIC_RELAXED);
    const uint64_t limit = __atomic_load_n(&m->journal_limit, __ATOMIC_RELAXED);
    __builtin_prefetch(&m->journal[ring_index(place, limit)], 1);
    __builtin_prefetch(&m->header->last_moment_ns, 1);
}
