/* What the rules share while a model is judged. Nobody outside of this room needs it. */
#ifndef HTTPLEAK_RULES_CONTEXT_H
#define HTTPLEAK_RULES_CONTEXT_H

#include "rules/rules.h"

struct rules_stack;    /* a stack with its names, stack.c */
struct rules_compiled; /* names of compiled code, stack.c */

struct rules_context {
    struct model *model;
    struct symbolizer *symbolizer; /* NULL: stacks stay module+offset */
    struct rules_options options;
    uint64_t grace_ns; /* as given: --grace */
    struct report *report;
    const struct rule *rule; /* the one that is being evaluated */
    struct report_finding *findings;
    struct report_finding **tail;
    struct rules_stack *stacks; /* those already named */
    struct rules_compiled *compiled;
    struct report_totals *totals; /* by model_host.order */
};

/* One object that a rule found, to be put into the finding that it belongs to. */
struct rules_object {
    struct model_process *process; /* NULL: about none that left a trace */
    struct model_host *host;       /* NULL: about no host */
    enum report_severity severity;
    enum report_confidence confidence;
    const char *message; /* templates other than the rule's own, NULL: those */
    const char *advice;
    const char
        *detail;    /* keeps findings of one stack apart, NULL: none; lives as long as the report */
    uint64_t count; /* 0 means 1 */
    /* stacks, ids of the process's trace; the caller's stack is the first of them that is not 0 */
    uint32_t request_stack, connect_stack, worker_stack;
    bool by_worker_stack;  /* the caller's stack is worker_stack, else connect_stack */
    bool by_connect_stack; /* the caller's stack is connect_stack: see rules_sent_by_own_worker */
    uint32_t method, path; /* strings of the process's trace */
    uint32_t status;
    uint64_t since_ns; /* its age counts from here */
    uint64_t bytes_read, bytes_expected;
    const char *tags[4];
    struct model_connection *connection; /* NULL: none */
    const struct model_worker *worker;
    bool listed; /* it has a line of its own among the finding's objects, connection or not */
    uint64_t connection_id;      /* for that line, when the connection itself is gone */
    enum trace_worker_role role; /* stranded-worker */
    struct report_finding *root; /* what it follows from */
};

/* Puts it into its finding; NULL when --host leaves it out. */
struct report_finding *rules_add(struct rules_context *context, const struct rules_object *object);
/* --host: is this one asked for? A NULL host is only when all are. */
bool rules_host_is_wanted(const struct rules_context *context, const struct model_host *host);
/* Messages, fingerprints, order and verdict, when all rules have been evaluated. */
void rules_finish(struct rules_context *context);

/* stack.c: names a stack of a process's trace; an empty one for id 0. Cached. */
struct rules_stack {
    struct rules_stack *next;
    const struct model_process *process;
    uint32_t id;
    const struct symbol_frame *frames; /* without the recorder's own */
    size_t count, first;               /* first: where the shown part starts */
    uint64_t identity; /* hash of the user's frames with their lines: tells callers apart */
};
const struct rules_stack *rules_stack(struct rules_context *context,
                                      const struct model_process *process, uint32_t id);
/* Of JavaScript: whether the program's own frames of the first are the innermost of the second's. */
bool rules_stack_begins(const struct rules_stack *shorter, const struct rules_stack *longer);
/* Ends what stack.c holds open. */
void rules_stack_end(struct rules_context *context);
/* Hash of the top five user functions with their modules' base names: the fingerprint's part, added to `hash`. */
uint64_t rules_stack_fingerprint(const struct rules_stack *stack, uint64_t hash);
/* Is the caller's code Go? By its first frame's language; where that has no name, by what the process runs. */
bool rules_stack_is_go(struct rules_context *context, const struct model_process *process,
                       uint32_t id);
uint64_t rules_hash(uint64_t hash, const char *text);
#define RULES_HASH_START UINT64_C(14695981039346656037)

static inline uint64_t later(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* evidence.c */
enum body_state { BODY_EXEMPT, BODY_PROGRESSING, BODY_STARVED, BODY_PAUSED, BODY_ABANDONED };
struct body_judgement {
    enum body_state state;
    enum report_confidence confidence;
};
struct body_judgement rules_judge_body(const struct rules_context *context,
                                       const struct model_body *body);
/* Nanoseconds from `since` to the moment that the process is judged at. */
uint64_t rules_age(const struct model_process *process, uint64_t since_ns);
/* What rests, a body or a transfer, is a warning after so many times the grace. */
#define RULES_PAUSED_GRACES 10u

/* One of many on its HTTP/2 connection, seen on the wire (of Go's the handles are seen). Pure. */
static inline bool rules_is_wire_stream(const struct trace_body *raw) {
    return (raw->flags & (TRACE_BODY_STREAM | TRACE_BODY_GO)) == TRACE_BODY_STREAM;
}

/* --grace; 0 at an orderly end. */
uint64_t rules_grace(const struct rules_context *context, const struct model_process *process);
/* Somebody blocks on it, polls it, or waits on an epoll set that has it. */
bool rules_is_waited_for(const struct rules_context *context,
                         const struct model_connection *connection);
/*
 * The request was sent by a thread that serves this one connection, which somebody else had opened: its stack is the client
 * library's, and the caller is where the connection was asked for.
 */
bool rules_sent_by_own_worker(const struct model_connection *connection, uint32_t tid);
/* The last time that somebody tried to read it or asked whether it can be read. */
uint64_t rules_last_try(const struct model_connection *connection);

extern const struct rule rule_unclosed_body, rule_response_abandoned, rule_stranded_worker,
    rule_peer_closed, rule_connection_abandoned, rule_drained_unclosed, rule_discarded_body,
    rule_client_per_request, rule_timer_pileup, rule_handle_leak, rule_bad_close, rule_idle_bloat,
    rule_worker_growth, rule_thread_unjoined, rule_inherited_connection, rule_blind;

/* history.c: retracted findings, out of the journal. */
void rules_count_retracted(struct rules_context *context);

#endif
