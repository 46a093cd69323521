/*
 * Probes of HTTP/2 as net/http bundles it: one goroutine reads for all streams of a connection, a body is its stream (h2_bundle.go;
 * since 1.27 the package net/http/internal/http2, with types of its own).
 */
#include "golang/probe.h"

struct http2_layout { /* of one of the two */
    int32_t conn, context, stream_id, read_closed;
    uint64_t body_type, gzip_type;
    int32_t gzip_body;
    int32_t status, length, header, body;
    struct probe_request request;
};

static struct http2_layout bundled(void) {
    return (struct http2_layout){
        .conn = golang_offset.h2_conn,
        .context = golang_offset.h2_context,
        .stream_id = golang_offset.h2_stream_id,
        .read_closed = golang_offset.h2_read_closed,
        .body_type = golang_type.h2_body,
        .gzip_type = golang_type.h2_gzip,
        .gzip_body = golang_offset.h2_gzip_body,
        .status = golang_offset.resp_status,
        .length = golang_offset.resp_length,
        .header = golang_offset.resp_header,
        .body = golang_offset.resp_body,
        .request = {golang_offset.req_method, golang_offset.req_url, golang_offset.req_host},
    };
}

static struct http2_layout internal(void) {
    return (struct http2_layout){
        .conn = golang_offset.h2i_conn,
        .context = golang_offset.h2i_context,
        .stream_id = golang_offset.h2i_stream_id,
        .read_closed = golang_offset.h2i_read_closed,
        .body_type = golang_type.h2i_body,
        .gzip_type = golang_type.h2i_gzip,
        .gzip_body = golang_offset.h2i_gzip_body,
        .status = golang_offset.h2i_status,
        .length = golang_offset.h2i_length,
        .header = golang_offset.h2i_header,
        .body = golang_offset.h2i_resp_body,
        .request = {golang_offset.h2i_method, golang_offset.h2i_url, golang_offset.h2i_host},
    };
}

#define HTTP2_SINCE_INTERNAL 27
static struct http2_layout layout(void) {
    return golang_program.minor >= HTTP2_SINCE_INTERNAL ? internal() : bundled();
}

/* ---- connections ---- */

static struct probe_transport transport_of(uint64_t cc, const struct http2_layout *h) {
    return probe_transport_of(golang_word(cc, h->conn), golang_word(cc, h->conn + 8));
}

/* The connection behind a ClientConn, open and pinned; the first request may come before its goroutine begins. */
static struct managed_connection *connection_of(const struct golang_registers *r,
                                                const struct http2_layout *h) {
    const struct probe_transport t = transport_of(r->ax, h);
    struct managed_connection *c = managed_connection_get(t.key);
    if (!c) return NULL;
    if (t.closed) {
        managed_connection_withdraw(c);
        return c;
    }
    const bool tls = golang_itab_points_to(golang_word(r->ax, h->conn), golang_type.tls_conn);
    const struct managed_opening how = {
        .fd = t.fd,
        .scheme = tls ? TRACE_SCHEME_HTTPS : TRACE_SCHEME_HTTP,
        .protocol = TRACE_PROTOCOL_HTTP2,
        .goid = probe_goid(r),
    };
    managed_connection_open(c, &how);
    return c;
}

/* readLoop(cc): its one goroutine. */
void probe_http2_read_loop(const struct golang_registers *r) {
    const struct http2_layout h = layout();
    struct managed_connection *c = connection_of(r, &h);
    struct managed_worker *self = c ? probe_self(r) : NULL;
    if (self) {
        self->transport = transport_of(r->ax, &h).key;
        managed_worker_start(self, TRACE_ROLE_BOTH, c);
    }
    if (c) managed_connection_leave(c);
}

/* ---- exchanges ---- */

/* roundTrip(cc, request): on the goroutine that asks. */
void probe_http2_round_trip(const struct golang_registers *r) {
    const struct http2_layout h = layout();
    struct managed_worker *self = probe_self(r);
    struct managed_connection *c = self ? connection_of(r, &h) : NULL;
    if (!c) return;
    struct managed_request out = {.stack = golang_stack_again(r, self), .goid = self->number};
    probe_request_of(&out, r->bx, &h.request);
    managed_request(c, &out, &self->exchange);
    managed_connection_leave(c);
}

/* The stream that is the body, or 0. The type has one pointer, so the interface holds that itself. */
static uint64_t stream_of(uint64_t response, const struct http2_layout *h) {
    uint64_t itab = golang_word(response, h->body), data = golang_word(response, h->body + 8);
    if (golang_itab_points_to(itab, h->gzip_type)) {
        itab = golang_word(data, h->gzip_body);
        data = golang_word(data, h->gzip_body + 8);
    }
    return h->body_type && golang_itab_type(itab) == h->body_type ? data : 0;
}

/* ---- the contexts of requests (context/context.go) ---- */

enum { VALUES_MOST = 32 };

static struct managed_life life_of(uint64_t context) {
    return (struct managed_life){
        .context = context,
        .done = golang_word(context, golang_offset.context_done + 8), /* of an atomic.Value */
    };
}

/*
 * The cancelCtx that a stream's context is, comes from, or has as its beginning; 0: it cannot be cancelled, or is of a type that
 * is not context's own and may do anything.
 */
static uint64_t context_of(uint64_t stream, const struct http2_layout *h) {
    uint64_t itab = golang_word(stream, h->context), data = golang_word(stream, h->context + 8);
    for (int i = 0; i < VALUES_MOST && golang_itab_points_to(itab, golang_type.value_context);
         i++) {
        itab = golang_word(data, golang_offset.value_context);
        data = golang_word(data, golang_offset.value_context + 8);
    }
    const bool known = golang_itab_points_to(itab, golang_type.cancel_context) ||
                       golang_itab_points_to(itab, golang_type.timer_context);
    return known ? data : 0;
}

/* (*cancelCtx).cancel(c, ...) */
void probe_context_cancel(const struct golang_registers *r) {
    const struct managed_life life = life_of(r->ax);
    managed_cancelled(&life, probe_goid(r));
}

/* roundTrip returned (response, err) */
void probe_http2_round_trip_done(const struct golang_registers *r) {
    struct managed_worker *self = managed_worker_find(probe_goid(r));
    const uint64_t response = r->ax;
    if (!self || !self->exchange.connection) return;
    if (!response || r->bx) {
        managed_answered(&self->exchange, 0);
        return;
    }
    const struct http2_layout h = layout();
    const uint32_t status = (uint32_t)golang_word(response, h.status);
    const uint64_t stream = stream_of(response, &h);
    if (!stream) {
        managed_answered(&self->exchange, status);
        return;
    }
    const int64_t length = (int64_t)golang_word(response, h.length);
    struct managed_response answer = {
        .status = status,
        .media = probe_media(golang_word(response, h.header)),
        .expected = length < 0 ? TRACE_UNKNOWN : (uint64_t)length,
        .framing = length < 0 ? TRACE_FRAMING_CHUNKED : TRACE_FRAMING_LENGTH,
        .stream = true,
        .stream_id = (uint32_t)golang_word(stream, h.stream_id),
    };
    const uint64_t context = context_of(stream, &h);
    if (context) answer.life = life_of(context);
    managed_body_open(&self->exchange, stream, &answer);
    /* Cancelled meanwhile: who did that came by before there was a body. */
    if (context && golang_word(context, golang_offset.context_error))
        managed_cancelled(&answer.life, self->number);
}

/* ---- bodies ---- */

void probe_http2_read(const struct golang_registers *r) {
    probe_read_begin(r, r->ax);
}

void probe_http2_read_done(const struct golang_registers *r) {
    probe_read_end(r);
}

void probe_http2_close(const struct golang_registers *r) {
    managed_body_close(r->ax, false, probe_goid(r));
}

/*
 * cleanupWriteRequest(cs, err), once for each stream: with an error it was aborted, by its context, by the other side, or with its
 * connection. What had come whole before that can still be read.
 */
void probe_http2_cleanup(const struct golang_registers *r) {
    const struct http2_layout h = layout();
    if (!r->bx || (uint8_t)golang_word(r->ax, h.read_closed)) return;
    managed_body_end(r->ax, probe_is_network(r->bx, r->cx) ? MANAGED_FAILED : MANAGED_DISCARDED,
                     probe_goid(r));
}
