/* The queue of outstanding requests and what it shows in the slot. */
#include "track/exchange.h"
#include "record/options.h"
#include "record/path.h"
#include "track/half.h"
#include "track/host.h"
#include "track/worker.h"

#include <string.h>

static struct exchange *ring_at(struct connection *c, uint32_t i) {
    return &c->ring[i % EXCHANGE_RING];
}

/* The host that this request asks for: its authority, else what the connection goes by. */
static uint32_t request_host(struct connection *c, const struct http1_request_head *head) {
    const char *name;
    unsigned length;
    uint16_t port = 0;
    const size_t n = strlen(head->authority);
    if (intern_string_is(c->names.authority, head->authority, n)) return c->names.host;
    if (n == 0 || !host_split(head->authority, &name, &length, &port)) return c->slot->host;
    c->names.authority = intern_string(head->authority, n);
    c->names.host = connection_host_for(c, intern_string(name, length), port ? port : c->peer_port);
    return c->names.host;
}

static uint32_t name_again(uint32_t last, const char *name) {
    const size_t n = strlen(name);
    return intern_string_is(last, name, n) ? last : intern_string(name, n);
}

void exchange_describe(struct connection *c, struct exchange *exchange,
                       const struct http1_request_head *head) {
    exchange->kind = head->kind;
    exchange->upgrade = head->upgrade && !head->h2c;
    exchange->method = c->names.method = name_again(c->names.method, head->method);
    exchange->path = c->names.path =
        options.record_paths ? path_name(c->names.path, head->path, strlen(head->path)) : 0;
    exchange->stack = c->start_stack;
    exchange->tid = c->start_tid;
    exchange->host = request_host(c, head);
    exchange->site = intern_site(exchange->host, exchange->stack);
    exchange->time_ns = clock_now();
    exchange->no_reuse = head->close;
    exchange->committed = 0;
}

bool exchange_queue(struct connection *c, const struct http1_request_head *head) {
    const uint32_t tail = __atomic_load_n(&c->ring_tail, __ATOMIC_ACQUIRE);
    if (c->ring_head - tail >= EXCHANGE_RING) return false;
    exchange_describe(c, ring_at(c, c->ring_head), head);
    __atomic_store_n(&c->ring_head, c->ring_head + 1, __ATOMIC_RELEASE);
    return true;
}

void exchange_show_pending(struct connection *c, const struct exchange *exchange,
                           uint64_t idle_since) {
    struct trace_connection *slot = c->slot;
    slot_begin(&slot->exchange_seq);
    slot->pending_stack = exchange ? exchange->stack : 0;
    slot->pending_ns = exchange ? exchange->time_ns : 0;
    slot->pending_method = exchange ? exchange->method : 0;
    slot->pending_path = exchange ? exchange->path : 0;
    slot->pending_tid = exchange ? exchange->tid : 0;
    slot->idle_since_ns = idle_since;
    slot_end(&slot->exchange_seq);
}

/* The first exchange decides the host of the connection, for good. */
static void first_exchange(struct connection *c, const struct exchange *exchange, uint64_t now) {
    struct trace_connection *slot = c->slot;
    slot_begin(&slot->seq);
    slot->host = exchange->host;
    slot->site = intern_site(exchange->host, slot->connect_stack);
    slot->protocol = c->streams ? TRACE_PROTOCOL_HTTP2 : TRACE_PROTOCOL_HTTP1;
    __atomic_fetch_or(&slot->flags, TRACE_CONNECTION_COUNTED, __ATOMIC_RELAXED);
    slot_end(&slot->seq);
    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_HOST,
                                .a = slot->host,
                                .b = slot->site,
                                .stack = slot->connect_stack,
                                .arg = slot->protocol};
    connection_note(c, &event, now);
}

void exchange_count(struct connection *c, struct exchange *exchange, bool oldest) {
    struct trace_connection *slot = c->slot;
    const uint64_t now = exchange->time_ns;
    const bool counted = exchange->kind != HTTP1_METHOD_CONNECT;
    if (counted && c->exchanges == 0) first_exchange(c, exchange, now);
    slot_begin(&slot->write_seq);
    slot->requests++;
    slot->request_ns = exchange->time_ns;
    slot->request_stack = exchange->stack;
    slot->request_tid = exchange->tid;
    slot->request_method = exchange->method;
    slot->request_path = exchange->path;
    slot_end(&slot->write_seq);
    if (counted) {
        struct trace_site *site = site_at(exchange->site);
        counter_add(&site->exchanges, 1);
        if (c->exchanges++ > 0) counter_add(&site->exchanges_reused, 1);
    }
    if (exchange->no_reuse) connection_flag(c, TRACE_CONNECTION_NO_REUSE);
    if (oldest) exchange_show_pending(c, exchange, 0);
    struct trace_event event = {.type = TRACE_EVENT_REQUEST,
                                .object = slot->requests,
                                .a = exchange->method,
                                .b = exchange->path,
                                .stack = exchange->stack,
                                .arg = counted};
    connection_note(c, &event, now);
    __atomic_store_n(&exchange->committed, 1, __ATOMIC_RELEASE);
}

void exchange_commit(struct connection *c, uint32_t from) {
    for (uint32_t i = from; i != c->ring_head; i++) {
        const uint32_t tail = __atomic_load_n(&c->ring_tail, __ATOMIC_ACQUIRE);
        if ((int32_t)(i - tail) < 0) continue; /* answered already: the reader committed it */
        struct exchange *exchange = ring_at(c, i);
        if (!exchange->committed) exchange_count(c, exchange, i == tail);
    }
}

struct exchange *exchange_oldest(struct connection *c) {
    const uint32_t head = __atomic_load_n(&c->ring_head, __ATOMIC_ACQUIRE);
    if (head == c->ring_tail) return NULL;
    struct exchange *exchange = ring_at(c, c->ring_tail);
    if (!__atomic_load_n(&exchange->committed, __ATOMIC_ACQUIRE)) {
        if (!connection_lock_write(c)) return NULL;
        if (!exchange->committed) exchange_count(c, exchange, true);
        connection_unlock_write(c);
    }
    return exchange;
}

void exchange_refused(struct connection *c, const struct exchange *exchange, uint64_t now) {
    if (exchange->kind != HTTP1_METHOD_CONNECT || (c->slot->flags & TRACE_CONNECTION_COUNTED))
        return;
    if (!connection_lock_write(c)) return;
    first_exchange(c, exchange, now);
    connection_unlock_write(c);
}

void exchange_answered(struct connection *c, uint64_t number, bool said, uint64_t now) {
    struct trace_connection *slot = c->slot;
    slot_begin(&slot->read_seq);
    slot->responses++;
    slot_end(&slot->read_seq);
    if (said) return;
    struct trace_event event = {.type = TRACE_EVENT_RESPONSE_END, .object = number};
    connection_note(c, &event, now);
}

void exchange_done(struct connection *c, bool said, uint64_t now) {
    const bool locked = connection_lock_write(c);
    const uint32_t tail = c->ring_tail + 1;
    __atomic_store_n(&c->ring_tail, tail, __ATOMIC_RELEASE);
    struct exchange *next = tail != c->ring_head ? ring_at(c, tail) : NULL;
    exchange_show_pending(c, next && next->committed ? next : NULL, next ? 0 : now);
    if (locked) connection_unlock_write(c);
    exchange_answered(c, c->slot->responses + 1, said, now);
}
