/* What the files of managed connections, bodies and goroutines share. */
#ifndef TRACK_MANAGED_INSIDE_H
#define TRACK_MANAGED_INSIDE_H

#include "record/clock.h"
#include "record/intern.h"
#include "record/trace.h"
#include "track/managed.h"
#include "track/managed_map.h"

/* own bits of a connection's guard */
#define CONNECTION_CLOSE GUARD_TODO(1) /* its end is to be written */
#define CONNECTION_ENDED GUARD_OWN(0)  /* nothing more is counted on it */

enum { RESERVED, OPENING, OPEN, UNSEEN };

struct managed_connection {
    struct managed_guard guard;
    uint64_t key, id;
    uint32_t place, slot; /* slot: index, when OPEN */
    uint32_t state;
    uint32_t counted;        /* the first request went out */
    uint64_t authority_host; /* authority of the newest request << 32 | host */
    uint32_t method, path;   /* strings, of the newest request */
    uint64_t body;           /* handle of the newest body, 0: none is open */
    /* the rest is for its beginning and its end */
    uint32_t reader, writer; /* worker slots, index + 1 */
    uint32_t asked;          /* 1: somebody is saying where it was asked for, 2: he has */
    uint32_t asked_stack;
    uint64_t asked_goid;
    uint32_t peer; /* string */
    uint16_t port; /* where the request names none */
    uint16_t scheme;
} __attribute__((aligned(64)));
extern struct managed_map managed_connections;

/* A field of a slot that several goroutines may write at once (streams of a connection): the last word stands. */
#define SLOT_PUT(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

static inline struct trace_connection *connection_slot(const struct managed_connection *c) {
    return &trace->connections[c->slot];
}
static inline bool connection_is_open(const struct managed_connection *c) {
    return __atomic_load_n(&c->state, __ATOMIC_ACQUIRE) == OPEN && trace != NULL;
}
/* Soon something is written about the connection there, for that site, and into the journal (see slot_expect). */
void managed_connection_expect(uint32_t place, uint32_t site);
/* One more exchange is complete. */
void managed_exchange_done(struct managed_connection *, uint64_t now);
/*
 * Its connection went away: an open body that nobody reads right now is discarded; who reads one decides with his result. False:
 * the handle is no longer that of a body of this connection.
 */
bool managed_body_orphaned(uint64_t handle, uint64_t connection, uint64_t now);
/* The same for one whose handle was collected, and its address used again: only the connection still knows it. */
void managed_body_collected(const struct trace_connection *, uint64_t now);

/* ---- contexts, by their places, and bodies, by their slots ---- */

/* An open body hangs on a context from now on. Each join has its part, when the body ends. */
void managed_context_join(const struct managed_life *, uint32_t body, uint32_t connection);
/* True for the one who takes it off that context (MANAGED_NONE: whichever it is); the place of its connection. */
bool managed_context_part(uint32_t body, uint32_t context, uint32_t *connection);
bool managed_context_has(uint32_t body, uint32_t context);
/* Its context ends: a body that nobody reads right now is discarded; who reads one decides with his result. */
void managed_body_cancelled(uint32_t body, uint32_t context, uint64_t goid);

void managed_contexts_reset(void);
void managed_bodies_reset(void);
void managed_workers_reset(void);

static inline void managed_note(struct trace_event *event, uint64_t connection, uint64_t now,
                                uint64_t goid) {
    event->connection = connection;
    journal_append(event, now, (uint32_t)goid);
}

#endif
