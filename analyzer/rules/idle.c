/* The rule about pools that keep more than they use: idle-bloat. */
#include <stdlib.h>

#include "rules/context.h"

#define IDLE_GRACES 12u /* idle for so many times the grace: a minute */
#define IDLE_FEW 2u     /* so many of a host are never too many */
#define TCP_STATE_CLOSE_WAIT 8u
#define COARSE_NS                                                                                  \
    10000000u /* the moment from which a connection is idle is known by a coarse clock */

/* What is known of one host of a process. */
struct idle_host {
    size_t idle;       /* connections that have stood idle for so long */
    uint64_t since_ns; /* all of them: idle from here on */
    size_t busy, most; /* at once, since then */
};

/* A connection in the journal. */
struct idle_seen {
    uint64_t id; /* 0: free */
    size_t host; /* order + 1; 0: not known, so it may be any */
    bool busy;
};

struct idle_table {
    struct idle_seen *seen;
    size_t size, used; /* size: a power of two */
};

static bool stands_idle(const struct rules_context *context,
                        const struct model_connection *connection) {
    const struct trace_connection *raw = &connection->raw;
    return connection->counted && connection->idle && raw->tcp_state != TCP_STATE_CLOSE_WAIT &&
           raw->idle_since_ns && !(raw->flags & TRACE_CONNECTION_SHARED) &&
           rules_age(connection->process, raw->idle_since_ns) >= IDLE_GRACES * context->grace_ns;
}

static struct idle_seen *idle_find(struct idle_table *table, uint64_t id) {
    size_t mask = table->size - 1, at = (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & mask;
    while (table->seen[at].id && table->seen[at].id != id)
        at = (at + 1) & mask;
    return &table->seen[at];
}

static struct idle_seen *idle_put(struct idle_table *table, uint64_t id) {
    if (table->used * 2 >= table->size) {
        struct idle_table grown = {.size = table->size ? table->size * 2 : 256};
        grown.seen = calloc(grown.size, sizeof *grown.seen);
        if (!grown.seen) return NULL;
        for (size_t i = 0; i < table->size; i++)
            if (table->seen[i].id) *idle_find(&grown, table->seen[i].id) = table->seen[i];
        grown.used = table->used;
        free(table->seen);
        *table = grown;
    }
    struct idle_seen *seen = idle_find(table, id);
    table->used += seen->id == 0;
    seen->id = id;
    return seen;
}

/* One more, or one less, is busy at the host; at every host when it is not known at which. */
static void idle_count(struct idle_host *hosts, size_t count, struct idle_seen *seen, bool busy,
                       uint64_t now) {
    if (seen->busy == busy) return;
    seen->busy = busy;
    for (size_t i = 0; i < count; i++) {
        struct idle_host *host = &hosts[i];
        if (!host->idle || (seen->host && seen->host != i + 1)) continue;
        if (busy)
            host->busy++;
        else if (host->busy)
            host->busy--;
        if (busy && now > host->since_ns + COARSE_NS && host->busy > host->most)
            host->most = host->busy;
    }
}

/* The most connections of each host that were at work at once since the idle ones have been idle, as far as the journal goes. */
static void idle_bursts(struct model_process *process, struct idle_host *hosts, size_t count) {
    struct trace_journal journal;
    struct trace_event event;
    struct idle_table table = {0};
    trace_journal_begin(&journal, process->file);
    while (trace_journal_next(&journal, &event)) {
        if (event.connection == 0) continue;
        struct idle_seen *seen = idle_put(&table, event.connection);
        if (!seen) break;
        const struct model_connection *live = process_connection(process, event.connection);
        if (live) seen->host = live->host->order + 1;
        if (event.flags & TRACE_EVENT_EXCHANGE)
            idle_count(hosts, count, seen, false, event.time_ns);
        switch (event.type) {
        case TRACE_EVENT_CONNECTION_HOST:
            if (event.a < process->host_count && process->hosts[event.a])
                seen->host = process->hosts[event.a]->order + 1;
            break;
        case TRACE_EVENT_REQUEST: idle_count(hosts, count, seen, true, event.time_ns); break;
        case TRACE_EVENT_BODY_OPEN:
            if (trace_event_asks(&event)) {
                idle_count(hosts, count, seen, false, event.time_ns);
                idle_count(hosts, count, seen, true, event.time_ns);
            }
            if ((event.flags & (TRACE_EVENT_DRAINED | TRACE_EVENT_ASKED)) == TRACE_EVENT_DRAINED)
                idle_count(hosts, count, seen, false, event.time_ns);
            break;
        case TRACE_EVENT_RESPONSE_END:
        case TRACE_EVENT_CONNECTION_CLOSE:
        case TRACE_EVENT_CONNECTION_BLIND:
        case TRACE_EVENT_CONNECTION_FOREIGN:
            idle_count(hosts, count, seen, false, event.time_ns);
            break;
        default: break;
        }
    }
    free(table.seen);
}

static void idle_add(struct rules_context *context, struct model_connection *connection,
                     const struct idle_host *host) {
    const struct trace_connection *raw = &connection->raw;
    rules_add(
        context,
        &(struct rules_object){
            .process = connection->process,
            .host = connection->host,
            .severity = SEVERITY_WARNING,
            .confidence = CONFIDENCE_PROVEN,
            .message = arena_format(
                &context->report->arena,
                "{n} {connection|connections} to {host} {has|have} stood idle for over %.0f s, "
                "and no more than %zu at once %s needed since",
                (double)context->grace_ns / 1e9 * IDLE_GRACES, host->most,
                host->most == 1 ? "was" : "were"),
            .request_stack = raw->request_stack,
            .connect_stack = raw->connect_stack,
            .by_connect_stack = true,
            .method = raw->request_method,
            .path = raw->request_path,
            .since_ns = raw->idle_since_ns,
            .bytes_expected = TRACE_UNKNOWN,
            .connection = connection,
            .root = connection->root,
        });
}

static void idle_bloat(struct rules_context *context) {
    const size_t count = context->model->host_count;
    struct idle_host *hosts = count ? malloc(count * sizeof *hosts) : NULL;
    for (struct model_process *process = context->model->processes; hosts && process;
         process = process->next) {
        bool any = false;
        for (size_t i = 0; i < count; i++)
            hosts[i] = (struct idle_host){0};
        for (size_t i = 0; i < process->connection_count; i++) {
            const struct model_connection *connection = &process->connections[i];
            if (!stands_idle(context, connection)) continue;
            struct idle_host *host = &hosts[connection->host->order];
            host->idle++;
            if (connection->raw.idle_since_ns > host->since_ns)
                host->since_ns = connection->raw.idle_since_ns;
            any |= host->idle > IDLE_FEW;
        }
        if (!any) continue;
        idle_bursts(process, hosts, count);
        for (size_t i = 0; i < process->connection_count; i++) {
            struct model_connection *connection = &process->connections[i];
            const struct idle_host *host = &hosts[connection->host->order];
            if (host->idle > IDLE_FEW && host->most > 0 && host->idle > host->most &&
                stands_idle(context, connection))
                idle_add(context, connection, host);
        }
    }
    free(hosts);
}

const struct rule rule_idle_bloat = {
    .id = "idle-bloat",
    .severity = SEVERITY_WARNING,
    .message =
        "{n} {connection|connections} to {host} {stands|stand} idle, more than were needed since",
    .advice = "Bound the idle connections that the pool keeps for each host, or give them an idle "
              "timeout.",
    .meaning = "More connections to one host have stood idle for over a minute than any burst of "
               "requests since then has used at once. They cost descriptors and memory here and a "
               "worker or a slot at the server. Two are never too many, and where no request came "
               "after them nothing is said: the next burst may need them.",
    .mistake = "A pool without a bound or an idle timeout, that grew in one burst; several pools "
               "where one would do.",
    .mend = "Set the pool's limit of idle connections to what a usual burst needs, and let the "
            "others go after some seconds.",
    .evaluate = idle_bloat,
};
