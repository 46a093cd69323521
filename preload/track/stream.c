/* Streams from their request to their end: what each kind of frame means for the exchange, its body and its window. */
#include "track/stream.h"

#include "track/asker.h"
#include "track/exchange.h"
#include "track/flow_inside.h"
#include "track/worker.h"

/* ---- windows (RFC 9113 5.2) ---- */

static uint64_t open_part(int64_t window) {
    return window > 0 ? (uint64_t)window : 0;
}

static void show_stream(const struct stream *s) {
    if (!s->body) return;
    __atomic_store_n(&s->body->window, open_part(s->window), __ATOMIC_RELAXED);
    __atomic_store_n(&s->body->held, s->held, __ATOMIC_RELAXED);
}

static void show_connection(struct connection *c, const struct streams *t) {
    __atomic_store_n(&c->slot->window, (uint32_t)open_part(t->window), __ATOMIC_RELAXED);
    __atomic_store_n(&c->slot->held, t->held, __ATOMIC_RELAXED);
}

/* What is given back beyond what was taken enlarges the window. */
static void given_back(uint64_t *held, uint32_t bytes) {
    *held = bytes < *held ? *held - bytes : 0;
}

static void stream_given_back(struct stream *s, uint32_t bytes) {
    struct trace_body *body = s->body;
    const bool shut = s->window <= 0;
    const uint64_t now = clock_coarse();
    s->window += bytes;
    if (body && s->held > 0) {
        /* While its window was shut the program cared for something else. */
        const uint64_t last =
            body->attempt_ns > body->progress_ns ? body->attempt_ns : body->progress_ns;
        if (shut && now > last && now - last > body->max_stall_ns)
            __atomic_store_n(&body->max_stall_ns, now - last, __ATOMIC_RELAXED);
        __atomic_store_n(&body->attempt_ns, now, __ATOMIC_RELAXED);
    }
    given_back(&s->held, bytes);
    show_stream(s);
}

/* ---- the life of a stream ---- */

static void count(struct stream_feed *f, struct stream *s) {
    if (s->exchange.committed) return;
    exchange_count(f->c, &s->exchange, f->t->oldest == s->place);
    f->t->uncounted--;
    s->number = f->c->slot->requests;
}

void stream_commit(struct stream_feed *f) {
    struct streams *t = f->t;
    struct stream *s = stream_at(t, t->newest);
    for (uint32_t left = t->uncounted; s && left > 0;) { /* back to the oldest of them */
        left -= !s->exchange.committed;
        if (left > 0) s = stream_at(t, s->older);
    }
    for (; s && t->uncounted > 0 && s->offset <= t->taken; s = stream_at(t, s->newer))
        count(f, s);
}

/* It is over, and leaves. outcome: of its body, if that is open. */
static void stream_over(struct stream_feed *f, struct stream *s, enum body_outcome outcome,
                        uint64_t now) {
    struct streams *t = f->t;
    const bool oldest = t->oldest == s->place;
    count(f, s);
    const bool had_body = s->body;
    if (had_body) body_over(f->c, s->body, outcome, true, now);
    const uint64_t number = s->number;
    stream_free(t, s);
    if (oldest) {
        const struct stream *next = stream_at(t, t->oldest);
        exchange_show_pending(f->c, next && next->exchange.committed ? &next->exchange : NULL,
                              next ? 0 : now);
    }
    exchange_answered(f->c, number, had_body, now);
}

/* ---- what the client says ---- */

static void sent_start(void *ctx) {
    struct stream_feed *f = ctx;
    if (f->stack == 0) f->stack = asker_request_stack(f->c, f->caller);
}

static bool sent_request(void *ctx, uint32_t id, const struct http1_request_head *head,
                         uint64_t offset) {
    struct stream_feed *f = ctx;
    struct streams *t = f->t;
    if ((id & 1) == 0 || id <= t->newest_id) return false; /* RFC 9113 5.1.1 */
    struct stream *s = stream_new(t, id);
    if (!s) {
        f->full = true;
        return false;
    }
    t->newest_id = id;
    s->offset = offset;
    s->window = t->first_window;
    f->c->start_stack = f->stack;
    f->c->start_tid = thread_tid();
    f->c->asked_stack = 0;
    exchange_describe(f->c, &s->exchange, head);
    t->uncounted++;
    return true;
}

static bool sent_reset(void *ctx, uint32_t id) {
    struct stream_feed *f = ctx;
    struct stream *s = stream_find(f->t, id);
    if (!s) return true;
    stream_cancelled(f->t, id);
    stream_over(f, s, BODY_DISCARDED, clock_now());
    return true;
}

static bool sent_window(void *ctx, uint32_t id, uint32_t increment) {
    struct stream_feed *f = ctx;
    struct streams *t = f->t;
    if (id == 0) {
        t->window += increment;
        given_back(&t->held, increment);
        show_connection(f->c, t);
        return true;
    }
    struct stream *s = stream_find(t, id);
    if (s) stream_given_back(s, increment);
    return true;
}

/* It holds for the peer from where it stands in what is sent, for streams that are open, too (RFC 9113 6.9.2). */
static void sent_setting(void *ctx, enum http2_setting setting, uint32_t value) {
    struct stream_feed *f = ctx;
    struct streams *t = f->t;
    if (setting == HTTP2_SETTING_FRAME_SIZE) {
        http2_allow(&t->received, value);
        return;
    }
    const int64_t change = (int64_t)value - t->first_window;
    t->first_window = value;
    for (struct stream *s = stream_at(t, t->oldest); s; s = stream_at(t, s->newer)) {
        s->window += change;
        show_stream(s);
    }
}

const struct http2_ops stream_sent_ops = {.start = sent_start,
                                          .request = sent_request,
                                          .reset = sent_reset,
                                          .window = sent_window,
                                          .setting = sent_setting};

/* ---- what the server says ---- */

static bool received_response(void *ctx, uint32_t id, const struct http1_response_head *head) {
    struct stream_feed *f = ctx;
    struct connection *c = f->c;
    struct stream *s = stream_find(f->t, id);
    if (!s) return stream_is_excused(f->t, id);
    if (s->answered) return false;
    const uint64_t now = clock_now();
    count(f, s);
    slot_begin(&c->slot->read_seq);
    c->slot->last_status = head->status;
    slot_end(&c->slot->read_seq);
    s->answered = head->is_final;
    const bool has_body = head->is_final && head->framing != HTTP1_BODY_NONE &&
                          s->exchange.kind != HTTP1_METHOD_HEAD &&
                          !(s->exchange.kind == HTTP1_METHOD_CONNECT && head->status / 100 == 2);
    if (has_body) s->body = body_new(c, &s->exchange, head, s->number, now);
    if (!s->body) {
        struct trace_event event = {
            .type = TRACE_EVENT_RESPONSE, .object = s->number, .arg = head->status};
        connection_note(c, &event, now);
        return true;
    }
    s->body->stream_id = id;
    show_stream(s);
    __atomic_fetch_or(&s->body->flags, TRACE_BODY_STREAM, __ATOMIC_RELEASE);
    return true;
}

static bool received_frame(void *ctx, uint32_t id, uint32_t bytes) {
    struct stream_feed *f = ctx;
    struct streams *t = f->t;
    t->window -= bytes;
    t->held += bytes;
    show_connection(f->c, t);
    struct stream *s = stream_find(t, id);
    if (!s) return stream_is_excused(t, id);
    s->window -= bytes;
    s->held += bytes;
    show_stream(s);
    return s->answered;
}

void stream_data(void *ctx, uint32_t id, uint64_t bytes) {
    struct stream_feed *f = ctx;
    const struct stream *s = stream_find(f->t, id);
    if (s && s->body) body_took(s->body, f->c, bytes, f->now);
}

static bool received_end(void *ctx, uint32_t id) {
    struct stream_feed *f = ctx;
    struct stream *s = stream_find(f->t, id);
    if (!s) return stream_is_excused(f->t, id);
    if (!s->answered) return false;
    stream_over(f, s, BODY_DRAINED, clock_now());
    return true;
}

static bool received_reset(void *ctx, uint32_t id) {
    struct stream_feed *f = ctx;
    struct stream *s = stream_find(f->t, id);
    if (s) {
        stream_cancelled(f->t, id); /* frames on it are nobody's fault but the server's */
        stream_over(f, s, BODY_FAILED, clock_now());
    }
    return true;
}

/* Those beyond the last one were not looked at, and never will be (RFC 9113 6.8). */
static void received_goaway(void *ctx, uint32_t last) {
    struct stream_feed *f = ctx;
    struct streams *t = f->t;
    connection_flag(f->c, TRACE_CONNECTION_NO_REUSE);
    for (struct stream *s = stream_at(t, t->oldest), *next; s; s = next) {
        next = stream_at(t, s->newer);
        if (s->id <= last) continue;
        stream_cancelled(t, s->id);
        stream_over(f, s, BODY_FAILED, clock_now());
    }
}

static bool received_promise(void *ctx, uint32_t id) {
    struct stream_feed *f = ctx;
    if (id == 0 || (id & 1) || id <= f->t->promised_id) return false;
    f->t->promised_id = id;
    return true;
}

static void received_setting(void *ctx, enum http2_setting setting, uint32_t value) {
    struct stream_feed *f = ctx;
    if (setting == HTTP2_SETTING_FRAME_SIZE) http2_allow(&f->t->sent, value);
}

const struct http2_ops stream_received_ops = {.response = received_response,
                                              .frame = received_frame,
                                              .data = stream_data,
                                              .end = received_end,
                                              .reset = received_reset,
                                              .goaway = received_goaway,
                                              .promise = received_promise,
                                              .setting = received_setting};
