/* Frames for the tests of HTTP/2 framing, and the parser's events as text. */
#include "tests/unit/http2_log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/http1_log.h"

/* ---- frames ---- */

void http2_put(struct http2_bytes *b, const void *bytes, size_t n) {
    if (n > sizeof b->bytes - b->len) abort();
    if (n) memcpy(b->bytes + b->len, bytes, n);
    b->len += n;
}

void http2_put_text(struct http2_bytes *b, const char *text) {
    http2_put(b, text, strlen(text));
}

void http2_put_head(struct http2_bytes *b, uint32_t length, uint8_t type, uint8_t flags,
                    uint32_t stream) {
    const uint8_t head[] = {(uint8_t)(length >> 16),
                            (uint8_t)(length >> 8),
                            (uint8_t)length,
                            type,
                            flags,
                            (uint8_t)(stream >> 24),
                            (uint8_t)(stream >> 16),
                            (uint8_t)(stream >> 8),
                            (uint8_t)stream};
    http2_put(b, head, sizeof head);
}

void http2_put_frame(struct http2_bytes *b, uint8_t type, uint8_t flags, uint32_t stream,
                     const void *payload, size_t n) {
    http2_put_head(b, (uint32_t)n, type, flags, stream);
    http2_put(b, payload, n);
}

size_t http2_block(uint8_t *out, const char *lines) {
    size_t n = 0;
    while (*lines) {
        const char *end = strchr(lines, '\n'), *colon = strchr(lines + 1, ':');
        const size_t name = (size_t)(colon - lines), value = (size_t)(end - colon - 2);
        if (name > 126 || value > 126) abort();
        out[n++] = 0; /* RFC 7541 6.2.2, a new name */
        out[n++] = (uint8_t)name;
        memcpy(out + n, lines, name);
        n += name;
        out[n++] = (uint8_t)value;
        memcpy(out + n, colon + 2, value);
        n += value;
        lines = end + 1;
    }
    return n;
}

void http2_put_headers(struct http2_bytes *b, uint8_t flags, uint32_t stream, const char *lines) {
    uint8_t block[4096];
    http2_put_frame(b, 1, flags, stream, block, http2_block(block, lines));
}

/* ---- events ---- */

void http2_log_append(struct http2_log *log, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(log->text + log->len, sizeof log->text - log->len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof log->text - log->len) abort();
    log->len += (size_t)n;
}

static void event(struct http2_log *log) {
    if (log->body)
        http2_log_append(log, "body(%u)=%lu ", log->body_stream, (unsigned long)log->body);
    log->body = 0;
}

static void on_start(void *ctx) {
    event(ctx);
    http2_log_append(ctx, "start ");
}

static bool on_request(void *ctx, uint32_t stream, const struct http1_request_head *head,
                       uint64_t offset) {
    struct http2_log *log = ctx;
    event(log);
    http2_log_append(log, "req(%u %s %s @%s%s%s)@%lu ", stream, head->method, head->path,
                     head->authority, head->path_truncated ? " cut" : "",
                     head->kind == HTTP1_METHOD_HEAD      ? " head"
                     : head->kind == HTTP1_METHOD_CONNECT ? " connect"
                                                          : "",
                     (unsigned long)offset);
    return stream != log->refuse;
}

static bool on_response(void *ctx, uint32_t stream, const struct http1_response_head *head) {
    static const char *const framings[] = {"none", "length", "chunked", "open"};
    struct http2_log *log = ctx;
    event(log);
    http2_log_append(log, "res(%u %u %s", stream, head->status, framings[head->framing]);
    if (head->framing == HTTP1_BODY_LENGTH)
        http2_log_append(log, "=%lu", (unsigned long)head->length);
    http2_log_append(log, "%s%s%s) ", head->is_final ? "" : " interim",
                     head->event_stream ? " events" : "", head->grpc ? " grpc" : "");
    return stream != log->refuse;
}

static bool on_frame(void *ctx, uint32_t stream, uint32_t bytes) {
    struct http2_log *log = ctx;
    event(log);
    http2_log_append(log, "frame(%u %u) ", stream, bytes);
    return stream != log->refuse;
}

static void on_data(void *ctx, uint32_t stream, uint64_t bytes) {
    struct http2_log *log = ctx;
    HTTP1_HOLDS(bytes > 0);
    if (log->body_stream != stream) event(log);
    log->body_stream = stream;
    log->body += bytes;
}

static bool on_end(void *ctx, uint32_t stream) {
    event(ctx);
    http2_log_append(ctx, "end(%u) ", stream);
    return true;
}

static bool on_reset(void *ctx, uint32_t stream) {
    event(ctx);
    http2_log_append(ctx, "reset(%u) ", stream);
    return true;
}

static bool on_window(void *ctx, uint32_t stream, uint32_t increment) {
    event(ctx);
    http2_log_append(ctx, "window(%u +%u) ", stream, increment);
    return true;
}

static void on_setting(void *ctx, enum http2_setting id, uint32_t value) {
    event(ctx);
    http2_log_append(ctx, "set(%u %u) ", id, value);
}

static void on_goaway(void *ctx, uint32_t last) {
    event(ctx);
    http2_log_append(ctx, "goaway(%u) ", last);
}

static bool on_promise(void *ctx, uint32_t stream) {
    event(ctx);
    http2_log_append(ctx, "promise(%u) ", stream);
    return true;
}

const struct http2_ops http2_log_ops = {on_start,   on_request, on_response, on_frame,
                                        on_data,    on_end,     on_reset,    on_window,
                                        on_setting, on_goaway,  on_promise};

/* ---- runs ---- */

static uint8_t memory[2 << 20] __attribute__((aligned(16)));
static size_t memory_used;

void *http2_log_memory(void *ctx, size_t size) {
    (void)ctx;
    if (size > sizeof memory - memory_used) return NULL;
    memory_used += size;
    return memory + memory_used - size;
}

void http2_log_memory_reset(void) {
    memset(memory, 0xa5, memory_used);
    memory_used = 0;
}

void http2_log_run(struct http2_log *log, enum http2_side side, const uint8_t *bytes, size_t len,
                   const size_t *cuts, size_t count, bool quick) {
    static struct http2 h;
    http2_log_memory_reset();
    HTTP1_HOLDS(http2_begin(&h, side, 0, http2_log_memory, NULL));
    log->len = 0;
    log->body = 0;
    log->text[0] = 0;
    enum http2_status status = HTTP2_OK;
    for (size_t from = 0, i = 0; from < len; i++) {
        const size_t to = i < count ? cuts[i] : len;
        uint32_t stream;
        enum http2_status now = HTTP2_OK;
        if (quick && http2_take(&h, to - from, &stream))
            on_data(log, stream, to - from);
        else
            now = http2_feed(&h, http1_log_guard((const char *)bytes + from, to - from, i & 1),
                             to - from, &http2_log_ops, log);
        if (status != HTTP2_OK) HTTP1_HOLDS(now == status);
        status = now;
        from = to;
        HTTP1_HOLDS(h.offset == to);
    }
    event(log);
    http2_log_append(log, status == HTTP2_FOREIGN                   ? "=foreign"
                          : status == HTTP2_BLIND                   ? "=blind"
                          : h.state == 1 && h.used == 0 && !h.block ? "=ok"
                                                                    : "=mid");
}

static void check(const struct http2_log *log, const char *name, const char *expected,
                  const char *how, size_t at) {
    if (strcmp(log->text, expected) != 0)
        ck_abort_msg("%s, %s %zu: %s; should say: %s", name, how, at, log->text, expected);
}

void http2_log_check(const char *name, enum http2_side side, const struct http2_bytes *b,
                     const char *expected, uint32_t refuse) {
    static struct http2_log log;
    static size_t cuts[sizeof b->bytes];
    log.refuse = refuse;
    http2_log_run(&log, side, b->bytes, b->len, NULL, 0, false);
    check(&log, name, expected, "whole", 0);
    const size_t step = b->len > 4096 ? 97 : 1;
    for (size_t at = 1; at < b->len; at += step) {
        http2_log_run(&log, side, b->bytes, b->len, &at, 1, at & 1);
        check(&log, name, expected, "cut at", at);
    }
    for (size_t piece = 1; piece <= 17; piece++) {
        size_t count = 0;
        for (size_t at = piece; at < b->len; at += piece)
            cuts[count++] = at;
        http2_log_run(&log, side, b->bytes, b->len, cuts, count, piece & 1);
        check(&log, name, expected, "pieces of", piece);
    }
}
