/*
 * The validated reader of trace files: everything that leaves it was copied (pread), then checked.
 *
 * A trace may be corrupted, hostile, or change while it is read. Whatever is wrong becomes one sticky error that names the
 * file, the byte offset and what was expected; after it every accessor answers as if there were nothing. What a killed
 * process left half written (an odd sequence number, an incomplete string) is normal: it is counted, not an error.
 * Not thread safe.
 */
#ifndef HTTPLEAK_READER_H
#define HTTPLEAK_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "httpleak/trace.h"

/* One line, without a newline: "FILE: offset N: expected ..., found ..." */
struct trace_error {
    char text[512];
    uint64_t offset;
};

struct trace_file;

/* Opens and validates header and regions. NULL with *error filled when it is no trace that can be read. */
struct trace_file *trace_file_open(const char *path, struct trace_error *error);
void trace_file_close(struct trace_file *file);

/* Reads the header again (a live trace grew). false with the sticky error set when it is not valid any more. */
bool trace_file_refresh(struct trace_file *file);

/* The first error met since it was opened; NULL if none. */
const struct trace_error *trace_file_error(const struct trace_file *file);

const char *trace_file_path(const struct trace_file *file);
/* A copy whose texts are terminated and whose sizes are in range. */
const struct trace_header *trace_file_header(const struct trace_file *file);
/* Its process was killed while it made the file (or is making it now): valid, with nothing in it, perhaps not even a pid. */
bool trace_file_is_unborn(const struct trace_file *file);
/* Slot parts that stayed odd, and strings, stacks and records that were never completed: what a kill cost. */
uint64_t trace_file_torn(const struct trace_file *file);

/* Number of records from the start that may be in use; 0 for heaps and the journal. */
size_t trace_file_count(const struct trace_file *file, enum trace_region_kind kind);

/*
 * Copies record `index` of a slot or table region to `out` (which has the record's size): for slots a consistent snapshot of
 * all parts where that can be had, and part by part where not. false: the record is free, not complete, or beyond the end.
 */
bool trace_file_connection(struct trace_file *file, size_t index, struct trace_connection *out);
bool trace_file_body(struct trace_file *file, size_t index, struct trace_body *out);
bool trace_file_worker(struct trace_file *file, size_t index, struct trace_worker *out);
bool trace_file_handle(struct trace_file *file, size_t index, struct trace_handle *out);
bool trace_file_site(struct trace_file *file, size_t index, struct trace_site *out);
bool trace_file_host(struct trace_file *file, size_t index, struct trace_host *out);
bool trace_file_module(struct trace_file *file, size_t index, struct trace_module *out);
bool trace_file_timer(struct trace_file *file, size_t index, struct trace_timer *out);

/* Sets the error for a record that points at a `target` (host, site...) that is not there: out of `count`. */
void trace_file_fail_link(struct trace_file *file, enum trace_region_kind kind, size_t index,
                          const char *target, uint64_t id, size_t count);

/* Where record `index` is in the file: for messages. */
uint64_t trace_file_offset(const struct trace_file *file, enum trace_region_kind kind,
                           size_t index);

/*
 * The string with this id, terminated; it may hold any byte. "" for id 0, and for one that is not complete. Lives as long as
 * the file is open. *length may be NULL.
 */
const char *trace_file_string(struct trace_file *file, uint32_t id, uint32_t *length);
/* The stack with this id; NULL for id 0 and for one that is not complete. Lives as long as the file is open. */
const struct trace_stack *trace_file_stack(struct trace_file *file, uint32_t id);

/* ---- journal ---- */

struct trace_journal {
    struct trace_file *file;
    uint64_t next; /* place of the next record */
    uint64_t end;  /* place after the last one */
    uint64_t
        first_place;  /* the oldest place that the ring still holds; 0: nothing was overwritten */
    uint64_t skipped; /* places whose record was torn, being written, or overwritten meanwhile */
    size_t chunk_at, chunk_count;
    struct trace_event chunk[512];
};

/* Starts at the oldest record that is left. */
void trace_journal_begin(struct trace_journal *journal, struct trace_file *file);
/* The next valid record; false at the end. */
bool trace_journal_next(struct trace_journal *journal, struct trace_event *out);

/* Another number after each transition: of records, and of what the newest one says. As of the last refresh. */
uint64_t trace_journal_moment(struct trace_file *file);

/* "connection-open" and the like; "unknown" for a number that no recorder of this version writes. Pure. */
const char *trace_event_name(uint16_t type);

#endif
