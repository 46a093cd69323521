/* The journal of a httpleak trace file: transitions, 64 bytes each, in a ring. Included by trace.h. */
/* clang-format off: one field a line, its meaning beside it */
#ifndef HTTPLEAK_TRACE_EVENT_H
#define HTTPLEAK_TRACE_EVENT_H

#include <stdint.h>

/* ---- journal ---- */
enum trace_event_type {
    TRACE_EVENT_NONE = 0,
    TRACE_EVENT_CONNECTION_OPEN = 1,        /* a: fd, b: peer string, stack: connect stack; arg: state (1, 2) */
    TRACE_EVENT_CONNECTION_ESTABLISHED = 2,
    TRACE_EVENT_CONNECTION_HOST = 3,        /* a: host id, b: site id; arg: protocol. May come again while the host gets known better */
    TRACE_EVENT_CONNECTION_FOREIGN = 4,     /* dropped: speaks no HTTP */
    TRACE_EVENT_CONNECTION_FAILED = 5,      /* a: errno or 0: never got established */
    TRACE_EVENT_CONNECTION_TLS = 6,         /* arg: 1 ClientHello, 2 followed */
    TRACE_EVENT_CONNECTION_BLIND = 7,       /* arg: enum trace_blind */
    TRACE_EVENT_CONNECTION_TUNNEL = 8,      /* arg: 1 upgrade, 2 CONNECT */
    TRACE_EVENT_CONNECTION_EOF = 9,         /* arg: 0 end, else errno */
    TRACE_EVENT_CONNECTION_SHUTDOWN = 10,   /* arg: how */
    TRACE_EVENT_CONNECTION_DUP = 11,        /* a: new fd, arg: fd_count after; also for a closed copy (arg is what counts) */
    TRACE_EVENT_CONNECTION_CLOSE = 12,      /* a: fd, arg: 0 by the program, 1 found closed (its number was given out anew) */
    TRACE_EVENT_CONNECTION_INHERITED = 13,  /* object: pid of the exec'ed program that has it still, a: fd, b: site */
    TRACE_EVENT_CONNECTION_BAD_CLOSE = 14,  /* object: id of the connection that the closer meant, a: fd, b: site of the close, stack */
    TRACE_EVENT_REQUEST = 20,               /* object: number on the connection (1..), a: method string, b: path string, stack */
    TRACE_EVENT_RESPONSE = 21,              /* object: number on the connection, arg: status (interim ones too) */
    TRACE_EVENT_RESPONSE_END = 22,          /* object: number on the connection: message complete */
    TRACE_EVENT_BODY_OPEN = 30,             /* object: body id, a: expected, b: site, stack: request stack, arg: framing; see below */
    TRACE_EVENT_BODY_DRAINED = 31,          /* object: body id, a: bytes read, b: longest stall in ns */
    TRACE_EVENT_BODY_DISCARDED = 32,        /* likewise */
    TRACE_EVENT_BODY_FAILED = 33,           /* likewise */
    TRACE_EVENT_HANDLE_OPEN = 34,           /* object: body id, a: handle */
    TRACE_EVENT_HANDLE_EOF = 35,
    TRACE_EVENT_HANDLE_CLOSE = 36,          /* arg: 1 if the body was drained before and counted as drained_unclosed until now */
    TRACE_EVENT_WORKER_START = 40,          /* object: worker id, a: its tid, stack: creation stack */
    TRACE_EVENT_WORKER_END = 41,            /* object: worker id; b: site id */
    TRACE_EVENT_WORKER_JOIN = 42,           /* a: tid */
    TRACE_EVENT_WORKER_DETACH = 43,         /* a: tid */
    TRACE_EVENT_CLIENT_OPEN = 46,           /* object: handle id, a: its address, stack: creation stack; arg: enum trace_handle_kind */
    TRACE_EVENT_CLIENT_CLOSE = 47,          /* object: handle id */
    TRACE_EVENT_FORK = 50,                  /* a: child pid */
    TRACE_EVENT_EXEC = 51,                  /* arg: 1 begins, 2 failed */
    TRACE_EVENT_END = 52,                   /* arg: enum trace_end, a: status; Go: b: the goroutine that ended it, 0: unknown */
    TRACE_EVENT_MODULE = 53,                /* a: module id, arg: 1 loaded, 2 unloaded */
};

/* event.flags: several transitions in one record, where a client's hooks tell them at once */
#define TRACE_EVENT_HANDLE (1u << 0)   /* BODY_OPEN: with a handle; no HANDLE_OPEN comes */
#define TRACE_EVENT_EXCHANGE (1u << 1) /* BODY_DRAINED, _DISCARDED, _FAILED: the exchange is complete; no RESPONSE_END comes */
#define TRACE_EVENT_ANSWER (1u << 2)   /* BODY_OPEN: with what RESPONSE says; no RESPONSE comes. See trace_event_status */
/* Set in a record that is there already, while the coarse clock stood still, by the same thread: */
#define TRACE_EVENT_DRAINED (1u << 3)  /* BODY_OPEN: what was expected was read, and the exchange is complete, before the next record; no
                                          BODY_DRAINED comes */
#define TRACE_EVENT_CLOSED (1u << 4)   /* the same or BODY_DRAINED: then its handle was closed; no HANDLE_CLOSE comes */
#define TRACE_EVENT_ASKED (1u << 5)    /* BODY_OPEN: after all that the same request went out once more, as its next; no REQUEST comes */
#define TRACE_EVENT_DONE (TRACE_EVENT_DRAINED | TRACE_EVENT_CLOSED)
#define TRACE_EVENT_MARKS (TRACE_EVENT_DONE | TRACE_EVENT_ASKED)
#define TRACE_EVENT_AGAIN_MOST 255u

struct trace_event { /* 64 bytes; record for place p (0, 1, ...) is at index p % (size / 64) */
    uint64_t seq;     /* p + 1, written last with release order; anything else: overwritten, being written, or torn */
    uint64_t time_ns;
    uint8_t type;
    uint8_t again;    /* BODY_OPEN: the same exchange so many times more, within one step of the coarse clock, each with the next number and
                         body id, begun when the one before was drained and closed; the marks are about the last of them */
    uint16_t flags;   /* TRACE_EVENT_HANDLE, _EXCHANGE, _ANSWER and marks */
    uint32_t tid;
    uint64_t connection; /* id, 0: none */
    uint64_t object;
    uint64_t a;
    uint64_t b;
    uint32_t stack; /* id */
    uint16_t arg;
    uint16_t check; /* trace_event_check() over the record, seq included, this field as 0, without marks and again */
};

/* BODY_OPEN: the exchange's number above the site (0: not told); with TRACE_EVENT_ANSWER the status above the framing. */
#define TRACE_EVENT_FRAMING_BITS 4
static inline uint16_t trace_event_framing(const struct trace_event *e) {
    return e->arg & ((1u << TRACE_EVENT_FRAMING_BITS) - 1);
}
static inline uint16_t trace_event_status(const struct trace_event *e) {
    return e->flags & TRACE_EVENT_ANSWER ? e->arg >> TRACE_EVENT_FRAMING_BITS : 0;
}
static inline uint32_t trace_event_site(const struct trace_event *e) {
    return (uint32_t)e->b;
}
static inline uint32_t trace_event_number(const struct trace_event *e) {
    return (uint32_t)(e->b >> 32);
}
/* Whether requests went out in it. */
static inline int trace_event_asks(const struct trace_event *e) {
    return e->type == TRACE_EVENT_REQUEST || (e->type == TRACE_EVENT_BODY_OPEN && (e->again || e->flags & TRACE_EVENT_ASKED));
}

/* Guards a record against a writer that slept through a whole lap of the ring. Pure. */
static inline uint16_t trace_event_check(const struct trace_event *e) {
    /* Odd factors, one a word, so that the products do not wait for each other: every record has one. */
    uint64_t h = (e->seq + 1) * 0x9e3779b97f4a7c15u + e->time_ns * 0xff51afd7ed558ccdu + e->connection * 0xc4ceb9fe1a85ec53u +
                 e->object * 0xbf58476d1ce4e5b9u + e->a * 0x94d049bb133111ebu + e->b * 0xd6e8feb86659fd93u;
    const uint64_t flags = e->flags & ~TRACE_EVENT_MARKS;
    h += ((uint64_t)e->type | flags << 16 | (uint64_t)e->tid << 32) * 0xa0761d6478bd642fu;
    h += ((uint64_t)e->stack | (uint64_t)e->arg << 32) * 0xe7037ed1a0b428dbu;
    h ^= h >> 32;
    return (uint16_t)(h ^ h >> 16);
}

/* The hash of interned strings; never 0. Pure. */
static inline uint32_t trace_string_hash(const char *s, uint32_t n) {
    uint32_t h = 2166136261u;
    for (uint32_t i = 0; i < n; i++) h = (h ^ (uint8_t)s[i]) * 16777619u;
    return h ? h : 1;
}

_Static_assert(sizeof(struct trace_event) == 64, "journal record");

#endif
