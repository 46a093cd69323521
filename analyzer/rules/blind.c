/* The rule about what could not be seen: blind. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rules/context.h"

static const char blind_lost[] = "the trace was full: records were lost";

static const char *blind_reason(uint16_t reason) {
    switch ((enum trace_blind)reason) {
    case TRACE_BLIND_NONE: break;
    case TRACE_BLIND_FRAMING: return "bytes that HTTP/1 does not allow";
    case TRACE_BLIND_UNSEEN: return "bytes went by that no call showed";
    case TRACE_BLIND_CONCURRENT: return "two threads used one direction at once";
    case TRACE_BLIND_HTTP2: return "HTTP/2 frames that cannot be followed";
    case TRACE_BLIND_TLS: return "TLS whose plaintext is not seen";
    case TRACE_BLIND_NO_SLOT: return "the trace is full";
    case TRACE_BLIND_PIPELINE: return "more pipelined requests than are followed";
    }
    return "not known why";
}

static void note_blind(struct rules_context *context, struct rules_object *object) {
    object->severity = SEVERITY_NOTE;
    object->confidence = CONFIDENCE_PROVEN;
    object->bytes_expected = TRACE_UNKNOWN;
    if (!rules_add(context, object)) return;
    context->report->blind = true;
    struct model_process *process = object->process;
    if (!process || process->blind_count == MODEL_BLIND_MAX) return;
    for (size_t i = 0; i < process->blind_count; i++)
        if (strcmp(process->blind[i], object->detail) == 0) return;
    process->blind[process->blind_count++] = object->detail;
}

static void blind_connection(struct rules_context *context, struct model_process *process,
                             struct model_host *host, struct model_connection *connection,
                             uint16_t reason) {
    note_blind(context, &(struct rules_object){
                            .process = process,
                            .host = host,
                            .detail = blind_reason(reason),
                            .since_ns = connection ? connection->raw.opened_ns : 0,
                            .connection = connection,
                        });
}

/* A Go program whose net/http could not be followed: "go1.29: ..." */
static void blind_go(struct rules_context *context, struct model_process *process) {
    const struct trace_header *header = process->header;
    if (header->go_state == TRACE_GO_FOLLOWED && header->go_reason[0])
        note_blind(context,
                   &(struct rules_object){
                       .process = process,
                       .detail = arena_format(&context->report->arena, "%s", header->go_reason),
                       .message = "not seen: {detail}",
                   });
    if (header->go_state != TRACE_GO_BLIND) return;
    const char *version = header->go_version[0] ? header->go_version : "Go";
    const char *reason = header->go_reason[0] ? header->go_reason : "it could not be followed";
    note_blind(context,
               &(struct rules_object){
                   .process = process,
                   .detail = arena_format(&context->report->arena, "%s: %s", version, reason),
                   .message = "not seen: what this Go program does over HTTP ({detail})",
               });
}

/* ---- connections that ended: the journal has them ---- */

struct blind_end {
    uint64_t connection;
    uint16_t reason;
    uint32_t host; /* id in the trace, 0: not told */
};

static int blind_compare(const void *a, const void *b) {
    uint64_t x = ((const struct blind_end *)a)->connection,
             y = ((const struct blind_end *)b)->connection;
    return (x > y) - (x < y);
}

static void blind_ended(struct rules_context *context, struct model_process *process) {
    struct trace_journal journal;
    struct trace_event event;
    struct blind_end *ends = NULL;
    size_t count = 0;
    trace_journal_begin(&journal, process->file);
    while (trace_journal_next(&journal, &event)) {
        if (event.type != TRACE_EVENT_CONNECTION_BLIND ||
            process_connection(process, event.connection))
            continue;
        ends = array_grow(ends, count, sizeof *ends);
        ends[count++] = (struct blind_end){event.connection, event.arg, 0};
    }
    if (count == 0) return;
    qsort(ends, count, sizeof *ends, blind_compare);
    trace_journal_begin(&journal, process->file);
    while (trace_journal_next(&journal, &event)) {
        if (event.type != TRACE_EVENT_CONNECTION_HOST) continue;
        struct blind_end key = {.connection = event.connection};
        struct blind_end *end = bsearch(&key, ends, count, sizeof *ends, blind_compare);
        if (end && event.a < process->host_count) end->host = (uint32_t)event.a;
    }
    for (size_t i = 0; i < count; i++) {
        struct model_host *host = ends[i].host ? process->hosts[ends[i].host] : NULL;
        blind_connection(context, process, host, NULL, ends[i].reason);
    }
    free(ends);
}

/* ---- TLS that no call shows the inside of ---- */

static const char opaque_reason[] =
    "TLS inside the program, its plaintext cannot be seen; bodies are not known";

static void opaque_ended(struct rules_context *context, struct model_process *process) {
    for (size_t i = 0; i < process->site_count; i++) {
        const struct model_site *site = &process->sites[i];
        if (site->raw.connections_opaque == 0) continue;
        note_blind(context, &(struct rules_object){.process = process,
                                                   .host = site->host,
                                                   .count = site->raw.connections_opaque,
                                                   .detail = opaque_reason});
    }
}

/* Not known to be HTTP, so in no total; but what they carried may have been. */
static void opaque_unknown(struct rules_context *context, struct model_process *process) {
    uint64_t count = process->header->connections_opaque;
    for (size_t i = 0; i < process->connection_count; i++)
        count += process->connections[i].opaque && !process->connections[i].counted;
    if (count == 0) return;
    note_blind(context, &(struct rules_object){
                            .process = process,
                            .count = count,
                            .detail = "TLS whose plaintext cannot be seen, perhaps HTTP",
                            .message = "not seen: {detail} ({n} {connection|connections})",
                        });
}

static void blind(struct rules_context *context) {
    for (struct model_process *process = context->model->processes; process;
         process = process->next) {
        uint64_t lost = 0;
        process->blind_count = 0;
        for (size_t i = 0; i < process->connection_count; i++) {
            struct model_connection *connection = &process->connections[i];
            if (!connection->counted) continue;
            if (connection->raw.flags & TRACE_CONNECTION_BLIND)
                blind_connection(context, process, connection->host, connection,
                                 connection->raw.blind_reason);
            else if (connection->opaque_tls)
                note_blind(context, &(struct rules_object){.process = process,
                                                           .host = connection->host,
                                                           .detail = opaque_reason,
                                                           .since_ns = connection->raw.opened_ns,
                                                           .connection = connection});
        }
        blind_go(context, process);
        blind_ended(context, process);
        opaque_ended(context, process);
        opaque_unknown(context, process);
        for (int i = 0; i < TRACE_LOST_COUNT; i++)
            lost += process->header->lost[i];
        if (lost)
            note_blind(context,
                       &(struct rules_object){
                           .process = process,
                           .count = lost,
                           .detail = blind_lost,
                           .message = "not seen: {n} {record|records} did not fit into the trace",
                       });
    }
    for (const struct model_blind *note = context->model->blind; note; note = note->next)
        note_blind(context,
                   &(struct rules_object){.detail = note->text, .message = "not seen: {detail}"});
}

const struct rule rule_blind = {
    .id = "blind",
    .severity = SEVERITY_NOTE,
    .message = "not seen: {detail} ({n} {connection|connections} to {host})",
    .advice = "What is said above holds for what was seen; `httpleak doctor` tells what can be "
              "seen of a program.",
    .meaning = "Something here could not be looked into: a static executable (nothing can be "
               "preloaded), TLS inside the "
               "program itself, a protocol that is not followed, bytes that no interposed call "
               "showed, or a full trace. A "
               "report with such a note never says \"clean\".",
    .mistake = "None of the program's.",
    .mend =
        "See `httpleak doctor -- COMMAND`. For a full trace give HTTPLEAK_OPTIONS=max_trace=SIZE.",
    .evaluate = blind,
};
