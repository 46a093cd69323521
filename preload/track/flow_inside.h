/* What both directions of the flow ask about a connection. */
#ifndef TRACK_FLOW_INSIDE_H
#define TRACK_FLOW_INSIDE_H

#include "track/flow.h"
#include "track/half.h"
#include "track/tls.h"

static inline const struct iovec *first_bytes(const struct iovec *iov, int count) {
    for (int i = 0; i < count; i++)
        if (iov[i].iov_len > 0 && iov[i].iov_base) return &iov[i];
    return NULL;
}

static inline uint32_t stack_from(const struct stack_caller *caller) {
    return caller ? stack_of(caller) : stack_here();
}

/* Application bytes: the plaintext of a followed TLS connection, whatever goes over a plain one, or opaque TLS data. */
static inline bool carries_application(const struct connection *c, enum flow_layer layer) {
    if (layer == FLOW_PLAINTEXT || c->wire != WIRE_TLS) return true;
    return (c->slot->flags & (TRACE_CONNECTION_TLS_DATA | TRACE_CONNECTION_TLS_FOLLOWED)) ==
           TRACE_CONNECTION_TLS_DATA;
}

/* What the parser shall see: the wire itself unless TLS (or a tunnel, or nothing any more) is on it. */
static inline bool is_parsed(const struct connection *c, enum flow_layer layer) {
    return layer == FLOW_PLAINTEXT ? c->wire == WIRE_TLS : c->wire == WIRE_PLAIN;
}

static inline bool still_there(const struct connection *c, uint64_t id) {
    return c && __atomic_load_n(&c->id, __ATOMIC_ACQUIRE) == id;
}

/*
 * Unseen bytes are what the parser would have seen: those of a plain connection, and the plaintext that a library or the kernel
 * encrypts for a followed TLS connection. Inside a TLS call it is that call which tells of them.
 */
static inline bool unseen_is_parsed(const struct connection *c) {
    if (c->wire != WIRE_TLS) return c->wire == WIRE_PLAIN;
    return (c->slot->flags & TRACE_CONNECTION_TLS_FOLLOWED) && !tls_current();
}

#endif
