/* HTTP/2 between the flow of bytes and the streams: what is fed when, what a short send leaves, and the end. */
#include "track/streams.h"

#include "track/exchange.h"
#include "track/half.h"
#include "track/stream.h"

/* ---- the lock ---- */

static void drop_bodies(struct streams *t) {
    for (struct stream *s = stream_at(t, t->oldest); s; s = stream_at(t, s->newer)) {
        if (s->body) body_drop(s->body);
        s->body = NULL;
    }
}

/* false: it can't be had, or there is nothing to follow any more. */
static bool streams_lock(struct connection *c) {
    struct streams *t = c->streams;
    if (c->wire == WIRE_BLIND) return false;
    if (!half_lock(&t->lock)) {
        connection_blind(c, TRACE_BLIND_CONCURRENT);
        return false;
    }
    return true;
}

/* Whoever made the connection blind meanwhile may not have got in: the bodies leave with us. */
static void streams_unlock(struct connection *c) {
    struct streams *t = c->streams;
    if (c->wire == WIRE_BLIND) drop_bodies(t);
    __atomic_store_n(&t->lock, 0, __ATOMIC_SEQ_CST);
    if (c->wire == WIRE_BLIND) streams_withdraw(c);
}

void streams_withdraw(struct connection *c) {
    struct streams *t = c->streams;
    if (!t || !half_lock(&t->lock)) return;
    drop_bodies(t);
    __atomic_store_n(&t->lock, 0, __ATOMIC_SEQ_CST);
}

/* After the lock was given back. */
static void obey(struct connection *c, enum http2_status status, bool full) {
    if (status == HTTP2_OK) return;
    if (full)
        connection_blind(c, TRACE_BLIND_PIPELINE);
    else if (status == HTTP2_FOREIGN && !(c->slot->flags & TRACE_CONNECTION_H2))
        connection_drop(c); /* a server that spoke first, and a client that does not speak HTTP */
    else
        connection_blind(c, TRACE_BLIND_HTTP2);
}

/* ---- the beginning ---- */

static void chosen(struct connection *c) {
    connection_flag(c, TRACE_CONNECTION_H2);
    __atomic_store_n(&c->slot->window, HTTP2_WINDOW_FIRST, __ATOMIC_RELAXED);
}

bool streams_begin(struct connection *c, unsigned preface) {
    struct streams *t = stream_table_new(preface);
    if (!t) return false;
    __atomic_store_n(&c->streams, t, __ATOMIC_RELEASE);
    chosen(c);
    return true;
}

bool streams_server_first(struct connection *c, const void *bytes, size_t n) {
    if (c->streams) return true;
    if (c->slot->requests || !http2_is_server_first(bytes, n) || !connection_lock_write(c))
        return false;
    struct streams *t = c->streams ? NULL : stream_table_new(0);
    if (t) __atomic_store_n(&c->streams, t, __ATOMIC_RELEASE);
    connection_unlock_write(c);
    return c->streams != NULL;
}

bool streams_upgrade(struct connection *c) {
    if (!connection_lock_write(c)) return false;
    struct streams *t = c->streams ? NULL : stream_table_new(0);
    struct stream *s = t ? stream_new(t, 1) : NULL;
    if (s) {
        s->exchange = c->ring[c->ring_tail % EXCHANGE_RING];
        s->number = c->slot->requests;
        s->window = t->first_window;
        t->newest_id = 1;
        __atomic_store_n(&c->ring_tail, c->ring_tail + 1, __ATOMIC_RELEASE);
        slot_begin(&c->slot->seq);
        c->slot->protocol = TRACE_PROTOCOL_HTTP2;
        slot_end(&c->slot->seq);
        __atomic_store_n(&c->streams, t, __ATOMIC_RELEASE);
        chosen(c);
    }
    connection_unlock_write(c);
    return s != NULL;
}

/* ---- writing ---- */

#define HASH_FACTOR UINT64_C(0x9e3779b97f4a7c15)

static uint64_t hash_more(uint64_t hash, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        hash = hash * HASH_FACTOR + bytes[i] + 1;
    return hash;
}

static uint64_t power(uint64_t n) {
    uint64_t result = 1;
    for (uint64_t factor = HASH_FACTOR; n; n >>= 1, factor *= factor)
        if (n & 1) result *= factor;
    return result;
}

/* The hash of bytes [from, to) of the buffers. */
static uint64_t hash_of(const struct iovec *iov, int count, uint64_t from, uint64_t to) {
    uint64_t hash = 0, at = 0;
    for (int i = 0; i < count && at < to; at += iov[i++].iov_len) {
        const uint64_t start = from > at ? from - at : 0;
        const uint64_t stop = to - at < iov[i].iov_len ? to - at : iov[i].iov_len;
        if (start < stop)
            hash =
                hash_more(hash, (const uint8_t *)iov[i].iov_base + start, (size_t)(stop - start));
    }
    return hash;
}

static uint64_t total(const struct iovec *iov, int count) {
    uint64_t n = 0;
    for (int i = 0; i < count; i++)
        n += iov[i].iov_len;
    return n;
}

void streams_write_before(struct flow_write *f, const struct iovec *iov, int count) {
    struct connection *c = f->connection;
    struct streams *t = c->streams;
    struct stream_feed feed = {.c = c, .t = t, .caller = f->caller};
    f->streams = true;
    f->streams_known = 0;
    if (t->in_flight) { /* another send is under way, or never came back: no telling whose bytes go first */
        connection_blind(c, TRACE_BLIND_CONCURRENT);
        return;
    }
    if (!streams_lock(c)) return;
    t->in_flight = true;
    f->parsed_bytes = total(iov, count);
    uint64_t known = f->streams_known = t->parsed - t->taken; /* said before, and not taken then */
    enum http2_status status = (enum http2_status)t->sent.status;
    for (int i = 0; i < count && status == HTTP2_OK; i++) {
        const uint64_t skip = known < iov[i].iov_len ? known : iov[i].iov_len;
        known -= skip;
        if (skip == iov[i].iov_len) continue;
        status = http2_feed(&t->sent, (const uint8_t *)iov[i].iov_base + skip,
                            iov[i].iov_len - (size_t)skip, &stream_sent_ops, &feed);
        t->parsed += iov[i].iov_len - skip;
    }
    streams_unlock(c);
    obey(c, status, feed.full);
}

/*
 * Of `given` bytes `taken` went out. Of a rest that was there before, what was said again must be the same; what there is now is
 * to be said again. false: something else was said.
 */
static bool account(struct streams *t, const struct iovec *iov, int count, uint64_t given,
                    uint64_t taken, uint64_t before) {
    const uint64_t gone = before < taken ? before : taken;
    bool same = true;
    t->rest -= hash_of(iov, count, 0, gone) * power(before - gone);
    t->taken += taken;
    if (given < before) return true; /* the end of the rest has not been said again yet */
    same = t->rest == hash_of(iov, count, gone, before);
    t->rest = hash_of(iov, count, taken, given);
    return same;
}

void streams_write_after(struct flow_write *f, const struct iovec *iov, int count, uint64_t taken) {
    struct connection *c = f->connection;
    struct streams *t = c->streams;
    if (!t) return;
    t->in_flight = false;
    if (!streams_lock(c)) return;
    struct stream_feed feed = {.c = c, .t = t};
    bool same = true;
    if (taken == f->parsed_bytes && f->streams_known == 0) /* nearly always */
        t->taken += taken;
    else
        same = account(t, iov, count, f->parsed_bytes, taken, f->streams_known);
    stream_commit(&feed);
    streams_unlock(c);
    if (!same) connection_blind(c, TRACE_BLIND_HTTP2);
}

void streams_write_unseen(struct connection *c, uint64_t n) {
    struct streams *t = c->streams;
    struct stream_feed feed = {.c = c, .t = t};
    if (!streams_lock(c)) return;
    enum http2_status status = HTTP2_BLIND;
    if (t->parsed == t->taken) status = http2_skip(&t->sent, n, &stream_sent_ops, &feed);
    t->parsed += n;
    t->taken += n;
    streams_unlock(c);
    if (status != HTTP2_OK) connection_blind(c, TRACE_BLIND_UNSEEN);
}

/* ---- reading ---- */

void streams_read(struct connection *c, const struct iovec *iov, int count, size_t skip, uint64_t n,
                  uint64_t now) {
    struct streams *t = c->streams;
    struct stream_feed feed = {.c = c, .t = t, .now = now};
    uint32_t id;
    if (!streams_lock(c)) return;
    enum http2_status status = (enum http2_status)t->received.status;
    if (status == HTTP2_OK && http2_take(&t->received, n, &id)) {
        stream_data(&feed, id, n);
        n = 0;
    }
    for (int i = 0; i < count && n > 0 && status == HTTP2_OK; i++) {
        size_t part = iov[i].iov_len;
        if (skip >= part) {
            skip -= part;
            continue;
        }
        part -= skip;
        if (part > n) part = (size_t)n;
        status = http2_feed(&t->received, (const uint8_t *)iov[i].iov_base + skip, part,
                            &stream_received_ops, &feed);
        skip = 0;
        n -= part;
    }
    streams_unlock(c);
    obey(c, status, false);
}

void streams_read_unseen(struct connection *c, uint64_t n, uint64_t now) {
    struct streams *t = c->streams;
    struct stream_feed feed = {.c = c, .t = t, .now = now};
    if (!streams_lock(c)) return;
    const enum http2_status status = http2_skip(&t->received, n, &stream_received_ops, &feed);
    streams_unlock(c);
    if (status != HTTP2_OK) connection_blind(c, TRACE_BLIND_UNSEEN);
}

/* ---- the end ---- */

static void fail_bodies(struct connection *c, struct streams *t, enum body_outcome outcome,
                        uint64_t now) {
    for (struct stream *s = stream_at(t, t->oldest); s; s = stream_at(t, s->newer)) {
        if (s->body) body_over(c, s->body, outcome, false, now);
        s->body = NULL;
    }
}

void streams_eof(struct connection *c, uint64_t now) {
    if (!streams_lock(c)) return;
    fail_bodies(c, c->streams, BODY_FAILED, now);
    streams_unlock(c);
}

void streams_end(struct connection *c, bool withdrawn, uint64_t now) {
    struct streams *t = c->streams;
    if (withdrawn || c->wire == WIRE_BLIND)
        drop_bodies(t);
    else
        fail_bodies(c, t, BODY_DISCARDED, now);
    c->streams = NULL;
    stream_table_free(t);
}
