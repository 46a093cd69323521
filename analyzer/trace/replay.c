/* The replay: a model of the recorder's bookkeeping that knows nothing but the journal, held against slots and counters. */
#include "trace/replay.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

enum object_kind { OBJECT_NONE, OBJECT_CONNECTION, OBJECT_BODY, OBJECT_WORKER, OBJECT_CLIENT };

struct object {
    enum object_kind kind;
    bool ended, established;
    bool handle_open; /* bodies */
    bool in_slots;    /* seen there when comparing */
    uint64_t id;
    uint64_t requests, counted, responses; /* connections */
    uint64_t body; /* connections: the newest; bodies: the one before it on the same connection */
};

struct replay {
    struct object *objects; /* open addressing; a journal that did not wrap bounds it */
    size_t size, used;
    uint64_t closed, foreign, failed, exchanges, reused, drained, discarded, body_failed;
    int64_t drained_unclosed;
    uint64_t workers_exited;
    uint64_t differences, tolerance;
    FILE *out;
};

static struct object *object_place(const struct replay *replay, enum object_kind kind,
                                   uint64_t id) {
    size_t mask = replay->size - 1,
           at = (size_t)((id * 8 + kind) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & mask;
    while (replay->objects[at].kind &&
           (replay->objects[at].kind != kind || replay->objects[at].id != id))
        at = (at + 1) & mask;
    return &replay->objects[at];
}

static struct object *object_find(const struct replay *replay, enum object_kind kind, uint64_t id) {
    if (id == 0 || replay->size == 0) return NULL;
    struct object *object = object_place(replay, kind, id);
    return object->kind ? object : NULL;
}

static struct object *object_new(struct replay *replay, enum object_kind kind, uint64_t id) {
    if (replay->used * 2 >= replay->size) {
        struct replay grown = *replay;
        grown.size = replay->size ? replay->size * 2 : 256;
        grown.objects = calloc(grown.size, sizeof *grown.objects);
        if (!grown.objects) return NULL;
        for (size_t i = 0; i < replay->size; i++)
            if (replay->objects[i].kind)
                *object_place(&grown, replay->objects[i].kind, replay->objects[i].id) =
                    replay->objects[i];
        free(replay->objects);
        *replay = grown;
    }
    struct object *object = object_place(replay, kind, id);
    replay->used += object->kind == OBJECT_NONE;
    *object = (struct object){.kind = kind, .id = id};
    return object;
}

/* ---- the journal ---- */

static void body_leave(struct replay *replay, struct object *connection) {
    uint64_t id = connection->body;
    connection->body = 0;
    for (struct object *body; (body = object_find(replay, OBJECT_BODY, id)); id = body->body)
        body->ended = true;
}

static void connection_event(struct replay *replay, const struct trace_event *event) {
    struct object *connection = object_find(replay, OBJECT_CONNECTION, event->connection);
    if (event->type == TRACE_EVENT_CONNECTION_OPEN) {
        connection = object_new(replay, OBJECT_CONNECTION, event->connection);
        if (connection) connection->established = event->arg == TRACE_CONNECTION_ESTABLISHED;
        return;
    }
    if (!connection || connection->ended) return;
    switch (event->type) {
    case TRACE_EVENT_CONNECTION_ESTABLISHED: connection->established = true; break;
    case TRACE_EVENT_CONNECTION_BLIND:
        body_leave(replay, connection);
        break; /* given up without an end */
    case TRACE_EVENT_CONNECTION_FOREIGN:
        body_leave(replay, connection);
        connection->ended = true;
        replay->foreign++;
        break;
    case TRACE_EVENT_CONNECTION_FAILED:
        connection->ended = true;
        replay->failed++;
        break;
    case TRACE_EVENT_CONNECTION_CLOSE:
        connection->ended = true;
        replay->closed++;
        break;
    case TRACE_EVENT_REQUEST:
        connection->requests++;
        if (event->arg) { /* CONNECT is none */
            replay->exchanges++;
            replay->reused += connection->counted++ > 0;
        }
        break;
    case TRACE_EVENT_RESPONSE_END: connection->responses++; break;
    default: break;
    }
}

static void body_drained(struct replay *replay, struct object *body,
                         const struct trace_event *event) {
    replay->drained++;
    if (event->flags & TRACE_EVENT_CLOSED) body->handle_open = false;
    replay->drained_unclosed += body->handle_open;
    body->ended = true;
}

/* All but the last one are drained and closed; the first request has a record of its own. */
static void body_open(struct replay *replay, const struct trace_event *event) {
    const uint64_t newest = event->object + event->again,
                   asked = event->again + ((event->flags & TRACE_EVENT_ASKED) != 0);
    struct object *body = object_new(replay, OBJECT_BODY, newest);
    struct object *connection = object_find(replay, OBJECT_CONNECTION, event->connection);
    replay->drained += event->again;
    replay->exchanges += asked;
    replay->reused += asked;
    if (connection) {
        connection->responses += event->again;
        connection->requests += asked;
    }
    if (body) body->handle_open = event->flags & TRACE_EVENT_HANDLE;
    if (body && connection) {
        body->body = connection->body;
        connection->body = newest;
    }
    if (!(event->flags & TRACE_EVENT_DRAINED)) return;
    if (connection) connection->responses++;
    if (body) body_drained(replay, body, event);
}

static void body_event(struct replay *replay, const struct trace_event *event) {
    struct object *body = object_find(replay, OBJECT_BODY, event->object);
    if (event->type == TRACE_EVENT_BODY_OPEN) {
        body_open(replay, event);
        return;
    }
    if (event->flags & TRACE_EVENT_EXCHANGE) {
        struct object *connection = object_find(replay, OBJECT_CONNECTION, event->connection);
        if (connection) connection->responses++;
    }
    if (!body) return;
    switch (event->type) {
    case TRACE_EVENT_BODY_DRAINED: body_drained(replay, body, event); break;
    case TRACE_EVENT_BODY_DISCARDED:
        replay->discarded++;
        body->ended = true;
        break;
    case TRACE_EVENT_BODY_FAILED:
        replay->body_failed++;
        body->ended = true;
        break;
    case TRACE_EVENT_HANDLE_OPEN: /* a handle that comes after the end was opened for a drained body */
        if (body->ended) replay->drained_unclosed++;
        body->handle_open = true;
        break;
    case TRACE_EVENT_HANDLE_CLOSE:
        if (event->arg) replay->drained_unclosed--;
        body->handle_open = false;
        break;
    default: break;
    }
}

static void worker_event(struct replay *replay, const struct trace_event *event) {
    if (event->type == TRACE_EVENT_WORKER_START) {
        object_new(replay, OBJECT_WORKER, event->object);
    } else if (event->type == TRACE_EVENT_WORKER_END) {
        struct object *worker = object_find(replay, OBJECT_WORKER, event->object);
        if (worker) worker->ended = true;
        replay->workers_exited += event->b != 0;
    } else if (event->type == TRACE_EVENT_CLIENT_OPEN) {
        object_new(replay, OBJECT_CLIENT, event->object);
    } else if (event->type == TRACE_EVENT_CLIENT_CLOSE) {
        struct object *client = object_find(replay, OBJECT_CLIENT, event->object);
        if (client) client->ended = true;
    }
}

static void replay_event(struct replay *replay, const struct trace_event *event) {
    if (event->type < TRACE_EVENT_BODY_OPEN)
        connection_event(replay, event);
    else if (event->type < TRACE_EVENT_WORKER_START)
        body_event(replay, event);
    else
        worker_event(replay, event);
}

/* ---- the comparison ---- */

static void differ(struct replay *replay, uint64_t by, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void differ(struct replay *replay, uint64_t by, const char *format, ...) {
    if (by == 0) return;
    replay->differences += by > replay->tolerance;
    if (!replay->out) return;
    va_list args;
    va_start(args, format);
    fputs(by > replay->tolerance ? "differs: " : "within tolerance: ", replay->out);
    vfprintf(replay->out, format, args);
    fputc('\n', replay->out);
    va_end(args);
}

static void compare(struct replay *replay, const char *what, uint64_t journal, uint64_t trace) {
    differ(replay, journal > trace ? journal - trace : trace - journal,
           "%s: %" PRIu64 " by the journal, %" PRIu64 " by slots and counters", what, journal,
           trace);
}

static void compare_counters(struct replay *replay, struct trace_file *file) {
    const struct trace_header *header = trace_file_header(file);
    struct trace_site sum = {0};
    for (size_t i = 1, n = trace_file_count(file, TRACE_REGION_SITE); i < n; i++) {
        struct trace_site site;
        if (!trace_file_site(file, i, &site)) continue;
        sum.connections_closed += site.connections_closed;
        sum.exchanges += site.exchanges;
        sum.exchanges_reused += site.exchanges_reused;
        sum.bodies_drained += site.bodies_drained;
        sum.bodies_discarded += site.bodies_discarded;
        sum.bodies_failed += site.bodies_failed;
        sum.drained_unclosed += site.drained_unclosed;
        sum.workers_exited += site.workers_exited;
    }
    compare(replay, "connections closed", replay->closed, sum.connections_closed);
    compare(replay, "connections foreign", replay->foreign, header->connections_foreign);
    compare(replay, "connections failed", replay->failed, header->connections_failed);
    compare(replay, "exchanges", replay->exchanges, sum.exchanges);
    compare(replay, "exchanges reused", replay->reused, sum.exchanges_reused);
    compare(replay, "bodies drained", replay->drained, sum.bodies_drained);
    compare(replay, "bodies discarded", replay->discarded, sum.bodies_discarded);
    compare(replay, "bodies failed", replay->body_failed, sum.bodies_failed);
    compare(replay, "drained unclosed", (uint64_t)replay->drained_unclosed, sum.drained_unclosed);
    compare(replay, "workers exited", replay->workers_exited, sum.workers_exited);
}

/* One that is in a slot must be live in the replay; what is left live there and was in no slot is told by compare_left. */
static struct object *compare_slot(struct replay *replay, enum object_kind kind, uint64_t id,
                                   uint64_t *unknown) {
    struct object *object = object_find(replay, kind, id);
    if (!object || object->ended) {
        ++*unknown;
        return NULL;
    }
    object->in_slots = true;
    return object;
}

static void compare_left(struct replay *replay, enum object_kind kind, const char *what,
                         uint64_t unknown) {
    uint64_t missing = 0;
    for (size_t i = 0; i < replay->size; i++) {
        const struct object *object = &replay->objects[i];
        missing += object->kind == kind && !object->ended && !object->in_slots;
    }
    differ(replay, unknown, "%s: %" PRIu64 " in slots are not live by the journal", what, unknown);
    differ(replay, missing, "%s: %" PRIu64 " live by the journal are in no slot", what, missing);
}

static void compare_slots(struct replay *replay, struct trace_file *file) {
    uint64_t unknown = 0, established = 0, by_journal = 0;
    for (size_t i = 0, n = trace_file_count(file, TRACE_REGION_CONNECTION); i < n; i++) {
        struct trace_connection slot;
        if (!trace_file_connection(file, i, &slot)) continue;
        const struct object *object = compare_slot(replay, OBJECT_CONNECTION, slot.id, &unknown);
        if (!object) continue;
        established += slot.state == TRACE_CONNECTION_ESTABLISHED;
        by_journal += object->established;
        char what[64];
        snprintf(what, sizeof what, "requests of connection %" PRIu64, slot.id);
        compare(replay, what, object->requests, slot.requests);
        snprintf(what, sizeof what, "responses of connection %" PRIu64, slot.id);
        compare(replay, what, object->responses, slot.responses);
    }
    compare_left(replay, OBJECT_CONNECTION, "connections", unknown);
    compare(replay, "connections established", by_journal, established);
    unknown = 0;
    for (size_t i = 0, n = trace_file_count(file, TRACE_REGION_BODY); i < n; i++) {
        struct trace_body slot;
        if (trace_file_body(file, i, &slot)) compare_slot(replay, OBJECT_BODY, slot.id, &unknown);
    }
    compare_left(replay, OBJECT_BODY, "bodies", unknown);
    unknown = 0;
    for (size_t i = 0, n = trace_file_count(file, TRACE_REGION_WORKER); i < n; i++) {
        struct trace_worker slot;
        if (trace_file_worker(file, i, &slot))
            compare_slot(replay, OBJECT_WORKER, slot.id, &unknown);
    }
    compare_left(replay, OBJECT_WORKER, "threads", unknown);
    unknown = 0;
    for (size_t i = 0, n = trace_file_count(file, TRACE_REGION_HANDLE); i < n; i++) {
        struct trace_handle slot;
        if (trace_file_handle(file, i, &slot))
            compare_slot(replay, OBJECT_CLIENT, slot.id, &unknown);
    }
    compare_left(replay, OBJECT_CLIENT, "client handles", unknown);
}

enum replay_result trace_replay_check(struct trace_file *file, uint64_t tolerance, FILE *out) {
    struct trace_journal journal;
    struct replay replay = {.tolerance = tolerance, .out = out};
    struct trace_event event;
    if (!trace_file_refresh(file)) return REPLAY_ERROR;
    trace_journal_begin(&journal, file);
    if (journal.first_place > 0 || trace_file_header(file)->lost[TRACE_LOST_EVENTS])
        return REPLAY_WRAPPED;
    while (trace_journal_next(&journal, &event))
        replay_event(&replay, &event);
    differ(&replay, journal.skipped, "journal: %" PRIu64 " records torn", journal.skipped);
    compare_counters(&replay, file);
    compare_slots(&replay, file);
    free(replay.objects);
    if (trace_file_error(file)) return REPLAY_ERROR;
    return replay.differences ? REPLAY_DIFFERENT : REPLAY_EQUAL;
}
