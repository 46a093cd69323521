/* Copies of slots and table records: consistent ones out of a trace that may be changing. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trace/file.h"

#define BLOCK_SIZE 65536u
#define SNAPSHOT_TRIES 64

/* Where the parts of each slot start: each with a sequence number, odd while it changes. */
struct slot_parts {
    size_t count;
    size_t at[6];
};
#define PART(type, field) offsetof(struct type, field)
static const struct slot_parts connection_parts = {
    6,
    {PART(trace_connection, seq), PART(trace_connection, read_seq),
     PART(trace_connection, write_seq), PART(trace_connection, exchange_seq),
     PART(trace_connection, wait_seq), PART(trace_connection, sample_seq)},
};
static const struct slot_parts body_parts = {
    2, {PART(trace_body, seq), PART(trace_body, progress_seq)}};
static const struct slot_parts worker_parts = {
    3,
    {PART(trace_worker, seq), PART(trace_worker, io_seq), PART(trace_worker, wait_seq)},
};
static const struct slot_parts handle_parts = {1, {PART(trace_handle, seq)}};

static uint32_t part_seq(const void *slot, size_t at) {
    uint32_t seq;
    memcpy(&seq, (const char *)slot + at, sizeof seq);
    return seq;
}

size_t trace_file_count(const struct trace_file *file, enum trace_region_kind kind) {
    if (file->failed || kind >= TRACE_REGION_STRING) return 0;
    uint64_t used = trace_file_used(file, kind);
    uint64_t populated = file->header.regions[kind].populated;
    if (populated && used > populated) used = populated;
    uint64_t there = file->size > file->header.regions[kind].offset
                         ? file->size - file->header.regions[kind].offset
                         : 0;
    if (used > there) used = there;
    return (size_t)(used / file->header.regions[kind].record_size);
}

/* Record `index`, out of a block that is read at once: for traces that stand still. */
static bool record_from_block(struct trace_file *file, enum trace_region_kind kind, size_t index,
                              void *out) {
    size_t size = (size_t)file->header.regions[kind].record_size;
    if (file->block_kind != kind || index < file->block_first ||
        index >= file->block_first + file->block_count) {
        if (!file->block) file->block = malloc(BLOCK_SIZE);
        if (!file->block) return trace_file_fail(file, 0, "out of memory");
        size_t left = trace_file_count(file, kind) - index, fits = BLOCK_SIZE / size;
        file->block_count = 0;
        if (!trace_file_read(file, trace_file_offset(file, kind, index), file->block,
                             (left < fits ? left : fits) * size))
            return false;
        file->block_kind = kind;
        file->block_first = index;
        file->block_count = left < fits ? left : fits;
    }
    memcpy(out, file->block + (index - file->block_first) * size, size);
    return true;
}

static bool record_read(struct trace_file *file, enum trace_region_kind kind, size_t index,
                        void *out) {
    if (index >= trace_file_count(file, kind)) return false;
    if (!file->live) return record_from_block(file, kind, index, out);
    return trace_file_read(file, trace_file_offset(file, kind, index), out,
                           (size_t)file->header.regions[kind].record_size);
}

/*
 * A copy is no snapshot: the kernel copies while the process writes. So three copies are taken: where a part's sequence number
 * is the same even one in the first and the third, nobody wrote the part while the second was taken. When that holds for all
 * parts at once, the copy shows one moment; after many tries each part is taken from where it last held still.
 */
static bool slot_read(struct trace_file *file, enum trace_region_kind kind, size_t index,
                      const struct slot_parts *parts, void *out) {
    size_t size = (size_t)file->header.regions[kind].record_size;
    if (!record_read(file, kind, index, out)) return false;
    if (!file->live) {
        for (size_t i = 0; i < parts->count; i++)
            file->torn += part_seq(out, parts->at[i]) & 1;
        return true;
    }
    uint8_t before[sizeof(struct trace_connection)], copy[sizeof before], after[sizeof before];
    bool stable[6] = {false};
    memcpy(before, out, size);
    for (int tries = 0; tries < SNAPSHOT_TRIES; tries++) {
        if (!record_read(file, kind, index, copy) || !record_read(file, kind, index, after))
            return false;
        size_t held = 0;
        for (size_t i = 0; i < parts->count; i++) {
            size_t at = parts->at[i], end = i + 1 < parts->count ? parts->at[i + 1] : size;
            uint32_t seq = part_seq(before, at);
            if ((seq & 1) || part_seq(after, at) != seq || part_seq(copy, at) != seq) continue;
            memcpy((char *)out + at, copy + at, end - at);
            stable[i] = true;
            held++;
        }
        if (held == parts->count) return true;
        memcpy(before, after, size);
        if (tries > 8) nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    for (size_t i = 0; i < parts->count; i++)
        file->torn += !stable[i];
    return true;
}

bool trace_file_connection(struct trace_file *file, size_t index, struct trace_connection *out) {
    if (!slot_read(file, TRACE_REGION_CONNECTION, index, &connection_parts, out)) return false;
    if (out->state > TRACE_CONNECTION_ESTABLISHED)
        return trace_file_fail(file, trace_file_offset(file, TRACE_REGION_CONNECTION, index),
                               "expected a connection's state (0 to 2), found %u", out->state);
    return out->state != TRACE_CONNECTION_FREE && out->id != 0;
}

bool trace_file_body(struct trace_file *file, size_t index, struct trace_body *out) {
    if (!slot_read(file, TRACE_REGION_BODY, index, &body_parts, out)) return false;
    if (out->state > TRACE_BODY_OPEN)
        return trace_file_fail(file, trace_file_offset(file, TRACE_REGION_BODY, index),
                               "expected a body's state (0 or 1), found %u", out->state);
    return out->state != TRACE_BODY_FREE && out->id != 0;
}

bool trace_file_worker(struct trace_file *file, size_t index, struct trace_worker *out) {
    if (!slot_read(file, TRACE_REGION_WORKER, index, &worker_parts, out)) return false;
    if (out->state > TRACE_WORKER_LIVE)
        return trace_file_fail(file, trace_file_offset(file, TRACE_REGION_WORKER, index),
                               "expected a worker's state (0 or 1), found %u", out->state);
    out->name[sizeof out->name - 1] = 0;
    return out->state != TRACE_WORKER_FREE && out->id != 0;
}

bool trace_file_handle(struct trace_file *file, size_t index, struct trace_handle *out) {
    if (!slot_read(file, TRACE_REGION_HANDLE, index, &handle_parts, out)) return false;
    if (out->state > TRACE_HANDLE_LIVE || out->kind > TRACE_HANDLE_SSL)
        return trace_file_fail(
            file, trace_file_offset(file, TRACE_REGION_HANDLE, index),
            "expected a handle's state (0 or 1) and kind (0 to 4), found %u and %u", out->state,
            out->kind);
    return out->state != TRACE_HANDLE_FREE && out->id != 0 && out->kind != 0;
}

bool trace_file_site(struct trace_file *file, size_t index, struct trace_site *out) {
    return index != 0 && record_read(file, TRACE_REGION_SITE, index, out);
}

bool trace_file_host(struct trace_file *file, size_t index, struct trace_host *out) {
    if (index == 0 || !record_read(file, TRACE_REGION_HOST, index, out)) return false;
    if (out->ready == 0) {
        file->torn += !file->live;
        return false;
    }
    if (out->peer_count > TRACE_HOST_PEERS)
        out->peer_count = TRACE_HOST_PEERS; /* counts those beyond, too */
    return true;
}

bool trace_file_module(struct trace_file *file, size_t index, struct trace_module *out) {
    if (index == 0 || !record_read(file, TRACE_REGION_MODULE, index, out)) return false;
    if (out->ready == 0) {
        file->torn += !file->live;
        return false;
    }
    if (out->build_id_size > TRACE_BUILD_ID_MAX)
        return trace_file_fail(file, trace_file_offset(file, TRACE_REGION_MODULE, index),
                               "expected a build id of at most %u bytes, found %u",
                               TRACE_BUILD_ID_MAX, out->build_id_size);
    return true;
}

bool trace_file_timer(struct trace_file *file, size_t index, struct trace_timer *out) {
    if (index == 0 || !record_read(file, TRACE_REGION_TIMER, index, out)) return false;
    if (out->ready == 0) {
        file->torn += !file->live;
        return false;
    }
    if (out->kind < TRACE_TIMER_POSIX || out->kind > TRACE_TIMER_GO_FUNC)
        return trace_file_fail(file, trace_file_offset(file, TRACE_REGION_TIMER, index),
                               "expected a timer's kind (1 to 5), found %u", out->kind);
    return true;
}
