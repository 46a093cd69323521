/*
 * What one or several traces say: processes, hosts, connections, bodies, workers. Facts only; judging is the rules' business.
 * Memory grows with live objects and call sites, not with the length of a run.
 */
#ifndef HTTPLEAK_MODEL_H
#define HTTPLEAK_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/arena.h"
#include "model/report.h"
#include "trace/reader.h"

/* How a process ended, as its parent saw it (`run`). */
struct process_fate {
    bool waited;       /* status and signal are known */
    int status;        /* exit status when signal is 0 */
    int signal;        /* 0: it exited */
    uint64_t ended_ns; /* CLOCK_MONOTONIC when that was seen; 0: not known */
};

struct model_options {
    bool no_refresh; /* never look into /proc for running processes (tests, replayed traces) */
    uint64_t now_ns; /* CLOCK_MONOTONIC to judge running processes by; 0: take it from the clock */
};

struct model_process;

struct model_host {
    struct model_host *next;
    const char *name; /* "" when nothing is known */
    uint16_t port;
    enum trace_scheme scheme;
    const char **peers;
    size_t peer_count;
    size_t order; /* 0, 1, ...: its place in the list */
    struct report_totals totals;
    uint64_t goroutines_live; /* of the live workers */
};

enum model_bytes { MODEL_BYTES_UNKNOWN, MODEL_BYTES_NONE, MODEL_BYTES_WAIT };

struct model_body;
struct model_connection {
    struct trace_connection raw;
    size_t index; /* of its slot */
    struct model_process *process;
    struct model_host *host;
    struct model_body *body; /* the open one (of HTTP/2, the first of the open ones), NULL: none */
    bool counted;            /* is in the totals */
    bool opaque;             /* TLS whose inside cannot be seen */
    bool opaque_tls;         /* opaque, and counted by ALPN or its port alone */
    bool go;                 /* a Go transport's: its life is told by hooks, not by the wire */
    bool idle;               /* between exchanges, ready for the next */
    enum model_bytes bytes;  /* do bytes wait in the socket? */
    struct report_finding
        *root; /* set by the rules: the finding that all others about it follow from */
};
struct model_body {
    struct trace_body raw;
    size_t index; /* of its slot */
    struct model_process *process;
    struct model_connection *connection; /* NULL: its slot is gone (torn trace) */
    struct model_host *host;
    struct model_body *sibling; /* the next open one of its connection */
    uint64_t asker_last_ns;     /* the asking thread's newest request or connect; 0: none seen */
    uint64_t asker_last_body;   /* the newest body that it asked for; ids rise */
};
struct model_worker {
    struct trace_worker raw;
    size_t index; /* of its slot */
    struct model_process *process;
    struct model_host *host;
    bool counted;   /* a worker; else (main thread, no application I/O) evidence only */
    bool goroutine; /* else a thread */
    enum trace_worker_role role;
    struct model_connection
        *dedicated;   /* live connection it is dedicated to (the only one that it ever used) */
    uint64_t gone_ns; /* goroutines whose connection is gone: since when; 0: not known */
};
struct model_handle {
    struct trace_handle raw;
    struct model_process *process;
    struct model_connection *connection; /* the last one that it worked on, if that is live */
    struct model_host *host;             /* of that connection; NULL: it never had one */
};
struct model_site {
    struct trace_site raw;
    struct model_process *process;
    struct model_host *host;
};

struct model_process {
    struct model_process *next;
    struct trace_file *file;
    const struct trace_header *header;
    enum report_end end;
    bool status_known;
    int status;
    bool orderly; /* ended by exit: the grace is over */
    bool alive;
    uint64_t now_ns; /* the moment that it is judged at */
    uint64_t torn;
    uint64_t ended_by;        /* Go: the goroutine that ended it in order; 0: not known */
    uint32_t ended_by_tid;    /* else the thread; 0: not known */
    uint64_t history_from_ns; /* the oldest journal record; 0: the journal is whole */
    struct model_connection *connections; /* by id */
    size_t connection_count;
    struct model_body *bodies;
    size_t body_count;
    struct model_worker *workers;
    size_t worker_count;
    const struct trace_worker *
        *blocked; /* of these, the threads inside a call on sockets or files: not those parked */
    size_t blocked_count;
    struct model_handle *handles; /* of client libraries, by creation */
    size_t handle_count;
    struct model_site *sites;
    size_t site_count;
#define MODEL_BLIND_MAX 16u
    const char *blind[MODEL_BLIND_MAX]; /* set by the rules: what of it could not be seen */
    size_t blind_count;
    struct model_host **hosts; /* by host id of this trace */
    size_t host_count;
    struct trace_module *modules; /* by module id of this trace */
    size_t module_count;
};

/* Something that could not be seen and that no trace tells about (a static executable...). */
struct model_blind {
    struct model_blind *next;
    const char *text;
};

struct model {
    struct arena arena;
    struct model_options options;
    struct model_process *processes; /* in the order of their start */
    size_t process_count;
    struct model_host *hosts;
    size_t host_count;
    struct model_blind *blind;
};

/* NULL only when out of memory. `options` may be NULL. */
struct model *model_new(const struct model_options *options);
void model_free(struct model *model);

/*
 * Adds the process of a trace. The file stays the caller's and must outlive the model and its reports. 0, or -1 with *error
 * when the trace is not valid; then nothing was added.
 */
int model_add_trace(struct model *model, struct trace_file *file, const struct process_fate *fate,
                    struct trace_error *error);

/* Something that was run and could not be seen: "static executable: LD_PRELOAD cannot reach it". The text is copied. */
void model_add_blind(struct model *model, const char *text);

/* The live connection with this id, NULL if there is none. */
struct model_connection *process_connection(const struct model_process *process, uint64_t id);

/* Number of connections whose HTTP was followed, the ended ones included: 0 fails --require-seen. */
uint64_t model_followed(const struct model *model);

/* "read", "cond" ...: enum trace_wait as reports write it. Pure. */
const char *model_wait_name(uint32_t wait);
/* "curl-easy", "ssl" ...: enum trace_handle_kind as dumps write it. Pure. */
const char *model_handle_name(uint32_t kind);

#endif
