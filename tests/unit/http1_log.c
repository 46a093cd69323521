/* Runs streams through the HTTP/1 parsers, cut in many ways, and writes down what they say. */
#include "tests/unit/http1_log.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { GUARD_SIZE = 1 << 18, GUARD_PAGE = 1 << 16 };

void http1_log_append(struct http1_log *log, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(log->text + log->len, sizeof log->text - log->len, format, args);
    va_end(args);
    HTTP1_HOLDS(n >= 0 && log->len + (size_t)n < sizeof log->text);
    log->len += (size_t)n;
}

/* Pieces of one body are one: their number depends on the cuts. */
static void log_event(struct http1_log *log) {
    if (log->body > 0) http1_log_append(log, "body=%llu ", (unsigned long long)log->body);
    log->body = 0;
}

static void log_start(void *ctx) {
    http1_log_append(ctx, "start ");
}

static void log_request_head(void *ctx, const struct http1_request_head *head) {
    static const char *const kinds[] = {"", " HEAD", " CONNECT"};
    http1_log_append(ctx, "head(%s %s%s @%s%s%s%s%s) ", head->method, head->path,
                     head->path_truncated ? "..." : "", head->authority, kinds[head->kind],
                     head->http10 ? " 1.0" : "", head->close ? " close" : "",
                     head->upgrade ? " upgrade" : "");
}

static void log_request_end(void *ctx) {
    http1_log_append(ctx, "end ");
}

static bool log_ask(void *ctx, enum http1_method_kind *kind) {
    struct http1_log *log = ctx;
    log_event(log);
    http1_log_append(log, "ask ");
    switch (log->asked ? *log->asked : 0) {
    case 'G': *kind = HTTP1_METHOD_OTHER; return true;
    case 'H': *kind = HTTP1_METHOD_HEAD; return true;
    case 'C': *kind = HTTP1_METHOD_CONNECT; return true;
    default: return false;
    }
}

static void log_response_head(void *ctx, const struct http1_response_head *head) {
    static const char *const framings[] = {"none", "length", "chunked", "close"};
    http1_log_append(ctx, "head(%u %s", head->status, framings[head->framing]);
    if (head->framing == HTTP1_BODY_LENGTH)
        http1_log_append(ctx, "=%llu", (unsigned long long)head->length);
    else
        HTTP1_HOLDS(head->length == 0);
    http1_log_append(ctx, "%s%s%s%s%s%s%s) ", head->http10 ? " 1.0" : "",
                     head->is_final ? "" : " interim", head->tunnel ? " tunnel" : "",
                     head->upgrade ? " upgrade" : "", head->keep_alive ? " keep" : "",
                     head->event_stream ? " events" : "", head->grpc ? " grpc" : "");
}

static void log_body(void *ctx, uint64_t bytes) {
    struct http1_log *log = ctx;
    HTTP1_HOLDS(bytes > 0);
    log->body += bytes;
}

static void log_response_end(void *ctx) {
    struct http1_log *log = ctx;
    log_event(log);
    http1_log_append(log, "end ");
    log->asked++;
}

const struct http1_request_ops http1_log_request_ops = {log_start, log_request_head,
                                                        log_request_end};
const struct http1_response_ops http1_log_response_ops = {log_ask, log_response_head, log_body,
                                                          log_response_end};

static const char *const log_states[] = {"", "=foreign", "=blind", "=tunnel", "=http2"};

void http1_log_request_state(struct http1_log *log, const struct http1_request *request) {
    static const char start[] = "start ";
    const size_t n = sizeof start - 1;
    if (request->status != HTTP1_OK && log->len >= n &&
        memcmp(log->text + log->len - n, start, n) == 0)
        log->len -= n;
    if (request->status == HTTP1_OK)
        http1_log_append(log, http1_request_idle(request) ? "=ok" : "=mid");
    else
        http1_log_append(log, "%s", log_states[request->status]);
}

void http1_log_response_state(struct http1_log *log, const struct http1_response *response,
                              size_t offset) {
    log_event(log);
    if (response->status == HTTP1_OK)
        http1_log_append(log, http1_response_idle(response) ? "=ok" : "=mid");
    else
        http1_log_append(log, "%s", log_states[response->status]);
    if (response->status == HTTP1_TUNNEL) http1_log_append(log, "@%zu", offset);
}

const char *http1_log_guard(const char *bytes, size_t len, bool at_start) {
    static char *area;
    if (!area) {
        area =
            mmap(NULL, GUARD_SIZE + 2 * GUARD_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(area, MAP_FAILED);
        area += GUARD_PAGE;
        HTTP1_HOLDS(mprotect(area, GUARD_SIZE, PROT_READ | PROT_WRITE) == 0);
    }
    HTTP1_HOLDS(len <= GUARD_SIZE);
    char *place = at_start ? area : area + GUARD_SIZE - len;
    memcpy(place, bytes, len);
    return place;
}

void http1_log_request(struct http1_log *log, const char *bytes, size_t len, const size_t *cuts,
                       size_t count) {
    struct http1_request request = {0};
    log->len = 0;
    log->body = 0;
    enum http1_status status = HTTP1_OK;
    for (size_t from = 0, i = 0; from < len; i++) {
        const size_t to = i < count ? cuts[i] : len;
        size_t consumed = 99;
        const enum http1_status now =
            http1_request_feed(&request, http1_log_guard(bytes + from, to - from, i & 1), to - from,
                               &consumed, &http1_log_request_ops, log);
        if (status != HTTP1_OK) { /* dead: the same answer, and silence */
            HTTP1_HOLDS(now == status);
            HTTP1_HOLDS(consumed == 0);
        }
        if (now == HTTP1_OK) HTTP1_HOLDS(consumed == to - from);
        HTTP1_HOLDS(consumed <= to - from);
        status = now;
        from = to;
    }
    http1_log_request_state(log, &request);
}

void http1_log_response(struct http1_log *log, const char *bytes, size_t len, const size_t *cuts,
                        size_t count, const char *asked, bool eof) {
    struct http1_response response = {0};
    log->len = 0;
    log->body = 0;
    log->asked = asked;
    enum http1_status status = HTTP1_OK;
    size_t tunnel = 0;
    for (size_t from = 0, i = 0; from < len; i++) {
        const size_t to = i < count ? cuts[i] : len;
        size_t consumed = 99;
        const enum http1_status now =
            http1_response_feed(&response, http1_log_guard(bytes + from, to - from, i & 1),
                                to - from, &consumed, &http1_log_response_ops, log);
        if (status != HTTP1_OK) {
            HTTP1_HOLDS(now == status);
            HTTP1_HOLDS(consumed == 0);
        }
        if (now == HTTP1_OK) HTTP1_HOLDS(consumed == to - from);
        HTTP1_HOLDS(consumed <= to - from);
        if (now == HTTP1_TUNNEL && status == HTTP1_OK) tunnel = from + consumed;
        status = now;
        from = to;
    }
    http1_log_response_state(log, &response, tunnel);
    if (!eof) return;
    bool truncated = true;
    http1_log_append(log, " ");
    HTTP1_HOLDS(http1_response_eof(&response, &truncated, &http1_log_response_ops, log) == status);
    http1_log_append(log, truncated ? "eof!truncated" : "eof");
    HTTP1_HOLDS(http1_response_eof(&response, &truncated, &http1_log_response_ops, log) == status);
    HTTP1_HOLDS(!truncated); /* it was told before */
}

void http1_log_compare(const struct http1_log *log, const struct http1_case *c, const char *how,
                       size_t at) {
    if (strcmp(log->text, c->log) != 0)
        ck_abort_msg("%s, %s %zu: %s; should say: %s", c->name, how, at, log->text, c->log);
}

static void log_run(struct http1_log *log, const struct http1_case *c, size_t len, bool response,
                    const size_t *cuts, size_t count) {
    if (response)
        http1_log_response(log, c->bytes, len, cuts, count, c->asked, c->eof);
    else
        http1_log_request(log, c->bytes, len, cuts, count);
}

void http1_log_check(const struct http1_case *c, bool response) {
    static struct http1_log log;
    const size_t len = c->len;
    log_run(&log, c, len, response, NULL, 0);
    http1_log_compare(&log, c, "whole", 0);
    const size_t step = len > 4096 ? 97 : 1; /* of the longest ones not every place */
    for (size_t at = 1; at < len; at += step) {
        log_run(&log, c, len, response, &at, 1);
        http1_log_compare(&log, c, "cut at", at);
    }
    size_t *cuts = malloc(len * sizeof *cuts);
    ck_assert_ptr_nonnull(cuts);
    for (size_t piece = 1; piece <= 17; piece++) {
        size_t count = 0;
        for (size_t at = piece; at < len; at += piece)
            cuts[count++] = at;
        log_run(&log, c, len, response, cuts, count);
        http1_log_compare(&log, c, "pieces of", piece);
    }
    free(cuts);
}
