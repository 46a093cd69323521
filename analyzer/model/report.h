/*
 * The report: what every output (text, JSON...) is rendered from. Field names are those of the contract.
 * Everything in it lives as long as the report, the symbolizer and the traces it was made of. Strings come from a hostile
 * network: any byte may be in them; escaping is the renderer's business.
 */
#ifndef HTTPLEAK_REPORT_H
#define HTTPLEAK_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "httpleak/trace.h"
#include "model/arena.h"
#include "symbol/symbol.h"

enum report_severity { SEVERITY_NEVER, SEVERITY_NOTE, SEVERITY_WARNING, SEVERITY_ERROR };
enum report_confidence { CONFIDENCE_INFERRED, CONFIDENCE_PROVEN };
enum report_verdict { VERDICT_CLEAN, VERDICT_NO_LEAK_SEEN, VERDICT_LEAKS };
enum report_end {
    REPORT_END_EXIT,
    REPORT_END_SIGNAL,
    REPORT_END_EXEC,
    REPORT_END_RUNNING,
    REPORT_END_LOST
};

struct report_totals {
    struct {
        uint64_t opened, closed, live, idle, reused;
    } connections;
    struct {
        uint64_t opened, drained, discarded, failed, unclosed, drained_unclosed;
    } bodies;
    struct {
        uint64_t started, exited, live, readers_live, writers_live, both_live;
        uint64_t readers_stranded, writers_stranded, both_stranded;
    } workers;
};

struct report_host {
    const char *host;
    uint16_t port;      /* 0: none (Unix socket) */
    const char *scheme; /* "http", "https", "unix", "" when not known */
    const char *const *peers;
    size_t peer_count;
    struct report_totals totals;
    uint64_t goroutines_live; /* of the live workers; the others are threads */
};

struct report_process {
    uint32_t pid, ppid;
    const char *exe;
    const char *const *argv;
    size_t argc;
    uint64_t started_realtime_ns;
    uint64_t ended_realtime_ns; /* 0: not ended */
    enum report_end end;
    bool status_known;
    int status; /* exit status, or the signal's number when end is SIGNAL */
    const char *const *runtimes;
    size_t runtime_count;
    const char *const *blind;
    size_t blind_count;
    uint64_t lost_records;
    uint64_t history_from_realtime_ns; /* 0: the whole history is there */
    uint64_t torn;
    const char *trace;
    const char *unwinder; /* "libunwind", "libgcc", "none" */
};

/* The frames that are shown: from the first one of the user's own code on, all of them with full_stacks. */
struct report_stack {
    const struct symbol_frame *frames;
    size_t count;
};

struct report_object {
    uint32_t pid;
    uint64_t connection;
    int fd;           /* -1: none */
    const char *peer; /* "" if none */
    double age_s;
    uint32_t tid; /* workers: a thread's, or a goroutine's number; 0: none */
    bool goroutine;
    const char *wait; /* workers; NULL: none */
};
#define REPORT_OBJECTS_MAX 20

struct rule;
struct report_finding {
    const struct rule *rule;
    enum report_severity severity;
    enum report_confidence confidence;
    const char *host; /* "" when it is about no host */
    uint16_t port;
    const char *scheme;
    uint64_t count;
    const char *message;
    const char *advice;
    char fingerprint[17];
    struct report_finding *cause; /* caused_by: the root finding, NULL for a root */
    const char *tags[8];
    size_t tag_count;
    const char *role;   /* stranded-worker: "reader", "writer", "both"; else NULL */
    const char *method; /* of the oldest object; NULL: no request */
    const char *path;
    uint32_t status; /* 0: none yet */
    double oldest_age_s;
    double
        newest_age_s; /* how it grew: count objects between these two; -1: not known one by one */
    uint64_t bytes_read;
    uint64_t bytes_expected; /* TRACE_UNKNOWN */
    struct report_stack request, connect, worker;
    /* the caller's stack is that of the connect: a library's thread sent the request */
    bool by_connect;
    bool
        asked_before; /* then: and the connection had served other requests, perhaps somebody else's */
    struct report_object objects[REPORT_OBJECTS_MAX]; /* oldest first */
    size_t object_count;
    uint64_t behind[4];         /* roots: stranded workers behind it, by enum trace_worker_role */
    uint64_t behind_goroutines; /* of these */
    struct report_object parked[REPORT_OBJECTS_MAX]; /* roots: those workers */
    size_t parked_count;

    /* the rules' own */
    struct report_finding *next;
    const char *
        detail; /* what tells findings of one rule and stack apart (the reason of a blind note), "" */
    uint64_t order_ns; /* age of the oldest object */
    const struct rules_stack *caller;
    uint64_t identity; /* hash of the user stack */
    uint64_t cause_votes;
};

struct report {
    struct arena arena;
    enum report_verdict verdict;
    struct report_totals totals;
    struct report_host *hosts; /* worst first, then by traffic */
    size_t host_count;
    struct report_process *processes;
    size_t process_count;
    struct report_finding **findings; /* worst first, consequences right behind their cause */
    size_t finding_count;
    uint64_t retracted;
    double retracted_longest_s;
    uint64_t connections_followed;
    bool blind;
    double grace_s;
};

#endif
