/*
 * Bodies of a managed client, by their handles: opened, read, drained, closed, given up.
 *
 * A body ends once, whoever says so first. Its slot goes when nobody looks at it any more; its entry stays as long as a close of
 * its handle would change something (it was drained and counts as drained_unclosed).
 */
#include "track/managed_inside.h"

#define BURST_PAUSE_NS 100000000u

/* bits of a body's guard; its number: reads under way, each with a pin */
#define BODY_SLOT GUARD_TODO(1)  /* its slot is to be given back */
#define BODY_GONE GUARD_OWN(0)   /* its connection is */
#define BODY_CLOSED GUARD_OWN(1) /* its handle is, what becomes of it comes later */

enum { BODY_READABLE, BODY_ENDING, BODY_UNCLOSED, BODY_OVER };

struct managed_body {
    struct managed_guard guard;
    uint64_t key, id;
    uint64_t transport, connection;
    uint32_t connection_place;
    uint32_t slot, site;
    uint32_t state;
    uint64_t noted; /* seq of its newest record in the journal */
} __attribute__((aligned(64)));

static void leave(uint32_t place, uint64_t todo);
static struct managed_map bodies = {
    .buckets = 16384, .shift = 6, .entry_size = sizeof(struct managed_body), .leave = leave};

static struct trace_body *slot_of(const struct managed_body *b) {
    return &trace->bodies[b->slot];
}

static struct managed_body *body_at(uint32_t place) {
    return managed_map_at(&bodies, place);
}

static uint32_t place_of(const struct managed_body *b) {
    return (uint32_t)(b - (const struct managed_body *)(const void *)bodies.entries);
}

static void body_leave(struct managed_body *b) {
    managed_release(&bodies, place_of(b));
}

/* It is over for whoever reads the trace; its place is given back when nobody looks at it any more. */
static void end_slot(struct trace_body *slot) {
    slot_begin(&slot->seq);
    SLOT_PUT(slot->state, TRACE_BODY_FREE);
    slot_end(&slot->seq);
}

/* The last one out. */
static void leave(uint32_t place, uint64_t todo) {
    if (todo & BODY_SLOT) slot_give(TRACE_REGION_BODY, body_at(place)->slot);
}

/* ---- opening ---- */

/* Nobody finds the entry any more; the slot stays what it is. */
static void forget(struct managed_body *b) {
    if (managed_map_hide(&bodies, place_of(b), b->key)) managed_mark(&b->guard, GUARD_FREE);
}

/* Of the drained ones in a full bucket the oldest gives way: it stays unclosed. */
static bool make_room(uint64_t key) {
    const uint32_t first = managed_map_far(&bodies, key);
    struct managed_body *oldest = NULL;
    for (uint32_t i = first; i < first + MANAGED_WAYS; i++) {
        struct managed_body *b = body_at(i);
        if (b->state == BODY_UNCLOSED && (!oldest || b->id < oldest->id)) oldest = b;
    }
    if (!oldest || !managed_pin(&bodies, place_of(oldest), oldest->key)) return false;
    if (oldest->state == BODY_UNCLOSED) forget(oldest);
    body_leave(oldest);
    return true;
}

static uint32_t claim(uint64_t key) {
    struct managed_body *old = managed_pin_key(&bodies, key);
    if (old) { /* collected without a close */
        if (__atomic_load_n(&old->state, __ATOMIC_ACQUIRE) == BODY_READABLE)
            __atomic_fetch_or(&slot_of(old)->flags, TRACE_BODY_COLLECTED, __ATOMIC_RELEASE);
        forget(old);
        body_leave(old);
    }
    uint32_t place = managed_map_claim(&bodies, key);
    if (place == MANAGED_NONE && managed_map_make(&bodies) && make_room(key))
        place = managed_map_claim(&bodies, key);
    return place;
}

static uint32_t flags_of(const struct managed_exchange *e,
                         const struct managed_response *response) {
    uint32_t flags = TRACE_BODY_GO | TRACE_BODY_HANDLE_SEEN;
    if (response->media == MANAGED_MEDIA_EVENTS) flags |= TRACE_BODY_EVENT_STREAM;
    if (response->media == MANAGED_MEDIA_GRPC) flags |= TRACE_BODY_GRPC;
    if (e->upgrade) flags |= TRACE_BODY_UPGRADE_REFUSED; /* after 101 there is no body */
    if (response->status >= 300 && response->status < 400) flags |= TRACE_BODY_REDIRECT;
    if (response->status >= 400) flags |= TRACE_BODY_ERROR_STATUS;
    if (response->stream) flags |= TRACE_BODY_STREAM;
    return flags;
}

static void fill(const struct managed_body *b, const struct managed_exchange *e,
                 uint32_t connection, const struct managed_response *response, uint64_t now) {
    struct trace_body *slot = slot_of(b);
    slot_begin(&slot->seq);
    SLOT_PUT(slot->id, b->id); /* an end of the slot's last body may look who is here */
    slot->connection_id = b->connection;
    slot->connection_slot = connection;
    slot->site = e->site;
    slot->request_stack = e->stack;
    SLOT_PUT(slot->flags, flags_of(e, response));
    slot->method = e->method;
    slot->path = e->path;
    slot->status = (uint16_t)response->status;
    slot->framing = (uint16_t)response->framing;
    slot->asker_tid = (uint32_t)e->goid;
    slot->requested_ns = e->time_ns;
    slot->opened_ns = now;
    slot->expected = response->expected;
    SLOT_PUT(slot->handle, b->key);
    slot->asker_goid = e->goid;
    slot->stream_id = response->stream_id;
    slot->window = TRACE_UNKNOWN;
    slot->reader_tid = (uint32_t)e->goid;
    slot->progress_ns = now;
    slot->bursts = 1;
    SLOT_PUT(slot->state, TRACE_BODY_OPEN);
    slot_end(&slot->seq);
}

static void show(struct managed_connection *c, uint32_t place, uint64_t id) {
    struct trace_connection *slot = connection_slot(c);
    slot_begin(&slot->exchange_seq);
    SLOT_PUT(slot->body_slot, place);
    SLOT_PUT(slot->body_id, id);
    slot_end(&slot->exchange_seq);
}

/* In the journal; seq of the record that tells it. */
static uint64_t note_open(const struct managed_body *b, const struct managed_exchange *e,
                          const struct managed_response *response, uint64_t now) {
    struct trace_event event = {.type = TRACE_EVENT_BODY_OPEN,
                                .flags = TRACE_EVENT_HANDLE,
                                .connection = b->connection,
                                .object = b->id,
                                .a = response->expected,
                                .b = (uint64_t)e->number << 32 | b->site,
                                .stack = e->stack,
                                .arg = (uint16_t)response->framing};
    const uint64_t before = e->requested + 1;
    if (journal_again(before, &event, now, (uint32_t)e->goid)) return before;
    journal_append(&event, now, (uint32_t)e->goid);
    return event.seq;
}

static void open_on(struct managed_connection *c, const struct managed_exchange *e, uint64_t handle,
                    const struct managed_response *response) {
    const uint32_t slot = slot_take(TRACE_REGION_BODY);
    if (slot == UINT32_MAX) return;
    const uint32_t place = claim(handle);
    if (place == MANAGED_NONE) {
        slot_give(TRACE_REGION_BODY, slot);
        trace_lose(TRACE_LOST_BODIES);
        return;
    }
    const uint64_t now = clock_coarse();
    struct managed_body *b = body_at(place);
    b->key = handle;

    b->id = slot_id(TRACE_REGION_BODY);
    b->transport = e->transport;
    b->connection = c->id;
    b->connection_place = c->place;
    b->slot = slot;
    b->site = e->site;
    b->state = BODY_READABLE;

    fill(b, e, c->slot, response, now);
    if (response->life.context) managed_guard_begin(&b->guard);
    b->noted = note_open(b, e, response, now);
    SLOT_PUT(connection_slot(c)->last_status, response->status);
    if (!response->stream) {
        show(c, slot + 1, b->id);
        __atomic_store_n(&c->body, handle, __ATOMIC_RELEASE); /* before what publishes it */
    }
    managed_map_publish(&bodies, place, handle);
    /* Closed meanwhile: whoever wrote that end may have looked before there was a body. */
    if (!response->stream && (managed_flags(&c->guard) & CONNECTION_ENDED))
        managed_body_orphaned(handle, c->id, now);
    if (!response->life.context) return;
    managed_context_join(&response->life, slot, c->place);
    body_leave(b);
}

void managed_body_open(struct managed_exchange *e, uint64_t handle,
                       const struct managed_response *response) {
    const uint64_t id = e->connection;
    if (id == 0) return;
    e->connection = 0;
    slot_expect(TRACE_REGION_BODY);
    managed_connection_expect(e->place, e->site);
    struct managed_connection *c = managed_pin(&managed_connections, e->place, e->transport);
    if (!c) return;
    if (c->id == id && connection_is_open(c)) open_on(c, e, handle, response);
    managed_connection_leave(c);
}

uint64_t managed_body_of(const struct managed_connection *c) {
    return __atomic_load_n(&c->body, __ATOMIC_ACQUIRE);
}

/* ---- ending ---- */

static void remember(struct trace_site *site, const struct trace_body *slot, uint64_t now) {
    uint64_t none = 0;
    SLOT_PUT(site->last_ns, now);
    if (__atomic_load_n(&site->sample_ns, __ATOMIC_RELAXED) ||
        !__atomic_compare_exchange_n(&site->sample_ns, &none, now, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return;
    site->sample_method = slot->method;
    site->sample_path = slot->path;
    site->sample_status = slot->status;
    site->sample_bytes_read = __atomic_load_n(&slot->bytes_read, __ATOMIC_RELAXED);
    site->sample_expected = slot->expected;
}

static void exchange_over(const struct managed_body *b, uint64_t now) {
    struct managed_connection *c =
        managed_pin(&managed_connections, b->connection_place, b->transport);
    if (!c) return;
    if (c->id == b->connection && connection_is_open(c)) {
        uint64_t handle = b->key;
        if (__atomic_compare_exchange_n(&c->body, &handle, 0, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED))
            show(c, 0, 0);
        managed_exchange_done(c, now);
    }
    managed_connection_leave(c);
}

/* In the journal; noted: seq of its newest record there. The same afterwards. */
static uint64_t note_end(const struct trace_body *slot, enum managed_outcome outcome,
                         uint64_t noted, uint64_t goid, uint64_t now) {
    const uint64_t bytes = __atomic_load_n(&slot->bytes_read, __ATOMIC_RELAXED);
    if (outcome == MANAGED_DRAINED && bytes == slot->expected &&
        journal_mark(noted, now, (uint32_t)goid, TRACE_EVENT_DRAINED))
        return noted;
    static const uint16_t types[] = {TRACE_EVENT_BODY_DRAINED, TRACE_EVENT_BODY_DISCARDED,
                                     TRACE_EVENT_BODY_FAILED};
    struct trace_event event = {.type = types[outcome],
                                .flags = TRACE_EVENT_EXCHANGE,
                                .object = slot->id,
                                .a = bytes,
                                .b = slot->max_stall_ns};
    managed_note(&event, slot->connection_id, now, goid);
    return event.seq;
}

static void count_end(const struct trace_body *slot, enum managed_outcome outcome, bool unclosed,
                      uint64_t now) {
    struct trace_site *site = site_at(slot->site);
    counter_add(outcome == MANAGED_DRAINED     ? &site->bodies_drained
                : outcome == MANAGED_DISCARDED ? &site->bodies_discarded
                                               : &site->bodies_failed,
                1);
    if (unclosed) counter_add(&site->drained_unclosed, 1);
    if (unclosed || outcome == MANAGED_DISCARDED) remember(site, slot, now);
}

/* Pinned. The first one that says how it ended is right. */
static void end(struct managed_body *b, enum managed_outcome outcome, uint64_t goid, uint64_t now) {
    uint32_t readable = BODY_READABLE;
    if (!__atomic_compare_exchange_n(&b->state, &readable, BODY_ENDING, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return;
    managed_context_part(b->slot, MANAGED_NONE, NULL);
    const bool unclosed = outcome == MANAGED_DRAINED && !(managed_flags(&b->guard) & BODY_CLOSED);
    count_end(slot_of(b), outcome, unclosed, now);
    b->noted = note_end(slot_of(b), outcome, b->noted, goid, now);
    exchange_over(b, now);
    end_slot(slot_of(b));
    /* Since it is no longer readable whoever comes leaves its slot alone. */
    if (managed_is_alone(&b->guard))
        slot_give(TRACE_REGION_BODY, b->slot);
    else
        managed_mark(&b->guard, BODY_SLOT);
    __atomic_store_n(&b->state, unclosed ? BODY_UNCLOSED : BODY_OVER, __ATOMIC_RELEASE);
    if (!unclosed) forget(b);
}

/* Pinned. Who reads it right now gets what was there before it ended. */
static void gone(struct managed_body *b, enum managed_outcome outcome, uint64_t goid,
                 uint64_t now) {
    const uint64_t before = managed_mark(&b->guard, BODY_GONE);
    if (outcome == MANAGED_DRAINED || GUARD_NUMBER(before) == 0) end(b, outcome, goid, now);
}

void managed_body_end(uint64_t handle, enum managed_outcome outcome, uint64_t goid) {
    struct managed_body *b = managed_pin_key(&bodies, handle);
    if (!b) return;
    gone(b, outcome, goid, clock_coarse());
    body_leave(b);
}

bool managed_body_orphaned(uint64_t handle, uint64_t connection, uint64_t now) {
    struct managed_body *b = managed_pin_key(&bodies, handle);
    if (!b) return false;
    const bool known = b->connection == connection;
    if (known) gone(b, MANAGED_DISCARDED, 0, now);
    body_leave(b);
    return known;
}

/* Nobody can be looking at it: no handle leads there. */
static void end_collected(uint32_t index, uint64_t goid, uint64_t now) {
    struct trace_body *slot = &trace->bodies[index];
    count_end(slot, MANAGED_DISCARDED, false, now);
    note_end(slot, MANAGED_DISCARDED, 0, goid, now);
    end_slot(slot);
    slot_give(TRACE_REGION_BODY, index);
}

void managed_body_collected(const struct trace_connection *connection, uint64_t now) {
    const uint64_t index = connection->body_slot - 1u;
    if (connection->body_slot == 0 || index >= trace->body_limit) return;
    const struct trace_body *slot = &trace->bodies[index];
    /* Nobody but its connection can end it: no handle leads there any more. */
    if (__atomic_load_n(&slot->id, __ATOMIC_RELAXED) != connection->body_id ||
        __atomic_load_n(&slot->state, __ATOMIC_RELAXED) != TRACE_BODY_OPEN ||
        !(__atomic_load_n(&slot->flags, __ATOMIC_ACQUIRE) & TRACE_BODY_COLLECTED))
        return;
    end_collected((uint32_t)index, 0, now);
}

static void collected_of_context(uint32_t index, uint32_t context, uint64_t goid) {
    const struct trace_body *slot = &trace->bodies[index];
    uint32_t place;
    if (!(__atomic_load_n(&slot->flags, __ATOMIC_ACQUIRE) & TRACE_BODY_COLLECTED) ||
        !managed_context_part(index, context, &place))
        return;
    const uint64_t now = clock_coarse();
    const struct managed_connection *at = managed_map_at(&managed_connections, place);
    struct managed_connection *c = managed_pin(&managed_connections, place, at->key);
    if (c && c->id == slot->connection_id && connection_is_open(c)) managed_exchange_done(c, now);
    end_collected(index, goid, now);
    if (c) managed_connection_leave(c);
}

void managed_body_cancelled(uint32_t index, uint32_t context, uint64_t goid) {
    if (!managed_context_has(index, context)) return;
    struct managed_body *b =
        managed_pin_key(&bodies, __atomic_load_n(&trace->bodies[index].handle, __ATOMIC_RELAXED));
    const bool mine = b && b->slot == index && managed_context_has(index, context);
    if (mine) gone(b, MANAGED_DISCARDED, goid, clock_coarse());
    if (b) body_leave(b);
    if (!mine) collected_of_context(index, context, goid);
}

/* ---- the handle ---- */

struct managed_read managed_read_begin(uint64_t handle, uint64_t goid) {
    struct managed_body *b = managed_pin_key(&bodies, handle);
    if (!b) return (struct managed_read){0};
    if (__atomic_load_n(&b->state, __ATOMIC_ACQUIRE) != BODY_READABLE) {
        body_leave(b);
        return (struct managed_read){0};
    }
    struct trace_body *slot = slot_of(b);
    const uint64_t word = __atomic_add_fetch(&b->guard.word, GUARD_ONE, __ATOMIC_SEQ_CST);
    /* That it is read right now says enough: no look at the clock. */
    slot_begin(&slot->progress_seq);
    slot->attempts_now = (uint32_t)GUARD_NUMBER(word);
    slot->reader_tid = (uint32_t)goid;
    slot_end(&slot->progress_seq);
    return (struct managed_read){.body = b->id, .place = place_of(b)};
}

static void progress(struct managed_body *b, uint64_t bytes, uint64_t under_way, uint64_t now) {
    struct trace_body *slot = slot_of(b);
    if (__atomic_load_n(&b->state, __ATOMIC_ACQUIRE) != BODY_READABLE) return;
    slot_begin(&slot->progress_seq);
    slot->attempt_ns = now;
    slot->attempts_now = (uint32_t)under_way;
    if (bytes) {
        SLOT_PUT(slot->bytes_read, slot->bytes_read + bytes); /* a cancel may end the body now */
        slot->reads++;
        if (slot->reads > 1 && now > slot->progress_ns && now - slot->progress_ns >= BURST_PAUSE_NS)
            slot->bursts++;
        slot->progress_ns = now;
    }
    slot_end(&slot->progress_seq);
}

void managed_read_end(const struct managed_read *read, uint64_t bytes,
                      enum managed_read_result result, uint64_t goid) {
    if (!read->body) return;
    struct managed_body *b = body_at(read->place);
    const uint64_t now = clock_coarse();
    if (result == MANAGED_READ_MORE) {
        const uint64_t word = __atomic_sub_fetch(&b->guard.word, GUARD_ONE, __ATOMIC_SEQ_CST);
        progress(b, bytes, GUARD_NUMBER(word), now);
        if ((word & BODY_GONE) && GUARD_NUMBER(word) == 0) end(b, MANAGED_DISCARDED, goid, now);
        body_leave(b);
        return;
    }
    const uint64_t word = managed_flags(&b->guard);
    progress(b, bytes, GUARD_NUMBER(word) - 1, now);
    end(b,
        result == MANAGED_READ_EOF ? MANAGED_DRAINED
        : word & BODY_GONE         ? MANAGED_DISCARDED
                                   : MANAGED_FAILED,
        goid, now);
    managed_release_one(&bodies, read->place);
}

static void note_close(const struct managed_body *b, bool drained, uint64_t goid) {
    const uint64_t now = clock_coarse();
    if (drained && journal_mark(b->noted, now, (uint32_t)goid, TRACE_EVENT_CLOSED)) return;
    struct trace_event event = {
        .type = TRACE_EVENT_HANDLE_CLOSE, .object = b->id, .a = b->key, .arg = drained};
    managed_note(&event, b->connection, now, goid);
}

static void close_readable(struct managed_body *b, bool later, uint64_t goid) {
    if (managed_mark(&b->guard, BODY_CLOSED) & BODY_CLOSED) return;
    if (!later) {
        end(b, MANAGED_DISCARDED, goid, clock_coarse());
        return;
    }
    __atomic_fetch_or(&slot_of(b)->flags, TRACE_BODY_HANDLE_CLOSED, __ATOMIC_RELEASE);
    note_close(b, false, goid);
}

void managed_body_close(uint64_t handle, bool later, uint64_t goid) {
    struct managed_body *b = managed_pin_key(&bodies, handle);
    if (!b) return;
    uint32_t state = __atomic_load_n(&b->state, __ATOMIC_SEQ_CST);
    if (state == BODY_READABLE) close_readable(b, later, goid);
    struct managed_patience patience = {0};
    while (state == BODY_ENDING && managed_patient(&patience))
        state = __atomic_load_n(&b->state, __ATOMIC_SEQ_CST);
    /* Who hides it is the one that closes it. */
    if (state == BODY_UNCLOSED && managed_map_hide(&bodies, place_of(b), handle)) {
        __atomic_store_n(&b->state, BODY_OVER, __ATOMIC_RELEASE); /* no room to be made here */
        counter_add(&site_at(b->site)->drained_unclosed, (uint64_t)-1);
        note_close(b, true, goid);
        managed_release_hidden(&bodies, place_of(b));
        return;
    }
    body_leave(b);
}

void managed_bodies_reset(void) {
    managed_map_reset(&bodies);
}
