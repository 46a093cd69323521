/* Traces written by hand. */
#include "tests/unit/trace_builder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START_NS UINT64_C(1000000000000)
#define NOBODY 2000000000u /* a pid that no process has: beyond any kernel's pid_max */

static const struct {
    uint64_t record, capacity;
} geometry[TRACE_REGION_COUNT] = {
    [TRACE_REGION_CONNECTION] = {sizeof(struct trace_connection), 128},
    [TRACE_REGION_BODY] = {sizeof(struct trace_body), 128},
    [TRACE_REGION_WORKER] = {sizeof(struct trace_worker), 128},
    [TRACE_REGION_HANDLE] = {sizeof(struct trace_handle), 128},
    [TRACE_REGION_SITE] = {sizeof(struct trace_site), 64},
    [TRACE_REGION_HOST] = {sizeof(struct trace_host), 64},
    [TRACE_REGION_MODULE] = {sizeof(struct trace_module), 32},
    [TRACE_REGION_TIMER] = {sizeof(struct trace_timer), 32},
    [TRACE_REGION_STRING] = {8, 4096},
    [TRACE_REGION_STACK] = {8, 4096},
    [TRACE_REGION_JOURNAL] = {sizeof(struct trace_event), BUILDER_JOURNAL_PLACES},
};

uint64_t builder_time(double seconds) {
    return START_NS + (uint64_t)(seconds * 1e9);
}

void *builder_region(struct builder *builder, enum trace_region_kind kind) {
    return builder->image + builder->header->regions[kind].offset;
}

static void *take(struct builder *builder, enum trace_region_kind kind, uint64_t *index) {
    struct trace_region *region = &builder->header->regions[kind];
    if (region->used >= region->size / region->record_size) abort();
    *index = region->used++;
    return builder->image + region->offset + *index * region->record_size;
}

static void *take_heap(struct builder *builder, enum trace_region_kind kind, size_t size,
                       uint32_t *id) {
    struct trace_region *region = &builder->header->regions[kind];
    size = (size + 7) / 8 * 8;
    if (region->used + size > region->size) abort();
    *id = (uint32_t)(region->used / 8);
    region->used += size;
    return builder->image + region->offset + (uint64_t)*id * 8;
}

struct builder *builder_new(void) {
    struct builder *builder = calloc(1, sizeof *builder);
    struct trace_header header = {
        .magic = {'H', 'T', 'T', 'P', 'L', 'E', 'A', 'K'},
        .version = TRACE_VERSION,
        .byte_order = TRACE_BYTE_ORDER,
        .header_size = TRACE_HEADER_SIZE,
        .region_count = TRACE_REGION_COUNT,
        .pid = NOBODY,
        .ppid = 1,
        .started_ns = builder_time(0),
        .created_ns = builder_time(1),
        .started_realtime_ns = UINT64_C(1700000000000000000),
        .unwinder = TRACE_UNWINDER_LIBUNWIND,
        .stack_depth = 32,
        .end = TRACE_END_EXIT,
        .status_known = 1,
        .ended_ns = builder_time(100),
        .last_moment_ns = builder_time(100),
        .recorder_version = "test",
        .exe = "/app/client",
        .argv = "client",
        .argv_size = 7,
    };
    uint64_t at = TRACE_HEADER_SIZE, index;
    for (int i = 0; i < TRACE_REGION_COUNT; i++) {
        uint64_t size = (geometry[i].record * geometry[i].capacity + 4095) / 4096 * 4096;
        if (i == TRACE_REGION_JOURNAL) size = geometry[i].record * geometry[i].capacity;
        header.regions[i] = (struct trace_region){
            .offset = at, .size = size, .record_size = geometry[i].record, .populated = size};
        at += (size + 4095) / 4096 * 4096;
    }
    header.file_size = at;
    builder->size = at;
    builder->image = calloc(1, at);
    builder->header = (struct trace_header *)(void *)builder->image;
    memcpy(builder->header, &header, sizeof header);
    /* record 0 of each table, and id 0 of each heap, mean none */
    take(builder, TRACE_REGION_SITE, &index);
    take(builder, TRACE_REGION_HOST, &index);
    take(builder, TRACE_REGION_MODULE, &index);
    take(builder, TRACE_REGION_TIMER, &index);
    builder->header->regions[TRACE_REGION_STRING].used = 8;
    builder->header->regions[TRACE_REGION_STACK].used = 8;
    builder->libc = builder_module(builder, "/lib/libc.so.6", 0);
    builder->module = builder_module(builder, "/app/client", TRACE_MODULE_MAIN);
    builder->host = builder_host(builder, "api.example", 443, TRACE_SCHEME_HTTPS);
    builder->site = builder_site(builder, builder->host, builder_stack(builder, 0x100, 3));
    return builder;
}

const char *builder_write_part(struct builder *builder, size_t size) {
    int fd;
    if (!builder->path[0]) {
        const char *directory = getenv("TMPDIR");
        snprintf(builder->path, sizeof builder->path, "%s/httpleak.test.XXXXXX",
                 directory ? directory : "/tmp");
        fd = mkstemp(builder->path);
    } else {
        fd = open(builder->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    }
    if (fd < 0 || write(fd, builder->image, size) != (ssize_t)size || close(fd) != 0) abort();
    return builder->path;
}

const char *builder_write(struct builder *builder) {
    return builder_write_part(builder, builder->size);
}

void builder_free(struct builder *builder) {
    if (builder->path[0]) unlink(builder->path);
    free(builder->image);
    free(builder);
}

uint32_t builder_string(struct builder *builder, const char *text) {
    uint32_t id, length = (uint32_t)strlen(text);
    struct trace_string *string =
        take_heap(builder, TRACE_REGION_STRING, sizeof *string + length + 1, &id);
    string->length = length;
    memcpy(string->bytes, text, length + 1);
    string->hash = trace_string_hash(text, length);
    return id;
}

uint32_t builder_module(struct builder *builder, const char *path, uint32_t flags) {
    uint64_t id;
    struct trace_module *module = take(builder, TRACE_REGION_MODULE, &id);
    module->path = builder_string(builder, path);
    module->flags = flags;
    module->base = 0x10000000 * id;
    module->ready = 1;
    return (uint32_t)id;
}

uint32_t builder_stack(struct builder *builder, uint64_t address, uint32_t frames) {
    uint32_t id;
    struct trace_stack *stack = take_heap(builder, TRACE_REGION_STACK,
                                          sizeof *stack + frames * sizeof(struct trace_frame), &id);
    stack->count = frames;
    stack->hash = 1;
    for (uint32_t i = 0; i < frames; i++)
        stack->frames[i] = i == 0 ? (struct trace_frame){.address = 0x77, .module = builder->libc}
                                  : (struct trace_frame){.address = address + 0x1000 * (i - 1),
                                                         .module = builder->module};
    return id;
}

uint32_t builder_host(struct builder *builder, const char *name, uint16_t port,
                      enum trace_scheme scheme) {
    uint64_t id;
    struct trace_host *host = take(builder, TRACE_REGION_HOST, &id);
    host->name = builder_string(builder, name);
    host->port = port;
    host->scheme = (uint16_t)scheme;
    host->peer_count = 1;
    host->peers[0] = builder_string(builder, "192.0.2.1:443");
    host->ready = 1;
    return (uint32_t)id;
}

struct trace_site *builder_site_at(struct builder *builder, uint32_t id) {
    return (struct trace_site *)builder_region(builder, TRACE_REGION_SITE) + id;
}

uint32_t builder_site(struct builder *builder, uint32_t host, uint32_t stack) {
    uint64_t id;
    for (id = 1; id < builder->header->regions[TRACE_REGION_SITE].used; id++) {
        const struct trace_site *site = builder_site_at(builder, (uint32_t)id);
        if (site->host == host && site->stack == stack) return (uint32_t)id;
    }
    struct trace_site *site = take(builder, TRACE_REGION_SITE, &id);
    site->host = host;
    site->stack = stack;
    return (uint32_t)id;
}

struct trace_connection *builder_connection(struct builder *builder) {
    uint64_t index;
    struct trace_connection *connection = take(builder, TRACE_REGION_CONNECTION, &index);
    uint32_t stack = builder_site_at(builder, builder->site)->stack;
    *connection = (struct trace_connection){
        .state = TRACE_CONNECTION_ESTABLISHED,
        .id = ++builder->last_connection,
        .opened_ns = builder_time(9),
        .host = builder->host,
        .site = builder->site,
        .connect_stack = stack,
        .peer = builder_string(builder, "192.0.2.1:443"),
        .flags = TRACE_CONNECTION_COUNTED,
        .protocol = TRACE_PROTOCOL_HTTP1,
        .fd = (int32_t)(4 + index),
        .fd_count = 1,
        .opener_tid = 1000,
        .reader_tid = 1000,
        .read_attempt_ns = builder_time(11),
        .read_progress_ns = builder_time(11),
        .read_bytes = 1200,
        .read_app_bytes = 1200,
        .read_result = TRACE_READ_DATA,
        .writer_tid = 1000,
        .write_attempt_ns = builder_time(10),
        .write_bytes = 100,
        .write_app_bytes = 100,
        .requests = 1,
        .request_ns = builder_time(10),
        .request_stack = stack,
        .request_tid = 1000,
        .request_method = builder_string(builder, "GET"),
        .request_path = builder_string(builder, "/items"),
        .pending_ns = builder_time(10),
        .pending_stack = stack,
        .pending_tid = 1000,
    };
    connection->pending_method = connection->request_method;
    connection->pending_path = connection->request_path;
    return connection;
}

struct trace_body *builder_body(struct builder *builder, struct trace_connection *connection) {
    uint64_t index;
    struct trace_body *body = take(builder, TRACE_REGION_BODY, &index);
    *body = (struct trace_body){
        .state = TRACE_BODY_OPEN,
        .id = ++builder->last_body,
        .connection_id = connection->id,
        .site = connection->site,
        .request_stack = connection->request_stack,
        .method = connection->request_method,
        .path = connection->request_path,
        .status = 200,
        .framing = TRACE_FRAMING_LENGTH,
        .asker_tid = connection->request_tid,
        .requested_ns = connection->request_ns,
        .opened_ns = builder_time(11),
        .expected = 262144,
        .reader_tid = connection->reader_tid,
        .bytes_read = 1000,
        .progress_ns = builder_time(11),
        .bursts = 1,
        .reads = 1,
    };
    connection->body_slot = (uint32_t)index + 1;
    connection->body_id = body->id;
    connection->last_status = 200;
    connection->sample_ns = builder_time(100);
    connection->rx_known = 1;
    connection->rx_queued = 65536;
    connection->tcp_state = 1;
    return body;
}

struct trace_worker *builder_worker(struct builder *builder, struct trace_connection *connection,
                                    uint32_t tid, bool reads, bool writes, enum trace_wait wait) {
    uint64_t index;
    struct trace_worker *worker = take(builder, TRACE_REGION_WORKER, &index);
    *worker = (struct trace_worker){
        .state = TRACE_WORKER_LIVE,
        .id = ++builder->last_worker,
        .tid = tid,
        .creator_tid = 1000,
        .started_ns = builder_time(9),
        .connections_used = 1,
        .read_ops = reads,
        .write_ops = writes,
        .last_io_ns = builder_time(11),
        .wait = wait,
        .wait_since_ns = builder_time(12),
        .last_host = builder->host,
    };
    if (connection) {
        worker->first_connection = worker->last_connection = connection->id;
        if (wait >= TRACE_WAIT_READ && wait <= TRACE_WAIT_CONNECT)
            worker->wait_connection = connection->id;
        if (reads) connection->reader_tid = tid;
        if (writes) connection->writer_tid = tid;
    }
    return worker;
}

struct trace_connection *builder_go_connection(struct builder *builder) {
    struct trace_connection *connection = builder_connection(builder);
    builder->header->go_state = TRACE_GO_FOLLOWED;
    strcpy(builder->header->go_version, "go1.22.12");
    connection->flags |= TRACE_CONNECTION_GO;
    connection->opener_tid = connection->request_tid = connection->pending_tid = 7;
    connection->reader_tid = connection->writer_tid = 0;
    connection->read_bytes = connection->read_app_bytes = 0;
    connection->read_attempt_ns = connection->read_progress_ns = 0;
    connection->read_result = TRACE_READ_NONE;
    return connection;
}

struct trace_body *builder_go_body(struct builder *builder, struct trace_connection *connection) {
    struct trace_body *body = builder_body(builder, connection);
    body->flags = TRACE_BODY_GO | TRACE_BODY_HANDLE_SEEN;
    body->asker_goid = body->asker_tid = 7;
    body->handle = 0xc000123400 + 0x100 * body->id;
    body->bytes_read = body->reads = body->bursts = 0;
    body->progress_ns = 0;
    return body;
}

struct trace_worker *builder_goroutine(struct builder *builder, struct trace_connection *connection,
                                       uint64_t goid, enum trace_worker_role role) {
    struct trace_worker *worker =
        builder_worker(builder, NULL, (uint32_t)goid, false, false, TRACE_WAIT_NONE);
    worker->flags = TRACE_WORKER_GOROUTINE;
    worker->goid = goid;
    worker->declared_role = role;
    worker->dedicated = connection ? connection->id : 0;
    worker->connections_used = 0;
    worker->last_io_ns = worker->wait_since_ns = 0;
    worker->created_stack = builder_stack(builder, 0x9000, 1); /* a library's frame alone */
    return worker;
}

struct trace_timer *builder_timer(struct builder *builder, enum trace_timer_kind kind,
                                  uint64_t address, uint64_t created, uint64_t pending) {
    uint64_t id;
    struct trace_timer *timer = take(builder, TRACE_REGION_TIMER, &id);
    *timer = (struct trace_timer){
        .stack = builder_stack(builder, address, 3),
        .kind = kind,
        .ready = 1,
        .first_ns = builder_time(10),
        .last_ns = builder_time(99),
        .created = created,
        .fired = created - pending,
        .peak = pending,
        .peak_ns = builder_time(99),
        .mark_count = 20,
    };
    timer->marks[19 % TRACE_TIMER_MARKS] =
        (struct trace_timer_mark){builder_time(90), pending - pending / 20};
    return timer;
}

struct trace_handle *builder_handle(struct builder *builder, enum trace_handle_kind kind,
                                    double created, double used) {
    uint64_t index;
    struct trace_handle *handle = take(builder, TRACE_REGION_HANDLE, &index);
    *handle = (struct trace_handle){
        .state = TRACE_HANDLE_LIVE,
        .id = ++builder->last_handle,
        .created_ns = builder_time(created),
        .kind = kind,
        .created_stack = builder_site_at(builder, builder->site)->stack,
        .creator_tid = builder->header->pid,
        .used_ns = builder_time(used),
        .uses = 1,
        .connection = 1000 + index,
        .user_tid = builder->header->pid,
        .host = builder->host,
    };
    return handle;
}

void builder_event(struct builder *builder, struct trace_event event) {
    uint64_t place = builder->header->regions[TRACE_REGION_JOURNAL].used++;
    struct trace_event *at = builder_region(builder, TRACE_REGION_JOURNAL);
    event.seq = place + 1;
    event.check = 0;
    event.check = trace_event_check(&event);
    at[place % BUILDER_JOURNAL_PLACES] = event;
}

void builder_running(struct builder *builder) {
    builder->header->pid = (uint32_t)getpid();
    builder->header->end = TRACE_END_RUNNING;
    builder->header->status_known = 0;
    builder->header->ended_ns = 0;
    builder->header->last_moment_ns = builder_time(11);
    ssize_t n = readlink("/proc/self/exe", builder->header->exe, sizeof builder->header->exe - 1);
    if (n < 0) abort();
    builder->header->exe[n] = 0;
}

void builder_killed(struct builder *builder, double seconds) {
    builder->header->end = TRACE_END_RUNNING;
    builder->header->status_known = 0;
    builder->header->ended_ns = 0;
    builder->header->last_moment_ns = builder_time(seconds);
}
