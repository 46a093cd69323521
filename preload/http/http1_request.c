/* The requests of a connection: request line, host, end of the body (RFC 9112 3 and 6). */
#include "http/http1_body.h"
#include "http/http1_field.h"
#include "http/http1_line.h"

#include <string.h>

enum request_state { REQUEST_IDLE, REQUEST_LINE, REQUEST_HEAD, REQUEST_BODY };

static const char request_preface[] = "PRI * HTTP/2.0"; /* RFC 9113 3.4 */
#define REQUEST_PREFACE_LEN (sizeof request_preface - 1)
#define REQUEST_VERSION_LEN 9 /* " HTTP/1.1" */

static inline bool request_method_byte(char c) {
    return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/*
 * The length of the method at the start of these bytes, 0 if there can't be one: -1 if its end is
 * not among them.
 */
static int request_method(const char *text, size_t n) {
    if (n >= 4 && memcmp(text, "GET ", 4) == 0) return 3;
    size_t i = 0;
    while (i < n && i < HTTP1_METHOD_SIZE && request_method_byte(text[i]))
        i++;
    if (i == n && i < HTTP1_METHOD_SIZE) return -1;
    return i < HTTP1_METHOD_SIZE && text[i] == ' ' ? (int)i : 0;
}

/* A byte that a path can't have, whoever sent it: then this is some other protocol's line. */
static inline bool request_control(char c) {
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* Copies a name in lower case; what is too long, or no name, leaves "". */
static void request_authority(struct http1_request_head *head, const char *p, const char *end) {
    head->authority[0] = 0;
    size_t n = (size_t)(end - p);
    if (n >= HTTP1_AUTHORITY_SIZE) return;
    bool fits = true;
    if (n >= 8) {
        for (size_t i = 0;; i += 8) {
            if (i + 8 > n) i = n - 8; /* some once more */
            const uint64_t word = http1_word(p + i), lower = http1_lower_word(word);
            fits &= (http1_controls(word) | http1_bytes(word, ' ')) == 0;
            memcpy(head->authority + i, &lower, sizeof lower);
            if (i + 8 == n) break;
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            fits &= !request_control(p[i]) && p[i] != ' ';
            head->authority[i] = http1_lower(p[i]);
        }
    }
    head->authority[fits ? n : 0] = 0;
}

/*
 * The authority in front of path, query or fragment, without user information; gives back where it
 * ends.
 */
static const char *request_split(struct http1_request_head *head, const char *p, const char *end,
                                 bool cut) {
    const char *stop = p, *host = p;
    for (; stop < end && *stop != '/' && *stop != '?' && *stop != '#'; stop++)
        if (*stop == '@') host = stop + 1;
    if (stop < end || !cut) request_authority(head, host, stop);
    return stop;
}

/* Behind "scheme://" of an absolute-form target (RFC 9112 3.2.2), NULL if it is none. */
static const char *request_absolute(const char *p, const char *end) {
    const char *c = p;
    while (c < end &&
           ((http1_lower(*c) >= 'a' && http1_lower(*c) <= 'z') ||
            (c > p && ((*c >= '0' && *c <= '9') || *c == '+' || *c == '-' || *c == '.'))))
        c++;
    return c > p && end - c >= 3 && memcmp(c, "://", 3) == 0 ? c + 3 : NULL;
}

static bool request_path(struct http1_request_head *head, const char *p, const char *end,
                         bool cut) {
    size_t n = 0;
    for (; end - p >= 8 && n + 8 < HTTP1_PATH_SIZE; p += 8, n += 8) {
        const uint64_t word = http1_word(p);
        const uint64_t stops =
            http1_controls(word) | http1_bytes(word, '?') | http1_bytes(word, '#');
        memcpy(head->path + n, &word, sizeof word);
        if (stops == 0) continue;
        const unsigned before = (unsigned)__builtin_ctzll(stops) / 8;
        p += before;
        n += before;
        break;
    }
    for (; p < end && *p != '?' && *p != '#'; p++) {
        if (request_control(*p)) return false;
        if (n == HTTP1_PATH_SIZE - 1) break;
        head->path[n++] = *p;
    }
    head->path[n] = 0;
    head->path_truncated = p < end ? *p != '?' && *p != '#' : cut;
    return true;
}

static bool request_target(struct http1_request_head *head, const char *p, const char *end,
                           bool cut) {
    head->authority[0] = 0;
    head->path[0] = 0;
    head->path_truncated = false;
    if (head->kind == HTTP1_METHOD_CONNECT) {
        request_split(head, p, end, cut);
        return true;
    }
    const char *authority = *p == '/' ? NULL : request_absolute(p, end);
    if (authority) {
        p = request_split(head, authority, end, cut);
        if (p == end || *p != '/') { /* no path is the path "/" (RFC 9110 4.2.3) */
            head->path[0] = '/';
            head->path[1] = 0;
            head->path_truncated = p == end && cut;
            return true;
        }
    }
    return request_path(head, p, end, cut);
}

/*
 * method SP target SP HTTP/1.x. Blanks inside the target are forbidden, but programs send them, and
 * servers understand.
 */
static bool request_line(struct http1_request *request, const struct http1_span *line) {
    struct http1_request_head *head = &request->head;
    if (line->len == 0 || line->tail_len < REQUEST_VERSION_LEN) return false;
    int method = request_method(line->text, line->len);
    if (method <= 0) return false;
    const char *version = line->tail + line->tail_len - REQUEST_VERSION_LEN;
    if (memcmp(version, " HTTP/1.", 8) != 0 || (version[8] != '0' && version[8] != '1'))
        return false;
    const char *target = line->text + method + 1;
    const char *end = line->cut ? line->text + line->len : version;
    if (target >= end || *target == ' ') return false;
    memcpy(head->method, line->text, (size_t)method);
    head->method[method] = 0;
    head->kind = method == 4 && memcmp(head->method, "HEAD", 4) == 0      ? HTTP1_METHOD_HEAD
                 : method == 7 && memcmp(head->method, "CONNECT", 7) == 0 ? HTTP1_METHOD_CONNECT
                                                                          : HTTP1_METHOD_OTHER;
    head->http10 = version[8] == '0';
    return request_target(head, target, end, line->cut);
}

/* Can what there is of a line become a request line? */
static bool request_line_part(const struct http1_line *line) {
    int method = request_method(line->text, line->used);
    return line->total <= HTTP1_START_LINE_MAX && method != 0 &&
           (method < 0 || (size_t)method + 1 >= line->used || line->text[method + 1] != ' ');
}

static bool request_is_preface(const struct http1_request *request, const char *text, size_t n) {
    return !request->seen && !request->blank && n >= REQUEST_PREFACE_LEN &&
           memcmp(text, request_preface, REQUEST_PREFACE_LEN) == 0;
}

static enum http1_status request_fail(struct http1_request *request) {
    request->status = request->seen ? HTTP1_BLIND : HTTP1_FOREIGN;
    return request->status;
}

static void request_start(struct http1_request *request, const struct http1_request_ops *ops,
                          void *ctx) {
    if (!request->started) ops->start(ctx);
    request->started = true;
}

/* REQUEST_LINE: up to the end of the line, or of the feed. */
static enum http1_status request_feed_line(struct http1_request *request, const char **p,
                                           const char *end, const struct http1_request_ops *ops,
                                           void *ctx) {
    struct http1_span line;
    const char *text = *p;
    const uint32_t before = request->line.total;
    bool whole = http1_line_start(&request->line, p, end, &line);
    if (whole ? request_is_preface(request, line.text, line.len)
              : request_is_preface(request, request->line.text, request->line.used)) {
        *p = text;
        request->preface = (uint8_t)before;
        request->status = HTTP1_HTTP2;
        return HTTP1_HTTP2;
    }
    if (!(whole ? request_line(request, &line) : request_line_part(&request->line)))
        return request_fail(request);
    request_start(request, ops, ctx);
    if (whole) {
        request->seen = true;
        memset(&request->fields, 0, sizeof request->fields);
        request->state = REQUEST_HEAD;
    }
    return HTTP1_OK;
}

/* The empty line went by: RFC 9112 6.3, as far as it speaks of requests. */
static enum http1_status request_head_end(struct http1_request *request,
                                          const struct http1_request_ops *ops, void *ctx) {
    const struct http1_fields *fields = &request->fields;
    struct http1_request_head *head = &request->head;
    bool content = head->kind != HTTP1_METHOD_CONNECT; /* RFC 9110 9.3.6 */
    if (fields->overlong || (content && (fields->coding == HTTP1_CODING_OTHER ||
                                         (fields->coding == HTTP1_CODING_NONE &&
                                          fields->length_state == HTTP1_LENGTH_BAD))))
        return request_fail(request);
    head->close = !http1_field_persistent(fields, head->http10);
    head->upgrade = fields->upgrade && fields->option_upgrade;
    head->h2c = head->upgrade && fields->h2c;
    ops->head(ctx, head);
    if (content && fields->coding == HTTP1_CODING_CHUNKED) {
        http1_body_begin(&request->body, HTTP1_BODY_CHUNKED, 0);
        request->state = REQUEST_BODY;
    } else if (content && fields->length_state == HTTP1_LENGTH_VALID && fields->length > 0) {
        http1_body_begin(&request->body, HTTP1_BODY_LENGTH, fields->length);
        request->state = REQUEST_BODY;
    } else {
        request->state = REQUEST_IDLE;
        ops->end(ctx);
    }
    return HTTP1_OK;
}

/* REQUEST_HEAD: up to the end of the head, or of the feed. */
static enum http1_status request_feed_head(struct http1_request *request, const char **p,
                                           const char *end, const struct http1_request_ops *ops,
                                           void *ctx) {
    struct http1_span line, host;
    while (http1_line_field(&request->line, p, end, &line)) {
        if (line.len == 0) return request_head_end(request, ops, ctx);
        /* RFC 9112 3.2.2: the target has the say. */
        if (http1_field_read(&request->fields, &line, &host) && !request->head.authority[0] &&
            !host.cut && request->head.kind != HTTP1_METHOD_CONNECT)
            request_authority(&request->head, host.text, host.text + host.len);
    }
    return HTTP1_OK;
}

static enum http1_status request_body_went(struct http1_request *request,
                                           enum http1_body_result result,
                                           const struct http1_request_ops *ops, void *ctx) {
    if (result == HTTP1_BODY_BAD) return request_fail(request);
    if (result == HTTP1_BODY_DONE) {
        request->state = REQUEST_IDLE;
        ops->end(ctx);
    }
    return HTTP1_OK;
}

enum http1_status http1_request_feed(struct http1_request *request, const void *buf, size_t len,
                                     size_t *consumed, const struct http1_request_ops *ops,
                                     void *ctx) {
    const char *p = buf, *end = p + len;
    enum http1_status status = request->status;
    uint64_t payload = 0;
    while (status == HTTP1_OK && p < end) {
        switch (request->state) {
        case REQUEST_IDLE:
            if (*p == '\r' || *p == '\n') { /* RFC 9112 2.2: a client's extra line behind a body */
                request->blank = true;
                p++;
                break;
            }
            request->started = false;
            http1_line_reset(&request->line); /* what an older snapshot left there */
            request->state = REQUEST_LINE;
            /* fallthrough */
        case REQUEST_LINE: status = request_feed_line(request, &p, end, ops, ctx); break;
        case REQUEST_HEAD: status = request_feed_head(request, &p, end, ops, ctx); break;
        default:
            status = request_body_went(request, http1_body_feed(&request->body, &p, end, &payload),
                                       ops, ctx);
        }
    }
    *consumed = (size_t)(p - (const char *)buf);
    return status;
}

enum http1_status http1_request_skip(struct http1_request *request, uint64_t n,
                                     const struct http1_request_ops *ops, void *ctx) {
    if (request->status != HTTP1_OK || n == 0) return request->status;
    if (request->state != REQUEST_BODY) return request_fail(request);
    return request_body_went(request, http1_body_skip(&request->body, n), ops, ctx);
}

bool http1_request_idle(const struct http1_request *request) {
    return request->status == HTTP1_OK && request->state == REQUEST_IDLE;
}

void http1_request_copy(struct http1_request *dst, const struct http1_request *src) {
    bool in_head = src->state == REQUEST_LINE || src->state == REQUEST_HEAD;
    memcpy(dst, src,
           in_head ? offsetof(struct http1_request, line.text) + src->line.used
                   : offsetof(struct http1_request, fields));
}
