/*
 * Lifecycles as a managed runtime's own HTTP client tells them (Go's net/http, by its hooks): connections, exchanges, bodies with
 * their handles, workers by number. Nothing is read off the wire here.
 *
 * All of it may be called from any of the program's threads, several at once, from where no libc, no thread-local and no vector
 * register may be used. Nothing waits but for microseconds, with one exception: the first connection makes the trace. What finds
 * no room is counted as lost.
 *
 * Objects are known by what the program itself has for them: a connection by its transport (the address of the socket object), a
 * body by the address of its handle, a worker by its number. A collector gives addresses anew: something new under a known
 * address means that the old one was collected. What it was stays as it was: open, for ever.
 */
#ifndef TRACK_MANAGED_H
#define TRACK_MANAGED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "httpleak/trace.h"

struct managed_text { /* in the program's memory, not terminated */
    const char *bytes;
    size_t size;
};

/* ---- connections ---- */

struct managed_connection;
/*
 * Pinned: each must be given back by managed_connection_leave. get makes what is not there: reserved, it has an id and is seen by
 * nobody until it is opened; NULL: no room.
 */
struct managed_connection *managed_connection_find(uint64_t transport);
struct managed_connection *managed_connection_get(uint64_t transport);
void managed_connection_leave(struct managed_connection *);
uint64_t managed_connection_id(const struct managed_connection *);

struct managed_opening {
    int fd;
    struct managed_text
        authority; /* "name:port" that was dialled for, "": not known; never a proxy's */
    enum trace_scheme scheme;
    enum trace_protocol protocol;
    uint32_t stack; /* where it was asked for */
    uint64_t goid;  /* who asked */
};
/* Where a connection that is only reserved was asked for, for whoever opens it. The first word stands. */
void managed_connection_asked(struct managed_connection *, const struct managed_opening *);
/* The first call opens it; the others find it open. */
void managed_connection_open(struct managed_connection *, const struct managed_opening *);
/* Its transport is being closed by the program. A body that is open is given up with it. */
void managed_connection_close(uint64_t transport);
/* It turned out that it was closed before it was published here: as if it had never been. */
void managed_connection_withdraw(struct managed_connection *);
/* The connection became a tunnel (101). */
void managed_connection_tunnel(struct managed_connection *, uint64_t goid);
/* Either side wants it closed after this exchange. */
void managed_connection_no_reuse(struct managed_connection *);

/* ---- exchanges ---- */

struct managed_request {
    struct managed_text method, path,
        authority; /* path: without query; authority: "name" or "name:port" */
    uint32_t stack;
    bool upgrade; /* it asks for another protocol */
    uint64_t goid;
};
/* What is kept of a request that is under way, by the goroutine that waits for the answer. */
struct managed_exchange {
    uint64_t connection; /* id, 0: none */
    uint64_t transport;  /* that of the connection, and its place */
    uint32_t place;
    uint32_t stack, host, site, method, path;
    uint32_t number; /* on its connection */
    bool upgrade;
    uint64_t
        requested; /* seq of the newest REQUEST in the journal: the same again may be told right behind it */
    uint64_t goid, time_ns;
    const void *trace; /* that the ids belong to */
};
/* The one of the goroutine's last request: the next one is mostly for the same, and on its way. For speed only. */
void managed_request_expect(const struct managed_exchange *before);
/* A request goes out. */
void managed_request(struct managed_connection *, const struct managed_request *,
                     struct managed_exchange *);
/* It is over: an answer without a body, or none at all (status 0). */
void managed_answered(struct managed_exchange *, uint32_t status);

/* ---- bodies ---- */

/* What ends bodies that were asked for under it: a context's address (0: none), and that of the channel which its end closes. */
struct managed_life {
    uint64_t context, done;
};
/* What is no body to read to its end. */
enum managed_media { MANAGED_MEDIA_PLAIN, MANAGED_MEDIA_EVENTS, MANAGED_MEDIA_GRPC };

struct managed_response {
    uint32_t status;
    enum managed_media media;
    uint64_t expected; /* TRACE_UNKNOWN */
    enum trace_body_framing framing;
    bool stream; /* one of several on its connection, which outlives it */
    uint32_t stream_id;
    struct managed_life life;
};
enum managed_outcome { MANAGED_DRAINED, MANAGED_DISCARDED, MANAGED_FAILED };

/* It has a body, with that handle; the exchange is over when the body is. */
void managed_body_open(struct managed_exchange *, uint64_t handle, const struct managed_response *);

/* A read of a body under way: it is pinned until who reads gives that back. */
struct managed_read {
    uint64_t body; /* id, 0: none */
    uint32_t place;
};
struct managed_read managed_read_begin(uint64_t handle, uint64_t goid);
enum managed_read_result { MANAGED_READ_MORE, MANAGED_READ_EOF, MANAGED_READ_ERROR };
/* ERROR: of the network; the program's own giving up came before it. */
void managed_read_end(const struct managed_read *, uint64_t bytes, enum managed_read_result,
                      uint64_t goid);
/* The handle was closed. later: what becomes of a body that is not drained will be told (or its connection will be closed). */
void managed_body_close(uint64_t handle, bool later, uint64_t goid);
/* What became of it, without a word of the handle's (a stream that was reset, a body that was drained after its Close). */
void managed_body_end(uint64_t handle, enum managed_outcome, uint64_t goid);
/* The newest body of a connection that is open: its handle, 0: none. */
uint64_t managed_body_of(const struct managed_connection *);
/* A context ends: its open bodies are given up. Quick where none hangs on it. */
void managed_cancelled(const struct managed_life *, uint64_t goid);

/* ---- goroutines ---- */

#define MANAGED_READS 2u
struct managed_worker { /* what is known of a goroutine; nobody but itself looks at it */
    uint64_t pins;      /* a struct managed_guard */
    uint64_t number;
    struct managed_exchange exchange;
    uint64_t stack_hash; /* of the stack of its newest request */
    uint32_t stack;
    uint32_t reads_count;
    struct {
        struct managed_read read;
        uint64_t depth;
    } reads[MANAGED_READS];
    uint64_t worker;    /* id, 0: no worker */
    uint64_t transport; /* of the connection that it serves */
    uint32_t slot;      /* index */
    uint32_t started;   /* it is one */
    uint64_t dial_goid; /* who asked for what it dials */
    uint32_t dial_stack;
    bool dials;
} __attribute__((aligned(64)));
/* The record of a goroutine; find: NULL if there is none. Kept until managed_worker_end. */
struct managed_worker *managed_worker_find(uint64_t number);
struct managed_worker *managed_worker_get(uint64_t number);
/* It serves a connection for its whole life. */
void managed_worker_start(struct managed_worker *, enum trace_worker_role,
                          struct managed_connection *);
/* It ends. Quick where nothing is known of it. */
void managed_worker_end(uint64_t number);

/* ---- the process ---- */

/* The trace is there, or is made now. */
bool managed_trace(void);
/* It ends in order, with that status, by that goroutine (0: not known). May come more than once. */
void managed_exit(int status, uint64_t goid);
/* Another program takes its place; false: that failed. */
void managed_exec(bool begins);
/* In a fork child: nothing is known. */
void managed_after_fork(void);
/* Where the program is judged from later: TCP state and waiting bytes of every live connection. */
void managed_sample_all(void);

#endif
