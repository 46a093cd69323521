/* Hosts, merged over all traces, and their totals. */
#include <stdlib.h>
#include <string.h>

#include "model/internal.h"

struct model_host *model_host_find(struct model *model, const char *name, uint16_t port,
                                   enum trace_scheme scheme) {
    struct model_host **at = &model->hosts;
    for (; *at; at = &(*at)->next)
        if ((*at)->port == port && (*at)->scheme == scheme && strcmp((*at)->name, name) == 0)
            return *at;
    struct model_host *host = arena_alloc(&model->arena, sizeof *host);
    host->name = arena_copy(&model->arena, name);
    host->port = port;
    host->scheme = scheme;
    host->order = model->host_count++;
    *at = host;
    return host;
}

void model_host_add_peer(struct model *model, struct model_host *host, const char *peer) {
    enum { PEERS_MAX = 64 };
    if (!peer[0] || host->peer_count == PEERS_MAX) return;
    for (size_t i = 0; i < host->peer_count; i++)
        if (strcmp(host->peers[i], peer) == 0) return;
    if (!host->peers) host->peers = arena_alloc(&model->arena, PEERS_MAX * sizeof *host->peers);
    host->peers[host->peer_count++] = arena_copy(&model->arena, peer);
}

void process_add_totals(struct model_process *process) {
    for (size_t i = 0; i < process->site_count; i++) {
        const struct trace_site *site = &process->sites[i].raw;
        struct report_totals *totals = &process->sites[i].host->totals;
        totals->connections.closed += site->connections_closed;
        totals->connections.opened += site->connections_closed;
        totals->connections.reused += site->exchanges_reused;
        totals->bodies.drained += site->bodies_drained;
        totals->bodies.discarded += site->bodies_discarded;
        totals->bodies.failed += site->bodies_failed;
        totals->bodies.opened +=
            site->bodies_drained + site->bodies_discarded + site->bodies_failed;
        totals->bodies.drained_unclosed += site->drained_unclosed;
        totals->workers.exited += site->workers_exited;
        totals->workers.started += site->workers_exited;
    }
    for (size_t i = 0; i < process->connection_count; i++) {
        const struct model_connection *connection = &process->connections[i];
        if (!connection->counted) continue;
        connection->host->totals.connections.opened++;
        connection->host->totals.connections.live++;
        connection->host->totals.connections.idle += connection->idle;
    }
    for (size_t i = 0; i < process->body_count; i++) {
        struct report_totals *totals = &process->bodies[i].host->totals;
        totals->bodies.opened++;
        if (process->bodies[i].raw.flags & TRACE_BODY_HANDLE_CLOSED)
            totals->bodies.discarded++;
        else
            totals->bodies.unclosed++;
    }
    for (size_t i = 0; i < process->worker_count; i++) {
        const struct model_worker *worker = &process->workers[i];
        struct report_totals *totals = &worker->host->totals;
        if (!worker->counted) continue;
        totals->workers.started++;
        totals->workers.live++;
        worker->host->goroutines_live += worker->goroutine;
        totals->workers.readers_live += worker->role == TRACE_ROLE_READER;
        totals->workers.writers_live += worker->role == TRACE_ROLE_WRITER;
        totals->workers.both_live += worker->role == TRACE_ROLE_BOTH;
    }
}
