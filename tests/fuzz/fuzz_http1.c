/*
 * Fuzzes HTTP/1 framing: whatever the bytes are, cutting the stream (and taking a send back)
 * changes nothing of what is said.
 *
 * Input: a byte of choices, a byte that decides the cuts, then the stream.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http1.h"

enum {
    CHOICE_RESPONSE = 1,
    CHOICE_ROLLBACK = 2,
    CHOICE_SKIP = 4,
    CHOICE_EOF = 8,
    CHOICE_KINDS = 16
};

#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct told { /* what was said, as a sum */
    uint64_t sum;
    uint64_t body, length; /* of the response body under way */
    enum http1_framing framing;
    bool open;  /* a message that has a head and no end */
    bool kinds; /* not all requests are plain */
    unsigned answered;
};

static void tell(struct told *told, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        told->sum = (told->sum ^ p[i]) * UINT64_C(0x100000001b3);
}

static void tell_number(struct told *told, uint64_t n) {
    tell(told, &n, sizeof n);
}

static void on_start(void *ctx) {
    HOLDS(!((struct told *)ctx)->open);
}

static void on_request(void *ctx, const struct http1_request_head *head) {
    struct told *told = ctx;
    HOLDS(!told->open);
    told->open = true;
    const size_t method = strnlen(head->method, sizeof head->method);
    const size_t path = strnlen(head->path, sizeof head->path);
    const size_t authority = strnlen(head->authority, sizeof head->authority);
    HOLDS(method > 0 && method < sizeof head->method);
    HOLDS(path < sizeof head->path && authority < sizeof head->authority);
    HOLDS(!memchr(head->path, '?', path) && !memchr(head->path, '#', path) &&
          !memchr(head->path, '\n', path));
    HOLDS(!memchr(head->authority, '@', authority) || head->kind == HTTP1_METHOD_OTHER ||
          head->kind == HTTP1_METHOD_HEAD);
    for (size_t i = 0; i < authority; i++)
        HOLDS((unsigned char)head->authority[i] > ' ');
    tell(told, head->method, method + 1);
    tell(told, head->path, path + 1);
    tell(told, head->authority, authority + 1);
    tell_number(told, head->kind | head->http10 << 4 | head->close << 5 | head->upgrade << 6 |
                          head->path_truncated << 7);
}

static void on_end(void *ctx) {
    struct told *told = ctx;
    HOLDS(told->open);
    told->open = false;
    HOLDS(told->framing != HTTP1_BODY_NONE || told->body == 0);
    HOLDS(told->framing != HTTP1_BODY_LENGTH || told->body == told->length);
    tell_number(told, told->body);
    told->body = 0;
    told->answered++;
}

static bool on_ask(void *ctx, enum http1_method_kind *kind) {
    struct told *told = ctx;
    HOLDS(!told->open);
    *kind = told->kinds ? (enum http1_method_kind)(told->answered % 3) : HTTP1_METHOD_OTHER;
    return told->answered < 5;
}

static void on_response(void *ctx, const struct http1_response_head *head) {
    struct told *told = ctx;
    HOLDS(!told->open);
    HOLDS(head->status >= 100 && head->status <= 999);
    HOLDS(head->framing == HTTP1_BODY_LENGTH ? head->length > 0 : head->length == 0);
    HOLDS(!(head->framing == HTTP1_BODY_UNTIL_CLOSE && head->keep_alive));
    told->open = head->is_final && !head->tunnel;
    told->framing = head->framing;
    told->length = head->length;
    tell_number(told, head->status | (uint64_t)head->framing << 16);
    tell_number(told, head->length);
    tell_number(told, head->http10 | head->is_final << 1 | head->tunnel << 2 | head->upgrade << 3 |
                          head->keep_alive << 4 | head->event_stream << 5 | head->grpc << 6);
}

static void on_body(void *ctx, uint64_t bytes) {
    struct told *told = ctx;
    HOLDS(told->open && bytes > 0);
    told->body += bytes;
    HOLDS(told->framing != HTTP1_BODY_LENGTH || told->body <= told->length);
}

static const struct http1_request_ops request_ops = {on_start, on_request, on_end};
static const struct http1_response_ops response_ops = {on_ask, on_response, on_body, on_end};

/* An exact copy on the heap: the sanitizer sees what is read beyond it. */
static char *piece_of(const uint8_t *bytes, size_t n) {
    char *piece = malloc(n ? n : 1);
    if (!piece) abort();
    if (n) memcpy(piece, bytes, n);
    return piece;
}

/* cut: 0 for one piece, else a seed for the pieces' sizes */
static struct told run(const uint8_t *bytes, size_t size, unsigned choices, unsigned cut,
                       enum http1_status *status, size_t *offset) {
    struct told told = {.kinds = choices & CHOICE_KINDS};
    struct http1_request request = {0}, snapshot;
    struct http1_response response = {0};
    uint64_t random = cut;
    const bool answers = choices & CHOICE_RESPONSE;
    *status = HTTP1_OK;
    *offset = size;
    for (size_t from = 0, n; from < size && *status == HTTP1_OK; from += n) {
        n = size - from;
        if (random) {
            random = random * 1103515245u + 12345u;
            n = 1 + (random >> 16 & 0x7fff) % (1 + (random >> 8 & 63));
        }
        if (n > size - from) n = size - from;
        char *piece = piece_of(bytes + from, n);
        size_t consumed = SIZE_MAX;
        if (answers) {
            *status = http1_response_feed(&response, piece, n, &consumed, &response_ops, &told);
        } else {
            if (cut && (choices & CHOICE_ROLLBACK)) {
                struct told forgotten = told;
                memset(&snapshot, 0xa5, sizeof snapshot);
                http1_request_copy(&snapshot, &request);
                const size_t given = n + (size - from - n) / 2;
                char *more = piece_of(bytes + from, given);
                http1_request_feed(&request, more, given, &consumed, &request_ops, &forgotten);
                free(more);
                http1_request_copy(&request, &snapshot);
            }
            *status = http1_request_feed(&request, piece, n, &consumed, &request_ops, &told);
        }
        free(piece);
        HOLDS(consumed <= n);
        HOLDS(*status != HTTP1_OK || consumed == n);
        HOLDS(answers ? *status != HTTP1_HTTP2 : *status != HTTP1_TUNNEL);
        if (*status == HTTP1_TUNNEL) *offset = from + consumed;
    }
    if (choices & CHOICE_SKIP) {
        if (answers)
            *status = http1_response_skip(&response, 3, &response_ops, &told);
        else
            *status = http1_request_skip(&request, 3, &request_ops, &told);
    }
    if (answers && choices & CHOICE_EOF) {
        bool truncated = true;
        HOLDS(http1_response_eof(&response, &truncated, &response_ops, &told) == *status);
        HOLDS(*status == HTTP1_OK || !truncated);
        tell_number(&told, truncated);
    }
    tell_number(&told, told.body);
    tell_number(&told, answers ? http1_response_idle(&response) : http1_request_idle(&request));
    return told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    enum http1_status status[2];
    size_t offset[2];
    const struct told whole = run(data + 2, size - 2, data[0], 0, &status[0], &offset[0]);
    const struct told cut = run(data + 2, size - 2, data[0], 1u + data[1], &status[1], &offset[1]);
    HOLDS(status[0] == status[1]);
    HOLDS(offset[0] == offset[1]);
    HOLDS(whole.sum == cut.sum);
    HOLDS(whole.answered == cut.answered);
    return 0;
}
