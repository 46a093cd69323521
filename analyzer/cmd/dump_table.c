/* The fields of a dumped line, and the lines of the tables: modules, hosts, sites, timers, stacks. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/dump.h"

/* Nothing of a hostile network reaches a terminal: printable ASCII stays, all else becomes \xNN. */
void dump_text(const char *key, const char *text) {
    printf(" %s=\"", key);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p > 0x7e)
            printf("\\x%02x", *p);
        else if (*p == '"' || *p == '\\')
            printf("\\%c", *p);
        else
            putchar(*p);
    }
    putchar('"');
}

void dump_string(struct trace_file *file, const char *key, uint32_t id) {
    dump_text(key, trace_file_string(file, id, NULL));
}

void dump_number(const char *key, uint64_t value) {
    printf(" %s=%" PRIu64, key, value);
}

void dump_size(const char *key, uint64_t value) {
    if (value == TRACE_UNKNOWN)
        printf(" %s=unknown", key);
    else
        dump_number(key, value);
}

void dump_time(const struct trace_file *file, const char *key, uint64_t ns) {
    uint64_t start = trace_file_header(file)->started_ns;
    uint64_t distance = ns >= start ? ns - start : start - ns;
    if (ns == 0)
        printf(" %s=-", key);
    else
        printf(" %s=%s%" PRIu64 ".%09" PRIu64, key, ns >= start ? "" : "-", distance / 1000000000u,
               distance % 1000000000u);
}

void dump_hex(const char *key, uint64_t value) {
    printf(" %s=0x%" PRIx64, key, value);
}

void dump_modules(struct trace_file *file) {
    struct trace_module m;
    for (size_t i = 0; i < trace_file_count(file, TRACE_REGION_MODULE); i++) {
        if (!trace_file_module(file, i, &m)) continue;
        printf("module id=%zu", i);
        dump_string(file, "path", m.path);
        dump_hex("base", m.base);
        dump_hex("start", m.start);
        dump_hex("end", m.end);
        dump_hex("flags", m.flags);
        dump_time(file, "loaded", m.loaded_ns);
        dump_time(file, "unloaded", m.unloaded_ns);
        printf(" build_id=");
        for (uint32_t k = 0; k < m.build_id_size && k < TRACE_BUILD_ID_MAX; k++)
            printf("%02x", m.build_id[k]);
        putchar('\n');
    }
}

void dump_hosts(struct trace_file *file) {
    static const char *const schemes[] = {"unknown", "http", "https", "unix"};
    struct trace_host h;
    for (size_t i = 0; i < trace_file_count(file, TRACE_REGION_HOST); i++) {
        if (!trace_file_host(file, i, &h)) continue;
        printf("host id=%zu", i);
        dump_string(file, "name", h.name);
        dump_number("port", h.port);
        printf(" scheme=%s", h.scheme < 4 ? schemes[h.scheme] : "unknown");
        for (uint32_t k = 0; k < h.peer_count && k < TRACE_HOST_PEERS; k++)
            dump_string(file, "peer", h.peers[k]);
        putchar('\n');
    }
}

/* One bit for each stack that has had its line; ids are offsets in the heap by 8. */
static struct {
    uint8_t *bits;
    uint64_t count;
} dump_stacks;

void dump_begin(const struct trace_file *file) {
    const struct trace_region *heap = &trace_file_header(file)->regions[TRACE_REGION_STACK];
    dump_stacks.count = heap->size / 8;
    dump_stacks.bits = calloc(dump_stacks.count / 8 + 1, 1);
}

void dump_end(void) {
    free(dump_stacks.bits);
    dump_stacks.bits = NULL;
}

void dump_stack(struct trace_file *file, uint32_t id) {
    if (!dump_stacks.bits || id >= dump_stacks.count) return;
    if (dump_stacks.bits[id / 8] & 1u << id % 8) return;
    const struct trace_stack *stack = trace_file_stack(file, id);
    if (!stack) return;
    dump_stacks.bits[id / 8] |= (uint8_t)(1u << id % 8);
    printf("stack id=%" PRIu32 " frames=", id);
    for (uint32_t i = 0; i < stack->count; i++)
        if (stack->frames[i].language == TRACE_LANGUAGE_NATIVE)
            printf("%s%" PRIu32 "+0x%" PRIx64, i ? "," : "", stack->frames[i].module,
                   stack->frames[i].address);
        else
            printf("%s#%" PRIu32, i ? "," : "", i);
    for (uint32_t i = 0; i < stack->count; i++) {
        char key[32];
        const struct trace_frame *frame = &stack->frames[i];
        if (frame->language == TRACE_LANGUAGE_NATIVE) continue;
        snprintf(key, sizeof key, "file%" PRIu32, i);
        dump_string(file, key, frame->module);
        snprintf(key, sizeof key, "line%" PRIu32, i);
        dump_number(key, frame->address >> 32);
        snprintf(key, sizeof key, "function%" PRIu32, i);
        dump_string(file, key, (uint32_t)frame->address);
    }
    putchar('\n');
}

void dump_sites(struct trace_file *file) {
    struct trace_site s;
    for (size_t i = 0; i < trace_file_count(file, TRACE_REGION_SITE); i++) {
        if (!trace_file_site(file, i, &s)) continue;
        dump_stack(file, s.stack);
        printf("site id=%zu", i);
        dump_number("host", s.host);
        dump_number("stack", s.stack);
        dump_number("connections_closed", s.connections_closed);
        dump_number("exchanges", s.exchanges);
        dump_number("exchanges_reused", s.exchanges_reused);
        dump_number("bodies_drained", s.bodies_drained);
        dump_number("bodies_discarded", s.bodies_discarded);
        dump_number("bodies_failed", s.bodies_failed);
        dump_number("drained_unclosed", s.drained_unclosed);
        dump_number("workers_exited", s.workers_exited);
        dump_number("workers_unjoined", s.workers_unjoined);
        dump_time(file, "unjoined", s.unjoined_ns);
        dump_number("bad_closes", s.bad_closes);
        dump_time(file, "bad_close", s.bad_close_ns);
        dump_number("connections_opaque", s.connections_opaque);
        dump_string(file, "sample_method", s.sample_method);
        dump_string(file, "sample_path", s.sample_path);
        dump_number("sample_status", s.sample_status);
        dump_number("sample_bytes_read", s.sample_bytes_read);
        dump_size("sample_expected", s.sample_expected);
        dump_time(file, "last", s.last_ns);
        putchar('\n');
    }
}

void dump_timers(struct trace_file *file) {
    static const char *const kinds[] = {"unknown",    "posix",     "fd",
                                        "go-channel", "go-ticker", "go-func"};
    struct trace_timer t;
    for (size_t i = 0; i < trace_file_count(file, TRACE_REGION_TIMER); i++) {
        if (!trace_file_timer(file, i, &t)) continue;
        dump_stack(file, t.stack);
        printf("timer id=%zu kind=%s", i, t.kind < 6 ? kinds[t.kind] : "unknown");
        dump_number("stack", t.stack);
        dump_hex("flags", t.flags);
        dump_time(file, "first", t.first_ns);
        dump_time(file, "last", t.last_ns);
        dump_number("duration_ns", t.duration_ns);
        dump_number("created", t.created);
        dump_number("fired", t.fired);
        dump_number("stopped", t.stopped);
        dump_number("forgotten", t.forgotten);
        dump_number("collectable", t.collectable);
        dump_number("peak", t.peak);
        dump_time(file, "peak_at", t.peak_ns);
        uint64_t first = t.mark_count > TRACE_TIMER_MARKS ? t.mark_count - TRACE_TIMER_MARKS : 0;
        printf(" marks=");
        for (uint64_t n = first; n < t.mark_count; n++)
            printf("%s%" PRIu64, n == first ? "" : ",", t.marks[n % TRACE_TIMER_MARKS].pending);
        putchar('\n');
    }
}
