/* The lines of `httpleak dump`: their fields, and one function for each kind of record. */
#ifndef HTTPLEAK_DUMP_H
#define HTTPLEAK_DUMP_H

#include <stdint.h>

#include "trace/reader.h"

/* Fields, each " KEY=VALUE". */
void dump_text(const char *key, const char *text); /* quoted; what is not printable ASCII as \xNN */
void dump_string(struct trace_file *file, const char *key, uint32_t id);
void dump_number(const char *key, uint64_t value);
void dump_size(const char *key, uint64_t value); /* TRACE_UNKNOWN: "unknown" */
void dump_hex(const char *key, uint64_t value);
/* Seconds since the recorder was loaded; "-" for never. */
void dump_time(const struct trace_file *file, const char *key, uint64_t ns);

/* Around the lines of one trace: a stack has its line once, before the first record naming it. */
void dump_begin(const struct trace_file *file);
void dump_end(void);

/* Every record of a region, one line each. */
void dump_modules(struct trace_file *file);
void dump_hosts(struct trace_file *file);
void dump_sites(struct trace_file *file);
void dump_timers(struct trace_file *file);
void dump_stack(struct trace_file *file, uint32_t id);
void dump_connections(struct trace_file *file);
void dump_bodies(struct trace_file *file);
void dump_workers(struct trace_file *file);
void dump_handles(struct trace_file *file);

#endif
