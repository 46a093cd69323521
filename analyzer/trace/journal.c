/* Walking the journal: a ring that may be overwritten while it is read. */
#include <string.h>

#include "trace/file.h"

#define CHUNK (sizeof((struct trace_journal *)0)->chunk / sizeof(struct trace_event))

void trace_journal_begin(struct trace_journal *journal, struct trace_file *file) {
    *journal = (struct trace_journal){.file = file};
    if (file->failed) return;
    const struct trace_region *region = &file->header.regions[TRACE_REGION_JOURNAL];
    uint64_t places = region->size / sizeof(struct trace_event);
    /* a file is never larger than what an off_t says, so neither is a credible number of events times their size */
    uint64_t used = region->used < UINT64_MAX / 2 ? region->used : 0;
    journal->end = used;
    journal->next = journal->first_place = used > places ? used - places : 0;
}

uint64_t trace_journal_moment(struct trace_file *file) {
    const struct trace_region *region = &file->header.regions[TRACE_REGION_JOURNAL];
    const uint64_t places = region->size / sizeof(struct trace_event);
    struct trace_event newest = {0};
    if (region->used && places)
        trace_file_read(file,
                        region->offset + (region->used - 1) % places * sizeof(struct trace_event),
                        &newest, sizeof newest);
    return region->used << 24 | (uint64_t)newest.again << 16 | newest.flags;
}

/* The next places at once, as far as the ring goes on without a break. */
static bool journal_load(struct trace_journal *journal) {
    struct trace_file *file = journal->file;
    const struct trace_region *region = &file->header.regions[TRACE_REGION_JOURNAL];
    uint64_t places = region->size / sizeof(struct trace_event);
    uint64_t index = journal->next % places, count = journal->end - journal->next;
    if (count > CHUNK) count = CHUNK;
    if (count > places - index) count = places - index;
    if (!trace_file_read(file, region->offset + index * sizeof(struct trace_event), journal->chunk,
                         (size_t)count * sizeof(struct trace_event)))
        return false;
    journal->chunk_at = 0;
    journal->chunk_count = (size_t)count;
    return true;
}

bool trace_journal_next(struct trace_journal *journal, struct trace_event *out) {
    while (!journal->file->failed && journal->next < journal->end) {
        if (journal->chunk_at == journal->chunk_count && !journal_load(journal)) return false;
        *out = journal->chunk[journal->chunk_at++];
        uint64_t place = journal->next++;
        struct trace_event event = *out;
        event.check = 0;
        if (out->seq == place + 1 && out->check == trace_event_check(&event)) return true;
        journal->skipped++;
    }
    return false;
}

const char *trace_event_name(uint16_t type) {
    switch ((enum trace_event_type)type) {
    case TRACE_EVENT_NONE: break;
    case TRACE_EVENT_CONNECTION_OPEN: return "connection-open";
    case TRACE_EVENT_CONNECTION_ESTABLISHED: return "connection-established";
    case TRACE_EVENT_CONNECTION_HOST: return "connection-host";
    case TRACE_EVENT_CONNECTION_FOREIGN: return "connection-foreign";
    case TRACE_EVENT_CONNECTION_FAILED: return "connection-failed";
    case TRACE_EVENT_CONNECTION_TLS: return "connection-tls";
    case TRACE_EVENT_CONNECTION_BLIND: return "connection-blind";
    case TRACE_EVENT_CONNECTION_TUNNEL: return "connection-tunnel";
    case TRACE_EVENT_CONNECTION_EOF: return "connection-eof";
    case TRACE_EVENT_CONNECTION_SHUTDOWN: return "connection-shutdown";
    case TRACE_EVENT_CONNECTION_DUP: return "connection-dup";
    case TRACE_EVENT_CONNECTION_CLOSE: return "connection-close";
    case TRACE_EVENT_CONNECTION_INHERITED: return "connection-inherited";
    case TRACE_EVENT_CONNECTION_BAD_CLOSE: return "connection-bad-close";
    case TRACE_EVENT_REQUEST: return "request";
    case TRACE_EVENT_RESPONSE: return "response";
    case TRACE_EVENT_RESPONSE_END: return "response-end";
    case TRACE_EVENT_BODY_OPEN: return "body-open";
    case TRACE_EVENT_BODY_DRAINED: return "body-drained";
    case TRACE_EVENT_BODY_DISCARDED: return "body-discarded";
    case TRACE_EVENT_BODY_FAILED: return "body-failed";
    case TRACE_EVENT_HANDLE_OPEN: return "handle-open";
    case TRACE_EVENT_HANDLE_EOF: return "handle-eof";
    case TRACE_EVENT_HANDLE_CLOSE: return "handle-close";
    case TRACE_EVENT_WORKER_START: return "worker-start";
    case TRACE_EVENT_WORKER_END: return "worker-end";
    case TRACE_EVENT_WORKER_JOIN: return "worker-join";
    case TRACE_EVENT_WORKER_DETACH: return "worker-detach";
    case TRACE_EVENT_CLIENT_OPEN: return "client-open";
    case TRACE_EVENT_CLIENT_CLOSE: return "client-close";
    case TRACE_EVENT_FORK: return "fork";
    case TRACE_EVENT_EXEC: return "exec";
    case TRACE_EVENT_END: return "end";
    case TRACE_EVENT_MODULE: return "module";
    }
    return "unknown";
}
