/* Loading a trace into the model: slots, tables, and the links between them, each checked before it is followed. */
#include "model/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/internal.h"

struct model *model_new(const struct model_options *options) {
    struct model *model = calloc(1, sizeof *model);
    if (model && options) model->options = *options;
    return model;
}

static void process_free(struct model_process *process) {
    free(process->connections);
    free(process->bodies);
    free(process->workers);
    free(process->blocked);
    free(process->handles);
    free(process->sites);
    free(process->hosts);
    free(process->modules);
    free(process);
}

void model_free(struct model *model) {
    if (!model) return;
    while (model->processes) {
        struct model_process *process = model->processes;
        model->processes = process->next;
        process_free(process);
    }
    arena_free(&model->arena);
    free(model);
}

void model_add_blind(struct model *model, const char *text) {
    struct model_blind *blind = arena_alloc(&model->arena, sizeof *blind);
    blind->text = arena_copy(&model->arena, text);
    blind->next = model->blind;
    model->blind = blind;
}

static int connection_compare(const void *a, const void *b) {
    const struct model_connection *x = a, *y = b;
    return (x->raw.id > y->raw.id) - (x->raw.id < y->raw.id);
}

struct model_connection *process_connection(const struct model_process *process, uint64_t id) {
    const struct model_connection key = {.raw.id = id};
    if (id == 0 || process->connection_count == 0) return NULL;
    return bsearch(&key, process->connections, process->connection_count, sizeof key,
                   connection_compare);
}

static void load_slots(struct model_process *process) {
    struct trace_file *file = process->file;
    process->connection_count = process->body_count = process->worker_count = 0;
    /* workers first: one that waits no more by now has left its mark on the connection already */
    for (size_t i = 0, n = trace_file_count(file, TRACE_REGION_WORKER); i < n; i++) {
        struct trace_worker raw;
        if (!trace_file_worker(file, i, &raw)) continue;
        process->workers =
            array_grow(process->workers, process->worker_count, sizeof *process->workers);
        process->workers[process->worker_count++] =
            (struct model_worker){.raw = raw, .index = i, .process = process};
    }
    for (size_t i = 0, n = trace_file_count(file, TRACE_REGION_CONNECTION); i < n; i++) {
        struct trace_connection raw;
        if (!trace_file_connection(file, i, &raw)) continue;
        process->connections = array_grow(process->connections, process->connection_count,
                                          sizeof *process->connections);
        process->connections[process->connection_count++] =
            (struct model_connection){.raw = raw, .index = i, .process = process};
    }
    if (process->connection_count)
        qsort(process->connections, process->connection_count, sizeof *process->connections,
              connection_compare);
    for (size_t i = 0, n = trace_file_count(file, TRACE_REGION_BODY); i < n; i++) {
        struct trace_body raw;
        if (!trace_file_body(file, i, &raw)) continue;
        process->bodies = array_grow(process->bodies, process->body_count, sizeof *process->bodies);
        process->bodies[process->body_count++] =
            (struct model_body){.raw = raw, .index = i, .process = process};
    }
}

static void load_hosts(struct model *model, struct model_process *process) {
    struct trace_file *file = process->file;
    size_t count = trace_file_count(file, TRACE_REGION_HOST);
    process->hosts = calloc(count + 1, sizeof(struct model_host *));
    process->host_count = process->hosts ? count : 0;
    for (size_t id = 1; id < process->host_count; id++) {
        struct trace_host raw;
        if (!trace_file_host(file, id, &raw)) continue;
        struct model_host *host = model_host_find(
            model, trace_file_string(file, raw.name, NULL), raw.port,
            raw.scheme <= TRACE_SCHEME_UNIX ? (enum trace_scheme)raw.scheme : TRACE_SCHEME_UNKNOWN);
        for (uint32_t i = 0; i < raw.peer_count; i++)
            model_host_add_peer(model, host, trace_file_string(file, raw.peers[i], NULL));
        process->hosts[id] = host;
    }
}

static void load_modules(struct model_process *process) {
    struct trace_file *file = process->file;
    size_t count = trace_file_count(file, TRACE_REGION_MODULE);
    process->modules = calloc(count + 1, sizeof *process->modules);
    process->module_count = process->modules ? count : 0;
    for (size_t id = 1; id < process->module_count; id++)
        if (!trace_file_module(file, id, &process->modules[id]))
            process->modules[id] = (struct trace_module){0};
}

static bool site_is_empty(const struct trace_site *site) {
    return !(site->connections_closed | site->exchanges | site->exchanges_reused |
             site->bodies_drained | site->bodies_discarded | site->bodies_failed |
             site->drained_unclosed | site->workers_exited | site->workers_unjoined |
             site->bad_closes);
}

/* The host of a record; one that is not there is an error, but in a live trace, where it may be younger than our table. */
static struct model_host *link_host(struct model *model, struct model_process *process, uint32_t id,
                                    enum trace_region_kind kind, size_t index) {
    if (id != 0 && id < process->host_count && process->hosts[id]) return process->hosts[id];
    if (id >= process->host_count && id != 0 && process->header->end != TRACE_END_RUNNING)
        trace_file_fail_link(process->file, kind, index, "host", id, process->host_count);
    return model_host_find(model, "", 0, TRACE_SCHEME_UNKNOWN);
}

static void load_sites(struct model *model, struct model_process *process) {
    struct trace_file *file = process->file;
    for (size_t id = 1, n = trace_file_count(file, TRACE_REGION_SITE); id < n; id++) {
        struct trace_site raw;
        if (!trace_file_site(file, id, &raw) || site_is_empty(&raw)) continue;
        process->sites = array_grow(process->sites, process->site_count, sizeof *process->sites);
        process->sites[process->site_count++] = (struct model_site){
            raw, process, link_host(model, process, raw.host, TRACE_REGION_SITE, id)};
    }
}

static bool connection_is_idle(const struct model_connection *connection) {
    const struct trace_connection *raw = &connection->raw;
    bool http = raw->protocol == TRACE_PROTOCOL_HTTP1 || raw->protocol == TRACE_PROTOCOL_HTTP2;
    return raw->state == TRACE_CONNECTION_ESTABLISHED && http && raw->requests > 0 &&
           raw->requests == raw->responses && !connection->body && raw->eof_ns == 0 &&
           !(raw->flags & (TRACE_CONNECTION_NO_REUSE | TRACE_CONNECTION_BLIND));
}

/* Is it HTTP, or may it still become HTTP? What surely is not is in no total. */
static void connection_classify(struct model_connection *connection) {
    const struct trace_connection *raw = &connection->raw;
    uint32_t flags = raw->flags;
    bool hidden = (flags & TRACE_CONNECTION_TLS) && (flags & TRACE_CONNECTION_TLS_DATA) &&
                  !(flags & TRACE_CONNECTION_TLS_FOLLOWED) && !(flags & TRACE_CONNECTION_COUNTED);
    connection->go = flags & TRACE_CONNECTION_GO;
    connection->idle = connection_is_idle(connection);
    connection->bytes = !raw->rx_known || raw->sample_ns < raw->read_progress_ns
                            ? MODEL_BYTES_UNKNOWN
                        : raw->rx_queued ? MODEL_BYTES_WAIT
                                         : MODEL_BYTES_NONE;
    if (raw->state != TRACE_CONNECTION_ESTABLISHED) return;
    if (hidden) {
        const char *peer = trace_file_string(connection->process->file, raw->peer, NULL);
        const char *colon = strrchr(peer, ':');
        connection->opaque = true;
        connection->opaque_tls = (flags & TRACE_CONNECTION_ALPN_HTTP) ||
                                 connection->host->port == 443 ||
                                 (colon && strcmp(colon, ":443") == 0);
        connection->counted = connection->opaque_tls;
        return;
    }
    connection->counted = connection->go ||
                          (flags & (TRACE_CONNECTION_COUNTED | TRACE_CONNECTION_H2)) ||
                          (raw->protocol == TRACE_PROTOCOL_UNKNOWN &&
                           !(flags & (TRACE_CONNECTION_SERVER_FIRST | TRACE_CONNECTION_BLIND)));
}

static void link_objects(struct model *model, struct model_process *process) {
    for (size_t i = 0; i < process->connection_count; i++) {
        struct model_connection *connection = &process->connections[i];
        connection->host = link_host(model, process, connection->raw.host, TRACE_REGION_CONNECTION,
                                     connection->index);
    }
    for (size_t i = process->body_count; i-- > 0;) {
        struct model_body *body = &process->bodies[i];
        body->connection = process_connection(process, body->raw.connection_id);
        if (body->connection) {
            body->sibling = body->connection->body;
            body->connection->body = body;
        }
        uint32_t host = 0;
        struct trace_site site;
        if (trace_file_site(process->file, body->raw.site, &site)) host = site.host;
        if (host == 0 && body->connection)
            body->host = body->connection->host;
        else
            body->host = link_host(model, process, host, TRACE_REGION_BODY, body->index);
    }
    for (size_t i = 0; i < process->worker_count; i++) {
        struct model_worker *worker = &process->workers[i];
        /* what it knew of the host may be older than what its connection knows by now */
        worker->goroutine = worker->raw.flags & TRACE_WORKER_GOROUTINE;
        const struct model_connection *last = process_connection(
            process, worker->goroutine ? worker->raw.dedicated : worker->raw.last_connection);
        worker->host = last ? last->host
                            : link_host(model, process, worker->raw.last_host, TRACE_REGION_WORKER,
                                        worker->index);
    }
    for (size_t i = 0; i < process->connection_count; i++)
        connection_classify(&process->connections[i]);
}

struct asker {
    uint32_t tid;
    uint64_t last_ns;   /* its newest request or connect */
    uint64_t last_body; /* the newest one that it asked for */
};

static int asker_compare(const void *a, const void *b) {
    uint32_t x = ((const struct asker *)a)->tid, y = ((const struct asker *)b)->tid;
    return (x > y) - (x < y);
}

static struct asker *asker_find(struct asker *askers, size_t count, uint32_t tid) {
    return count
               ? bsearch(&(struct asker){.tid = tid}, askers, count, sizeof *askers, asker_compare)
               : NULL;
}

static void asker_note(struct asker *askers, size_t count, uint32_t tid, uint64_t time_ns) {
    struct asker *found = asker_find(askers, count, tid);
    if (found) found->last_ns = max_u64(found->last_ns, time_ns);
}

static void asker_note_body(struct asker *askers, size_t count, uint32_t tid, uint64_t id) {
    struct asker *found = asker_find(askers, count, tid);
    if (found) found->last_body = max_u64(found->last_body, id);
}

/* What the asking threads of open bodies did since: out of the slots, and of the journal as far back as it goes. */
static void load_history(struct model_process *process) {
    struct trace_journal journal;
    struct trace_event event;
    struct asker *askers = NULL;
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < process->body_count; i++) {
        askers = array_grow(askers, count, sizeof *askers);
        askers[count++] = (struct asker){.tid = process->bodies[i].raw.asker_tid};
    }
    if (count) qsort(askers, count, sizeof *askers, asker_compare);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || askers[kept - 1].tid != askers[i].tid) askers[kept++] = askers[i];
    for (size_t i = 0; i < process->connection_count; i++) {
        const struct trace_connection *raw = &process->connections[i].raw;
        asker_note(askers, kept, raw->request_tid, raw->request_ns);
        asker_note(askers, kept, raw->opener_tid, raw->opened_ns);
    }
    for (size_t i = 0; i < process->body_count; i++)
        asker_note_body(askers, kept, process->bodies[i].raw.asker_tid, process->bodies[i].raw.id);
    trace_journal_begin(&journal, process->file);
    while ((kept || journal.first_place) && trace_journal_next(&journal, &event)) {
        if (journal.first_place && !process->history_from_ns)
            process->history_from_ns = event.time_ns;
        if (trace_event_asks(&event) || event.type == TRACE_EVENT_CONNECTION_OPEN)
            asker_note(askers, kept, event.tid, event.time_ns);
        if (event.type == TRACE_EVENT_BODY_OPEN)
            asker_note_body(askers, kept, event.tid, event.object + event.again);
        if (event.type == TRACE_EVENT_END) {
            const bool go = process->header->go_state == TRACE_GO_FOLLOWED;
            process->ended_by = event.b;
            process->ended_by_tid = go ? 0 : event.tid;
        }
        if (!kept) break;
    }
    for (size_t i = 0; i < process->body_count; i++) {
        const struct asker *asker = asker_find(askers, kept, process->bodies[i].raw.asker_tid);
        process->bodies[i].asker_last_ns = asker->last_ns;
        process->bodies[i].asker_last_body = asker->last_body;
    }
    free(askers);
}

int model_add_trace(struct model *model, struct trace_file *file, const struct process_fate *fate,
                    struct trace_error *error) {
    struct model_process *process = calloc(1, sizeof *process);
    if (!process) {
        snprintf(error->text, sizeof error->text, "%s: out of memory", trace_file_path(file));
        return -1;
    }
    process->file = file;
    process->header = trace_file_header(file);
    /* Slots and tables are read one after the other: if the process made a transition in between, once more. */
    for (int tries = 0; tries < 8; tries++) {
        const uint64_t before = trace_journal_moment(file);
        load_slots(process);
        if (process->header->end != TRACE_END_RUNNING || !trace_file_refresh(file)) break;
        if (trace_journal_moment(file) == before) break;
    }
    load_hosts(model, process);
    load_modules(process);
    load_sites(model, process);
    link_objects(model, process);
    process_load_handles(process);
    load_history(process);
    process_judge_end(process, fate, &model->options);
    if (process->alive && !model->options.no_refresh) {
        process_refresh_samples(process);
        for (size_t i = 0; i < process->connection_count; i++)
            connection_classify(&process->connections[i]);
    }
    process_judge_workers(process);
    process->torn = trace_file_torn(file);
    if (trace_file_error(file)) {
        *error = *trace_file_error(file);
        process_free(process);
        return -1;
    }
    process_add_totals(process);
    struct model_process **at = &model->processes;
    while (*at && (*at)->header->started_ns <= process->header->started_ns)
        at = &(*at)->next;
    process->next = *at;
    *at = process;
    model->process_count++;
    return 0;
}

uint64_t model_followed(const struct model *model) {
    uint64_t followed = 0;
    for (const struct model_process *process = model->processes; process; process = process->next) {
        for (size_t i = 0; i < process->site_count; i++)
            followed += process->sites[i].raw.exchanges;
        for (size_t i = 0; i < process->connection_count; i++) {
            const struct trace_connection *raw = &process->connections[i].raw;
            followed +=
                (raw->flags & TRACE_CONNECTION_COUNTED) && !(raw->flags & TRACE_CONNECTION_BLIND);
        }
    }
    return followed;
}

const char *model_wait_name(uint32_t wait) {
    static const char *const names[] = {"none",  "read", "write", "connect", "poll",
                                        "epoll", "cond", "sem",   "join",    "write elsewhere"};
    return wait < sizeof names / sizeof *names ? names[wait] : "unknown";
}
