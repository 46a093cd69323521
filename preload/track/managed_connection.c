/* Connections of a managed client: from the first word of one to the close of its socket. */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "record/sys.h"
#include "record/text.h"
#include "track/managed_host.h"
#include "track/managed_inside.h"

static void leave(uint32_t place, uint64_t todo);
struct managed_map managed_connections = {
    .buckets = 16384, .shift = 7, .entry_size = sizeof(struct managed_connection), .leave = leave};

/* ---- finding ---- */

struct managed_connection *managed_connection_find(uint64_t transport) {
    return transport ? managed_pin_key(&managed_connections, transport) : NULL;
}

struct managed_connection *managed_connection_get(uint64_t transport) {
    if (transport == 0) return NULL;
    if (!managed_trace()) {
        trace_lose_connection();
        return NULL;
    }
    struct managed_patience patience = {0};
    do {
        bool found;
        const uint32_t place = managed_map_claim_once(&managed_connections, transport, &found);
        if (place == MANAGED_NONE) break;
        if (found) {
            struct managed_connection *c = managed_pin(&managed_connections, place, transport);
            if (c) return c;
            continue; /* it has just been closed */
        }
        struct managed_connection *c = managed_map_at(&managed_connections, place);
        memset((uint8_t *)c + sizeof c->guard, 0, sizeof *c - sizeof c->guard);
        c->key = transport;
        c->place = place;
        c->id = slot_id(TRACE_REGION_CONNECTION);
        managed_guard_begin(&c->guard);
        managed_map_publish(&managed_connections, place, transport);
        return c;
    } while (managed_patient(&patience));
    trace_lose(TRACE_LOST_CONNECTIONS);
    return NULL;
}

void managed_connection_leave(struct managed_connection *c) {
    managed_release(&managed_connections, c->place);
}

uint64_t managed_connection_id(const struct managed_connection *c) {
    return c->id;
}

void managed_connection_expect(uint32_t place, uint32_t site) {
    const uint64_t *keys = managed_map_keys(&managed_connections);
    if (!trace || !keys) return;
    const struct managed_connection *c = managed_map_at(&managed_connections, place);
    __builtin_prefetch(&keys[place]);
    __builtin_prefetch(site_at(site), 1);
    const struct trace_connection *slot = connection_slot(c);
    __builtin_prefetch(&slot->read_seq, 1);
    __builtin_prefetch(&slot->write_seq, 1);
    __builtin_prefetch(&slot->exchange_seq, 1);
    journal_expect();
}

/* ---- opening ---- */

void managed_connection_asked(struct managed_connection *c, const struct managed_opening *how) {
    uint32_t no = 0;
    if (__atomic_compare_exchange_n(&c->asked, &no, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        c->asked_stack = how->stack;
        c->asked_goid = how->goid;
        __atomic_store_n(&c->asked, 2, __ATOMIC_RELEASE);
    }
}

static void worker_created(uint32_t worker, uint64_t connection, uint32_t stack) {
    struct trace_map *t = trace;
    if (!worker || !stack) return;
    struct trace_worker *w = &t->workers[worker - 1];
    if (w->dedicated == connection && w->created_stack == 0)
        __atomic_store_n(&w->created_stack, stack, __ATOMIC_RELAXED);
}

static void fill(struct managed_connection *c, const struct managed_opening *how, uint32_t stack,
                 uint64_t goid, uint64_t now) {
    struct trace_connection *slot = connection_slot(c);
    struct managed_peer peer;
    managed_peer_of(&peer, how->fd);
    c->peer = peer.name;
    c->port = peer.port;
    c->scheme = peer.local ? TRACE_SCHEME_UNIX : (uint16_t)how->scheme;
    slot_begin(&slot->seq);
    slot->id = c->id;
    slot->opened_ns = now;
    slot->connect_stack = stack;
    slot->peer = c->peer;
    slot->flags =
        TRACE_CONNECTION_GO | TRACE_CONNECTION_COUNTED /* only an HTTP client opens it */ |
        (peer.local ? TRACE_CONNECTION_UNIX : 0) |
        (how->scheme == TRACE_SCHEME_HTTPS ? TRACE_CONNECTION_TLS | TRACE_CONNECTION_TLS_FOLLOWED
                                           : 0) |
        (how->protocol == TRACE_PROTOCOL_HTTP2 ? TRACE_CONNECTION_H2 : 0);
    slot->fd = how->fd;
    slot->fd_count = 1;
    slot->opener_tid = (uint32_t)goid;
    slot->protocol = (uint16_t)how->protocol;
    slot->host = managed_host_first(c, how->authority);
    slot->site = intern_site(slot->host, stack);
    slot->state = TRACE_CONNECTION_ESTABLISHED;
    slot_end(&slot->seq);
}

void managed_connection_open(struct managed_connection *c, const struct managed_opening *how) {
    uint32_t reserved = RESERVED;
    managed_connection_asked(c, how);
    if (!__atomic_compare_exchange_n(&c->state, &reserved, OPENING, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED)) {
        struct managed_patience patience = {0};
        while (reserved == OPENING && managed_patient(&patience))
            reserved = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE);
        return;
    }
    const uint32_t index = slot_take(TRACE_REGION_CONNECTION);
    if (index == UINT32_MAX) { /* it stays unseen */
        __atomic_store_n(&c->state, UNSEEN, __ATOMIC_RELEASE);
        return;
    }
    const bool asked = __atomic_load_n(&c->asked, __ATOMIC_ACQUIRE) == 2;
    const uint32_t stack = asked ? c->asked_stack : how->stack;
    const uint64_t goid = asked ? c->asked_goid : how->goid, now = clock_coarse();
    c->slot = index;
    fill(c, how, stack, goid, now);
    const struct trace_connection *slot = connection_slot(c);
    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_OPEN,
                                .a = (uint64_t)slot->fd,
                                .b = slot->peer,
                                .stack = stack,
                                .arg = TRACE_CONNECTION_ESTABLISHED};
    managed_note(&event, c->id, now, goid);
    struct trace_event host = {.type = TRACE_EVENT_CONNECTION_HOST,
                               .a = slot->host,
                               .b = slot->site,
                               .stack = stack,
                               .arg = slot->protocol};
    managed_note(&host, c->id, now, goid);
    __atomic_store_n(&c->state, OPEN, __ATOMIC_RELEASE);
    worker_created(__atomic_load_n(&c->reader, __ATOMIC_ACQUIRE), c->id, stack);
    worker_created(__atomic_load_n(&c->writer, __ATOMIC_ACQUIRE), c->id, stack);
}

/* ---- changes ---- */

static void flag(struct managed_connection *c, uint32_t bit) {
    if (connection_is_open(c) &&
        !(__atomic_load_n(&connection_slot(c)->flags, __ATOMIC_RELAXED) & bit))
        __atomic_fetch_or(&connection_slot(c)->flags, bit, __ATOMIC_RELAXED);
}

void managed_connection_no_reuse(struct managed_connection *c) {
    flag(c, TRACE_CONNECTION_NO_REUSE);
}

void managed_connection_tunnel(struct managed_connection *c, uint64_t goid) {
    if (!connection_is_open(c)) return;
    struct trace_connection *slot = connection_slot(c);
    slot_begin(&slot->seq);
    slot->protocol = TRACE_PROTOCOL_TUNNEL;
    slot_end(&slot->seq);
    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_TUNNEL, .arg = 1};
    managed_note(&event, c->id, clock_coarse(), goid);
}

/* ---- ending ---- */

void managed_connection_close(uint64_t transport) {
    struct managed_connection *c = managed_connection_find(transport);
    if (!c) return;
    if (managed_map_hide(&managed_connections, c->place, transport))
        managed_mark(&c->guard, CONNECTION_CLOSE | GUARD_FREE | CONNECTION_ENDED);
    managed_connection_leave(c);
}

void managed_connection_withdraw(struct managed_connection *c) {
    if (managed_map_hide(&managed_connections, c->place, c->key))
        managed_mark(&c->guard, GUARD_FREE | CONNECTION_ENDED);
}

static void write_end(struct managed_connection *c) {
    struct trace_connection *slot = connection_slot(c);
    const uint64_t now = clock_coarse(), body = __atomic_load_n(&c->body, __ATOMIC_ACQUIRE);
    if (body && !managed_body_orphaned(body, c->id, now)) managed_body_collected(slot, now);
    counter_add(&site_at(slot->site)->connections_closed, 1);
    struct trace_event event = {
        .type = TRACE_EVENT_CONNECTION_CLOSE, .a = (uint64_t)slot->fd, .b = slot->site};
    managed_note(&event, c->id, now, 0);
    slot_begin(&slot->seq);
    slot->state = TRACE_CONNECTION_FREE;
    slot_end(&slot->seq);
    slot_give(TRACE_REGION_CONNECTION, c->slot);
}

/* The last one out. */
static void leave(uint32_t place, uint64_t todo) {
    struct managed_connection *c = managed_map_at(&managed_connections, place);
    if ((todo & CONNECTION_CLOSE) && connection_is_open(c)) write_end(c);
}

/* ---- samples ---- */

#define STATE_FIRST_BYTE 1u  /* tcpi_state is the first byte of struct tcp_info */
#define IOCTL_WAITING 0x541B /* FIONREAD */
#define OPTION_TCP_INFO 11

static void sample(struct trace_connection *slot, uint64_t now) {
    uint8_t state = 0;
    uint32_t size = STATE_FIRST_BYTE;
    int waiting = 0;
    const bool known = sys_call(SYS_ioctl, slot->fd, IOCTL_WAITING, &waiting) == 0;
    if (!(slot->flags & TRACE_CONNECTION_UNIX) &&
        sys_call(SYS_getsockopt, slot->fd, IPPROTO_TCP, OPTION_TCP_INFO, &state, &size) != 0)
        state = 0;
    slot_begin(&slot->sample_seq);
    slot->sample_ns = now;
    slot->rx_queued = known ? (uint32_t)waiting : 0;
    slot->rx_known = known;
    slot->tcp_state = state;
    slot_end(&slot->sample_seq);
}

void managed_sample_all(void) {
    struct trace_map *t = trace;
    if (!t || sys_is_confined()) return;
    const uint64_t now = clock_now(),
                   used = __atomic_load_n(&t->header->regions[TRACE_REGION_CONNECTION].used,
                                          __ATOMIC_RELAXED);
    for (uint64_t i = 0; i < used && i < t->connection_limit; i++) {
        struct trace_connection *slot = &t->connections[i];
        if (slot->state == TRACE_CONNECTION_ESTABLISHED && (slot->flags & TRACE_CONNECTION_GO))
            sample(slot, now);
    }
}
