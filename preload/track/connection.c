/* Connections from connect to their end: slot, identity, host, state. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "record/sys.h"
#include "record/text.h"
#include "track/asker.h"
#include "track/body.h"
#include "track/client.h"
#include "track/connection.h"
#include "track/half.h"
#include "track/host.h"
#include "track/process.h"
#include "track/streams.h"
#include "track/tls.h"
#include "track/wait.h"
#include "track/worker.h"

struct connection *connection_chunks[CONNECTION_CHUNKS];

static struct connection *private_part(uint32_t index) {
    if (index >= FD_LIMIT) return NULL;
    struct connection **place = &connection_chunks[index / CONNECTION_CHUNK];
    struct connection *chunk = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (!chunk) {
        struct connection *fresh = sys_memory(CONNECTION_CHUNK * sizeof *fresh);
        if (!fresh) return NULL;
        if (__atomic_compare_exchange_n(place, &chunk, fresh, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            chunk = fresh;
        else
            sys_memory_free(fresh, CONNECTION_CHUNK * sizeof *fresh);
    }
    return &chunk[index % CONNECTION_CHUNK];
}

void connection_note(struct connection *c, struct trace_event *event, uint64_t now) {
    event->connection = c->id;
    journal_append(event, now, thread_tid());
}

void connection_flag(struct connection *c, uint32_t flag) {
    if ((__atomic_load_n(&c->slot->flags, __ATOMIC_RELAXED) & flag) != flag)
        __atomic_fetch_or(&c->slot->flags, flag, __ATOMIC_RELAXED);
}

/* ---- host ---- */

uint32_t connection_host_for(struct connection *c, uint32_t name, uint16_t port) {
    const uint32_t flags = c->slot->flags;
    enum trace_scheme scheme = TRACE_SCHEME_UNKNOWN;
    if (c->wire == WIRE_PLAIN) scheme = TRACE_SCHEME_HTTP;
    if (flags & TRACE_CONNECTION_TLS) scheme = TRACE_SCHEME_HTTPS;
    if (flags & TRACE_CONNECTION_UNIX) scheme = TRACE_SCHEME_UNIX, name = c->slot->peer, port = 0;
    return intern_host(name, port, scheme, c->slot->peer);
}

void connection_set_host(struct connection *c, uint32_t name, uint16_t port) {
    if (c->exchanges > 0 || name == 0) return;
    struct trace_connection *slot = c->slot;
    const uint32_t host = connection_host_for(c, name, port);
    if (host == 0 || host == slot->host) return;
    const uint32_t site = intern_site(host, slot->connect_stack);
    slot_begin(&slot->seq);
    slot->host = host;
    slot->site = site;
    slot_end(&slot->seq);
    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_HOST,
                                .a = host,
                                .b = site,
                                .arg = slot->protocol,
                                .stack = slot->connect_stack};
    connection_note(c, &event, clock_now());
}

/* ---- opening ---- */

static bool is_stream(int fd) {
    int type = 0;
    uint32_t size = sizeof type;
    return sys_call(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
           type == SOCK_STREAM;
}

/* Peer as text: "unix:PATH" for Unix sockets, since that is also their host name. */
static uint32_t peer_string(const struct sockaddr *address, socklen_t size) {
    char buffer[sizeof(struct sockaddr_un) + 32];
    struct text text = TEXT_ON(buffer);
    if (address->sa_family == AF_UNIX) text_put(&text, "unix:");
    text_put_address(&text, address, size);
    return intern_string(text.bytes, text.length);
}

static uint16_t peer_port(const struct sockaddr *address) {
    if (address->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)address)->sin_port);
    if (address->sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
    return 0;
}

/* The name to begin with: what the resolver was asked, else the address without its port. */
static uint32_t first_name(const struct sockaddr *address, socklen_t size, uint32_t peer) {
    if (address->sa_family == AF_UNIX) return peer;
    char name[256];
    if (host_name_of(address, size, name, sizeof name)) return intern_string(name, strlen(name));
    char buffer[128];
    struct text text = TEXT_ON(buffer);
    text_put_address(&text, address, size);
    const char *end = strrchr(buffer, ':');
    return intern_string(buffer, end ? (size_t)(end - buffer) : text.length);
}

static void connection_create(int fd, const struct sockaddr *address, socklen_t size,
                              bool established) {
    const uint32_t index = slot_take(TRACE_REGION_CONNECTION);
    if (index == UINT32_MAX) return;
    struct connection *c = private_part(index);
    if (!c) {
        slot_give(TRACE_REGION_CONNECTION, index);
        trace_lose(TRACE_LOST_CONNECTIONS);
        return;
    }
    const uint64_t now = clock_now();
    struct trace_connection *slot = &trace->connections[index];
    const bool local = address->sa_family == AF_UNIX;
    memset(c, 0, sizeof *c);
    c->slot = slot;
    c->index = index;
    c->peer_port = peer_port(address);
    bool asked;
    const uint32_t stack = asker_connect_stack(&asked);
    const uint32_t peer = peer_string(address, size);
    c->asked_stack = asked ? stack : 0;

    slot_begin(&slot->seq);
    slot->id = slot_id(TRACE_REGION_CONNECTION);
    slot->opened_ns = now;
    slot->connect_stack = stack;
    slot->peer = peer;
    slot->flags =
        (local ? TRACE_CONNECTION_UNIX : 0) | (established ? 0 : TRACE_CONNECTION_NONBLOCK);
    slot->fd = fd;
    slot->fd_count = 1;
    slot->opener_tid = thread_tid();
    slot->host = connection_host_for(c, first_name(address, size, peer), c->peer_port);
    slot->site = intern_site(slot->host, stack);
    slot->state = established ? TRACE_CONNECTION_ESTABLISHED : TRACE_CONNECTION_CONNECTING;
    slot_end(&slot->seq);
    __atomic_store_n(&c->id, slot->id, __ATOMIC_RELEASE);
    connection_fd_set(fd, connection_entry(c));

    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_OPEN,
                                .a = (uint64_t)fd,
                                .b = peer,
                                .stack = stack,
                                .arg = (uint16_t)slot->state};
    connection_note(c, &event, now);
    struct trace_event host = {
        .type = TRACE_EVENT_CONNECTION_HOST, .a = slot->host, .b = slot->site, .stack = stack};
    connection_note(c, &host, now);
    worker_here();
    wait_epoll_adopt(fd);
    connection_sample_some(now);
}

void connection_connected(int fd, const struct sockaddr *address, socklen_t size, int result,
                          int error) {
    const bool pending =
        result < 0 && (error == EINPROGRESS || error == EINTR || error == EALREADY);
    const bool done = result == 0 || (result < 0 && error == EISCONN);
    process_check_fork();
    struct connection *c = connection_of_fd(fd);
    if (c) {
        if (c->slot->state != TRACE_CONNECTION_CONNECTING) return;
        if (done)
            connection_established(c);
        else if (!pending)
            connection_fd_forget(c), connection_end(c, END_FAILED);
        return;
    }
    if (result < 0 && error != EINPROGRESS && error != EINTR) return;
    if (!address || size < sizeof address->sa_family) return;
    if (address->sa_family != AF_INET && address->sa_family != AF_INET6 &&
        address->sa_family != AF_UNIX)
        return;
    if (!is_stream(fd) || !process_may_trace()) return;
    const bool first = !trace;
    if (!trace_open()) {
        trace_lose_connection();
        return;
    }
    if (first) client_adopt();
    if ((unsigned)fd >= FD_LIMIT || !connection_fd_table()) {
        trace_lose(TRACE_LOST_CONNECTIONS);
        return;
    }
    connection_create(fd, address, size, done);
}

void connection_established(struct connection *c) {
    uint32_t connecting = TRACE_CONNECTION_CONNECTING;
    if (__atomic_load_n(&c->slot->state, __ATOMIC_RELAXED) != connecting) return;
    if (!__atomic_compare_exchange_n(&c->slot->state, &connecting, TRACE_CONNECTION_ESTABLISHED,
                                     false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return;
    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_ESTABLISHED};
    connection_note(c, &event, clock_now());
}

void connection_shutdown(struct connection *c, int how) {
    if (how == SHUT_WR || how == SHUT_RDWR) connection_flag(c, TRACE_CONNECTION_SHUT_WR);
    if (how == SHUT_RD || how == SHUT_RDWR) connection_flag(c, TRACE_CONNECTION_SHUT_RD);
    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_SHUTDOWN, .arg = (uint16_t)how};
    connection_note(c, &event, clock_now());
}

/* ---- ending ---- */

void connection_drop(struct connection *c) {
    connection_end(c, END_FOREIGN);
}

/* The open body is the reading half's: if somebody is in there now, he finds the connection blind and withdraws it. */
static void withdraw_body(struct connection *c) {
    if (c->read_lock == thread_tid()) {
        body_withdraw(c);
    } else if (connection_lock_read(c)) {
        body_withdraw(c);
        connection_unlock_read(c);
    }
}

void connection_blind(struct connection *c, enum trace_blind reason) {
    if (c->wire == WIRE_BLIND) return;
    c->wire = WIRE_BLIND;
    withdraw_body(c);
    streams_withdraw(c);
    struct trace_connection *slot = c->slot;
    slot_begin(&slot->seq);
    slot->blind_reason = (uint16_t)reason;
    __atomic_fetch_or(&slot->flags, TRACE_CONNECTION_BLIND, __ATOMIC_RELAXED);
    slot_end(&slot->seq);
    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_BLIND, .arg = (uint16_t)reason};
    connection_note(c, &event, clock_now());
}

/*
 * TLS that was never followed is HTTP only where ALPN or the port says so. Anything else that never showed a request is not known to
 * be HTTP, except that nothing at all was said on it: then it counts, since clients do open connections ahead of need.
 */
static bool counts_when_closed(const struct connection *c) {
    const uint32_t flags = c->slot->flags;
    if (flags & TRACE_CONNECTION_COUNTED) return true;
    if (flags & TRACE_CONNECTION_TLS) {
        if (flags & TRACE_CONNECTION_TLS_FOLLOWED) return true;
        return c->peer_port == 443 || (flags & (TRACE_CONNECTION_H2 | TRACE_CONNECTION_ALPN_HTTP));
    }
    if (flags & TRACE_CONNECTION_H2) return true;
    return c->slot->read_bytes == 0 && c->slot->write_bytes == 0;
}

/* TLS carried data, and nobody showed us what. */
static bool is_opaque(const struct connection *c) {
    const uint32_t flags = c->slot->flags;
    return (flags & TRACE_CONNECTION_TLS) && (flags & TRACE_CONNECTION_TLS_DATA) &&
           !(flags & (TRACE_CONNECTION_TLS_FOLLOWED | TRACE_CONNECTION_COUNTED));
}

void connection_end_now(struct connection *c); /* half.c calls it with both halves held */

void connection_end_now(struct connection *c) {
    struct trace_map *t = trace;
    if (!t) return;
    struct trace_connection *slot = c->slot;
    enum connection_end how = (enum connection_end)c->ending;
    const uint64_t now = clock_now();
    if (how != END_FOREIGN && slot->state == TRACE_CONNECTION_CONNECTING)
        how = END_FAILED;
    else if (how != END_FOREIGN && how != END_FAILED && !counts_when_closed(c))
        how = END_FOREIGN;

    struct trace_event event = {
        .type = TRACE_EVENT_CONNECTION_CLOSE, .a = (uint64_t)slot->fd, .b = slot->site};
    if (c->streams) streams_end(c, how == END_FOREIGN || how == END_FAILED, now);
    switch (how) {
    case END_FOREIGN:
        body_withdraw(c);
        connection_fd_forget(c);
        counter_add(&t->header->connections_foreign, 1);
        if (is_opaque(c)) counter_add(&t->header->connections_opaque, 1);
        event.type = TRACE_EVENT_CONNECTION_FOREIGN;
        break;
    case END_FAILED:
        counter_add(&t->header->connections_failed, 1);
        event.type = TRACE_EVENT_CONNECTION_FAILED;
        break;
    default:
        if (c->wire == WIRE_BLIND) body_withdraw(c);
        body_end(c, BODY_DISCARDED, false, now);
        counter_add(&site_at(slot->site)->connections_closed, 1);
        if (is_opaque(c)) counter_add(&site_at(slot->site)->connections_opaque, 1);
        event.arg = how == END_FOUND_CLOSED;
        break;
    }
    connection_note(c, &event, now);
    tls_connection_closed(c);
    __atomic_store_n(&c->id, 0, __ATOMIC_RELEASE);
    slot_begin(&slot->seq);
    slot->state = TRACE_CONNECTION_FREE;
    slot_end(&slot->seq);
    c->ending = END_NOT;
    slot_give(TRACE_REGION_CONNECTION, c->index);
}
