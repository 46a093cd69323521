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

/* Type, again, flags and thread are one word: whoever overwrites the record in between has others, or is a whole lap ahead. */
#define WORD_AGAIN (UINT64_C(1) << 8)
#define WORD_FLAG(flag) ((uint64_t)(flag) << 16)

static inline uint64_t __attribute__((may_alias)) * word_of(struct trace_event *at) {
    return (uint64_t *)(void *)&at->type;
}

/* The record with that seq, if it is of that moment and thread, and its word; newest: and the newest one. */
static struct trace_event *record_of(uint64_t seq, uint64_t now, uint32_t tid, bool newest,
                                     uint64_t *word) {
    struct trace_map *m = trace;
    if (!m || seq == 0) return NULL;
    const uint64_t limit = __atomic_load_n(&m->journal_limit, __ATOMIC_RELAXED);
    const uint64_t used =
        __atomic_load_n(&m->header->regions[TRACE_REGION_JOURNAL].used, __ATOMIC_RELAXED);
    struct trace_event *at = &m->journal[ring_index(seq - 1, limit)];
    *word = __atomic_load_n(word_of(at), __ATOMIC_ACQUIRE);
    if (*word >> 32 != tid || at->time_ns != now || (newest && used != seq) ||
        __atomic_load_n(&at->seq, __ATOMIC_ACQUIRE) != seq)
        return NULL;
    return at;
}

static bool change(struct trace_event *at, uint64_t was, uint64_t to) {
    return __atomic_compare_exchange_n(word_of(at), &was, to, false, __ATOMIC_RELEASE,
                                       __ATOMIC_RELAXED);
}

bool journal_mark(uint64_t seq, uint64_t now, uint32_t tid, uint16_t mark) {
    uint64_t word;
    struct trace_event *at = record_of(seq, now, tid, mark == TRACE_EVENT_DRAINED, &word);
    return at && change(at, word, word | WORD_FLAG(mark));
}

bool journal_again(uint64_t seq, const struct trace_event *e, uint64_t now, uint32_t tid) {
    uint64_t word;
    struct trace_event *at = record_of(seq, now, tid, true, &word);
    if (!at || at->connection != e->connection || at->stack != e->stack) return false;
    const uint64_t marks = word & WORD_FLAG(TRACE_EVENT_MARKS), again = (uint8_t)(word >> 8);
    if (e->type == TRACE_EVENT_REQUEST) {
        if (marks != WORD_FLAG(TRACE_EVENT_DONE) || again == TRACE_EVENT_AGAIN_MOST ||
            e->object != trace_event_number(at) + again + 1)
            return false;
        return change(at, word, word | WORD_FLAG(TRACE_EVENT_ASKED));
    }
    if (marks != WORD_FLAG(TRACE_EVENT_MARKS) || e->object != at->object + again + 1 ||
        e->a != at->a || trace_event_site(e) != trace_event_site(at) || e->arg != at->arg)
        return false;
    return change(at, word, (word & ~WORD_FLAG(TRACE_EVENT_MARKS)) + WORD_AGAIN);
}

void journal_expect(void) {
    const struct trace_map *m = trace;
    if (!m) return;
    const uint64_t place =
        __atomic_load_n(&m->header->regions[TRACE_REGION_JOURNAL].used, __ATOMIC_RELAXED);
    const uint64_t limit = __atomic_load_n(&m->journal_limit, __ATOMIC_RELAXED);
    __builtin_prefetch(&m->journal[ring_index(place, limit)], 1);
    if (place) __builtin_prefetch(&m->journal[ring_index(place - 1, limit)], 1);
    __builtin_prefetch(&m->header->last_moment_ns, 1);
}
