/* Probes of net/http's HTTP/1: connections, exchanges, bodies, their two goroutines (net/http/transport.go). */
#include "golang/probe.h"

#include "track/managed_map.h"

#define NOT_DRAINED_BEFORE 27 /* since then Close of an unread body may drain it */

/* ---- who asked for a connection: from getConn's goroutine to the one that dials ---- */

struct asked {
    struct managed_guard guard;
    uint32_t stack;
    uint64_t goid;
};
static struct managed_map wanted = {
    .buckets = 1024, .shift = 7, .entry_size = sizeof(struct asked)};

/* queueForDial(t, w): the wantConn is the goroutine's own until it is queued. */
void probe_queue_for_dial(const struct golang_registers *r) {
    uint32_t place = managed_map_find(&wanted, r->bx);
    if (place == MANAGED_NONE) place = managed_map_claim(&wanted, r->bx);
    if (place == MANAGED_NONE) { /* full of what was never dialled for */
        if (!wanted.keys) return;
        place = managed_map_far(&wanted, r->bx) + (uint32_t)(r->bx >> 6) % MANAGED_WAYS;
    }
    struct asked *asked = managed_map_at(&wanted, place);
    asked->stack = golang_stack(r);
    asked->goid = probe_goid(r);
    managed_map_publish(&wanted, place, r->bx);
}

/* dialConnFor(t, w) */
void probe_dial_conn_for(const struct golang_registers *r) {
    struct managed_worker *self = probe_self(r);
    const uint32_t place = managed_map_find(&wanted, r->bx);
    if (!self) return;
    self->dials = place != MANAGED_NONE;
    if (!self->dials) return;
    const struct asked *asked = managed_map_at(&wanted, place);
    self->dial_stack = asked->stack;
    self->dial_goid = asked->goid;
    managed_map_hide(&wanted, place, r->bx);
    managed_map_free(&wanted, place);
}

/* Who dials on this goroutine for whom. */
static void dial_asked(const struct golang_registers *r, struct managed_opening *how) {
    const struct managed_worker *self = managed_worker_find(probe_goid(r));
    if (self && self->dials) {
        how->stack = self->dial_stack;
        how->goid = self->dial_goid;
    } else {
        how->stack = golang_stack(r);
        how->goid = probe_goid(r);
    }
}

/* ---- connections ---- */

static struct probe_transport transport_of(uint64_t pc) {
    return probe_transport_of(golang_word(pc, golang_offset.pc_conn),
                              golang_word(pc, golang_offset.pc_conn + 8));
}

static void opening_of(struct managed_opening *how, uint64_t pc, int fd) {
    const uint64_t key = pc + (uint64_t)golang_offset.pc_cache_key;
    const struct managed_text scheme = probe_text(key + (uint64_t)golang_offset.cmk_scheme);
    how->fd = fd;
    how->authority = probe_text(key + (uint64_t)golang_offset.cmk_addr);
    how->scheme = scheme.size == 5   ? TRACE_SCHEME_HTTPS
                  : scheme.size == 4 ? TRACE_SCHEME_HTTP
                                     : TRACE_SCHEME_UNKNOWN;
}

/* addTLS(pconn): before its goroutines and HTTP/2's are started, the connection's origin is known here. */
void probe_add_tls(const struct golang_registers *r) {
    const struct probe_transport t = transport_of(r->ax);
    struct managed_connection *c = t.socket && !t.closed ? managed_connection_get(t.key) : NULL;
    struct managed_opening how = {.fd = t.fd};
    if (!c) return;
    dial_asked(r, &how);
    managed_connection_asked(c, &how);
    managed_connection_leave(c);
}

/* The connection of a persistConn, pinned. One that is closed already, before anybody used it, never was. */
static struct managed_connection *connection_of(uint64_t pc, struct probe_transport *t) {
    *t = transport_of(pc);
    struct managed_connection *c = managed_connection_get(t->key);
    if (c && golang_word(pc, golang_offset.pc_closed)) managed_connection_withdraw(c);
    return c;
}

/* dialConn returned (pconn, err) */
void probe_dial_conn(const struct golang_registers *r) {
    const uint64_t pc = r->ax;
    if (!pc || r->bx || golang_word(pc, golang_offset.pc_alt)) return;
    struct probe_transport t;
    struct managed_connection *c = connection_of(pc, &t);
    if (!c) return;
    if (!golang_word(pc, golang_offset.pc_closed)) {
        struct managed_opening how = {.protocol = TRACE_PROTOCOL_HTTP1};
        opening_of(&how, pc, t.fd);
        dial_asked(r, &how);
        managed_connection_open(c, &how);
    }
    managed_connection_leave(c);
}

/* closeLocked(pc, err): where the socket's own close is not seen. */
void probe_close_locked(const struct golang_registers *r) {
    const uint64_t pc = r->ax;
    if (golang_word(pc, golang_offset.pc_closed) || golang_word(pc, golang_offset.pc_alt)) return;
    const struct probe_transport t = transport_of(pc);
    if (!t.socket) managed_connection_close(t.key);
}

/* (*netFD).Close */
void probe_netfd_close(const struct golang_registers *r) {
    managed_connection_close(r->ax);
}

/* ---- its goroutines ---- */

static void loop(const struct golang_registers *r, enum trace_worker_role role) {
    struct probe_transport t;
    struct managed_connection *c = connection_of(r->ax, &t);
    struct managed_worker *self = c ? probe_self(r) : NULL;
    if (self) {
        self->transport = t.key;
        managed_worker_start(self, role, c);
    }
    if (c) managed_connection_leave(c);
}

void probe_read_loop(const struct golang_registers *r) {
    loop(r, TRACE_ROLE_READER);
}

void probe_write_loop(const struct golang_registers *r) {
    loop(r, TRACE_ROLE_WRITER);
}

void probe_goexit(const struct golang_registers *r) {
    managed_worker_end(probe_goid(r));
}

/* ---- exchanges ---- */

void probe_request_of(struct managed_request *out, uint64_t request,
                      const struct probe_request *at) {
    static const struct managed_text get = {"GET", 3}, root = {"/", 1}, none = {"", 0};
    const uint64_t url = golang_word(request, at->url);
    out->method = probe_text(request + (uint64_t)at->method);
    if (out->method.size == 0) out->method = get;
    out->authority = probe_text(request + (uint64_t)at->host);
    out->path = none;
    if (!url) return;
    if (out->authority.size == 0)
        out->authority = probe_text(url + (uint64_t)golang_offset.url_host);
    if (golang_word(url, golang_offset.url_opaque + 8)) return; /* may hold anything */
    out->path = probe_text(url + (uint64_t)golang_offset.url_raw_path);
    if (out->path.size == 0) out->path = probe_text(url + (uint64_t)golang_offset.url_path);
    if (out->path.size == 0) out->path = root;
}

/* roundTrip(pc, treq) */
void probe_round_trip(const struct golang_registers *r) {
    const struct probe_transport t = transport_of(r->ax);
    struct managed_worker *self = probe_self(r);
    if (!self) return;
    managed_request_expect(&self->exchange);
    struct managed_connection *c = managed_connection_find(t.key);
    if (!c) return;
    const struct probe_request at = {golang_offset.req_method, golang_offset.req_url,
                                     golang_offset.req_host};
    const uint64_t request = golang_word(r->bx, golang_offset.treq_request),
                   transport = golang_word(r->ax, golang_offset.pc_t);
    struct managed_request out = {.stack = golang_stack_again(r, self), .goid = self->number};
    struct managed_text upgrade;
    probe_request_of(&out, request, &at);
    /* roundTrip itself looks into this map next. */
    out.upgrade = probe_field(golang_word(request, golang_offset.req_header), "Upgrade", &upgrade);
    managed_request(c, &out, &self->exchange);
    if ((uint8_t)golang_word(request, golang_offset.req_close) ||
        (uint8_t)golang_word(transport, golang_offset.t_no_keep_alives))
        managed_connection_no_reuse(c);
    managed_connection_leave(c);
}

/* The bodyEOFSignal behind what the caller gets, or 0. */
static uint64_t signal_of(uint64_t response) {
    static uint64_t last;
    uint64_t itab = golang_word(response, golang_offset.resp_body),
             data = golang_word(response, golang_offset.resp_body + 8);
    if (golang_itab_is(itab, golang_type.body_eof_signal, &last)) return data;
    if (golang_itab_points_to(itab, golang_type.gzip_reader))
        return golang_word(data, golang_offset.gzip_body);
    return 0;
}

static void answer_flags(struct managed_exchange *e, uint64_t response, uint32_t status,
                         uint64_t goid) {
    const bool closes = (uint8_t)golang_word(response, golang_offset.resp_close);
    if (!closes && status != 101) return;
    struct managed_connection *c = managed_connection_find(e->transport);
    if (!c) return;
    if (closes) managed_connection_no_reuse(c);
    if (status == 101) managed_connection_tunnel(c, goid);
    managed_connection_leave(c);
}

/* roundTrip returned (response, err) */
void probe_round_trip_done(const struct golang_registers *r) {
    struct managed_worker *self = managed_worker_find(probe_goid(r));
    const uint64_t response = r->ax;
    if (!self || !self->exchange.connection) return;
    if (!response || r->bx) {
        managed_answered(&self->exchange, 0);
        return;
    }
    const uint32_t status = (uint32_t)golang_word(response, golang_offset.resp_status);
    const uint64_t handle = signal_of(response);
    answer_flags(&self->exchange, response, status, self->number);
    if (!handle) {
        managed_answered(&self->exchange, status);
        return;
    }
    const int64_t length = (int64_t)golang_word(response, golang_offset.resp_length);
    const bool chunked = golang_word(response, golang_offset.resp_encoding + 8) != 0;
    const struct managed_response answer = {
        .status = status,
        .media = probe_media(golang_word(response, golang_offset.resp_header)),
        .expected = length < 0 ? TRACE_UNKNOWN : (uint64_t)length,
        .framing = length >= 0 ? TRACE_FRAMING_LENGTH
                   : chunked   ? TRACE_FRAMING_CHUNKED
                               : TRACE_FRAMING_UNTIL_CLOSE,
    };
    managed_body_open(&self->exchange, handle, &answer);
}

/* ---- bodies ---- */

void probe_read_begin(const struct golang_registers *r, uint64_t handle) {
    struct managed_worker *self = probe_self(r);
    const uint64_t depth = probe_depth(r);
    if (!self) return;
    /* Left behind by a panic that went through a Read: the stack is not that deep any more. */
    while (self->reads_count && self->reads[self->reads_count - 1].depth >= depth)
        managed_read_end(&self->reads[--self->reads_count].read, 0, MANAGED_READ_MORE,
                         self->number);
    if (self->reads_count == MANAGED_READS) return;
    self->reads[self->reads_count].read = managed_read_begin(handle, self->number);
    self->reads[self->reads_count++].depth = depth;
}

/* Read returned (n, err) */
void probe_read_end(const struct golang_registers *r) {
    struct managed_worker *self = managed_worker_find(probe_goid(r));
    const uint64_t depth = probe_depth(r);
    enum managed_read_result result = MANAGED_READ_MORE;
    if (!self || !self->reads_count || self->reads[self->reads_count - 1].depth != depth) return;
    if (r->bx) result = probe_is_eof(r->bx, r->cx) ? MANAGED_READ_EOF : MANAGED_READ_ERROR;
    managed_read_end(&self->reads[--self->reads_count].read, (int64_t)r->ax > 0 ? r->ax : 0, result,
                     self->number);
}

void probe_signal_read(const struct golang_registers *r) {
    probe_read_begin(r, r->ax);
}

void probe_signal_read_done(const struct golang_registers *r) {
    probe_read_end(r);
}

void probe_signal_close(const struct golang_registers *r) {
    managed_body_close(r->ax, golang_program.minor >= NOT_DRAINED_BEFORE, probe_goid(r));
}

/* maybeDrainBody returned, on readLoop's goroutine: the body that was closed unread is drained after all, or its connection goes. */
void probe_drained(const struct golang_registers *r) {
    const struct managed_worker *self = managed_worker_find(probe_goid(r));
    if (!self || !(uint8_t)r->ax) return;
    struct managed_connection *c = managed_connection_find(self->transport);
    if (!c) return;
    const uint64_t handle = managed_body_of(c);
    if (handle) managed_body_end(handle, MANAGED_DRAINED, self->number);
    managed_connection_leave(c);
}
