/* Response bodies on the wire: opened by a head, ended by framing, by the program or by the peer. */
#include "track/body.h"
#include "track/handle.h"
#include "track/worker.h"

#define BURST_PAUSE_NS 100000000u

static uint32_t body_flags(const struct exchange *exchange,
                           const struct http1_response_head *head) {
    uint32_t flags = 0;
    if (head->event_stream) flags |= TRACE_BODY_EVENT_STREAM;
    if (head->grpc) flags |= TRACE_BODY_GRPC;
    if (head->status >= 300 && head->status < 400) flags |= TRACE_BODY_REDIRECT;
    if (head->status >= 400) flags |= TRACE_BODY_ERROR_STATUS;
    if (exchange->upgrade) flags |= TRACE_BODY_UPGRADE_REFUSED;
    return flags;
}

static uint16_t body_framing(const struct connection *c, enum http1_framing framing) {
    switch (framing) {
    case HTTP1_BODY_LENGTH: return TRACE_FRAMING_LENGTH;
    case HTTP1_BODY_CHUNKED: return TRACE_FRAMING_CHUNKED;
    default: return c->streams ? TRACE_FRAMING_STREAM : TRACE_FRAMING_UNTIL_CLOSE;
    }
}

/*
 * The slot's line that commits of a writing thread write too, other fields of it: no lock for that, two that meet still leave
 * the sequence even.
 */
static void show_body(struct connection *c, uint32_t place, uint64_t id) {
    slot_begin(&c->slot->exchange_seq);
    c->slot->body_slot = place;
    c->slot->body_id = id;
    slot_end(&c->slot->exchange_seq);
}

struct trace_body *body_new(struct connection *c, const struct exchange *exchange,
                            const struct http1_response_head *head, uint64_t number, uint64_t now) {
    const uint32_t index = slot_take(TRACE_REGION_BODY);
    if (index == UINT32_MAX) return NULL;
    struct trace_body *body = &trace->bodies[index];
    slot_begin(&body->seq);
    body->id = slot_id(TRACE_REGION_BODY);
    body->connection_id = c->id;
    body->connection_slot = c->index;
    body->site = exchange->site;
    body->request_stack = exchange->stack;
    body->flags = body_flags(exchange, head);
    body->method = exchange->method;
    body->path = exchange->path;
    body->status = head->status;
    body->framing = body_framing(c, head->framing);
    body->asker_tid = exchange->tid;
    body->requested_ns = exchange->time_ns;
    body->opened_ns = now;
    body->progress_ns = now;
    body->expected = head->framing == HTTP1_BODY_LENGTH ? head->length : TRACE_UNKNOWN;
    body->reader_tid = thread_tid();
    body->bursts = 1;
    body->state = TRACE_BODY_OPEN;
    slot_end(&body->seq);
    struct trace_event event = {
        .type = TRACE_EVENT_BODY_OPEN,
        .flags = TRACE_EVENT_ANSWER,
        .object = body->id,
        .a = body->expected,
        .b = number << 32 | body->site,
        .stack = body->request_stack,
        .arg = (uint16_t)(head->status << TRACE_EVENT_FRAMING_BITS | body->framing)};
    connection_note(c, &event, now);
    return body;
}

bool body_open(struct connection *c, const struct exchange *exchange,
               const struct http1_response_head *head, uint64_t number, uint64_t now) {
    c->body = body_new(c, exchange, head, number, now);
    if (!c->body) return false;
    show_body(c, (uint32_t)(c->body - trace->bodies) + 1, c->body->id);
    return true;
}

void body_took(struct trace_body *body, const struct connection *c, uint64_t bytes, uint64_t now) {
    const uint64_t pause = now > body->progress_ns ? now - body->progress_ns : 0;
    slot_begin(&body->progress_seq);
    body->bytes_read += bytes;
    body->reads++;
    /* a pause of the reader's own: one that waited all the while was kept waiting by its server */
    if (pause >= BURST_PAUSE_NS && c->rest_ns >= BURST_PAUSE_NS && body->reads > 1) body->bursts++;
    if (c->stall_ns > body->max_stall_ns) body->max_stall_ns = c->stall_ns;
    body->progress_ns = now;
    body->reader_tid = thread_tid();
    slot_end(&body->progress_seq);
}

void body_progress(struct connection *c, uint64_t bytes, uint64_t now) {
    if (c->body && bytes > 0) body_took(c->body, c, bytes, now);
}

static void body_sample(struct trace_site *site, const struct trace_body *body, uint64_t now) {
    site->last_ns = now;
    if (site->sample_ns != 0) return;
    site->sample_ns = now;
    site->sample_method = body->method;
    site->sample_path = body->path;
    site->sample_status = body->status;
    site->sample_bytes_read = body->bytes_read;
    site->sample_expected = body->expected;
}

void body_drop(struct trace_body *body) {
    slot_begin(&body->seq);
    body->state = TRACE_BODY_FREE;
    slot_end(&body->seq);
    slot_give(TRACE_REGION_BODY, (uint32_t)(body - trace->bodies));
}

void body_over(struct connection *c, struct trace_body *body, enum body_outcome outcome,
               bool answered, uint64_t now) {
    static const uint16_t types[] = {TRACE_EVENT_BODY_DRAINED, TRACE_EVENT_BODY_DISCARDED,
                                     TRACE_EVENT_BODY_FAILED};
    struct trace_site *site = site_at(body->site);
    counter_add(outcome == BODY_DRAINED     ? &site->bodies_drained
                : outcome == BODY_DISCARDED ? &site->bodies_discarded
                                            : &site->bodies_failed,
                1);
    const uint32_t flags = __atomic_load_n(&body->flags, __ATOMIC_ACQUIRE);
    if (outcome == BODY_DISCARDED) body_sample(site, body, now);
    /* The journal first: who replays it must see the end before what a late handle makes of it. */
    struct trace_event event = {.type = types[outcome],
                                .flags = answered ? TRACE_EVENT_EXCHANGE : 0,
                                .object = body->id,
                                .a = body->bytes_read,
                                .b = body->max_stall_ns};
    connection_note(c, &event, now);
    if (flags & TRACE_BODY_HANDLE_SEEN) {
        if (handle_body_ended((const void *)(uintptr_t)body->handle, body->id,
                              outcome == BODY_DRAINED))
            body_sample(site, body, now);
    }
    c->last_body = (struct body_last){.id = body->id,
                                      .site = body->site,
                                      .drained = outcome == BODY_DRAINED,
                                      .handle_seen = flags & TRACE_BODY_HANDLE_SEEN};
    body_drop(body);
}

bool body_end(struct connection *c, enum body_outcome outcome, bool answered, uint64_t now) {
    struct trace_body *body = c->body;
    if (!body) return false;
    show_body(c, 0, 0);
    c->body = NULL;
    body_over(c, body, outcome, answered, now);
    return true;
}

void body_withdraw(struct connection *c) {
    if (!c->body) return;
    show_body(c, 0, 0);
    struct trace_body *body = c->body;
    c->body = NULL;
    body_drop(body);
}
