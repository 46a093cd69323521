/* The rule about clients that are made for one request: client-per-request. */
#include <stdlib.h>

#include "rules/context.h"

#define WASTED_MIN 3u /* connections that an idle one would have spared, fewer are no finding */
/* the end of a body is told by the coarse clock: it may seem that much earlier than it was */
#define CLOCK_MARGIN_NS 10000000u

/* A connection that was used once and stays behind, and what it is grouped by. */
struct left_behind {
    struct model_connection *connection;
    uint64_t caller;           /* identity of the stack where it was asked for */
    uint32_t opener;           /* threads: a client may belong to one; goroutines share them: 0 */
    uint64_t opened, answered; /* these events in the journal; 0: not there any more */
};

static int left_compare(const void *a, const void *b) {
    const struct left_behind *x = a, *y = b;
    const struct model_connection *c = x->connection, *d = y->connection;
    if (c->host->order != d->host->order) return c->host->order < d->host->order ? -1 : 1;
    if (x->caller != y->caller) return x->caller < y->caller ? -1 : 1;
    if (x->opener != y->opener) return x->opener < y->opener ? -1 : 1;
    if (c->raw.opened_ns != d->raw.opened_ns) return c->raw.opened_ns < d->raw.opened_ns ? -1 : 1;
    return (c->raw.id > d->raw.id) - (c->raw.id < d->raw.id); /* the clock is a coarse one */
}

static bool is_same_group(const struct left_behind *a, const struct left_behind *b) {
    return a->connection->host == b->connection->host && a->caller == b->caller &&
           a->opener == b->opener;
}

static bool was_left_behind(const struct rules_context *context,
                            const struct model_connection *connection) {
    const struct trace_connection *raw = &connection->raw;
    const struct model_process *process = connection->process;
    if (!connection->counted || raw->requests != 1 || raw->connect_stack == 0) return false;
    if (raw->flags & (TRACE_CONNECTION_NO_REUSE | TRACE_CONNECTION_SHARED | TRACE_CONNECTION_BLIND))
        return false;
    if (connection->idle)
        return raw->idle_since_ns != 0 &&
               rules_age(process, raw->idle_since_ns) >= rules_grace(context, process);
    return connection->root && connection->root->severity == SEVERITY_ERROR;
}

static int id_compare(const void *a, const void *b) {
    uint64_t x = ((const struct left_behind *)a)->connection->raw.id,
             y = ((const struct left_behind *)b)->connection->raw.id;
    return (x > y) - (x < y);
}

/* What came first is told by the journal, as far back as it goes. They are in the order of their ids. */
static void note_order(struct model_process *process, struct left_behind *left, size_t count) {
    struct trace_journal journal;
    struct trace_event event;
    trace_journal_begin(&journal, process->file);
    while (trace_journal_next(&journal, &event)) {
        /* The end of a body is that of its response: runtimes' own clients are followed without the latter. */
        const bool answered = event.type == TRACE_EVENT_RESPONSE_END ||
                              event.type == TRACE_EVENT_BODY_DRAINED ||
                              (event.flags & TRACE_EVENT_DRAINED);
        if (event.type != TRACE_EVENT_CONNECTION_OPEN && !answered) continue;
        struct model_connection key = {.raw.id = event.connection};
        struct left_behind *found = bsearch(&(struct left_behind){.connection = &key}, left, count,
                                            sizeof *left, id_compare);
        if (found && event.type == TRACE_EVENT_CONNECTION_OPEN) found->opened = event.seq;
        if (found && answered) found->answered = event.seq;
    }
}

/* `first` stood there idle when `second` was opened. */
static bool was_at_hand(const struct left_behind *first, const struct left_behind *second) {
    if (first->answered && second->opened) return first->answered < second->opened;
    return first->connection->raw.idle_since_ns + CLOCK_MARGIN_NS <
           second->connection->raw.opened_ns;
}

/* How many of a group, oldest first, were opened while an earlier one stood there idle. */
static size_t count_wasted(const struct left_behind *group, size_t count) {
    const struct left_behind *at_hand = NULL; /* the one that became idle first */
    size_t wasted = 0;
    for (size_t i = 0; i < count; i++) {
        const struct model_connection *connection = group[i].connection;
        wasted += at_hand && was_at_hand(at_hand, &group[i]);
        if (connection->idle &&
            (!at_hand || connection->raw.idle_since_ns < at_hand->connection->raw.idle_since_ns))
            at_hand = &group[i];
    }
    return wasted;
}

static void add_group(struct rules_context *context, const struct left_behind *group,
                      size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct model_connection *connection = group[i].connection;
        const struct trace_connection *raw = &connection->raw;
        rules_add(context,
                  &(struct rules_object){
                      .process = connection->process,
                      .host = connection->host,
                      .severity = SEVERITY_WARNING,
                      .confidence = CONFIDENCE_PROVEN,
                      .advice = connection->go
                                    ? "Make one http.Client (its http.Transport holds the idle "
                                      "connections) and use it for all requests: it is made for "
                                      "use by many goroutines. One that is given up wants "
                                      "`CloseIdleConnections()`."
                                    : NULL,
                      .connect_stack = raw->connect_stack,
                      .method = raw->request_method,
                      .path = raw->request_path,
                      .status = raw->last_status,
                      .since_ns = raw->opened_ns,
                      .bytes_expected = TRACE_UNKNOWN,
                      .connection = connection,
                      .root = connection->root,
                  });
    }
}

static void client_per_request(struct rules_context *context) {
    for (struct model_process *process = context->model->processes; process;
         process = process->next) {
        struct left_behind *left = NULL;
        size_t count = 0;
        for (size_t i = 0; i < process->connection_count; i++) {
            struct model_connection *connection = &process->connections[i];
            if (!was_left_behind(context, connection)) continue;
            left = array_grow(left, count, sizeof *left);
            left[count++] = (struct left_behind){
                .connection = connection,
                .caller = rules_stack(context, process, connection->raw.connect_stack)->identity,
                .opener = connection->go ? 0 : connection->raw.opener_tid};
        }
        if (count > WASTED_MIN) {
            qsort(left, count, sizeof *left, id_compare);
            note_order(process, left, count);
            qsort(left, count, sizeof *left, left_compare);
        }
        for (size_t first = 0, end; count > WASTED_MIN && first < count; first = end) {
            for (end = first + 1; end < count && is_same_group(&left[first], &left[end]);)
                end++;
            if (count_wasted(left + first, end - first) >= WASTED_MIN)
                add_group(context, left + first, end - first);
        }
        free(left);
    }
}

const struct rule rule_client_per_request = {
    .id = "client-per-request",
    .severity = SEVERITY_WARNING,
    .message = "{n} {connection|connections} to {host} {was|were} used for one request each and "
               "then left, with an idle one at hand each time",
    .advice = "Make one client (session, handle, pool) for the host, use it for all requests, and "
              "close it when it is not needed any more.",
    .meaning = "One place in the program opened connection after connection to the same host, used "
               "each for a single request, and keeps them, although one that could have been used "
               "again stood there idle. Each costs a connect (and a TLS handshake), a descriptor "
               "here and a slot at the server, and whatever serves it: threads, goroutines.",
    .mistake = "The client, session or transport is made anew for each request, and with it a new "
               "pool of connections: http.Transport in a function, curl_easy_init for each call, a "
               "session object that nobody closes.",
    .mend = "Make it once and share it. Where it must be made for each request, close it (or its "
            "idle connections) at the end, or ask with `Connection: close`.",
    .evaluate = client_per_request,
};
