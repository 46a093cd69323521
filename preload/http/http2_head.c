/* What is kept of a header block: method, path, authority, status, and what tells how the body is to be taken. */
#include <string.h>

#include "http/http2.h"

#define NAME_IS(text) (name_len == sizeof text - 1 && memcmp(name, text, sizeof text - 1) == 0)

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool control(char c) {
    return (unsigned char)c < 0x20 || c == 0x7f;
}

void http2_head_begin(struct http2_head *head) {
    head->method = head->status = head->length_bad = head->authority = false;
    head->code = 0;
    head->length = 0;
    head->has_length = head->event_stream = head->grpc = false;
    memset(&head->request, 0, offsetof(struct http1_request_head, method));
    head->request.method[0] = head->request.path[0] = head->request.authority[0] = 0;
}

/* Without user information, in lower case; what is too long, or no name, leaves "". */
static void head_authority(struct http1_request_head *request, const char *value, size_t n) {
    const char *at = n ? memrchr(value, '@', n) : NULL;
    if (at) {
        n -= (size_t)(at + 1 - value);
        value = at + 1;
    }
    request->authority[0] = 0;
    if (n >= HTTP1_AUTHORITY_SIZE) return;
    for (size_t i = 0; i < n; i++)
        if (control(value[i]) || value[i] == ' ') return;
    for (size_t i = 0; i < n; i++)
        request->authority[i] = lower(value[i]);
    request->authority[n] = 0;
}

static void head_path(struct http1_request_head *request, const char *value, size_t n) {
    size_t used = 0;
    for (; used < n && used < HTTP1_PATH_SIZE - 1; used++) {
        const char c = value[used];
        if (c == '?' || c == '#' || control(c)) break;
        request->path[used] = c;
    }
    request->path[used] = 0;
    request->path_truncated = used == HTTP1_PATH_SIZE - 1 && used < n;
}

static void head_method(struct http2_head *head, const char *value, size_t n) {
    struct http1_request_head *request = &head->request;
    if (n >= HTTP1_METHOD_SIZE) n = HTTP1_METHOD_SIZE - 1;
    for (size_t i = 0; i < n; i++)
        request->method[i] = control(value[i]) ? '?' : value[i];
    request->method[n] = 0;
    request->kind = strcmp(request->method, "HEAD") == 0      ? HTTP1_METHOD_HEAD
                    : strcmp(request->method, "CONNECT") == 0 ? HTTP1_METHOD_CONNECT
                                                              : HTTP1_METHOD_OTHER;
    head->method = n > 0;
}

static void head_status(struct http2_head *head, const char *value, size_t n) {
    head->status = true;
    head->code = 0;
    if (n != 3) return;
    unsigned code = 0;
    for (size_t i = 0; i < n; i++) {
        if (value[i] < '0' || value[i] > '9') return;
        code = code * 10 + (unsigned)(value[i] - '0');
    }
    head->code = (uint16_t)code;
}

static void head_length(struct http2_head *head, const char *value, size_t n) {
    uint64_t length = 0;
    bool good = n > 0;
    for (size_t i = 0; i < n && good; i++) {
        const unsigned digit = (unsigned)(value[i] - '0');
        good = digit <= 9 && length <= (UINT64_MAX - digit) / 10;
        length = length * 10 + digit;
    }
    if (!good || (head->has_length && head->length != length)) head->length_bad = true;
    head->has_length = true;
    head->length = length;
}

static bool begins(const char *value, size_t n, const char *text, size_t length) {
    if (n < length) return false;
    for (size_t i = 0; i < length; i++)
        if (lower(value[i]) != text[i]) return false;
    return true;
}

static void head_type(struct http2_head *head, const char *value, size_t n) {
    static const char events[] = "text/event-stream", grpc[] = "application/grpc";
    const size_t length = sizeof events - 1;
    if (begins(value, n, events, length))
        head->event_stream =
            n == length || value[length] == ';' || value[length] == ' ' || value[length] == '\t';
    else
        head->grpc = begins(value, n, grpc, sizeof grpc - 1);
}

void http2_head_field(void *ctx, const char *name, size_t name_len, const char *value,
                      size_t value_len) {
    struct http2_head *head = ctx;
    switch (name_len) {
    case 4:
        if (NAME_IS("host") && !head->authority) head_authority(&head->request, value, value_len);
        break;
    case 5:
        if (NAME_IS(":path")) head_path(&head->request, value, value_len);
        break;
    case 7:
        if (NAME_IS(":method"))
            head_method(head, value, value_len);
        else if (NAME_IS(":status"))
            head_status(head, value, value_len);
        break;
    case 10:
        if (NAME_IS(":authority")) {
            head_authority(&head->request, value, value_len);
            head->authority = true;
        }
        break;
    case 12:
        if (NAME_IS("content-type")) head_type(head, value, value_len);
        break;
    case 14:
        if (NAME_IS("content-length")) head_length(head, value, value_len);
        break;
    default: break;
    }
}

bool http2_head_request(struct http2_head *head) {
    if (!head->method) return false;
    if (head->request.kind == HTTP1_METHOD_CONNECT) head->request.path[0] = 0;
    return true;
}

bool http2_head_response(const struct http2_head *head, bool end, struct http1_response_head *out,
                         bool *bad) {
    *bad = false;
    if (!head->status) return false;
    /* 101 does not exist here (RFC 9113 8.6), and an interim response ends nothing. */
    if (head->code < 100 || head->code == 101 || (head->code < 200 && end)) {
        *bad = true;
        return false;
    }
    *out = (struct http1_response_head){
        .status = head->code,
        .is_final = head->code >= 200,
        .keep_alive = true,
        .event_stream = head->event_stream,
        .grpc = head->grpc,
        .framing = HTTP1_BODY_UNTIL_CLOSE,
    };
    const bool length = head->has_length && !head->length_bad;
    if (end || !out->is_final || head->code == 204 || head->code == 304 ||
        (length && head->length == 0)) {
        out->framing = HTTP1_BODY_NONE;
    } else if (length) {
        out->framing = HTTP1_BODY_LENGTH;
        out->length = head->length;
    }
    return true;
}
