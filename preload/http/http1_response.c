/*
 * The responses of a connection: what a status line and a head promise, and whether the body came
 * to its end (RFC 9112 6.3).
 */
#include "http/http1_body.h"
#include "http/http1_field.h"
#include "http/http1_line.h"

#include <string.h>

enum response_state { RESPONSE_IDLE, RESPONSE_LINE, RESPONSE_HEAD, RESPONSE_BODY, RESPONSE_ENDED };

#define RESPONSE_LINE_LEN 12u /* HTTP/1.1 200 */

/*
 * Can these bytes begin a status line: HTTP/1.0 or 1.1, a space, three digits, then a space or the
 * end?
 */
static bool response_line_part(const char *text, size_t n) {
    static const char shape[] = "HTTP/1.v ddd ";
    for (size_t i = 0; i < n && i < sizeof shape - 1; i++) {
        char c = text[i];
        bool fits = shape[i] == 'v' ? c == '0' || c == '1'
                    : shape[i] == 'd'
                        ? c >= (i == 9 ? '1' : '0') && c <= '9'
                        : c == shape[i] || (i == RESPONSE_LINE_LEN && (c == '\r' || c == '\t'));
        if (!fits) return false;
    }
    return true;
}

/* The same of a line that is long enough to have it all. */
static bool response_line(const char *text, size_t n) {
    if (n <= RESPONSE_LINE_LEN) return response_line_part(text, n);
    const char last = text[RESPONSE_LINE_LEN];
    return memcmp(text, "HTTP/1.", 7) == 0 && (text[7] | 1) == '1' && text[8] == ' ' &&
           (unsigned char)(text[9] - '1') < 9 && (unsigned char)(text[10] - '0') < 10 &&
           (unsigned char)(text[11] - '0') < 10 && (last == ' ' || last == '\r' || last == '\t');
}

static enum http1_status response_fail(struct http1_response *response) {
    response->status = response->seen ? HTTP1_BLIND : HTTP1_FOREIGN;
    return response->status;
}

/* RESPONSE_LINE: up to the end of the line, or of the feed. */
static enum http1_status response_feed_line(struct http1_response *response, const char **p,
                                            const char *end) {
    struct http1_span line;
    if (!http1_line_start(&response->line, p, end, &line)) {
        if (response->line.total > HTTP1_START_LINE_MAX ||
            !response_line_part(response->line.text, response->line.used))
            return response_fail(response);
        return HTTP1_OK;
    }
    if (line.len < RESPONSE_LINE_LEN || !response_line(line.text, line.len))
        return response_fail(response);
    response->http10 = line.text[7] == '0';
    response->code =
        (uint16_t)((line.text[9] - '0') * 100 + (line.text[10] - '0') * 10 + (line.text[11] - '0'));
    if (!response->asked) { /* only ever after a first answer */
        response->unasked = response->code;
        return response_fail(response);
    }
    response->seen = true;
    memset(&response->fields, 0, sizeof response->fields);
    response->state = RESPONSE_HEAD;
    return HTTP1_OK;
}

/* RFC 9112 6.3, in its order; false: nobody can know where this message ends. */
static bool response_framing(const struct http1_response *response,
                             struct http1_response_head *head) {
    const struct http1_fields *fields = &response->fields;
    head->framing = HTTP1_BODY_NONE;
    if (!head->is_final || head->tunnel || response->kind == HTTP1_METHOD_HEAD ||
        head->status == 204 || head->status == 304)
        return true;
    if (fields->overlong) return false;
    if (fields->coding != HTTP1_CODING_NONE) {
        head->framing =
            fields->coding == HTTP1_CODING_CHUNKED ? HTTP1_BODY_CHUNKED : HTTP1_BODY_UNTIL_CLOSE;
    } else if (fields->length_state == HTTP1_LENGTH_NONE) {
        head->framing = HTTP1_BODY_UNTIL_CLOSE;
    } else if (fields->length_state == HTTP1_LENGTH_BAD) {
        return false;
    } else if (fields->length > 0) {
        head->framing = HTTP1_BODY_LENGTH;
        head->length = fields->length;
    }
    return true;
}

static enum http1_status response_head_end(struct http1_response *response,
                                           const struct http1_response_ops *ops, void *ctx) {
    struct http1_response_head head = {
        .status = response->code,
        .http10 = response->http10,
        .is_final = response->code >= 200 || response->code == 101,
        .upgrade = response->code == 101,
        .h2c = response->code == 101 && response->fields.h2c,
        .tunnel = response->code == 101 ||
                  (response->kind == HTTP1_METHOD_CONNECT && response->code / 100 == 2),
        .event_stream = response->fields.event_stream,
        .grpc = response->fields.grpc,
    };
    if (!response_framing(response, &head)) return response_fail(response);
    head.keep_alive = head.framing != HTTP1_BODY_UNTIL_CLOSE &&
                      http1_field_persistent(&response->fields, head.http10);
    ops->head(ctx, &head);
    if (head.tunnel) {
        response->status = HTTP1_TUNNEL;
        return HTTP1_TUNNEL;
    }
    if (head.framing != HTTP1_BODY_NONE) {
        http1_body_begin(&response->body, head.framing, head.length);
        response->state = RESPONSE_BODY;
        return HTTP1_OK;
    }
    response->state = RESPONSE_IDLE;
    if (head.is_final) ops->end(ctx);
    return HTTP1_OK;
}

/* RESPONSE_HEAD: up to the end of the head, or of the feed. */
static enum http1_status response_feed_head(struct http1_response *response, const char **p,
                                            const char *end, const struct http1_response_ops *ops,
                                            void *ctx) {
    struct http1_span line, host;
    while (http1_line_field(&response->line, p, end, &line)) {
        if (line.len == 0) return response_head_end(response, ops, ctx);
        http1_field_read(&response->fields, &line, &host);
    }
    return HTTP1_OK;
}

static enum http1_status response_body_went(struct http1_response *response,
                                            enum http1_body_result result, uint64_t payload,
                                            const struct http1_response_ops *ops, void *ctx) {
    if (payload > 0) ops->body(ctx, payload);
    if (result == HTTP1_BODY_BAD) return response_fail(response);
    if (result == HTTP1_BODY_DONE) {
        response->state = RESPONSE_IDLE;
        ops->end(ctx);
    }
    return HTTP1_OK;
}

enum http1_status http1_response_feed(struct http1_response *response, const void *buf, size_t len,
                                      size_t *consumed, const struct http1_response_ops *ops,
                                      void *ctx) {
    const char *p = buf, *end = p + len;
    enum http1_status status = response->status;
    while (status == HTTP1_OK && p < end) {
        switch (response->state) {
        case RESPONSE_IDLE:
            if (*p == '\r' || *p == '\n') {
                p++;
                break;
            }
            enum http1_method_kind kind = HTTP1_METHOD_OTHER;
            response->asked = ops->request(ctx, &kind);
            response->kind = (uint8_t)kind;
            if (!response->asked && !response->seen) {
                status = response_fail(response);
                break;
            }
            response->state = RESPONSE_LINE;
            /* fallthrough */
        case RESPONSE_LINE: status = response_feed_line(response, &p, end); break;
        case RESPONSE_HEAD: status = response_feed_head(response, &p, end, ops, ctx); break;
        case RESPONSE_BODY: {
            uint64_t payload = 0;
            enum http1_body_result result = http1_body_feed(&response->body, &p, end, &payload);
            status = response_body_went(response, result, payload, ops, ctx);
            break;
        }
        default: status = response_fail(response); /* RESPONSE_ENDED */
        }
    }
    *consumed = (size_t)(p - (const char *)buf);
    return status;
}

bool http1_response_take(struct http1_response *response, uint64_t n) {
    return response->state == RESPONSE_BODY && response->status == HTTP1_OK &&
           http1_body_take(&response->body, n);
}

enum http1_status http1_response_skip(struct http1_response *response, uint64_t n,
                                      const struct http1_response_ops *ops, void *ctx) {
    if (response->status != HTTP1_OK || n == 0) return response->status;
    if (response->state != RESPONSE_BODY) return response_fail(response);
    enum http1_body_result result = http1_body_skip(&response->body, n);
    return response_body_went(response, result, result == HTTP1_BODY_BAD ? 0 : n, ops, ctx);
}

enum http1_status http1_response_eof(struct http1_response *response, bool *truncated,
                                     const struct http1_response_ops *ops, void *ctx) {
    *truncated = false;
    if (response->status != HTTP1_OK || response->state == RESPONSE_ENDED) return response->status;
    uint8_t state = response->state;
    response->state = RESPONSE_ENDED;
    if (state == RESPONSE_BODY && http1_body_until_close(&response->body))
        ops->end(ctx);
    else
        *truncated = state != RESPONSE_IDLE;
    return HTTP1_OK;
}

bool http1_response_idle(const struct http1_response *response) {
    return response->status == HTTP1_OK && response->state == RESPONSE_IDLE;
}

bool http1_response_payload_over(const struct http1_response *response) {
    return response->status == HTTP1_OK && response->state == RESPONSE_BODY &&
           http1_body_in_trailer(&response->body);
}

uint16_t http1_response_unasked(const struct http1_response *response) {
    return response->status == HTTP1_BLIND ? response->unasked : 0;
}
