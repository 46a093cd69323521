/*
 * Writes valid traces by hand, for tests of the analyzer: a process that started at builder_time(0) and, unless said otherwise,
 * ended in order at builder_time(100) with status 0.
 */
#ifndef TESTS_UNIT_TRACE_BUILDER_H
#define TESTS_UNIT_TRACE_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "httpleak/trace.h"

enum { BUILDER_JOURNAL_PLACES = 64 };

struct builder {
    uint8_t *image;
    size_t size;
    char path[256];
    struct trace_header *header;
    uint64_t last_connection, last_body, last_worker, last_handle;
    uint32_t module;     /* a user's module, "/app/client" */
    uint32_t libc;       /* a system one */
    uint32_t host, site; /* api.example:443 with stack(0x100) */
};

struct builder *builder_new(void);
/* Writes it to a file of its own (the same one each time) and returns the path. */
const char *builder_write(struct builder *builder);
/* The first `size` bytes only. */
const char *builder_write_part(struct builder *builder, size_t size);
void builder_free(struct builder *builder); /* removes the file */

/* Nanoseconds on the trace's monotonic clock, `seconds` after its start. */
uint64_t builder_time(double seconds);

uint32_t builder_string(struct builder *builder, const char *text);
uint32_t builder_module(struct builder *builder, const char *path, uint32_t flags);
/* One system frame, then frames of the user's module at address, address + 0x1000, ... `frames` in all. */
uint32_t builder_stack(struct builder *builder, uint64_t address, uint32_t frames);
uint32_t builder_host(struct builder *builder, const char *name, uint16_t port,
                      enum trace_scheme scheme);
/* Interned: the same (host, stack) gives the same site. */
uint32_t builder_site(struct builder *builder, uint32_t host, uint32_t stack);
struct trace_site *builder_site_at(struct builder *builder, uint32_t id);

/* Established, HTTP/1, one request at 10 s, last read at 11 s; connected from stack(0x100). */
struct trace_connection *builder_connection(struct builder *builder);
/* The open body of a connection's first response: opened and last read from at 11 s, 1,000 of 262,144 bytes; bytes wait. */
struct trace_body *builder_body(struct builder *builder, struct trace_connection *connection);
/* A thread with this tid that read (or wrote, or both) `connection`, and waits as given since 12 s. */
struct trace_worker *builder_worker(struct builder *builder, struct trace_connection *connection,
                                    uint32_t tid, bool reads, bool writes, enum trace_wait wait);
/* A Go transport's: asked for at 9 s, one request at 10 s by goroutine 7. */
struct trace_connection *builder_go_connection(struct builder *builder);
/* Its open body by the hooks of Go: nothing read of it yet, handle not closed. */
struct trace_body *builder_go_body(struct builder *builder, struct trace_connection *connection);
/* A goroutine that serves `connection` for its whole life. */
struct trace_worker *builder_goroutine(struct builder *builder, struct trace_connection *connection,
                                       uint64_t goid, enum trace_worker_role role);
/* Timers made at stack(address) from 10 s on, `pending` of `created` still, the last high-water mark at 90 s. */
struct trace_timer *builder_timer(struct builder *builder, enum trace_timer_kind kind,
                                  uint64_t address, uint64_t created, uint64_t pending);
/* A client handle that the main thread made and used once, for api.example; made and last used at these times in seconds. */
struct trace_handle *builder_handle(struct builder *builder, enum trace_handle_kind kind,
                                    double created, double used);
void builder_event(struct builder *builder, struct trace_event event);

/* The process is this very one and runs on; judge it at builder_time(seconds) by model_options.now_ns. */
void builder_running(struct builder *builder);
/* It was killed: nothing was written at its end, its last moment was builder_time(seconds). */
void builder_killed(struct builder *builder, double seconds);

void *builder_region(struct builder *builder, enum trace_region_kind kind);

#endif
