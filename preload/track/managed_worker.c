/* Goroutines: what is known of those that do HTTP, and those that serve a connection as workers. */
#include <string.h>

#include "track/managed_inside.h"

static struct managed_map workers = {
    .buckets = 32768, .shift = 3, .entry_size = sizeof(struct managed_worker)};

/* Nobody but the goroutine itself asks for its number: no pins. */
struct managed_worker *managed_worker_find(uint64_t number) {
    const uint32_t place = managed_map_find(&workers, number << 3);
    return place == MANAGED_NONE ? NULL : managed_map_at(&workers, place);
}

struct managed_worker *managed_worker_get(uint64_t number) {
    struct managed_worker *w = managed_worker_find(number);
    if (w || number == 0) return w;
    const uint32_t place = managed_map_claim(&workers, number << 3);
    if (place == MANAGED_NONE) {
        trace_lose(TRACE_LOST_WORKERS);
        return NULL;
    }
    w = managed_map_at(&workers, place);
    memset(w, 0, sizeof *w);
    w->number = number;
    managed_map_publish(&workers, place, number << 3);
    return w;
}

void managed_worker_start(struct managed_worker *w, enum trace_worker_role role,
                          struct managed_connection *c) {
    struct trace_map *t = trace;
    if (!t || w->started) return;
    const uint32_t index = slot_take(TRACE_REGION_WORKER);
    if (index == UINT32_MAX) return;
    struct trace_worker *slot = &t->workers[index];
    const uint64_t now = clock_coarse();
    w->worker = slot_id(TRACE_REGION_WORKER);
    w->slot = index;
    w->started = 1;
    slot_begin(&slot->seq);
    slot->id = w->worker;
    slot->tid = (uint32_t)w->number;
    slot->started_ns = now;
    slot->flags = TRACE_WORKER_GOROUTINE;
    slot->declared_role = role;
    slot->goid = w->number;
    slot->dedicated = slot->first_connection = slot->last_connection = c->id;
    slot->connections_used = 1;
    slot->state = TRACE_WORKER_LIVE;
    slot_end(&slot->seq);
    __atomic_store_n(role == TRACE_ROLE_WRITER ? &c->writer : &c->reader, index + 1,
                     __ATOMIC_SEQ_CST);
    if (connection_is_open(c)) { /* else who opens it tells the worker */
        const struct trace_connection *its = connection_slot(c);
        SLOT_PUT(slot->created_stack, __atomic_load_n(&its->connect_stack, __ATOMIC_RELAXED));
        SLOT_PUT(slot->last_host, __atomic_load_n(&its->host, __ATOMIC_RELAXED));
    }
    struct trace_event event = {.type = TRACE_EVENT_WORKER_START,
                                .object = w->worker,
                                .a = slot->tid,
                                .stack = slot->created_stack};
    managed_note(&event, c->id, now, w->number);
}

static void write_end(const struct managed_worker *w) {
    struct trace_map *t = trace;
    if (!t) return;
    struct trace_worker *slot = &t->workers[w->slot];
    const uint32_t site = intern_site(slot->last_host, 0);
    counter_add(&site_at(site)->workers_exited, 1);
    counter_add(&t->header->workers_exited, 1);
    struct trace_event event = {
        .type = TRACE_EVENT_WORKER_END, .object = w->worker, .a = slot->tid, .b = site};
    managed_note(&event, slot->dedicated, clock_coarse(), w->number);
    slot_begin(&slot->seq);
    slot->state = TRACE_WORKER_FREE;
    slot_end(&slot->seq);
    slot_give(TRACE_REGION_WORKER, w->slot);
}

void managed_worker_end(uint64_t number) {
    const uint32_t place = managed_map_find(&workers, number << 3);
    if (__builtin_expect(place == MANAGED_NONE, 1)) return;
    struct managed_worker *w = managed_map_at(&workers, place);
    while (w->reads_count) /* a panic went through them */
        managed_read_end(&w->reads[--w->reads_count].read, 0, MANAGED_READ_MORE, number);
    if (w->started) write_end(w);
    managed_map_free(&workers, place);
}

void managed_workers_reset(void) {
    managed_map_reset(&workers);
}
