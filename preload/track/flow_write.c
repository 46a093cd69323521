/*
 * What a program writes: its first bytes classify the connection, requests are parsed before the send and committed after it.
 */
#include "track/asker.h"
#include "track/exchange.h"
#include "track/flow_inside.h"
#include "track/streams.h"

struct writing { /* context of the request parser's events */
    struct connection *c;
    uint32_t again; /* re-feed after a short send: heads before this place are queued already */
    bool full;      /* a request found no place in the ring */
    uint32_t stack; /* taken before the parser's own frames came on it; 0: none yet */
    const struct stack_caller *caller;
};

static void request_start(void *context) {
    struct writing *w = context;
    if ((int32_t)(w->again - w->c->ring_head) > 0) return; /* its stack was taken before the send */
    w->c->start_stack = w->stack ? w->stack : asker_request_stack(w->c, w->caller);
    w->c->start_tid = thread_tid();
}

static void request_head(void *context, const struct http1_request_head *head) {
    struct writing *w = context;
    struct connection *c = w->c;
    if ((int32_t)(w->again - c->ring_head) > 0) {
        c->ring_head++; /* the same head as before the send, still in its place */
        return;
    }
    if (!exchange_queue(c, head)) w->full = true;
}

static void request_end(void *context) {
    (void)context;
}

static const struct http1_request_ops request_ops = {
    .start = request_start, .head = request_head, .end = request_end};

/* What the parser made of bytes; nothing follows from it before they were really taken. */
struct verdict {
    enum http1_status status;
    bool full;
    int at; /* the buffer that the parser came to */
};

static struct verdict feed_request(struct connection *c, const struct iovec *iov, int count,
                                   uint64_t limit, struct writing *w) {
    enum http1_status status = HTTP1_OK;
    int i = 0;
    for (; i < count && limit > 0 && status == HTTP1_OK; i++) {
        const size_t n = iov[i].iov_len < limit ? iov[i].iov_len : (size_t)limit;
        size_t consumed = 0;
        if (n == 0) continue;
        status = http1_request_feed(&c->request, iov[i].iov_base, n, &consumed, &request_ops, w);
        limit -= n;
    }
    return (struct verdict){status, w->full, i - 1};
}

static void obey(struct connection *c, struct verdict verdict) {
    if (verdict.full) connection_blind(c, TRACE_BLIND_PIPELINE);
    switch (verdict.status) {
    case HTTP1_FOREIGN: connection_drop(c); break;
    case HTTP1_HTTP2:
        connection_flag(c, TRACE_CONNECTION_H2);
        connection_blind(c, TRACE_BLIND_NO_SLOT); /* there was no memory to follow it with */
        break;
    case HTTP1_BLIND: connection_blind(c, TRACE_BLIND_FRAMING); break;
    default: break;
    }
}

/* A TLS record of the handshake, any version of the record layer. */
static bool looks_like_tls(const uint8_t *bytes, size_t n) {
    return n >= 3 && bytes[0] == 0x16 && bytes[1] == 3 && bytes[2] <= 4;
}

/* The first bytes that we say decide what the connection speaks on the wire. */
static void classify(struct connection *c, const struct iovec *first) {
    if (looks_like_tls(first->iov_base, first->iov_len))
        c->wire = WIRE_TLS;
    else
        c->wire = WIRE_PLAIN;
    if (c->slot->host != 0 && c->wire == WIRE_PLAIN) {
        const struct trace_host *host = &trace->hosts[c->slot->host];
        connection_set_host(c, host->name, host->port); /* again, now with a scheme */
    }
}

static uint64_t total(const struct iovec *iov, int count) {
    uint64_t n = 0;
    for (int i = 0; i < count; i++)
        n += iov[i].iov_len;
    return n;
}

void flow_write_before(struct flow_write *f, struct connection *c, enum flow_layer layer,
                       const struct iovec *iov, int count, const struct stack_caller *caller) {
    f->connection = c;
    if (!c) return;
    f->id = c->id;
    f->layer = layer;
    f->caller = caller;
    f->parsed = f->streams = false;
    const struct iovec *first = first_bytes(iov, count);
    if (layer == FLOW_WIRE && first) {
        const bool fresh = c->wire == WIRE_NEW;
        if (fresh) classify(c, first);
        if (fresh && c->wire == WIRE_TLS && c->streams) { /* the server spoke first: STARTTLS */
            connection_drop(c);
            f->connection = NULL;
            return;
        }
        if (c->wire == WIRE_TLS) tls_wire_write(c, first->iov_base, first->iov_len, fresh);
    }
    if (layer == FLOW_PLAINTEXT && first && c->tunnel_fresh) {
        c->tunnel_fresh = false;
        if (looks_like_tls(first->iov_base,
                           first->iov_len)) { /* from here on another object has the plaintext */
            tls_inside_tls(c, first->iov_base, first->iov_len);
            f->connection = NULL;
            return;
        }
    }
    if (carries_application(c, layer)) worker_io_begin(c, true);
    if (!is_parsed(c, layer) || !first) return;
    if (!connection_lock_write(c)) {
        connection_blind(c, TRACE_BLIND_CONCURRENT);
        return;
    }
    if (c->streams && still_there(c, f->id)) {
        streams_write_before(f, iov, count);
        connection_unlock_write(c);
        return;
    }
    /* Of the first request it is taken when its line looks like one: most that is not HTTP never gets there. */
    struct writing w = {.c = c, .again = c->ring_head, .caller = caller};
    if (c->slot->requests && http1_request_idle(&c->request))
        w.stack = asker_request_stack(c, caller);
    f->parsed = true;
    f->parsed_bytes = total(iov, count);
    f->ring_before = c->ring_head;
    http1_request_copy(&f->snapshot, &c->request);
    const struct verdict verdict = feed_request(c, iov, count, UINT64_MAX, &w);
    f->status = verdict.status;
    f->full = verdict.full;
    f->ring_after = c->ring_head;
    /* Of its preface what was written earlier is gone, all of this write is HTTP/2's. */
    if (verdict.status == HTTP1_HTTP2 &&
        streams_begin(c, c->request.preface - (unsigned)total(iov, verdict.at))) {
        f->parsed = false;
        streams_write_before(f, iov, count);
    }
    connection_unlock_write(c);
}

/* The send took less than it was given: what the parser saw beyond that has not been said (yet). */
static struct verdict take_back(struct flow_write *f, const struct iovec *iov, int count,
                                uint64_t taken) {
    struct connection *c = f->connection;
    if (c->ring_head !=
        f->ring_after) { /* somebody else wrote in between: there is no telling whose bytes went first */
        connection_blind(c, TRACE_BLIND_CONCURRENT);
        return (struct verdict){HTTP1_OK, false, 0};
    }
    http1_request_copy(&c->request, &f->snapshot);
    c->ring_head = f->ring_before;
    struct writing w = {.c = c, .again = f->ring_after};
    return feed_request(c, iov, count, taken, &w);
}

void flow_write_after(struct flow_write *f, const struct iovec *iov, int count, ssize_t result,
                      int error) {
    struct connection *c = f->connection;
    (void)error;
    if (!c) return;
    const uint64_t taken = result > 0 ? (uint64_t)result : 0;
    const uint64_t now = clock_coarse();
    if (!still_there(c, f->id)) {
        worker_io_end(NULL, true, taken, now);
        return;
    }
    const bool application = carries_application(c, f->layer);
    if (taken && f->layer == FLOW_WIRE) connection_established(c);
    if (!connection_lock_write(c)) {
        connection_blind(c, TRACE_BLIND_CONCURRENT);
        if (application) worker_io_end(NULL, true, taken, now);
        return;
    }
    if (f->streams) {
        streams_write_after(f, iov, count, taken);
        connection_sample_some(now);
    } else if (f->parsed && c->wire != WIRE_BLIND) {
        struct verdict verdict = {f->status, f->full, 0};
        if (taken < f->parsed_bytes) verdict = take_back(f, iov, count, taken);
        obey(c, verdict);
        if (c->ring_head != f->ring_before) {
            exchange_commit(c, f->ring_before);
            c->asked_stack = 0;
            connection_sample_some(now);
        }
    }
    struct trace_connection *slot = c->slot;
    slot_begin(&slot->write_seq);
    slot->write_attempt_ns = now;
    if (f->layer == FLOW_WIRE) slot->write_bytes += taken;
    if (f->layer == FLOW_PLAINTEXT || c->wire != WIRE_TLS) slot->write_app_bytes += taken;
    if (taken && application) slot->writer_tid = thread_tid();
    slot_end(&slot->write_seq);
    if (application) worker_io_end(c, true, taken, now);
    connection_unlock_write(c);
}

void flow_write_unseen(struct connection *c, uint64_t n) {
    if (!c || n == 0) return;
    connection_established(c);
    if (!connection_lock_write(c)) return;
    if (c->wire == WIRE_NEW) connection_blind(c, TRACE_BLIND_UNSEEN);
    struct writing w = {.c = c, .again = c->ring_head};
    const bool parsed = unseen_is_parsed(c);
    if (parsed && c->streams)
        streams_write_unseen(c, n);
    else if (parsed && http1_request_skip(&c->request, n, &request_ops, &w) != HTTP1_OK)
        connection_blind(c, TRACE_BLIND_UNSEEN);
    struct trace_connection *slot = c->slot;
    slot_begin(&slot->write_seq);
    slot->write_attempt_ns = clock_coarse();
    slot->write_bytes += n;
    if (parsed || c->wire != WIRE_TLS) slot->write_app_bytes += n;
    slot->writer_tid = thread_tid();
    slot_end(&slot->write_seq);
    connection_unlock_write(c);
}
