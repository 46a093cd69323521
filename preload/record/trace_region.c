/*
 * The trace's regions: how the file is divided, how blocks are had for them, how records are handed
 * out.
 */
#include <sys/mman.h>

#include "record/clock.h"
#include "record/sys.h"
#include "record/trace_file.h"

#define STEP_FIRST (8u << 10) /* creation stays far below a millisecond */
#define STEP_MOST (64u << 10)
#define STEP_JOURNAL (256u << 10)
#define RETRY_NS 1000000000u

static bool fixed;
static uint64_t retry_ns[TRACE_REGION_COUNT]; /* a full disk is not asked again before that */

static const struct {
    uint32_t weight; /* percent of the file */
    uint32_t record_size;
    uint32_t used; /* at the start: id 0 means none in tables and heaps */
} plan[TRACE_REGION_COUNT] = {
    [TRACE_REGION_CONNECTION] = {24, sizeof(struct trace_connection), 0},
    [TRACE_REGION_BODY] = {12, sizeof(struct trace_body), 0},
    [TRACE_REGION_WORKER] = {6, sizeof(struct trace_worker), 0},
    [TRACE_REGION_HANDLE] = {2, sizeof(struct trace_handle), 0},
    [TRACE_REGION_SITE] = {6, sizeof(struct trace_site), 1},
    [TRACE_REGION_HOST] = {2, sizeof(struct trace_host), 1},
    [TRACE_REGION_MODULE] = {2, sizeof(struct trace_module), 1},
    [TRACE_REGION_TIMER] = {1, sizeof(struct trace_timer), 1},
    [TRACE_REGION_STRING] = {8, 8, 8},
    [TRACE_REGION_STACK] = {13, 8, 8},
    [TRACE_REGION_JOURNAL] = {24, sizeof(struct trace_event), 0},
};

void trace_region_layout(struct trace_region regions[TRACE_REGION_COUNT], uint64_t size) {
    uint64_t room = size - TRACE_HEADER_SIZE, at = TRACE_HEADER_SIZE;
    for (unsigned i = 0; i < TRACE_REGION_COUNT; i++) {
        struct trace_region *r = &regions[i];
        r->offset = at;
        r->size = room / 100 * plan[i].weight & ~(SYS_PAGE - 1);
        if (r->size < SYS_PAGE) r->size = SYS_PAGE;
        r->record_size = plan[i].record_size;
        r->used = plan[i].used;
        r->populated = 0;
        at += r->size;
    }
    regions[TRACE_REGION_JOURNAL].size +=
        (size - at) & ~(SYS_PAGE - 1); /* what rounding left over */
}

static uint32_t record_limit(const struct trace_region *r) {
    const uint64_t n = r->size / r->record_size;
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX - 1;
}

void trace_region_map(struct trace_map *m) {
    const struct trace_region *r = m->header->regions;
    m->base = (uint8_t *)m->header;
    m->connections = (struct trace_connection *)(m->base + r[TRACE_REGION_CONNECTION].offset);
    m->bodies = (struct trace_body *)(m->base + r[TRACE_REGION_BODY].offset);
    m->workers = (struct trace_worker *)(m->base + r[TRACE_REGION_WORKER].offset);
    m->handles = (struct trace_handle *)(m->base + r[TRACE_REGION_HANDLE].offset);
    m->sites = (struct trace_site *)(m->base + r[TRACE_REGION_SITE].offset);
    m->hosts = (struct trace_host *)(m->base + r[TRACE_REGION_HOST].offset);
    m->modules = (struct trace_module *)(m->base + r[TRACE_REGION_MODULE].offset);
    m->timers = (struct trace_timer *)(m->base + r[TRACE_REGION_TIMER].offset);
    m->strings = m->base + r[TRACE_REGION_STRING].offset;
    m->stacks = m->base + r[TRACE_REGION_STACK].offset;
    m->journal = (struct trace_event *)(m->base + r[TRACE_REGION_JOURNAL].offset);
    m->connection_limit = record_limit(&r[TRACE_REGION_CONNECTION]);
    m->body_limit = record_limit(&r[TRACE_REGION_BODY]);
    m->worker_limit = record_limit(&r[TRACE_REGION_WORKER]);
    m->handle_limit = record_limit(&r[TRACE_REGION_HANDLE]);
    m->journal_limit = r[TRACE_REGION_JOURNAL].size / sizeof(struct trace_event);
}

void trace_region_fix(bool on) {
    __atomic_store_n(&fixed, on, __ATOMIC_RELAXED);
    if (!on)
        for (unsigned i = 0; i < TRACE_REGION_COUNT; i++)
            retry_ns[i] = 0;
}

static uint64_t page_up(uint64_t n) {
    return (n + SYS_PAGE - 1) & ~(SYS_PAGE - 1);
}

static void raise_populated(struct trace_region *r, uint64_t to) {
    uint64_t was = __atomic_load_n(&r->populated, __ATOMIC_RELAXED);
    while (was < to && !__atomic_compare_exchange_n(&r->populated, &was, to, true, __ATOMIC_RELEASE,
                                                    __ATOMIC_RELAXED)) {
    }
}

/*
 * Several threads may ask for the same pages at once: that is harmless, and the largest answer
 * stands.
 */
static __attribute__((noinline, cold)) bool region_grow(struct trace_map *m,
                                                        enum trace_region_kind kind, uint64_t end) {
    struct trace_region *r = &m->header->regions[kind];
    const uint64_t size = __atomic_load_n(&r->size, __ATOMIC_RELAXED);
    const uint64_t done = __atomic_load_n(&r->populated, __ATOMIC_ACQUIRE);
    if (end > size || done >= size || __atomic_load_n(&fixed, __ATOMIC_RELAXED)) return end <= done;
    const uint64_t retry = __atomic_load_n(&retry_ns[kind], __ATOMIC_RELAXED);
    if (retry && clock_coarse() < retry) return false;

    /* As much again as there is, within bounds: few calls, none of them long. */
    const uint64_t most = kind == TRACE_REGION_JOURNAL ? STEP_JOURNAL : STEP_MOST;
    uint64_t step = done < STEP_FIRST ? STEP_FIRST : done > most ? most : done;
    uint64_t to = page_up(end > done + step ? end : done + step);
    if (to > size) to = size;
    long e = sys_call(SYS_madvise, m->base + r->offset + done, to - done, trace_file_advice);
    if (e < 0 && page_up(end) < to) { /* a nearly full disk */
        to = page_up(end);
        e = sys_call(SYS_madvise, m->base + r->offset + done, to - done, trace_file_advice);
    }
    if (e < 0) {
        __atomic_store_n(&retry_ns[kind], clock_coarse() + RETRY_NS, __ATOMIC_RELAXED);
        return false;
    }
    raise_populated(r, to);
    return true;
}

bool trace_region_populate(struct trace_map *m, enum trace_region_kind kind, uint64_t end) {
    if (__builtin_expect(
            end <= __atomic_load_n(&m->header->regions[kind].populated, __ATOMIC_ACQUIRE), 1))
        return true;
    return region_grow(m, kind, end);
}

bool trace_populate(enum trace_region_kind kind, uint64_t end) {
    struct trace_map *m = trace;
    return m && trace_region_populate(m, kind, end);
}

uint32_t trace_take_record(enum trace_region_kind kind) {
    struct trace_map *m = trace;
    if (!m) return UINT32_MAX;
    struct trace_region *r = &m->header->regions[kind];
    uint64_t n = __atomic_load_n(&r->used, __ATOMIC_RELAXED);
    do {
        const uint64_t end = (n + 1) * r->record_size;
        if (n >= record_limit(r) || !trace_region_populate(m, kind, end)) return UINT32_MAX;
    } while (!__atomic_compare_exchange_n(&r->used, &n, n + 1, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
    return (uint32_t)n;
}

uint32_t trace_take_heap(enum trace_region_kind kind, uint64_t bytes) {
    struct trace_map *m = trace;
    if (!m) return 0;
    struct trace_region *r = &m->header->regions[kind];
    uint64_t at = __atomic_load_n(&r->used, __ATOMIC_RELAXED), end;
    do {
        end = at + ((bytes + 7) & ~7ull);
        if (end > r->size || at / 8 > UINT32_MAX || !trace_region_populate(m, kind, end)) return 0;
    } while (
        !__atomic_compare_exchange_n(&r->used, &at, end, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return (uint32_t)(at / 8);
}

void trace_lose(enum trace_lost kind) {
    struct trace_map *m = trace;
    if (m) counter_add(&m->header->lost[kind], 1);
}

bool trace_region_shrink_journal(struct trace_map *m, uint64_t limit) {
    struct trace_region *r = &m->header->regions[TRACE_REGION_JOURNAL];
    const uint64_t populated = __atomic_load_n(&r->populated, __ATOMIC_ACQUIRE);
    const uint64_t places = populated / sizeof(struct trace_event);
    /*
     * Only a ring that has not come round yet has unpopulated places; every record it holds keeps
     * its index.
     */
    if (places == 0) return false;
    if (places >= limit) return limit != __atomic_load_n(&m->journal_limit, __ATOMIC_RELAXED);
    if (__atomic_compare_exchange_n(&m->journal_limit, &limit, places, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED))
        __atomic_store_n(&r->size, populated, __ATOMIC_RELEASE);
    return true;
}
