/* The frames of one direction (RFC 9113 4 and 6), cut anywhere. */
#include "http/http2.h"

#include <string.h>

enum frame_type {
    FRAME_DATA,
    FRAME_HEADERS,
    FRAME_PRIORITY,
    FRAME_RST_STREAM,
    FRAME_SETTINGS,
    FRAME_PUSH_PROMISE,
    FRAME_PING,
    FRAME_GOAWAY,
    FRAME_WINDOW_UPDATE,
    FRAME_CONTINUATION
};
enum {
    FLAG_END_STREAM = 0x1,
    FLAG_ACK = 0x1,
    FLAG_END_HEADERS = 0x4,
    FLAG_PADDED = 0x8,
    FLAG_PRIORITY = 0x20
};

enum state {
    STATE_PREFACE,
    STATE_HEAD,     /* the nine bytes before each frame */
    STATE_PAD,      /* the padding's length */
    STATE_PRIORITY, /* five bytes of HEADERS that nobody heeds */
    STATE_PROMISED, /* the stream that PUSH_PROMISE names */
    STATE_BLOCK,    /* header fields */
    STATE_DATA,
    STATE_FIXED, /* fields of fixed size, `wanted` bytes each */
    STATE_SKIP,  /* what is left of it, unread; padding too */
};

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"; /* RFC 9113 3.4 */

struct feed { /* one call of http2_feed */
    struct http2 *h;
    const uint8_t *p, *start, *end;
    const struct http2_ops *ops;
    void *ctx;
};

static bool fail(struct feed *f) {
    const struct http2 *h = f->h;
    const bool known = h->settled || (h->side == HTTP2_SENT && h->state != STATE_PREFACE);
    f->h->status = known ? HTTP2_BLIND : HTTP2_FOREIGN;
    return false;
}

static uint32_t number(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Gathers `wanted` bytes; true when they are all there, `used` is 0 again then. */
static bool gather(struct feed *f, unsigned wanted) {
    struct http2 *h = f->h;
    size_t n = (size_t)(f->end - f->p);
    if (n > wanted - h->used) n = wanted - h->used;
    memcpy(h->bytes + h->used, f->p, n);
    f->p += n;
    h->used = (uint8_t)(h->used + n);
    if (h->used < wanted) return false;
    h->used = 0;
    return true;
}

/* ---- the end of a frame's parts ---- */

static bool told_end(struct feed *f) {
    return !f->ops->end || f->ops->end(f->ctx, f->h->stream) || fail(f);
}

static bool block_over(struct feed *f) {
    struct http2 *h = f->h;
    h->block = false;
    if (h->promised) return true;
    if (h->side == HTTP2_SENT) {
        if (http2_head_request(&h->head) && f->ops->request &&
            !f->ops->request(f->ctx, h->stream, &h->head.request,
                             h->offset + (uint64_t)(f->p - f->start)))
            return fail(f);
    } else {
        struct http1_response_head head;
        bool bad;
        if (http2_head_response(&h->head, h->block_end_stream, &head, &bad)) {
            if (f->ops->response && !f->ops->response(f->ctx, h->stream, &head)) return fail(f);
        } else if (bad) {
            return fail(f);
        }
    }
    return !h->block_end_stream || told_end(f);
}

/* The next n bytes of a header block. */
static bool block_bytes(struct feed *f, uint32_t n) {
    struct http2 *h = f->h;
    const bool over = n == h->remaining && (h->flags & FLAG_END_HEADERS);
    const uint8_t *bytes = f->p;
    f->p += n;
    h->remaining -= n;
    h->block_bytes += n;
    if (h->block_bytes > HTTP2_BLOCK_MAX ||
        !hpack_feed(&h->hpack, bytes, n, over, http2_head_field, &h->head))
        return fail(f);
    return !over || block_over(f);
}

/* Behind payload or header fields: the padding, if any. */
static bool part_over(struct feed *f) {
    struct http2 *h = f->h;
    const bool ends = h->type == FRAME_DATA && (h->flags & FLAG_END_STREAM);
    h->remaining = h->padding;
    h->state = h->padding ? STATE_SKIP : STATE_HEAD;
    return !ends || told_end(f);
}

/* The part of a frame that padding and priority stand before. */
static bool part_begins(struct feed *f) {
    struct http2 *h = f->h;
    if (h->padding > h->remaining) return fail(f);
    h->remaining -= h->padding;
    if (h->type == FRAME_DATA) {
        h->state = STATE_DATA;
        return h->remaining > 0 || part_over(f);
    }
    h->state = STATE_BLOCK;
    return h->remaining > 0 || (block_bytes(f, 0) && part_over(f));
}

/* Behind the padding's length. */
static bool before_part(struct feed *f) {
    struct http2 *h = f->h;
    if (h->type == FRAME_PUSH_PROMISE) {
        h->state = STATE_PROMISED;
        return h->remaining >= 4 || fail(f);
    }
    if (h->type == FRAME_HEADERS && (h->flags & FLAG_PRIORITY)) {
        h->state = STATE_PRIORITY;
        return h->remaining >= 5 || fail(f);
    }
    return part_begins(f);
}

/* ---- the beginning of a frame ---- */

static bool block_begins(struct feed *f, bool promised) {
    struct http2 *h = f->h;
    h->block = true;
    h->promised = promised;
    h->block_end_stream = !promised && (h->flags & FLAG_END_STREAM);
    h->block_bytes = 0;
    http2_head_begin(&h->head);
    if (f->ops->start && !promised) f->ops->start(f->ctx);
    return true;
}

/* Its length, and the stream that it may be on. */
static bool is_sound(const struct http2 *h) {
    const uint32_t n = h->remaining;
    if (n > __atomic_load_n(&h->frame_max, __ATOMIC_RELAXED)) return false;
    /* A header block is in one piece (RFC 9113 6.10). */
    if (h->block ? h->type != FRAME_CONTINUATION : h->type == FRAME_CONTINUATION) return false;
    if (!h->settled && (h->type != FRAME_SETTINGS || (h->flags & FLAG_ACK))) return false;
    switch (h->type) {
    case FRAME_DATA:
    case FRAME_HEADERS:
    case FRAME_CONTINUATION: return h->stream != 0;
    case FRAME_PRIORITY: return h->stream != 0 && n == 5;
    case FRAME_RST_STREAM: return h->stream != 0 && n == 4;
    case FRAME_SETTINGS: return h->stream == 0 && ((h->flags & FLAG_ACK) ? n == 0 : n % 6 == 0);
    case FRAME_PUSH_PROMISE: return h->stream != 0 && h->side == HTTP2_RECEIVED;
    case FRAME_PING: return h->stream == 0 && n == 8;
    case FRAME_GOAWAY: return h->stream == 0 && n >= 8;
    case FRAME_WINDOW_UPDATE: return n == 4;
    default: return true; /* RFC 9113 5.5: unknown ones are passed over */
    }
}

/* Frames that carry nothing and end nothing keep a connection busy for ever; a few are no harm. */
static bool is_flood(struct http2 *h) {
    const bool idle =
        h->remaining == 0 && (h->type == FRAME_DATA ? !(h->flags & FLAG_END_STREAM)
                              : h->type == FRAME_HEADERS || h->type == FRAME_CONTINUATION
                                  ? !(h->flags & FLAG_END_HEADERS)
                                  : h->type > FRAME_CONTINUATION);
    h->empty = idle                                                ? h->empty + 1
               : h->type == FRAME_DATA || h->type == FRAME_HEADERS ? 0
                                                                   : h->empty;
    return h->empty > HTTP2_EMPTY_MAX;
}

static bool frame_begins(struct feed *f) {
    struct http2 *h = f->h;
    const uint32_t before = h->stream;
    h->remaining = number(h->bytes) >> 8;
    h->type = h->bytes[3];
    h->flags = h->bytes[4];
    h->stream = number(h->bytes + 5) & 0x7fffffffu;
    h->padding = 0;
    h->state = h->remaining ? STATE_SKIP : STATE_HEAD;
    if (!is_sound(h) || is_flood(h)) return fail(f);
    switch (h->type) {
    case FRAME_DATA:
        if (f->ops->frame && !f->ops->frame(f->ctx, h->stream, h->remaining)) return fail(f);
        break;
    case FRAME_HEADERS: block_begins(f, false); break;
    case FRAME_PUSH_PROMISE: block_begins(f, true); break;
    case FRAME_CONTINUATION:
        if (h->stream != before) return fail(f);
        return part_begins(f);
    case FRAME_SETTINGS:
        h->settled = true;
        /* fallthrough */
    case FRAME_RST_STREAM:
    case FRAME_GOAWAY:
    case FRAME_WINDOW_UPDATE:
        if (h->remaining) h->state = STATE_FIXED;
        return true;
    default: return true;
    }
    if (!(h->flags & FLAG_PADDED)) return before_part(f);
    h->state = STATE_PAD;
    return h->remaining > 0 || fail(f);
}

/* ---- fields of fixed size ---- */

static bool fixed_field(struct feed *f) {
    struct http2 *h = f->h;
    const struct http2_ops *ops = f->ops;
    const unsigned wanted = h->type == FRAME_SETTINGS ? 6 : h->type == FRAME_GOAWAY ? 8 : 4;
    if (!gather(f, wanted)) return true;
    h->remaining -= wanted;
    const uint32_t value = number(h->bytes) & 0x7fffffffu;
    h->state = h->remaining == 0           ? STATE_HEAD
               : h->type == FRAME_SETTINGS ? STATE_FIXED
                                           : STATE_SKIP;
    switch (h->type) {
    case FRAME_RST_STREAM: return !ops->reset || ops->reset(f->ctx, h->stream) || fail(f);
    case FRAME_GOAWAY:
        if (ops->goaway) ops->goaway(f->ctx, value);
        return true;
    case FRAME_WINDOW_UPDATE:
        return !ops->window || ops->window(f->ctx, h->stream, value) || fail(f);
    default: break;
    }
    const unsigned id = (unsigned)h->bytes[0] << 8 | h->bytes[1];
    const uint32_t setting = number(h->bytes + 2);
    if (id == HTTP2_SETTING_WINDOW && setting > 0x7fffffffu) return fail(f);
    if (id == HTTP2_SETTING_FRAME_SIZE && (setting < HTTP2_FRAME_LEAST || setting > 0xffffffu))
        return fail(f);
    if ((id == HTTP2_SETTING_WINDOW || id == HTTP2_SETTING_FRAME_SIZE) && ops->setting)
        ops->setting(f->ctx, (enum http2_setting)id, setting);
    return true;
}

/* ---- the stream of bytes ---- */

/* What lies there of the part under way, and may be taken at once. */
static uint32_t here(const struct feed *f) {
    const size_t n = (size_t)(f->end - f->p);
    return n < f->h->remaining ? (uint32_t)n : f->h->remaining;
}

static bool data_bytes(struct feed *f, uint32_t n) {
    struct http2 *h = f->h;
    h->remaining -= n;
    h->empty = 0;
    if (f->ops->data && n > 0) f->ops->data(f->ctx, h->stream, n);
    return h->remaining > 0 || part_over(f);
}

static bool step(struct feed *f) {
    struct http2 *h = f->h;
    uint32_t n;
    switch (h->state) {
    case STATE_PREFACE:
        if (*f->p++ != (uint8_t)preface[h->used++]) return fail(f);
        if (h->used < HTTP2_PREFACE_SIZE) return true;
        h->used = 0;
        h->state = STATE_HEAD;
        return true;
    case STATE_HEAD: return !gather(f, HTTP2_FRAME_HEAD) || frame_begins(f);
    case STATE_PAD:
        h->padding = *f->p++;
        h->remaining--;
        return before_part(f);
    case STATE_PRIORITY:
        if (!gather(f, 5)) return true;
        h->remaining -= 5;
        return part_begins(f);
    case STATE_PROMISED:
        if (!gather(f, 4)) return true;
        h->remaining -= 4;
        if (f->ops->promise && !f->ops->promise(f->ctx, number(h->bytes) & 0x7fffffffu))
            return fail(f);
        return part_begins(f);
    case STATE_BLOCK: n = here(f); return block_bytes(f, n) && (h->remaining > 0 || part_over(f));
    case STATE_DATA:
        n = here(f);
        f->p += n;
        return data_bytes(f, n);
    case STATE_FIXED: return fixed_field(f);
    default:
        n = here(f);
        f->p += n;
        h->remaining -= n;
        if (h->remaining == 0) h->state = STATE_HEAD;
        return true;
    }
}

bool http2_begin(struct http2 *h, enum http2_side side, unsigned before, hpack_more *more,
                 void *ctx) {
    memset(h, 0, sizeof *h);
    h->side = (uint8_t)side;
    h->state = side == HTTP2_SENT ? STATE_PREFACE : STATE_HEAD;
    h->used = (uint8_t)before;
    h->frame_max = HTTP2_FRAME_LEAST;
    return hpack_begin(&h->hpack, more, ctx);
}

enum http2_status http2_feed(struct http2 *h, const void *buf, size_t len,
                             const struct http2_ops *ops, void *ctx) {
    struct feed f = {.h = h, .p = buf, .start = buf, .ops = ops, .ctx = ctx};
    f.end = f.start + len;
    while (h->status == HTTP2_OK && f.p < f.end)
        if (!step(&f)) break;
    h->offset += len;
    return (enum http2_status)h->status;
}

bool http2_take(struct http2 *h, uint64_t n, uint32_t *stream) {
    if (h->state != STATE_DATA || h->status != HTTP2_OK || n >= h->remaining || n == 0)
        return false;
    h->remaining -= (uint32_t)n;
    h->offset += n;
    h->empty = 0;
    *stream = h->stream;
    return true;
}

enum http2_status http2_skip(struct http2 *h, uint64_t n, const struct http2_ops *ops, void *ctx) {
    static const uint8_t none;
    struct feed f = {.h = h, .p = &none, .start = &none, .end = &none, .ops = ops, .ctx = ctx};
    if (h->status != HTTP2_OK || n == 0) return (enum http2_status)h->status;
    if (h->state != STATE_DATA || n > h->remaining)
        fail(&f);
    else
        data_bytes(&f, (uint32_t)n);
    h->offset += n;
    return (enum http2_status)h->status;
}

void http2_allow(struct http2 *h, uint32_t frame_max) {
    if (frame_max > __atomic_load_n(&h->frame_max, __ATOMIC_RELAXED))
        __atomic_store_n(&h->frame_max, frame_max, __ATOMIC_RELAXED);
}

bool http2_is_server_first(const void *bytes, size_t n) {
    /* SETTINGS that acknowledge nothing: length (a multiple of 6, not much), type 4, no flag, stream 0 */
    const uint8_t *b = bytes;
    static const uint8_t rest[] = {FRAME_SETTINGS, 0, 0, 0, 0, 0};
    if (n == 0 || b[0] != 0 || (n > 1 && b[1] > 3)) return false;
    if (n > 2 && ((unsigned)b[1] << 8 | b[2]) % 6 != 0) return false;
    for (size_t i = 3; i < n && i < HTTP2_FRAME_HEAD; i++)
        if (b[i] != rest[i - 3]) return false;
    return true;
}
