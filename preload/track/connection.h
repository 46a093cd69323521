/*
 * Client connections: which fd numbers mean which connection, and their life from connect to the last close.
 *
 * fd_table is the only thing a wrapper looks at for a fd that is not ours. Everything here is lock-free or bounded, never
 * allocates, never fails visibly, leaves errno alone (the wrapper saves it), and may be called from signal handlers.
 */
#ifndef TRACK_CONNECTION_H
#define TRACK_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "http/http1.h"
#include "record/clock.h"
#include "record/intern.h"
#include "record/trace.h"
#include "track/process.h"

#pragma GCC visibility push(hidden) /* the compiler need not ask where they are */

#define FD_LIMIT (1u << 20) /* fd numbers beyond are not followed, and counted as lost */

/*
 * 0: not ours. Else: slot index + 1 (or epoll set index + 1, with FD_EPOLL) in the low 31 bits, FD_EPOLL in bit 31, 24 bits
 * of the connection's id in 32..55, the fork generation in 56..63 (an older one: inherited from the parent).
 */
#define FD_EPOLL (UINT64_C(1) << 31)
#define FD_TIMER                                                                                   \
    (UINT64_C(1) << 30)    /* with FD_EPOLL, whose index it puts beyond all sets: a timer's */
extern uint64_t *fd_table; /* NULL until the first connection */
extern unsigned fd_limit;  /* 0 until then, FD_LIMIT from then on: one compare serves both */

static inline uint64_t fd_entry(int fd) {
    if ((unsigned)fd >= __atomic_load_n(&fd_limit, __ATOMIC_ACQUIRE)) return 0;
    return __atomic_load_n(&fd_table[fd], __ATOMIC_RELAXED);
}
static inline uint32_t fd_entry_index(uint64_t entry) {
    return (uint32_t)(entry & 0x7fffffffu) - 1;
}
static inline uint32_t fd_entry_id(uint64_t entry) {
    return (uint32_t)(entry >> 32) & 0xffffffu;
}
static inline uint32_t fd_entry_generation(uint64_t entry) {
    return (uint32_t)(entry >> 56);
}
/* The wrappers' fast way out. */
static inline bool fd_is_ours(int fd) {
    return __builtin_expect(fd_entry(fd) != 0, 0);
}

#define EXCHANGE_RING 32u /* outstanding requests followed on one connection; more: blind */

struct exchange { /* a request that was sent (or is being sent) and has no complete answer */
    enum http1_method_kind kind;
    uint32_t
        committed; /* 0: the send that carries it has not returned yet; whoever sets it to 1 counts it */
    uint32_t method, path, stack, tid;
    uint32_t host, site; /* of the request */
    bool upgrade, no_reuse;
    uint64_t time_ns;
};

/* How a connection leaves: by its last close, found closed, or because it speaks no HTTP. */
enum connection_end { END_NOT, END_CLOSED, END_FOUND_CLOSED, END_FOREIGN, END_FAILED };

enum wire { WIRE_NEW, WIRE_PLAIN, WIRE_TLS, WIRE_TUNNEL, WIRE_BLIND };

/* What the recorder knows of a connection beside its slot; private memory, parallel to the slots. */
struct connection {
    uint64_t id; /* that of the slot; 0: free */
    struct trace_connection *slot;
    uint32_t index;
    uint32_t read_lock,
        write_lock; /* 0 or the tid inside a hook of that half; held across no call of the program's */
    uint32_t ending;    /* enum connection_end: who leaves a half last carries it out */
    uint32_t exchanges; /* committed requests other than CONNECT */
    uint32_t start_stack, start_tid; /* of the request whose head is going out */
    uint32_t
        asked_stack; /* who asked for the next request before it was sent (asker.h), until it was; 0: nobody known */
    struct exchange_names { /* of the newest request: the next one mostly has the same */
        uint32_t method, path, authority, host;
    } names;
    uint32_t ring_head, ring_tail; /* pushed by the writer, popped by the reader */
    struct exchange ring[EXCHANGE_RING];
    enum wire wire;
    uint16_t peer_port;
    uint64_t tls_object;     /* address, 0: none */
    uint64_t client_random;  /* hash of the ClientHello random, 0: not seen */
    struct trace_body *body; /* the open body being received */
    struct streams *streams; /* HTTP/2: streams.h; NULL: (still) HTTP/1 */
    struct body_last {       /* the newest body that ended, for handles opened late */
        uint64_t id;
        uint32_t site;
        bool drained, handle_seen;
    } last_body;
    uint64_t stall_ns;  /* before the read attempt under way: nobody tried to read nor waited */
    uint64_t rest_ns;   /* as stall_ns, where waiting that does not show who wants it is none */
    bool eof;           /* the peer's end was seen */
    uint8_t kernel_tls; /* enum kernel_tls bits: directions in which the kernel does TLS */
    bool tunnel_fresh; /* a CONNECT was granted through TLS: what comes next may be TLS inside it */
    struct http1_request request;
    struct http1_response response;
};

/* Private parts live in chunks that are mapped when their slots are first used. */
#define CONNECTION_CHUNK 64u
#define CONNECTION_CHUNKS (FD_LIMIT / CONNECTION_CHUNK)
extern struct connection *connection_chunks[CONNECTION_CHUNKS];
static inline struct connection *connection_at(uint32_t slot_index) {
    if (slot_index >= FD_LIMIT) return NULL;
    struct connection *chunk =
        __atomic_load_n(&connection_chunks[slot_index / CONNECTION_CHUNK], __ATOMIC_ACQUIRE);
    return chunk ? &chunk[slot_index % CONNECTION_CHUNK] : NULL;
}
/* An entry of the parent's in a fork child: marks it as shared there and forgets it. Always NULL. */
struct connection *connection_inherited(int fd, uint64_t entry);

/*
 * The connection behind a fd of ours, NULL if there is none (epoll sets, inherited and stale entries give NULL). Using an
 * inherited one marks it as shared in the parent's trace, once.
 */
static inline struct connection *connection_of_fd(int fd) {
    const uint64_t entry = fd_entry(fd);
    if (entry == 0 || (entry & FD_EPOLL)) return NULL;
    process_check_fork();
    if (__builtin_expect(fd_entry_generation(entry) != (process_generation & 0xff), 0))
        return connection_inherited(fd, entry);
    struct connection *c = connection_at(fd_entry_index(entry));
    return c && c->id != 0 && (c->id & 0xffffffu) == fd_entry_id(entry) ? c : NULL;
}
/* Its table entry. */
uint64_t connection_entry(const struct connection *);
/* Highest fd number that was ever ours, for loops over the table. */
extern int fd_highest;

/* After connect(2) returned: result and error as the caller will see them. Creates the connection (and the trace) or completes it. */
void connection_connected(int fd, const struct sockaddr *address, socklen_t size, int result,
                          int error);
/* It carried bytes, or a poll said writable: a pending connect has succeeded. */
void connection_established(struct connection *);
/* Speaks no HTTP: forget it and all its fds. */
void connection_drop(struct connection *);
void connection_blind(struct connection *, enum trace_blind reason);

/* Before close(fd) and whatever else ends a fd number. Does nothing in a vfork child. found: its number came back from the
 * kernel as a new fd, so it was closed where we could not see it. */
void connection_fd_closing(int fd, bool found);
void connection_range_closing(unsigned first, unsigned last);
/* After dup and kin gave new_fd for old_fd (whatever new_fd was has been passed to connection_fd_closing before). */
void connection_fd_duplicated(int old_fd, int new_fd);
/* The number stands for a timer: its close will be told to timer_stopped. False: numbers like that are not followed. */
bool connection_fd_timer(int fd);
/* A new fd number came from the kernel (socket, accept, dup...): any entry under it is stale. */
static inline void connection_fd_new(int fd) {
    if (fd_is_ours(fd)) connection_fd_closing(fd, true);
}
void connection_shutdown(struct connection *, int how);

/* Hands over the connection's end; carried out now, or by whoever is inside a half when he leaves it. */
void connection_end(struct connection *, enum connection_end);

/* Takes samples of sockets (queued bytes, TCP state): all live ones at an orderly end; at transitions at most once a second
 * and a few connections each. */
void connection_sample_all(void);
void connection_sample_some(uint64_t now);

/*
 * exec: marks those handed over as 0, 1, 2, and those that go along because they are not close-on-exec. spawned: the same for a
 * child that posix_spawn made. (In a fork child the entries of the parent are "inherited", by their generation.)
 */
void connection_before_exec(void);
void connection_spawned(int child_pid);
/* A second later at least: whether an exec'ed child has it still. */
void connection_look_for_heirs(struct connection *, uint64_t now);

/*
 * The host that the connection belongs to, as far as it is known; final with the first exchange, ignored after it. name: an
 * interned string. Its scheme follows from the wire, a Unix socket keeps its own name.
 */
void connection_set_host(struct connection *, uint32_t name, uint16_t port);
/* A host record for an authority asked for on this connection (name, port as above). */
uint32_t connection_host_for(struct connection *, uint32_t name, uint16_t port);
/* For other files of this room: an entry is put under a number; all numbers of a connection are forgotten. */
bool connection_fd_table(void); /* makes the table; false: no memory */
void connection_fd_set(int fd, uint64_t entry);
void connection_fd_forget(struct connection *);
void connection_flag(struct connection *, uint32_t flag);
void connection_note(struct connection *, struct trace_event *,
                     uint64_t now); /* journal, with id and tid filled in */

#pragma GCC visibility pop

#endif
