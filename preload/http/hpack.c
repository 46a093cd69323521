/* nghttp2's HPACK inflater in fixed memory, and what .ci/hpack ties to us instead of to libc. */
#include "http/hpack.h"

#include <string.h>
#include <sys/types.h>

#include "http/hpack_table.h"

#define nghttp2_hd_inflate_new2 hpack_inflate_new2
#define nghttp2_hd_inflate_change_table_size hpack_inflate_change_table_size
#define nghttp2_hd_inflate_hd2 hpack_inflate_hd2
#define nghttp2_hd_inflate_end_headers hpack_inflate_end_headers
#include <nghttp2/nghttp2.h>

_Static_assert(sizeof(nghttp2_mem) <= sizeof(((struct hpack *)0)->functions), "a nghttp2_mem");

/* ---- memory: pieces of 32, 48, 64, 96, 128 ... bytes, cut from chunks, kept by size when they come back ---- */

#define PIECE_HEAD 8u /* the class stands before the piece */

static size_t class_size(unsigned class) {
    return (class & 1 ? (size_t)48 : (size_t)32) << (class >> 1);
}

static void *piece_take(size_t n, void *ctx) {
    struct hpack *hpack = ctx;
    unsigned class = 0;
    if (n > HPACK_PIECE - PIECE_HEAD) return NULL;
    while (class_size(class) < n + PIECE_HEAD)
        class ++;
    const size_t size = class_size(class);
    uint8_t *piece = hpack->spare[class];
    if (piece) {
        memcpy(&hpack->spare[class], piece + PIECE_HEAD, sizeof hpack->spare[class]);
        return piece + PIECE_HEAD;
    }
    if ((size_t)(hpack->end - hpack->at) < size) {
        const size_t chunk = size > HPACK_CHUNK ? size : HPACK_CHUNK;
        uint8_t *fresh = hpack->more(hpack->more_ctx, chunk);
        if (!fresh) return NULL;
        hpack->at = fresh;
        hpack->end = fresh + chunk;
    }
    piece = hpack->at;
    hpack->at += size;
    memcpy(piece, &class, sizeof class);
    return piece + PIECE_HEAD;
}

static unsigned piece_class(const void *p) {
    unsigned class;
    memcpy(&class, (const uint8_t *)p - PIECE_HEAD, sizeof class);
    return class;
}

static void piece_give(void *p, void *ctx) {
    struct hpack *hpack = ctx;
    if (!p) return;
    const unsigned class = piece_class(p);
    memcpy(p, &hpack->spare[class], sizeof(void *));
    hpack->spare[class] = (uint8_t *)p - PIECE_HEAD;
}

static void *piece_zeroed(size_t count, size_t n, void *ctx) {
    if (n != 0 && count > HPACK_PIECE / n) return NULL;
    void *p = piece_take(count * n, ctx);
    return p ? memset(p, 0, count * n) : NULL;
}

static void *piece_resize(void *p, size_t n, void *ctx) {
    if (!p) return piece_take(n, ctx);
    const size_t room = class_size(piece_class(p)) - PIECE_HEAD;
    if (n <= room) return p;
    void *larger = piece_take(n, ctx);
    if (!larger) return NULL;
    memcpy(larger, p, room);
    piece_give(p, ctx);
    return larger;
}

/* ---- what nghttp2 was tied to ---- */

void *hpack_no_malloc(size_t n);
void *hpack_no_calloc(size_t count, size_t n);
void *hpack_no_realloc(void *p, size_t n);
void hpack_no_free(void *p);
_Noreturn void hpack_assert_fail(const char *what, const char *file, unsigned line,
                                 const char *function);
_Noreturn void hpack_stack_fail(void);

/* Its default allocator: nobody asks for it, the inflater is made with ours. */
void *hpack_no_malloc(size_t n) {
    (void)n;
    return NULL;
}

void *hpack_no_calloc(size_t count, size_t n) {
    (void)count;
    (void)n;
    return NULL;
}

void *hpack_no_realloc(void *p, size_t n) {
    (void)p;
    (void)n;
    return NULL;
}

void hpack_no_free(void *p) {
    (void)p;
}

/* Where an assertion of nghttp2's goes instead of abort: the program shall not end for what we do not understand. */
static __thread void **way_out;

void hpack_assert_fail(const char *what, const char *file, unsigned line, const char *function) {
    (void)what;
    (void)file;
    (void)line;
    (void)function;
    if (way_out) __builtin_longjmp(way_out, 1);
    __builtin_trap();
}

void hpack_stack_fail(void) {
    __builtin_trap();
}

/* ---- the table of static fields ---- */

#define DISTANCE_MAX INT64_C(0x7fffffff) /* no object is larger, and none of ours is mapped below */
static bool table_ready;

/*
 * Each word says how far it is from itself to what it means (.ci/hpack.c), and is made a pointer once, by whoever comes first.
 * Nobody waits for anybody: a thread may be stopped in the middle of this, interrupted, or forked away from.
 */
static void table_prepare(void) {
    if (__atomic_load_n(&table_ready, __ATOMIC_ACQUIRE)) return;
    for (unsigned i = 0; i < hpack_table_count; i++) {
        int64_t *word = (void *)(hpack_table + hpack_table_words[i]);
        int64_t value = __atomic_load_n(word, __ATOMIC_RELAXED);
        if (value < -DISTANCE_MAX || value > DISTANCE_MAX) continue;
        __atomic_compare_exchange_n(word, &value, value + (int64_t)(intptr_t)word, false,
                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&table_ready, true, __ATOMIC_RELEASE);
}

/* ---- the inflater ---- */

bool hpack_begin(struct hpack *hpack, hpack_more *more, void *ctx) {
    memset(hpack, 0, sizeof *hpack);
    table_prepare();
    hpack->more = more;
    hpack->more_ctx = ctx;
    const nghttp2_mem mem = {hpack, piece_take, piece_give, piece_zeroed, piece_resize};
    memcpy(hpack->functions, &mem, sizeof mem);
    nghttp2_hd_inflater *inflater = NULL;
    if (nghttp2_hd_inflate_new2(&inflater, (nghttp2_mem *)(void *)hpack->functions) != 0)
        return false;
    if (nghttp2_hd_inflate_change_table_size(inflater, HPACK_TABLE_MAX) != 0) return false;
    hpack->inflater = inflater;
    return true;
}

static bool feed(nghttp2_hd_inflater *inflater, const uint8_t *bytes, size_t n, bool last,
                 hpack_field *field, void *ctx) {
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        const ssize_t took = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, bytes, n, last);
        if (took < 0) return false;
        bytes += took;
        n -= (size_t)took;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            field(ctx, (const char *)nv.name, nv.namelen, (const char *)nv.value, nv.valuelen);
        if (flags & NGHTTP2_HD_INFLATE_FINAL) return nghttp2_hd_inflate_end_headers(inflater) == 0;
        if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && n == 0) return !last;
    }
}

bool hpack_feed(struct hpack *hpack, const uint8_t *bytes, size_t n, bool last, hpack_field *field,
                void *ctx) {
    void *frame[5];
    void **const before = way_out;
    nghttp2_hd_inflater *const inflater = hpack->inflater;
    static const uint8_t none;
    bool fine = false;
    if (!inflater) return false;
    way_out = frame;
    if (__builtin_setjmp(frame) == 0) fine = feed(inflater, n ? bytes : &none, n, last, field, ctx);
    way_out = before;
    if (!fine) hpack->inflater = NULL;
    return fine;
}
