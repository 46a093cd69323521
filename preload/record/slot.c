/* Slots: lock-free lists of the ones that are free again, and new ones while there are none. */
#include "record/sys.h"
#include "record/trace_file.h"

/*
 * A list's head is a tag and an index + 1: the tag changes with every step, so that a head which
 * looks the same after a pause is the same. The links are in memory of our own: nothing a reader of
 * the trace has to see, and never unmapped while in use.
 */
static struct {
    uint64_t head;
    uint32_t *next; /* index + 1 of the one behind, 0: none */
    uint32_t limit;
    uint64_t last_id;
} free_slots[TRACE_REGION_HANDLE + 1];
static void *links;
static size_t links_size;

bool slot_reset(const struct trace_map *m) {
    const uint32_t limits[] = {m->connection_limit, m->body_limit, m->worker_limit,
                               m->handle_limit};
    sys_memory_free(links, links_size);
    links_size = ((size_t)limits[0] + limits[1] + limits[2] + limits[3]) * sizeof(uint32_t);
    links = sys_memory(links_size);
    uint32_t *next = links;
    for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++) {
        free_slots[i].head = 0;
        free_slots[i].last_id = 0;
        free_slots[i].next = next;
        free_slots[i].limit = next ? limits[i] : 0;
        if (next) next += limits[i];
    }
    return links != 0;
}

static uint8_t *slot_at(const struct trace_map *m, enum trace_region_kind kind, uint32_t index,
                        size_t *size) {
    switch (kind) {
    case TRACE_REGION_CONNECTION:
        *size = sizeof *m->connections;
        return (uint8_t *)&m->connections[index];
    case TRACE_REGION_BODY: *size = sizeof *m->bodies; return (uint8_t *)&m->bodies[index];
    case TRACE_REGION_WORKER: *size = sizeof *m->workers; return (uint8_t *)&m->workers[index];
    case TRACE_REGION_HANDLE: *size = sizeof *m->handles; return (uint8_t *)&m->handles[index];
    default: return 0;
    }
}

static uint32_t take_free(enum trace_region_kind kind) {
    uint64_t head = __atomic_load_n(&free_slots[kind].head, __ATOMIC_ACQUIRE);
    for (;;) {
        const uint32_t top = (uint32_t)head;
        if (top == 0) return UINT32_MAX;
        const uint32_t behind = __atomic_load_n(&free_slots[kind].next[top - 1], __ATOMIC_RELAXED);
        const uint64_t then = ((head >> 32) + 1) << 32 | behind;
        if (__atomic_compare_exchange_n(&free_slots[kind].head, &head, then, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_ACQUIRE))
            return top - 1;
    }
}

uint32_t slot_take(enum trace_region_kind kind) {
    static const enum trace_lost lost[] = {TRACE_LOST_CONNECTIONS, TRACE_LOST_BODIES,
                                           TRACE_LOST_WORKERS, TRACE_LOST_HANDLES};
    struct trace_map *m = trace;
    if (!m || kind > TRACE_REGION_HANDLE) return UINT32_MAX;
    uint32_t index = take_free(kind);
    if (index == UINT32_MAX) index = trace_take_record(kind);
    if (index == UINT32_MAX) {
        trace_lose(lost[kind]);
        return UINT32_MAX;
    }
    /* By whole words: a late one may look which object is here (managed_body_cancelled). */
    size_t size = 0;
    uint64_t __attribute__((may_alias)) *word = (void *)slot_at(m, kind, index, &size);
    for (size_t i = 0; i < size / sizeof *word; i++)
        __atomic_store_n(&word[i], 0, __ATOMIC_RELAXED);
    return index;
}

void slot_expect(enum trace_region_kind kind) {
    const struct trace_map *m = trace;
    const uint32_t top = (uint32_t)__atomic_load_n(&free_slots[kind].head, __ATOMIC_RELAXED);
    if (!m || top == 0) return;
    size_t size = 0;
    const uint8_t *slot = slot_at(m, kind, top - 1, &size);
    __builtin_prefetch(&free_slots[kind].next[top - 1]);
    for (size_t i = 0; i < size; i += SYS_LINE)
        __builtin_prefetch(slot + i, 1);
}

uint64_t slot_id(enum trace_region_kind kind) {
    return __atomic_add_fetch(&free_slots[kind].last_id, 1, __ATOMIC_RELAXED);
}

void slot_give(enum trace_region_kind kind, uint32_t index) {
    if (!trace || kind > TRACE_REGION_HANDLE || index >= free_slots[kind].limit) return;
    uint64_t head = __atomic_load_n(&free_slots[kind].head, __ATOMIC_RELAXED), then;
    do {
        __atomic_store_n(&free_slots[kind].next[index], (uint32_t)head, __ATOMIC_RELAXED);
        then = ((head >> 32) + 1) << 32 | (index + 1);
    } while (!__atomic_compare_exchange_n(&free_slots[kind].head, &head, then, true,
                                          __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}
