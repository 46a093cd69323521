/*
 * The layout of a httpleak trace file: the one contract between the recorder (preload/) and the analyzer (analyzer/).
 *
 * A trace is a sparse file of fixed size that the recorder maps shared and updates in place, so it is complete whenever the
 * process dies. It consists of one header page and eleven regions, whose place and geometry the header states:
 *
 *   slots      (connection, body, worker, handle)  one per LIVE object, updated in place, freed when the object ends
 *   tables     (site, host, module, timer) append-only records; record 0 of each is never used: id 0 means "none"
 *   heaps      (string, stack)             append-only, interned; an id is offset / 8; id 0 means "none"
 *   journal                                a ring of 64-byte transitions, the flight recorder
 *
 * Units: times are nanoseconds of CLOCK_MONOTONIC unless a name says `realtime`; sizes are bytes; byte order is the machine's.
 * Writers: any thread of the traced process, at any moment, also from signal handlers. Readers must take a copy (pread), then
 * validate the copy: nothing in a trace is to be trusted, and a live one changes while it is read.
 * Torn data: each slot part starts with a sequence number that is odd while the part changes. Odd in a finished process means
 * that the process was killed inside the update ("torn"): the other fields of that part are old or new, never wild.
 * All fields are naturally aligned; counters are 8-byte and updated by relaxed atomic adds.
 */
/* clang-format off: one field a line, its meaning beside it */
#ifndef HTTPLEAK_TRACE_H
#define HTTPLEAK_TRACE_H

#include <stdint.h>

#include "httpleak/trace_event.h"
#include "httpleak/trace_table.h"

#define TRACE_MAGIC "HTTPLEAK"      /* 8 bytes, no terminator */
#define TRACE_VERSION 4u            /* a reader refuses any other version, and says which one it knows */
#define TRACE_BYTE_ORDER 0x01020304u
#define TRACE_HEADER_SIZE 4096u
#define TRACE_UNKNOWN UINT64_MAX    /* a size that nobody stated (chunked, until close) */
#define TRACE_STACK_DEPTH_MAX 128u
#define TRACE_STRING_MAX 1024u      /* longest interned string, terminator not counted */

enum trace_region_kind {
    TRACE_REGION_CONNECTION, /* struct trace_connection[], slots */
    TRACE_REGION_BODY,       /* struct trace_body[], slots */
    TRACE_REGION_WORKER,     /* struct trace_worker[], slots */
    TRACE_REGION_HANDLE,     /* struct trace_handle[], slots */
    TRACE_REGION_SITE,       /* struct trace_site[], table */
    TRACE_REGION_HOST,       /* struct trace_host[], table */
    TRACE_REGION_MODULE,     /* struct trace_module[], table */
    TRACE_REGION_TIMER,      /* struct trace_timer[], table */
    TRACE_REGION_STRING,     /* struct trace_string, heap */
    TRACE_REGION_STACK,      /* struct trace_stack, heap */
    TRACE_REGION_JOURNAL,    /* struct trace_event[], ring */
    TRACE_REGION_COUNT
};

/*
 * used: slots and tables: how many records from the start have ever been handed out (a record below may be free: state 0);
 * heaps: bytes handed out; journal: the number of places ever handed out = the sequence number of the newest record.
 * populated: bytes from the start of the region that have blocks behind them; what lies beyond reads as zeros.
 */
struct trace_region {
    uint64_t offset;      /* from the start of the file, a multiple of 4096 */
    uint64_t size;        /* bytes reserved */
    uint64_t record_size; /* 8 for the heaps */
    uint64_t used;
    uint64_t populated;
};

/* header.features */
#define TRACE_FEATURE_HANDLES_UNSURE (1u << 0) /* the end of a client handle may have been missed: none of them is evidence */

enum trace_end { TRACE_END_RUNNING = 0, TRACE_END_EXIT = 1, TRACE_END_EXEC = 2, TRACE_END_SIGNAL = 3 };
enum trace_go { TRACE_GO_NONE = 0, TRACE_GO_FOLLOWED = 1, TRACE_GO_BLIND = 2 };
enum trace_unwinder { TRACE_UNWINDER_NONE = 0, TRACE_UNWINDER_LIBUNWIND = 1, TRACE_UNWINDER_LIBGCC = 2 };

/* What could not be written, each a count of objects or events (header.lost[]). Never waited for. */
enum trace_lost {
    TRACE_LOST_CONNECTIONS, /* no slot, fd number too large */
    TRACE_LOST_BODIES,
    TRACE_LOST_WORKERS,
    TRACE_LOST_EVENTS, /* journal records */
    TRACE_LOST_SITES,
    TRACE_LOST_STRINGS, /* strings, hosts */
    TRACE_LOST_STACKS,
    TRACE_LOST_MODULES,
    TRACE_LOST_TLS, /* TLS objects that found no place in the association table */
    TRACE_LOST_TIMERS, /* timers whose life is not followed: no record for their call site, no place in the table */
    TRACE_LOST_HANDLES, /* client handles whose life is not followed: nothing is said of any of them then */
    TRACE_LOST_COUNT
};

struct trace_header {
    char magic[8];
    uint32_t version;
    uint32_t byte_order;
    uint64_t file_size; /* apparent size at creation */
    uint32_t header_size;
    uint32_t region_count;
    struct trace_region regions[TRACE_REGION_COUNT];

    /* the process */
    uint32_t pid;
    uint32_t ppid;
    uint64_t started_ns;          /* when the recorder was loaded */
    uint64_t created_ns;          /* when this file was created */
    uint64_t started_realtime_ns; /* CLOCK_REALTIME at started_ns */
    uint64_t process_start_ticks; /* field 22 of /proc/PID/stat: tells a reused pid from the traced process; 0: unknown */
    uint64_t forked_ns;           /* not 0: this process is a fork child of a traced one that did not exec */
    uint32_t unwinder;            /* enum trace_unwinder */
    uint32_t stack_depth;
    uint32_t record_paths;
    uint32_t record_argv;
    uint64_t features; /* TRACE_FEATURE_* */

    /* its end; end stays RUNNING in a process that was killed */
    uint32_t end; /* enum trace_end */
    int32_t status;       /* exit status or signal number */
    uint32_t status_known; /* 0: ended by return from main, status not seen */
    uint32_t reserved0;
    uint64_t ended_ns;
    uint64_t last_moment_ns; /* last transition written: what a killed process is judged by */
    uint64_t summary_done;

    /* totals of what is gone; live objects are in the slots. opened = ended + live, for each of them */
    uint64_t connections_foreign; /* spoke no HTTP, dropped: in no total */
    uint64_t connections_failed;  /* connect failed, or closed before it was established: in no total */
    uint64_t workers_exited;
    uint64_t lost[TRACE_LOST_COUNT];

    char recorder_version[32];
    char exe[512];     /* /proc/self/exe, or argv[0] if unreadable; NUL terminated */
    char argv[1024];   /* argv[0], or with record_argv the arguments, each NUL terminated; argv_size bytes */
    uint32_t argv_size;
    uint32_t argv_truncated;

    /* Go inside: what the hooks made of this program (the recorder may be in it with nothing else to see) */
    uint32_t go_state; /* enum trace_go */
    uint32_t reserved1;
    char go_version[32]; /* "go1.22.12"; NUL terminated, as the next one */
    char go_reason[160]; /* BLIND: why it is not followed; FOLLOWED: what of it is not; "" */

    uint64_t connections_opaque; /* of connections_foreign: TLS that was not followed, and not known to be HTTP */
};

/* ---- connection slot: 6 cache lines ---- */
enum trace_connection_state {
    TRACE_CONNECTION_FREE = 0,
    TRACE_CONNECTION_CONNECTING = 1,  /* connect is in progress; not in totals unless it becomes a finding */
    TRACE_CONNECTION_ESTABLISHED = 2,
};
enum trace_protocol {
    TRACE_PROTOCOL_UNKNOWN = 0, /* nothing said yet: sent and received 0 bytes; or TLS whose inside is not seen (yet) */
    TRACE_PROTOCOL_HTTP1 = 1,
    TRACE_PROTOCOL_HTTP2 = 2,
    TRACE_PROTOCOL_TUNNEL = 3, /* after 101 (websocket...): no exchange any more. A CONNECT tunnel goes back to UNKNOWN */
};
/* connection.flags */
#define TRACE_CONNECTION_TLS (1u << 0)          /* a ClientHello went out */
#define TRACE_CONNECTION_TLS_FOLLOWED (1u << 1) /* its TLS object is known: plaintext is seen */
#define TRACE_CONNECTION_TLS_DATA (1u << 2)     /* TLS application data was seen on the wire */
#define TRACE_CONNECTION_BLIND (1u << 3)        /* can't be followed any more: blind_reason */
#define TRACE_CONNECTION_UNIX (1u << 4)         /* AF_UNIX; peer is the path */
#define TRACE_CONNECTION_SHARED (1u << 5)       /* a forked child did I/O on it, or exec'ed with it open: not ours alone */
#define TRACE_CONNECTION_PROXY (1u << 6)        /* went through CONNECT */
#define TRACE_CONNECTION_NO_REUSE (1u << 7)     /* either side asked to close after this exchange */
#define TRACE_CONNECTION_SHUT_WR (1u << 8)      /* shutdown(SHUT_WR or RDWR) was called */
#define TRACE_CONNECTION_SHUT_RD (1u << 9)
#define TRACE_CONNECTION_NONBLOCK (1u << 10)    /* connect answered EINPROGRESS */
#define TRACE_CONNECTION_H2 (1u << 11)          /* ALPN or preface chose HTTP/2 */
#define TRACE_CONNECTION_WAITED (1u << 12)      /* someone did poll/select/epoll for it at least once */
#define TRACE_CONNECTION_COUNTED (1u << 13)     /* had at least one HTTP request */
#define TRACE_CONNECTION_SERVER_FIRST (1u << 14) /* the peer spoke before we did */
#define TRACE_CONNECTION_GO (1u << 15)          /* a Go http.Transport's: its life, exchanges and bodies are told by hooks, not by the
                                                   wire; opener, reader, writer and asker ids are goroutines' */

#define TRACE_CONNECTION_ALPN_HTTP (1u << 16)   /* its ClientHello offered HTTP by ALPN: HTTP, even if TLS hides it */

enum trace_blind {
    TRACE_BLIND_NONE = 0,
    TRACE_BLIND_FRAMING = 1,    /* bytes that HTTP/1 does not allow, or an exchange that can't be matched */
    TRACE_BLIND_UNSEEN = 2,     /* bytes went by that no interposed call showed (splice into a chunked body...) */
    TRACE_BLIND_CONCURRENT = 3, /* two threads used the same direction at once */
    TRACE_BLIND_HTTP2 = 4,
    TRACE_BLIND_TLS = 5,        /* TLS whose plaintext is not seen */
    TRACE_BLIND_NO_SLOT = 6,    /* the trace is full */
    TRACE_BLIND_PIPELINE = 7,   /* more outstanding requests than are followed */
};

/* What the last read attempt gave */
enum trace_read_result { TRACE_READ_NONE = 0, TRACE_READ_DATA = 1, TRACE_READ_AGAIN = 2, TRACE_READ_EOF = 3, TRACE_READ_ERROR = 4 };

struct trace_connection { /* 384 bytes */
    /* line 0: identity; changes at transitions only */
    uint32_t seq;
    uint32_t state;    /* enum trace_connection_state */
    uint64_t id;       /* 1, 2, ... in the order of connect; never used twice in a trace */
    uint64_t opened_ns; /* connect was called */
    uint32_t host;     /* id; by name the best that is known so far; final with the first exchange */
    uint32_t site;     /* id of (host, connect stack) that its counters go to */
    uint32_t connect_stack;
    uint32_t peer;     /* string "ip:port", "[ip6]:port" or the Unix path */
    uint32_t flags;    /* TRACE_CONNECTION_* */
    uint16_t protocol; /* enum trace_protocol */
    uint16_t blind_reason;
    int32_t fd;        /* lowest-age fd number that still refers to it */
    uint32_t fd_count; /* dup'ed copies included */
    uint32_t opener_tid;
    uint32_t reserved0;

    /* line 1: the reading half, written by whoever reads */
    uint32_t read_seq;
    uint32_t reader_tid;      /* last thread that took (application) bytes */
    uint64_t read_attempt_ns; /* last time a read was called or returned; coarse */
    uint64_t read_progress_ns;
    uint64_t read_bytes;      /* on the wire */
    uint64_t read_app_bytes;  /* plaintext, = read_bytes without TLS */
    uint64_t eof_ns;          /* read gave 0 or a reset; 0: not */
    uint32_t read_result;     /* enum trace_read_result, of the last attempt */
    uint32_t reserved5;
    uint64_t responses;       /* final response messages complete */

    /* line 2: the writing half */
    uint32_t write_seq;
    uint32_t writer_tid;
    uint64_t write_attempt_ns;
    uint64_t write_bytes;
    uint64_t write_app_bytes;
    uint64_t requests;       /* requests whose head went out */
    uint64_t request_ns;     /* when the newest request's head went out */
    uint32_t request_stack;  /* of the newest request */
    uint32_t request_tid;    /* who asked */
    uint32_t request_method; /* string */
    uint32_t request_path;   /* string */

    /* line 3: the oldest request that has no complete answer (valid while requests > responses) */
    uint32_t exchange_seq;
    uint32_t pending_stack;
    uint64_t pending_ns;
    uint32_t pending_method; /* string */
    uint32_t pending_path;   /* string */
    uint32_t pending_tid;
    uint32_t body_slot;      /* index + 1 of the open body's slot, 0: none */
    uint64_t body_id;
    uint64_t idle_since_ns;  /* last exchange complete; 0: never or busy */
    uint32_t last_status;    /* of the newest response head */
    uint32_t window;         /* HTTP/2: bytes that the peer may still send on all its streams together; 0: shut */
    uint64_t held;           /* HTTP/2: bytes of them that came and were not given back (WINDOW_UPDATE) */

    /* line 4: evidence of interest: who waits for it to become readable */
    uint32_t wait_seq;
    uint32_t poll_tid;       /* thread that last had it in the read set of a poll or select */
    uint64_t wait_ns;        /* last time such a call began or ended. It is being polled NOW if the worker slot of
                                poll_tid has wait POLL and wait_since_ns == wait_ns */
    uint32_t epoll_interest; /* it is registered for reading in an epoll set that is still open */
    uint32_t epoll_edge;     /* ... edge triggered */
    uint64_t epoll_wait_ns;  /* last time somebody waited on that set */
    uint64_t epoll_change_ns; /* last time the interest changed */
    uint64_t epoll_set;      /* identity of that set. It is waited on NOW if a worker slot has wait EPOLL and this as
                                wait_address; epoll_wait_ns may lag behind for sets with hundreds of members.
                                Without interest: the set was closed at epoll_change_ns, with it inside */
    uint64_t reserved3[2];

    /* line 5: samples of the socket's state, taken at transitions at most once a second and at an orderly end */
    uint32_t sample_seq;
    uint32_t tcp_state;   /* TCP_ESTABLISHED = 1 ... TCP_CLOSE_WAIT = 8 (linux/tcp.h), 0: not known or not TCP */
    uint64_t sample_ns;   /* 0: never */
    uint32_t rx_queued;   /* FIONREAD: bytes that wait to be read */
    uint32_t rx_known;
    uint64_t exec_ns;     /* a child exec'ed with it open and not close-on-exec, 0: none (as 0, 1 or 2 does not count) */
    uint32_t exec_pid;
    uint32_t exec_held;   /* 1: it was found open there a second later */
    uint64_t reserved4[3];
};

/* ---- body slot: 3 cache lines ---- */
enum trace_body_state { TRACE_BODY_FREE = 0, TRACE_BODY_OPEN = 1 };
enum trace_body_framing { TRACE_FRAMING_LENGTH = 1, TRACE_FRAMING_CHUNKED = 2, TRACE_FRAMING_UNTIL_CLOSE = 3,
                          TRACE_FRAMING_STREAM = 4 /* HTTP/2: until END_STREAM, and no length was stated */ };
/* body.flags */
#define TRACE_BODY_EVENT_STREAM (1u << 0)
#define TRACE_BODY_GRPC (1u << 1)
#define TRACE_BODY_REDIRECT (1u << 2)        /* status 3xx */
#define TRACE_BODY_ERROR_STATUS (1u << 3)    /* status 4xx, 5xx */
#define TRACE_BODY_UPGRADE_REFUSED (1u << 4) /* Upgrade was asked, the answer is not 101 */
#define TRACE_BODY_HANDLE_SEEN (1u << 5)     /* a client annotation (or hook) opened a handle for it */
#define TRACE_BODY_HANDLE_EOF (1u << 6)
#define TRACE_BODY_HANDLE_CLOSED (1u << 7)   /* given up by its handle; counts as discarded unless it is drained later */
#define TRACE_BODY_GO (1u << 8)              /* told by Go hooks: drained, closed and read attempts are the handle's; asker and reader
                                                are goroutine ids (low 32 bits) */
#define TRACE_BODY_STREAM (1u << 9)          /* of an HTTP/2 stream: stream_id, and there may be others on its connection */
#define TRACE_BODY_COLLECTED (1u << 10)      /* its handle was collected: the address belongs to another body by now */

struct trace_body { /* 192 bytes */
    /* line 0 */
    uint32_t seq;
    uint32_t state;
    uint64_t id;
    uint64_t connection_id;
    uint32_t connection_slot; /* index */
    uint32_t site;            /* id of (host, request stack) that its counters go to */
    uint32_t request_stack;
    uint32_t flags;
    uint32_t method; /* string */
    uint32_t path;   /* string; 0 with record_paths=0 */
    uint16_t status;
    uint16_t framing;
    uint32_t asker_tid; /* thread that sent the request */
    uint64_t requested_ns;
    /* line 1 */
    uint64_t opened_ns; /* response head complete */
    uint64_t expected;  /* bytes, TRACE_UNKNOWN */
    uint64_t handle;    /* the client's handle, for eyes only */
    uint64_t asker_goid; /* TRACE_BODY_GO: the goroutine that asked */
    uint32_t stream_id; /* TRACE_BODY_STREAM */
    uint32_t reserved2;
    uint64_t window;    /* TRACE_BODY_STREAM: bytes that the peer may still send on it; 0: shut */
    uint64_t held;      /* TRACE_BODY_STREAM: bytes that came and were not given back to the peer (WINDOW_UPDATE) */
    uint64_t reserved0[1];
    /* line 2: progress, written by the reading thread */
    uint32_t progress_seq;
    uint32_t reader_tid;
    uint64_t bytes_read;
    uint64_t progress_ns;  /* last time payload bytes were taken */
    uint64_t max_stall_ns; /* longest time in which nobody tried to read nor waited, between two reads */
    uint32_t bursts;       /* 1 + the reader's own pauses of 100 ms and more between two reads with payload */
    uint32_t reads;        /* reads that brought payload */
    uint64_t attempt_ns;   /* TRACE_BODY_GO: last time a read of this body was called or returned; _STREAM: last time bytes of it
                              were given back, which shows that the program took them; 0: never */
    uint32_t attempts_now; /* TRACE_BODY_GO: Reads of it under way right now: somebody waits for it */
    uint32_t reserved3;
    uint64_t reserved1[1];
};

/* ---- worker slot: 4 cache lines ---- */
/*
 * A slot is taken by every thread that connects, polls, reads or writes a client connection. One without application I/O
 * (read_ops + write_ops == 0) and the main thread's are no workers: they are there for their waits alone.
 */
enum trace_worker_state { TRACE_WORKER_FREE = 0, TRACE_WORKER_LIVE = 1 };
enum trace_worker_role { TRACE_ROLE_UNDECLARED = 0, TRACE_ROLE_READER = 1, TRACE_ROLE_WRITER = 2, TRACE_ROLE_BOTH = 3 };
/* worker.flags */
#define TRACE_WORKER_DETACHED (1u << 0)
#define TRACE_WORKER_FOREIGN (1u << 1) /* its creation was not seen: no creation stack */
#define TRACE_WORKER_GOROUTINE (1u << 3) /* a goroutine: goid says which; declared_role and dedicated are known by its hooks, its I/O
                                            is not counted (read_ops and write_ops stay 0); tid is the goid's low 32 bits */
#define TRACE_WORKER_MAIN (1u << 2)    /* the main thread: never counted as a worker, its waits are evidence all the same */
/* Where a worker waits. READ..CONNECT: blocked on wait_connection; POLL, EPOLL: on a set; COND, SEM, JOIN: parked at wait_address */
enum trace_wait {
    TRACE_WAIT_NONE = 0,
    TRACE_WAIT_READ = 1,
    TRACE_WAIT_WRITE = 2,
    TRACE_WAIT_CONNECT = 3,
    TRACE_WAIT_POLL = 4,
    TRACE_WAIT_EPOLL = 5,
    TRACE_WAIT_COND = 6,
    TRACE_WAIT_SEM = 7,
    TRACE_WAIT_JOIN = 8,
    TRACE_WAIT_OTHER_WRITE = 9, /* blocked writing a fd that is no client connection: back pressure */
};

struct trace_worker { /* 256 bytes */
    /* line 0: identity */
    uint32_t seq;
    uint32_t state;
    uint64_t id;
    uint32_t tid;
    uint32_t creator_tid;
    uint64_t started_ns;
    uint32_t created_stack;
    uint32_t flags;
    char name[16];        /* as the program named it, NUL padded */
    uint32_t declared_role; /* enum trace_worker_role, by annotation */
    uint32_t siblings;      /* live workers with this creation stack when its slot was taken, itself included; 0: not known */
    /* line 1: its I/O on client connections, written by itself only. Counts application I/O, never handshakes */
    uint32_t io_seq;
    uint32_t connections_used; /* number of times it went to another connection than the one before, first included */
    uint64_t read_bytes;
    uint64_t write_bytes;
    uint64_t read_ops;  /* attempts, also those that block right now */
    uint64_t write_ops;
    uint64_t first_connection; /* id */
    uint64_t last_connection;  /* id */
    uint64_t last_io_ns;
    /* line 2: where it waits now */
    uint32_t wait_seq;
    uint32_t wait; /* enum trace_wait */
    uint64_t wait_since_ns;
    uint64_t wait_connection; /* id, 0: none */
    uint64_t wait_address;    /* of the condition variable or semaphore */
    uint32_t last_host;       /* id, of last_connection */
    uint32_t reserved1;
    uint64_t reserved2[3];
    /* line 3 */
    uint64_t goid;      /* GOROUTINE: which */
    uint64_t dedicated; /* GOROUTINE: id of the connection that it serves for its whole life, also when that is gone */
    uint64_t reserved3[6];
};

/* ---- client handle slot: 2 cache lines ---- */
/*
 * Handles of client libraries: libcurl's from their creation to their cleanup, OpenSSL's SSL objects from their first client
 * connection to their SSL_free.
 */
enum trace_handle_state { TRACE_HANDLE_FREE = 0, TRACE_HANDLE_LIVE = 1 };
enum trace_handle_kind {
    TRACE_HANDLE_CURL_EASY = 1,
    TRACE_HANDLE_CURL_MULTI = 2,
    TRACE_HANDLE_CURL_SHARE = 3,
    TRACE_HANDLE_SSL = 4,
};
/* handle.flags */
#define TRACE_HANDLE_PAUSED (1u << 0) /* curl_easy_pause stopped it, and nothing resumed it since */
struct trace_handle { /* 128 bytes */
    /* line 0: identity */
    uint32_t seq;
    uint32_t state; /* enum trace_handle_state */
    uint64_t id;
    uint64_t created_ns;
    uint64_t handle; /* its address, for eyes only */
    uint32_t kind;   /* enum trace_handle_kind */
    uint32_t created_stack;
    uint32_t creator_tid;
    uint32_t reserved0;
    uint64_t reserved1[2];
    /* line 1: its use; every field for itself, without a sequence number: several threads may come by */
    uint64_t used_ns;    /* last time that a call which works with it began or ended; its creation to begin with */
    uint64_t uses;       /* transfers begun (easy), connections carried (SSL), calls (multi) */
    uint64_t connection; /* id of the last one it worked on, 0: none */
    uint64_t parent;     /* easy: id of the multi handle that it is in, 0: none */
    uint64_t since_ns;   /* PAUSED: since when. SSL: when its connection was closed, 0: it is not */
    uint32_t flags;      /* TRACE_HANDLE_* */
    uint32_t user_tid;   /* thread of the last use */
    uint32_t host;       /* id, of that connection */
    uint32_t busy;       /* calls under way right now */
    uint32_t members;    /* multi: easy handles in it */
    uint32_t reserved2;
};

_Static_assert(sizeof(struct trace_header) <= TRACE_HEADER_SIZE, "header fits its page");
_Static_assert(sizeof(struct trace_connection) == 384, "connection slot");
_Static_assert(sizeof(struct trace_body) == 192, "body slot");
_Static_assert(sizeof(struct trace_worker) == 256, "worker slot");
_Static_assert(sizeof(struct trace_handle) == 128, "handle slot");

#endif
