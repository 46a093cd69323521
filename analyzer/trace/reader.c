/* Opening a trace: header and regions are checked here, before anything else is believed. */
#include "trace/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace/file.h"

#define UNBORN_SIZE_MIN 65536 /* no recorder makes a smaller file */

static const struct {
    const char *name;
    uint64_t record_size;
} region_table[TRACE_REGION_COUNT] = {
    [TRACE_REGION_CONNECTION] = {"connection", sizeof(struct trace_connection)},
    [TRACE_REGION_BODY] = {"body", sizeof(struct trace_body)},
    [TRACE_REGION_WORKER] = {"worker", sizeof(struct trace_worker)},
    [TRACE_REGION_HANDLE] = {"handle", sizeof(struct trace_handle)},
    [TRACE_REGION_SITE] = {"site", sizeof(struct trace_site)},
    [TRACE_REGION_HOST] = {"host", sizeof(struct trace_host)},
    [TRACE_REGION_MODULE] = {"module", sizeof(struct trace_module)},
    [TRACE_REGION_TIMER] = {"timer", sizeof(struct trace_timer)},
    [TRACE_REGION_STRING] = {"string", 8},
    [TRACE_REGION_STACK] = {"stack", 8},
    [TRACE_REGION_JOURNAL] = {"journal", sizeof(struct trace_event)},
};

static void error_format(struct trace_error *error, const char *path, uint64_t offset,
                         const char *format, va_list args) {
    int n = snprintf(error->text, sizeof error->text, "%s: offset %" PRIu64 ": ", path, offset);
    if (n < 0 || (size_t)n >= sizeof error->text) n = 0;
    vsnprintf(error->text + n, sizeof error->text - (size_t)n, format, args);
    error->offset = offset;
}

bool trace_file_fail(struct trace_file *file, uint64_t offset, const char *format, ...) {
    if (file->failed) return false;
    va_list args;
    va_start(args, format);
    error_format(&file->error, file->path, offset, format, args);
    va_end(args);
    file->failed = true;
    return false;
}

bool trace_file_read(struct trace_file *file, uint64_t offset, void *out, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(file->fd, (char *)out + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return trace_file_fail(file, offset + done, "expected %zu bytes, reading failed: %s",
                                   size - done, strerror(errno));
        if (n == 0) break;
        done += (size_t)n;
    }
    memset((char *)out + done, 0, size - done);
    return true;
}

uint64_t trace_file_used(const struct trace_file *file, enum trace_region_kind kind) {
    const struct trace_region *region = &file->header.regions[kind];
    const uint64_t record_size = region_table[kind].record_size;
    const uint64_t capacity = region->size / record_size;
    /* a recorder that ran into the limit may have counted past it */
    if (kind == TRACE_REGION_STRING || kind == TRACE_REGION_STACK)
        return region->used < region->size ? region->used : region->size;
    return (region->used < capacity ? region->used : capacity) * record_size;
}

static bool region_check(struct trace_file *file, const struct trace_header *header, int kind) {
    const struct trace_region *region = &header->regions[kind];
    uint64_t at = offsetof(struct trace_header, regions) + (uint64_t)kind * sizeof *region;
    const char *name = region_table[kind].name;
    if (region->record_size != region_table[kind].record_size)
        return trace_file_fail(file, at, "expected %s records of %" PRIu64 " bytes, found %" PRIu64,
                               name, region_table[kind].record_size, region->record_size);
    if (region->offset < TRACE_HEADER_SIZE || region->offset % 4096)
        return trace_file_fail(file, at,
                               "expected the %s region at a multiple of 4096, found %" PRIu64, name,
                               region->offset);
    if (region->offset > header->file_size || region->size > header->file_size - region->offset)
        return trace_file_fail(file, at,
                               "expected the %s region within the file's %" PRIu64
                               " bytes, found %" PRIu64 "+%" PRIu64,
                               name, header->file_size, region->offset, region->size);
    if (region->size < region->record_size)
        return trace_file_fail(file, at,
                               "expected room for one %s record at least, found %" PRIu64 " bytes",
                               name, region->size);
    if (region->populated > region->size)
        return trace_file_fail(file, at,
                               "expected at most %" PRIu64
                               " populated bytes in the %s region, found %" PRIu64,
                               region->size, name, region->populated);
    return true;
}

/* A process that is gone can't write any more; in its trace an odd sequence number stays odd. */
static bool header_is_live(const struct trace_header *header) {
    if (header->end != TRACE_END_RUNNING || header->pid == 0 || header->pid > INT32_MAX)
        return false;
    return kill((pid_t)header->pid, 0) == 0 || errno == EPERM;
}

static bool header_check(struct trace_file *file, struct trace_header *header) {
    if (memcmp(header->magic, TRACE_MAGIC, sizeof header->magic) != 0)
        return trace_file_fail(
            file, 0, "expected a httpleak trace (magic \"" TRACE_MAGIC "\"), found something else");
    if (header->byte_order != TRACE_BYTE_ORDER)
        return trace_file_fail(file, offsetof(struct trace_header, byte_order),
                               "expected this machine's byte order (%08x), found %08x",
                               TRACE_BYTE_ORDER, header->byte_order);
    if (header->version != TRACE_VERSION)
        return trace_file_fail(
            file, offsetof(struct trace_header, version), "expected trace version %u, found %u%s",
            TRACE_VERSION, header->version,
            header->version > TRACE_VERSION ? " (written by a newer httpleak)" : "");
    if (header->header_size != TRACE_HEADER_SIZE || header->region_count != TRACE_REGION_COUNT)
        return trace_file_fail(file, offsetof(struct trace_header, header_size),
                               "expected a header of %u bytes and %u regions, found %u and %u",
                               TRACE_HEADER_SIZE, TRACE_REGION_COUNT, header->header_size,
                               header->region_count);
    if (header->file_size < TRACE_HEADER_SIZE || header->file_size > INT64_MAX)
        return trace_file_fail(file, offsetof(struct trace_header, file_size),
                               "expected a file size, found %" PRIu64, header->file_size);
    for (int i = 0; i < TRACE_REGION_COUNT; i++)
        if (!region_check(file, header, i)) return false;
    if (header->end > TRACE_END_SIGNAL)
        return trace_file_fail(file, offsetof(struct trace_header, end),
                               "expected how the process ended (0 to 3), found %u", header->end);
    if (header->argv_size > sizeof header->argv)
        return trace_file_fail(file, offsetof(struct trace_header, argv_size),
                               "expected at most %zu bytes of arguments, found %u",
                               sizeof header->argv, header->argv_size);
    header->recorder_version[sizeof header->recorder_version - 1] = 0;
    header->exe[sizeof header->exe - 1] = 0;
    header->argv[sizeof header->argv - 1] = 0;
    header->go_version[sizeof header->go_version - 1] = 0;
    header->go_reason[sizeof header->go_reason - 1] = 0;
    return true;
}

/* What the header says is written must be there: a trace that was cut off would otherwise read as one without findings. */
static bool header_check_size(struct trace_file *file) {
    for (int i = 0; i < TRACE_REGION_COUNT; i++) {
        const struct trace_region *region = &file->header.regions[i];
        uint64_t used = trace_file_used(file, (enum trace_region_kind)i);
        if (region->populated && used > region->populated) used = region->populated;
        if (used && file->size < region->offset + used)
            return trace_file_fail(file, file->size,
                                   "expected %" PRIu64 " more bytes (the %s region ends at %" PRIu64
                                   "): the trace is truncated",
                                   region->offset + used - file->size, region_table[i].name,
                                   region->offset + used);
    }
    return true;
}

/*
 * The recorder writes the magic last. A process that was killed before that leaves a file without a magic, with a header or
 * with zeros in its place, and mostly holes behind: a trace in which nothing happened, but no foreign file either.
 */
static bool header_is_unborn(const struct trace_header *header, const struct stat *status) {
    static const struct trace_header zero;
    const bool holes = (uint64_t)status->st_blocks * 512 < (uint64_t)status->st_size;
    if (memcmp(header->magic, zero.magic, sizeof zero.magic) != 0 ||
        status->st_size < UNBORN_SIZE_MIN)
        return false;
    if (header->version == TRACE_VERSION && header->byte_order == TRACE_BYTE_ORDER) return true;
    return holes && memcmp(header, &zero, sizeof zero) == 0;
}

/* What it says of the process stays, as far as that had been written; regions have nothing in them. */
static void header_make_empty(struct trace_header *header) {
    header->end = TRACE_END_RUNNING;
    header->ended_ns = 0;
    header->argv_size = header->version == TRACE_VERSION && header->argv_size <= sizeof header->argv
                            ? header->argv_size
                            : 0;
    header->exe[sizeof header->exe - 1] = header->argv[sizeof header->argv - 1] = 0;
    header->recorder_version[sizeof header->recorder_version - 1] = 0;
    header->go_version[sizeof header->go_version - 1] = 0;
    header->go_reason[sizeof header->go_reason - 1] = 0;
    memset(header->lost, 0, sizeof header->lost);
    for (int i = 0; i < TRACE_REGION_COUNT; i++)
        header->regions[i] = (struct trace_region){.offset = TRACE_HEADER_SIZE,
                                                   .size = region_table[i].record_size,
                                                   .record_size = region_table[i].record_size};
}

static bool header_load(struct trace_file *file) {
    struct trace_header header;
    struct stat status;
    if (fstat(file->fd, &status) != 0)
        return trace_file_fail(file, 0, "expected a file, fstat failed: %s", strerror(errno));
    file->size = (uint64_t)status.st_size;
    if (!trace_file_read(file, 0, &header, sizeof header)) return false;
    file->unborn = header_is_unborn(&header, &status);
    if (file->unborn)
        header_make_empty(&header);
    else if (!header_check(file, &header))
        return false;
    file->header = header;
    file->live = header_is_live(&header);
    return header_check_size(file);
}

struct trace_file *trace_file_open(const char *path, struct trace_error *error) {
    struct trace_file *file = calloc(1, sizeof *file);
    struct stat status;
    if (file) file->path = strdup(path);
    if (!file || !file->path) {
        snprintf(error->text, sizeof error->text, "%s: out of memory", path);
        error->offset = 0;
        free(file);
        return NULL;
    }
    /* O_NONBLOCK: a FIFO of that name must not hang us */
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file->fd < 0)
        trace_file_fail(file, 0, "expected a readable trace: %s", strerror(errno));
    else if (fstat(file->fd, &status) != 0)
        trace_file_fail(file, 0, "expected a readable trace: %s", strerror(errno));
    else if (!S_ISREG(status.st_mode))
        trace_file_fail(file, 0, "expected a regular file");
    else if (status.st_size == 0)
        trace_file_fail(file, 0, "expected a trace, the file is empty");
    else if ((uint64_t)status.st_size < TRACE_HEADER_SIZE && status.st_size >= 8) {
        char magic[8];
        if (trace_file_read(file, 0, magic, sizeof magic) && memcmp(magic, TRACE_MAGIC, 8) == 0)
            trace_file_fail(
                file, (uint64_t)status.st_size,
                "expected a header of %u bytes, the file ends here: the trace is truncated",
                TRACE_HEADER_SIZE);
    }
    if (!file->failed) header_load(file);
    if (file->failed) {
        *error = file->error;
        trace_file_close(file);
        return NULL;
    }
    return file;
}

void trace_file_close(struct trace_file *file) {
    if (!file) return;
    if (file->fd >= 0) close(file->fd);
    trace_heap_free(&file->strings);
    trace_heap_free(&file->stacks);
    free(file->block);
    free(file->path);
    free(file);
}

bool trace_file_refresh(struct trace_file *file) {
    if (file->failed) return false;
    file->block_count = 0;
    return header_load(file);
}

const struct trace_error *trace_file_error(const struct trace_file *file) {
    return file->failed ? &file->error : NULL;
}

const char *trace_file_path(const struct trace_file *file) {
    return file->path;
}

const struct trace_header *trace_file_header(const struct trace_file *file) {
    return &file->header;
}

bool trace_file_is_unborn(const struct trace_file *file) {
    return file->unborn;
}

uint64_t trace_file_torn(const struct trace_file *file) {
    return file->torn;
}

uint64_t trace_file_offset(const struct trace_file *file, enum trace_region_kind kind,
                           size_t index) {
    const struct trace_region *region = &file->header.regions[kind];
    return region->offset + (uint64_t)index * region->record_size;
}

void trace_file_fail_link(struct trace_file *file, enum trace_region_kind kind, size_t index,
                          const char *target, uint64_t id, size_t count) {
    trace_file_fail(
        file, trace_file_offset(file, kind, index),
        "expected a %s record that points at one of %zu %s records, found number %" PRIu64,
        region_table[kind].name, count, target, id);
}
