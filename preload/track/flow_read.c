/* What a program reads: responses are parsed after the read, and the end of the stream ends bodies. */
#include <errno.h>
#include <string.h>

#include "track/body.h"
#include "track/exchange.h"
#include "track/flow_inside.h"
#include "track/streams.h"

struct reading { /* context of the response parser's events */
    struct connection *c;
    uint64_t now;
    bool h2c; /* the tunnel that begins is HTTP/2 */
};

static bool response_request(void *context, enum http1_method_kind *kind) {
    struct reading *r = context;
    const struct exchange *exchange = exchange_oldest(r->c);
    if (!exchange) return false;
    *kind = exchange->kind;
    return true;
}

static void response_head(void *context, const struct http1_response_head *head) {
    struct reading *r = context;
    struct connection *c = r->c;
    const struct exchange *exchange = exchange_oldest(c);
    if (!exchange) return;
    slot_begin(&c->slot->read_seq);
    c->slot->last_status = head->status;
    slot_end(&c->slot->read_seq);
    const uint64_t number = c->slot->responses + 1;
    /* The first exchange names the host, in the journal before its body opens. */
    if (head->is_final && head->status / 100 != 2) exchange_refused(c, exchange, r->now);
    const bool has_body =
        head->is_final &&
        (head->framing == HTTP1_BODY_CHUNKED || head->framing == HTTP1_BODY_UNTIL_CLOSE ||
         (head->framing == HTTP1_BODY_LENGTH && head->length > 0));
    if (!has_body || !body_open(c, exchange, head, number, r->now)) {
        struct trace_event event = {
            .type = TRACE_EVENT_RESPONSE, .object = number, .arg = head->status};
        connection_note(c, &event, r->now);
    }
    if (!head->is_final) return;
    r->h2c = head->h2c;
    if (!head->keep_alive) connection_flag(c, TRACE_CONNECTION_NO_REUSE);
}

static void response_body(void *context, uint64_t bytes) {
    struct reading *r = context;
    body_progress(r->c, bytes, r->now);
}

static void response_end(void *context) {
    struct reading *r = context;
    const bool said = body_end(r->c, BODY_DRAINED, true, r->now);
    exchange_done(r->c, said, r->now);
}

static const struct http1_response_ops response_ops = {
    .request = response_request, .head = response_head, .body = response_body, .end = response_end};

/* After a CONNECT was granted the connection starts anew, with the target's host until its first exchange names one. */
static void tunnel_begins(struct reading *r) {
    struct connection *c = r->c;
    const struct exchange *exchange = &c->ring[c->ring_tail % EXCHANGE_RING];
    const bool connected = exchange->kind == HTTP1_METHOD_CONNECT;
    const uint32_t target = exchange->host;
    exchange_done(c, false, r->now);
    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_TUNNEL, .arg = connected ? 2 : 1};
    connection_note(c, &event, r->now);
    if (!connected) {
        c->wire = WIRE_TUNNEL;
        c->slot->protocol = TRACE_PROTOCOL_TUNNEL;
        return;
    }
    connection_flag(c, TRACE_CONNECTION_PROXY);
    if (!connection_lock_write(c)) {
        connection_blind(c, TRACE_BLIND_CONCURRENT);
        return;
    }
    memset(&c->request, 0, sizeof c->request);
    memset(&c->response, 0, sizeof c->response);
    c->names = (struct exchange_names){0};
    if (c->wire == WIRE_TLS)
        c->tunnel_fresh = true;
    else
        c->wire = WIRE_NEW;
    connection_unlock_write(c);
    const struct trace_host *host = &trace->hosts[target];
    connection_set_host(c, host->name, host->port);
}

static void response_status(struct reading *r, enum http1_status status) {
    switch (status) {
    case HTTP1_FOREIGN: connection_drop(r->c); break;
    case HTTP1_TUNNEL: tunnel_begins(r); break;
    case HTTP1_OK: break;
    default:
        /* A server that gives up an idle connection says so unasked; what follows is its end (RFC 9110 15.5.9). */
        if (http1_response_unasked(&r->c->response) == 408)
            connection_flag(r->c, TRACE_CONNECTION_NO_REUSE);
        else
            connection_blind(r->c, TRACE_BLIND_FRAMING);
        break;
    }
}

/* What looked like no HTTP/1 at all, or ended it, may be HTTP/2: the rest of what was read is that. */
static bool becomes_http2(const struct reading *r, enum http1_status status, const void *rest,
                          size_t n) {
    struct connection *c = r->c;
    if (status == HTTP1_TUNNEL) return r->h2c && streams_upgrade(c);
    if (status != HTTP1_FOREIGN || !streams_server_first(c, rest, n)) return false;
    connection_flag(c, TRACE_CONNECTION_SERVER_FIRST);
    return true;
}

static void feed_response(struct reading *r, const struct iovec *iov, int count, uint64_t n) {
    struct connection *c = r->c;
    for (int i = 0; i < count && n > 0 && c->wire != WIRE_BLIND && c->wire != WIRE_TUNNEL; i++) {
        const size_t part = iov[i].iov_len < n ? iov[i].iov_len : (size_t)n;
        size_t consumed = 0;
        if (part == 0) continue;
        const enum http1_status status =
            http1_response_feed(&c->response, iov[i].iov_base, part, &consumed, &response_ops, r);
        if (status != HTTP1_OK) {
            if (becomes_http2(r, status, (const char *)iov[i].iov_base + consumed, part - consumed))
                streams_read(c, iov + i, count - i, consumed, n - consumed, r->now);
            else
                response_status(r, status);
            return;
        }
        n -= part;
    }
    /* wget and others leave the trailer on the socket: the body itself is off it. */
    if (c->body && http1_response_payload_over(&c->response))
        body_end(c, BODY_DRAINED, false, r->now);
}

/* The peer's end, or the network's (error). plaintext_ended: no application byte can follow. Inside the reading half. */
static void read_eof(struct connection *c, int error, bool plaintext_ended, uint64_t now) {
    struct trace_connection *slot = c->slot;
    if (plaintext_ended && c->wire != WIRE_BLIND && c->wire != WIRE_TUNNEL) {
        struct reading r = {.c = c, .now = now};
        bool truncated = false;
        if (c->streams)
            streams_eof(c, now);
        else if (error == 0)
            http1_response_eof(&c->response, &truncated, &response_ops, &r);
        body_end(c, BODY_FAILED, false, now); /* whatever is still open was cut short */
    }
    if (c->eof) return;
    c->eof = true;
    slot_begin(&slot->read_seq);
    slot->eof_ns = now;
    slot_end(&slot->read_seq);
    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_EOF, .arg = (uint16_t)error};
    connection_note(c, &event, now);
}

void flow_read_before(struct flow_read *f, struct connection *c, enum flow_layer layer) {
    f->connection = c;
    if (!c) return;
    f->id = c->id;
    f->layer = layer;
    const uint64_t now = clock_coarse();
    struct trace_connection *slot = c->slot;
    if (c->body || c->streams) { /* how long nobody cared for the open body */
        uint64_t last = slot->read_attempt_ns;
        if (slot->wait_ns > last) last = slot->wait_ns;
        if (slot->read_progress_ns > last)
            last = slot->read_progress_ns; /* it blocked until then */
        /* edge triggered, a set is waited on whether its member is wanted or not */
        const uint64_t own = slot->epoll_interest && !slot->epoll_edge && slot->epoll_wait_ns > last
                                 ? slot->epoll_wait_ns
                                 : last;
        if (slot->epoll_interest && slot->epoll_wait_ns > last) last = slot->epoll_wait_ns;
        c->stall_ns = last && now > last ? now - last : 0;
        c->rest_ns = own && now > own ? now - own : 0;
    }
    __atomic_store_n(&slot->read_attempt_ns, now, __ATOMIC_RELAXED);
    if (carries_application(c, layer)) worker_io_begin(c, false);
}

/* What a read that brought something leaves in the slot. */
static void read_shown(struct connection *c, enum flow_layer layer, uint64_t n, uint64_t now) {
    struct trace_connection *slot = c->slot;
    slot_begin(&slot->read_seq);
    slot->read_progress_ns = now;
    slot->read_result = TRACE_READ_DATA;
    if (layer == FLOW_WIRE) slot->read_bytes += n;
    if (layer == FLOW_PLAINTEXT || c->wire != WIRE_TLS) slot->read_app_bytes += n;
    if (carries_application(c, layer)) slot->reader_tid = thread_tid();
    slot_end(&slot->read_seq);
}

static void read_bytes(struct flow_read *f, const struct iovec *iov, int count, uint64_t n,
                       uint64_t now) {
    struct connection *c = f->connection;
    if (c->wire == WIRE_BLIND && c->body) body_withdraw(c); /* the writer found out while we read */
    if (c->wire == WIRE_NEW &&
        f->layer == FLOW_WIRE) { /* the peer spoke first: no HTTP/1 server does */
        const struct iovec *first = first_bytes(iov, count);
        const size_t there = first ? (first->iov_len < n ? first->iov_len : (size_t)n) : 0;
        connection_flag(c, TRACE_CONNECTION_SERVER_FIRST);
        if (there == 0 || !streams_server_first(c, first->iov_base, there)) {
            connection_drop(c);
            return;
        }
        streams_read(c, iov, count, 0, n, now); /* HTTP/2, if the client has its preface to say */
    }
    if (f->layer == FLOW_WIRE && c->wire == WIRE_TLS) {
        const struct iovec *first = first_bytes(iov, count);
        if (first) tls_wire_read(c, first->iov_base, first->iov_len < n ? first->iov_len : n);
    }
    if (is_parsed(c, f->layer) && c->streams) {
        streams_read(c, iov, count, 0, n, now);
    } else if (is_parsed(c, f->layer)) {
        struct reading r = {.c = c,
                            .now = c->body || c->ring_head == c->ring_tail ? now : clock_now()};
        feed_response(&r, iov, count, n);
    }
    read_shown(c, f->layer, n, now);
}

void flow_read_after(struct flow_read *f, const struct iovec *iov, int count, ssize_t result,
                     int error, size_t wanted) {
    struct connection *c = f->connection;
    if (!c) return;
    const uint64_t n = result > 0 ? (uint64_t)result : 0;
    const uint64_t now = clock_coarse();
    const bool there = still_there(c, f->id);
    /* first this, then the end of the wait: whoever finds that nobody waits any more finds that somebody just did */
    if (there) __atomic_store_n(&c->slot->read_attempt_ns, now, __ATOMIC_RELAXED);
    if (!there || carries_application(c, f->layer)) worker_io_end(there ? c : NULL, false, n, now);
    if (!there) return;
    struct trace_connection *slot = c->slot;
    if (result < 0 && error == EINTR) return;
    if (n && slot->state == TRACE_CONNECTION_CONNECTING && f->layer == FLOW_WIRE)
        connection_established(c);
    if (!connection_lock_read(c)) {
        connection_blind(c, TRACE_BLIND_CONCURRENT);
        return;
    }
    if (n && c->body && is_parsed(c, f->layer) && http1_response_take(&c->response, n)) {
        body_progress(c, n, now);
        read_shown(c, f->layer, n, now);
    } else if (n)
        read_bytes(f, iov, count, n, now);
    else if (result < 0 && (error == EAGAIN || error == EWOULDBLOCK))
        slot->read_result = TRACE_READ_AGAIN;
    else if (result == 0 && wanted == 0) /* a read of nothing */
        ;
    else if (slot->state == TRACE_CONNECTION_CONNECTING)
        slot->read_result = TRACE_READ_ERROR;
    else {
        const int reason = result < 0 ? error : 0;
        slot->read_result = reason ? TRACE_READ_ERROR : TRACE_READ_EOF;
        read_eof(c, reason, f->layer == FLOW_PLAINTEXT || c->wire != WIRE_TLS, clock_now());
    }
    connection_unlock_read(c);
}

void flow_read_unseen(struct connection *c, uint64_t n) {
    if (!c || n == 0) return;
    connection_established(c);
    if (!connection_lock_read(c)) return;
    const uint64_t now = clock_coarse();
    struct reading r = {.c = c, .now = now};
    const bool parsed = unseen_is_parsed(c);
    if (c->wire == WIRE_NEW)
        connection_drop(c);
    else if (parsed && c->streams)
        streams_read_unseen(c, n, now);
    else if (parsed && http1_response_skip(&c->response, n, &response_ops, &r) != HTTP1_OK)
        connection_blind(c, TRACE_BLIND_UNSEEN);
    struct trace_connection *slot = c->slot;
    slot_begin(&slot->read_seq);
    slot->read_attempt_ns = now;
    slot->read_progress_ns = now;
    slot->read_result = TRACE_READ_DATA;
    slot->read_bytes += n;
    if (parsed || c->wire != WIRE_TLS) slot->read_app_bytes += n;
    slot->reader_tid = thread_tid();
    slot_end(&slot->read_seq);
    connection_unlock_read(c);
}

void flow_peek_before(struct flow_read *f, struct connection *c) {
    f->connection = c;
    if (!c) return;
    f->id = c->id;
    const uint64_t now = clock_coarse();
    __atomic_store_n(&c->slot->read_attempt_ns, now, __ATOMIC_RELAXED);
    if (worker_waits()) worker_wait_begin(TRACE_WAIT_READ, c->id, NULL, now);
}

void flow_peek_after(struct flow_read *f) {
    if (!f->connection) return;
    if (still_there(f->connection, f->id))
        __atomic_store_n(&f->connection->slot->read_attempt_ns, clock_coarse(), __ATOMIC_RELAXED);
    if (worker_waits()) worker_wait_end();
}
