/*
 * Fuzzes HTTP/2 framing and its header fields: whatever the bytes are, cutting the stream, and counting payload without a look,
 * change nothing of what is said; and what is said holds together.
 *
 * Input: a byte of choices, a byte that decides the cuts, then the stream.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http2.h"

enum {
    CHOICE_RECEIVED = 1,
    CHOICE_GREETED = 2, /* the preface and SETTINGS have gone before */
    CHOICE_LARGE = 4,   /* larger frames are allowed */
    CHOICE_SKIP = 8,
    CHOICE_REFUSE = 16, /* streams above 100 are not known */
    CHOICE_POOR = 32    /* little memory */
};

#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static struct
{ /* memory as the caller has it: pieces of their own, so that the sanitizer sees their ends */
    void *pieces[64];
    unsigned count, limit;
} memory;

static void *more(void *ctx, size_t size) {
    (void)ctx;
    if (memory.count == memory.limit) return NULL;
    void *piece = malloc(size);
    if (piece) memory.pieces[memory.count++] = piece;
    return piece;
}

struct told { /* what was said, as a sum */
    uint64_t sum;
    uint64_t frame; /* bytes of the DATA frame under way that were not told yet */
    uint32_t stream;
    unsigned choices;
    uint64_t offset;
};

static void tell(struct told *told, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        told->sum = (told->sum ^ p[i]) * UINT64_C(0x100000001b3);
}

static void tell_number(struct told *told, uint64_t n) {
    tell(told, &n, sizeof n);
}

static bool known(const struct told *told, uint32_t stream) {
    return stream <= 100 || !(told->choices & CHOICE_REFUSE);
}

static void on_start(void *ctx) {
    tell_number(ctx, 1);
}

static bool on_request(void *ctx, uint32_t stream, const struct http1_request_head *head,
                       uint64_t offset) {
    struct told *told = ctx;
    HOLDS(!(told->choices & CHOICE_RECEIVED));
    HOLDS(offset > told->offset);
    told->offset = offset;
    const size_t method = strnlen(head->method, sizeof head->method);
    const size_t path = strnlen(head->path, sizeof head->path);
    const size_t authority = strnlen(head->authority, sizeof head->authority);
    HOLDS(stream > 0 && method > 0 && method < sizeof head->method);
    HOLDS(path < sizeof head->path && authority < sizeof head->authority);
    HOLDS(!memchr(head->path, '?', path) && !memchr(head->path, '#', path));
    for (size_t i = 0; i < path; i++)
        HOLDS((unsigned char)head->path[i] >= ' ');
    for (size_t i = 0; i < authority; i++)
        HOLDS((unsigned char)head->authority[i] > ' ' && head->authority[i] != '@');
    tell(told, head->method, method + 1);
    tell(told, head->path, path + 1);
    tell(told, head->authority, authority + 1);
    tell_number(told, (uint64_t)stream << 8 | head->kind | head->path_truncated << 7);
    tell_number(told, offset);
    return known(told, stream);
}

static bool on_response(void *ctx, uint32_t stream, const struct http1_response_head *head) {
    struct told *told = ctx;
    HOLDS(told->choices & CHOICE_RECEIVED);
    HOLDS(stream > 0 && head->status >= 100 && head->status <= 999 && head->status != 101);
    HOLDS(head->framing == HTTP1_BODY_LENGTH ? head->length > 0 : head->length == 0);
    HOLDS(head->is_final || head->framing == HTTP1_BODY_NONE);
    tell_number(told, (uint64_t)stream << 32 | head->status | (uint64_t)head->framing << 16);
    tell_number(told, head->length);
    tell_number(told, head->event_stream | head->grpc << 1);
    return known(told, stream);
}

static bool on_frame(void *ctx, uint32_t stream, uint32_t bytes) {
    struct told *told = ctx;
    told->frame = bytes;
    told->stream = stream;
    tell_number(told, (uint64_t)stream << 32 | bytes);
    return known(told, stream);
}

static void on_data(void *ctx, uint32_t stream, uint64_t bytes) {
    struct told *told = ctx;
    HOLDS(bytes > 0 && bytes <= told->frame && stream == told->stream);
    told->frame -= bytes;
    told->sum += bytes; /* in how many pieces is the cuts' business */
}

static bool on_end(void *ctx, uint32_t stream) {
    tell_number(ctx, (uint64_t)stream << 8 | 2);
    return true;
}

static bool on_reset(void *ctx, uint32_t stream) {
    HOLDS(stream > 0);
    tell_number(ctx, (uint64_t)stream << 8 | 3);
    return known(ctx, stream);
}

static bool on_window(void *ctx, uint32_t stream, uint32_t increment) {
    HOLDS(increment <= 0x7fffffffu);
    tell_number(ctx, (uint64_t)stream << 32 | increment);
    return true;
}

static void on_setting(void *ctx, enum http2_setting id, uint32_t value) {
    HOLDS(id == HTTP2_SETTING_WINDOW || id == HTTP2_SETTING_FRAME_SIZE);
    tell_number(ctx, (uint64_t)id << 32 | value);
}

static void on_goaway(void *ctx, uint32_t last) {
    tell_number(ctx, (uint64_t)last << 8 | 4);
}

static bool on_promise(void *ctx, uint32_t stream) {
    HOLDS(((struct told *)ctx)->choices & CHOICE_RECEIVED);
    tell_number(ctx, (uint64_t)stream << 8 | 5);
    return known(ctx, stream);
}

static const struct http2_ops ops = {on_start,   on_request, on_response, on_frame,
                                     on_data,    on_end,     on_reset,    on_window,
                                     on_setting, on_goaway,  on_promise};

/* cut: 0 for one piece, else a seed for the pieces' sizes */
static struct told run(const uint8_t *bytes, size_t size, unsigned choices, unsigned cut,
                       enum http2_status *status) {
    static const char greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    struct told told = {.choices = choices};
    struct http2 h;
    uint64_t random = cut;
    const bool received = choices & CHOICE_RECEIVED;
    memory.limit = choices & CHOICE_POOR ? 1 : 64;
    HOLDS(http2_begin(&h, received ? HTTP2_RECEIVED : HTTP2_SENT, 0, more, NULL));
    if (choices & CHOICE_LARGE) http2_allow(&h, 1u << 20);
    if (choices & CHOICE_GREETED) {
        const size_t skip = received ? HTTP2_PREFACE_SIZE : 0;
        HOLDS(http2_feed(&h, greeting + skip, sizeof greeting - 1 - skip, &ops, &told) == HTTP2_OK);
    }
    *status = (enum http2_status)h.status;
    for (size_t from = 0, n; from < size && *status == HTTP2_OK; from += n) {
        uint32_t stream;
        n = size - from;
        if (random) {
            random = random * 1103515245u + 12345u;
            n = 1 + (random >> 16 & 0x7fff) % (1 + (random >> 8 & 63));
        }
        if (n > size - from) n = size - from;
        if (cut && (random >> 40 & 1) && http2_take(&h, n, &stream)) {
            on_data(&told, stream, n);
            continue;
        }
        uint8_t *piece = malloc(n);
        if (!piece) abort();
        memcpy(piece, bytes + from, n);
        *status = http2_feed(&h, piece, n, &ops, &told);
        free(piece);
    }
    if (choices & CHOICE_SKIP) *status = http2_skip(&h, 3, &ops, &told);
    HOLDS(*status != HTTP2_FOREIGN || !(choices & CHOICE_GREETED));
    if (*status != HTTP2_OK) {
        const uint64_t sum = told.sum;
        HOLDS(http2_feed(&h, greeting, sizeof greeting, &ops, &told) == *status);
        HOLDS(told.sum == sum);
    }
    tell_number(&told, told.frame);
    while (memory.count > 0)
        free(memory.pieces[--memory.count]);
    return told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    enum http2_status status[2];
    const struct told whole = run(data + 2, size - 2, data[0], 0, &status[0]);
    const struct told cut = run(data + 2, size - 2, data[0], 1u + data[1], &status[1]);
    HOLDS(status[0] == status[1]);
    HOLDS(whole.sum == cut.sum);
    return 0;
}
