/* Exchanges of a managed client: requests as they go out, and their ends. */
#include "record/options.h"
#include "record/path.h"
#include "track/managed_host.h"
#include "track/managed_inside.h"

static uint32_t name_again(uint32_t *last, struct managed_text text) {
    const uint32_t before = __atomic_load_n(last, __ATOMIC_ACQUIRE);
    if (intern_string_is(before, text.bytes, text.size)) return before;
    const uint32_t id = intern_string(text.bytes, text.size);
    __atomic_store_n(last, id, __ATOMIC_RELEASE);
    return id;
}

/* The first exchange decides the host of the connection, for good. */
static void first_exchange(struct managed_connection *c, uint32_t host,
                           const struct managed_request *request, uint64_t now) {
    struct trace_connection *slot = connection_slot(c);
    struct trace_map *t = trace;
    slot_begin(&slot->seq);
    if (slot->connect_stack == 0) SLOT_PUT(slot->connect_stack, request->stack);
    SLOT_PUT(slot->host, host);
    slot->site = intern_site(host, slot->connect_stack);
    slot_end(&slot->seq);
    const uint32_t workers[] = {__atomic_load_n(&c->reader, __ATOMIC_ACQUIRE),
                                __atomic_load_n(&c->writer, __ATOMIC_ACQUIRE)};
    for (unsigned i = 0; i < 2; i++)
        if (workers[i] && t->workers[workers[i] - 1].dedicated == c->id)
            __atomic_store_n(&t->workers[workers[i] - 1].last_host, host, __ATOMIC_RELAXED);
    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_HOST,
                                .a = host,
                                .b = slot->site,
                                .stack = slot->connect_stack,
                                .arg = slot->protocol};
    managed_note(&event, c->id, now, request->goid);
}

void managed_request_expect(const struct managed_exchange *before) {
    if (before->site) managed_connection_expect(before->place, before->site);
}

void managed_request(struct managed_connection *c, const struct managed_request *request,
                     struct managed_exchange *e) {
    e->connection = 0;
    if (!connection_is_open(c)) return;
    struct trace_connection *slot = connection_slot(c);
    const uint64_t now = clock_coarse();
    const uint32_t host = managed_host_of(c, request->authority);
    const bool first = !__atomic_load_n(&c->counted, __ATOMIC_RELAXED) &&
                       !__atomic_exchange_n(&c->counted, 1, __ATOMIC_RELAXED);
    if (first) first_exchange(c, host, request, now);
    /* The one before on this goroutine was mostly for the same. */
    bool same = e->site && e->host == host && e->stack == request->stack && e->trace == trace;
    if (!same) e->site = intern_site(host, request->stack);
    const uint32_t method = e->method, path = e->path;
    e->trace = trace;
    e->transport = c->key;
    e->connection = c->id;
    e->place = c->place;
    e->host = host;
    e->stack = request->stack;
    e->method = name_again(&c->method, request->method);
    e->path = 0;
    e->upgrade = request->upgrade;
    e->goid = request->goid;
    e->time_ns = now;
    if (options.record_paths && request->path.size) {
        e->path = path_name(__atomic_load_n(&c->path, __ATOMIC_ACQUIRE), request->path.bytes,
                            request->path.size);
        __atomic_store_n(&c->path, e->path, __ATOMIC_RELEASE);
    }
    same = same && e->method == method && e->path == path;
    const uint64_t number = __atomic_add_fetch(&slot->requests, 1, __ATOMIC_SEQ_CST);
    e->number = (uint32_t)number;
    slot_begin(&slot->write_seq);
    SLOT_PUT(slot->request_ns, now);
    SLOT_PUT(slot->request_stack, e->stack);
    SLOT_PUT(slot->request_tid, (uint32_t)e->goid);
    SLOT_PUT(slot->request_method, e->method);
    SLOT_PUT(slot->request_path, e->path);
    slot_end(&slot->write_seq);
    struct trace_site *site = site_at(e->site);
    counter_add(&site->exchanges, 1);
    if (!first) counter_add(&site->exchanges_reused, 1);
    if (number - __atomic_load_n(&slot->responses, __ATOMIC_SEQ_CST) == 1) {
        slot_begin(&slot->exchange_seq);
        SLOT_PUT(slot->pending_stack, e->stack);
        SLOT_PUT(slot->pending_ns, now);
        SLOT_PUT(slot->pending_method, e->method);
        SLOT_PUT(slot->pending_path, e->path);
        SLOT_PUT(slot->pending_tid, (uint32_t)e->goid);
        SLOT_PUT(slot->idle_since_ns, 0);
        slot_end(&slot->exchange_seq);
    }
    struct trace_event event = {.type = TRACE_EVENT_REQUEST,
                                .connection = c->id,
                                .object = number,
                                .a = e->method,
                                .b = e->path,
                                .stack = e->stack,
                                .arg = 1};
    if (same && journal_again(e->requested + 1, &event, now, (uint32_t)e->goid)) return;
    journal_append(&event, now, (uint32_t)e->goid);
    e->requested = event.seq;
}

void managed_exchange_done(struct managed_connection *c, uint64_t now) {
    struct trace_connection *slot = connection_slot(c);
    const uint64_t responses = __atomic_add_fetch(&slot->responses, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&slot->requests, __ATOMIC_SEQ_CST) != responses) return;
    slot_begin(&slot->exchange_seq);
    SLOT_PUT(slot->pending_stack, 0);
    SLOT_PUT(slot->pending_method, 0);
    SLOT_PUT(slot->pending_path, 0);
    SLOT_PUT(slot->pending_tid, 0);
    SLOT_PUT(slot->pending_ns, 0);
    SLOT_PUT(slot->idle_since_ns, now);
    slot_end(&slot->exchange_seq);
}

void managed_answered(struct managed_exchange *e, uint32_t status) {
    struct managed_connection *c =
        e->connection ? managed_pin(&managed_connections, e->place, e->transport) : NULL;
    const uint64_t id = e->connection;
    e->connection = 0;
    if (!c) return;
    if (c->id == id && connection_is_open(c)) {
        struct trace_connection *slot = connection_slot(c);
        const uint64_t now = clock_coarse();
        if (status) SLOT_PUT(slot->last_status, status);
        managed_exchange_done(c, now);
        struct trace_event event = {.type = TRACE_EVENT_RESPONSE_END,
                                    .object = __atomic_load_n(&slot->responses, __ATOMIC_RELAXED)};
        managed_note(&event, c->id, now, e->goid);
    }
    managed_connection_leave(c);
}
