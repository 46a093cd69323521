/*
 * Tables and heaps of a httpleak trace file: what has ended is counted per call site; hosts, modules, timers, strings and stacks are
 * named by their ids. Included by trace.h, which says what holds for all of it.
 */
/* clang-format off: one field a line, its meaning beside it */
#ifndef HTTPLEAK_TRACE_TABLE_H
#define HTTPLEAK_TRACE_TABLE_H

#include <stdint.h>

#define TRACE_BUILD_ID_MAX 32u
#define TRACE_HOST_PEERS 8u

/* ---- tables ---- */
/* Counters of what has ENDED, for one (host, stack): connections count at their connect stack, bodies at their request stack. */
struct trace_site { /* 192 bytes */
    uint32_t host;
    uint32_t stack;
    uint64_t connections_closed;
    uint64_t exchanges_reused; /* exchanges after a connection's first; counted when the request's head went out */
    uint64_t bodies_drained;
    uint64_t bodies_discarded;
    uint64_t bodies_failed;
    uint64_t drained_unclosed; /* of bodies_drained: handle seen and not closed (yet) */
    uint64_t workers_exited;   /* by the host of their last connection; stack 0 */
    uint64_t exchanges;        /* requests whose head went out */
    /* sample for a finding: the first discarded (or drained unclosed) body */
    uint32_t sample_method;
    uint32_t sample_path;
    uint32_t sample_status;
    uint32_t reserved0;
    uint64_t sample_ns;
    uint64_t sample_bytes_read;
    uint64_t sample_expected;
    uint64_t last_ns;
    uint64_t connections_opaque; /* of connections_closed: TLS that was not followed */
    /* stack: the creation's */
    uint64_t workers_unjoined; /* joinable workers that have ended and that nobody joined or detached (yet) */
    uint64_t unjoined_ns;      /* when the newest of them ended */
    /* stack: the close's */
    uint64_t bad_closes;       /* connections of this host closed by a thread that had closed their number before */
    uint64_t bad_close_ns;
    uint64_t reserved1[4];
};

enum trace_scheme { TRACE_SCHEME_UNKNOWN = 0, TRACE_SCHEME_HTTP = 1, TRACE_SCHEME_HTTPS = 2, TRACE_SCHEME_UNIX = 3 };
struct trace_host { /* 64 bytes */
    uint32_t name; /* string, lower case; "unix:PATH" for Unix sockets */
    uint16_t port; /* 0 for Unix sockets */
    uint16_t scheme;
    uint32_t ready; /* 1 once the record is complete */
    uint32_t peer_count;
    uint32_t peers[TRACE_HOST_PEERS]; /* strings, the first ones seen */
    uint64_t reserved[2];
};

/* module.flags */
#define TRACE_MODULE_MAIN (1u << 0)
#define TRACE_MODULE_RECORDER (1u << 1)
#define TRACE_MODULE_VDSO (1u << 2)
struct trace_module { /* 128 bytes */
    uint64_t base;  /* load bias: address = base + address in the file */
    uint64_t start; /* of the first segment */
    uint64_t end;   /* after the last segment */
    uint64_t loaded_ns;   /* when the recorder noticed */
    uint64_t unloaded_ns; /* 0: still there */
    uint32_t path;        /* string */
    uint32_t flags;
    uint32_t ready;
    uint32_t build_id_size; /* bytes, 0: none */
    uint8_t build_id[TRACE_BUILD_ID_MAX];
    uint64_t reserved[5];
};

/*
 * Timers, counted for each (kind, stack of the creator); they are in no journal. pending = created - fired - stopped - forgotten.
 * A pile-up keeps raising the high-water mark: marks[] has the moments when pending passed it by an eighth (and by 64 at least),
 * the newest mark_count % TRACE_TIMER_MARKS of a ring.
 */
#define TRACE_TIMER_MARKS 8u
enum trace_timer_kind {
    TRACE_TIMER_POSIX = 1,      /* timer_create, pending until timer_delete */
    TRACE_TIMER_FD = 2,         /* timerfd_create, pending until the descriptor's close */
    TRACE_TIMER_GO_CHANNEL = 3, /* time.After, time.NewTimer, pending until they fire or are stopped */
    TRACE_TIMER_GO_TICKER = 4,  /* time.NewTicker, time.Tick, pending until they are stopped */
    TRACE_TIMER_GO_FUNC = 5,    /* time.AfterFunc */
};
/* timer.flags */
#define TRACE_TIMER_COLLECTABLE (1u << 0) /* at least one of its timers goes with its last reference (Go 1.23 and later) */
struct trace_timer_mark {
    uint64_t time_ns;
    uint64_t pending;
};
struct trace_timer { /* 256 bytes */
    /* line 0 */
    uint32_t stack; /* where they are made */
    uint32_t kind;  /* enum trace_timer_kind */
    uint32_t ready; /* 1 once the record is complete */
    uint32_t flags;
    uint64_t first_ns;    /* when the first one was made */
    uint64_t last_ns;     /* ... and the newest */
    uint64_t duration_ns; /* that the newest one was made for; 0: not known */
    uint64_t collectable; /* of created: those that the runtime collects once nobody refers to them */
    uint64_t reserved0[2];
    /* line 1 */
    uint64_t created;
    uint64_t fired;     /* for the last time: a ticker's ticks are not counted */
    uint64_t stopped;   /* Stop, timer_delete, close */
    uint64_t forgotten; /* of the collectable: gone unseen, their place was used anew */
    uint64_t peak;      /* the most that were pending at once */
    uint64_t peak_ns;
    uint64_t mark_next; /* pending that makes the next mark */
    uint64_t mark_count;
    /* lines 2 and 3 */
    struct trace_timer_mark marks[TRACE_TIMER_MARKS];
};

struct trace_string { /* in the heap, each starting at a multiple of 8 */
    uint32_t length; /* without the terminator */
    uint32_t hash;   /* FNV-1a of the bytes; written last: 0 means not complete */
    char bytes[];    /* length bytes and a NUL; any byte may occur (hostile network) */
};

/*
 * Frames of an interpreter, which the recorder has to name itself: module is the string id of the source file, address is
 * line << 32 | string id of the function.
 */
enum trace_language {
    TRACE_LANGUAGE_NATIVE = 0,
    TRACE_LANGUAGE_PYTHON = 1,
    TRACE_LANGUAGE_RUBY = 2,
    TRACE_LANGUAGE_PHP = 3,
    TRACE_LANGUAGE_JAVASCRIPT = 4,
    TRACE_LANGUAGE_JAVA = 5,
    TRACE_LANGUAGE_PERL = 6,
    TRACE_LANGUAGE_LUA = 7,
};

struct trace_frame {
    uint64_t address; /* module != 0: address in the module's file (pc - base); else the pc. A return address, except frame 0 of a signal */
    uint32_t module;  /* id */
    uint32_t language; /* enum trace_language; NATIVE for whatever a module's file can name, Go included */
};
struct trace_stack { /* in the heap, each starting at a multiple of 8; innermost frame first, the recorder's own frames left out */
    uint32_t count;
    uint32_t hash; /* written last: 0 means not complete */
    struct trace_frame frames[];
};

_Static_assert(sizeof(struct trace_site) == 192, "site record");
_Static_assert(sizeof(struct trace_host) == 64, "host record");
_Static_assert(sizeof(struct trace_module) == 128, "module record");
_Static_assert(sizeof(struct trace_timer) == 256, "timer record");

#endif
