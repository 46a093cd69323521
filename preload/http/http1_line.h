/*
 * Lines of a message head: taken where they lie in the feed; only one whose end (or whose
 * successor) is not in the same feed is put aside in the line buffer. Whatever the split, the same
 * lines come out.
 */
#ifndef HTTP_HTTP1_LINE_H
#define HTTP_HTTP1_LINE_H

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "http/http1.h"

/* Of a start line that is too long these last bytes are kept: the version stands there. */
#define HTTP1_LINE_TAIL 16u

/* A line without its end; valid until the next call. */
struct http1_span {
    const char *text;
    size_t len;
    bool cut; /* longer than HTTP1_LINE_SIZE: text is only its beginning */
    /* Of a start line: how it ends. The same as text if that is not cut. */
    const char *tail;
    size_t tail_len;
};

/*
 * The start line. false: the feed is used up and its end was not in it; what there is of it lies in
 * line->text, line->total says how long it is. A line longer than HTTP1_START_LINE_MAX comes out
 * with len 0.
 */
bool http1_line_start(struct http1_line *, const char **p, const char *end, struct http1_span *);

/*
 * The next header line, folded ones in one piece (RFC 9112 5.2); len 0 is the empty line. Lines that http1_field_read would find
 * nothing in may be passed over. false:
 * the feed is used up. A line at the very end of a feed comes out with the next one: only the byte
 * behind it tells whether it is folded.
 */
bool http1_line_field(struct http1_line *, const char **p, const char *end, struct http1_span *);

#if defined(__SSE2__)
/* The first line feed of [p, end), NULL if there is none: most lines are short, so that a call costs more than looking. */
static inline const char *http1_line_feed(const char *p, const char *end) {
    const __m128i wanted = _mm_set1_epi8('\n');
    const char *const begin = p;
    for (; end - p >= 16; p += 16) {
        const __m128i is = _mm_cmpeq_epi8(_mm_loadu_si128((const void *)p), wanted);
        const unsigned found = (unsigned)_mm_movemask_epi8(is);
        if (found) return p + __builtin_ctz(found);
    }
    if (p < end && end - begin >= 16) { /* the rest once more with bytes before it that are none */
        p = end - 16;
        const __m128i is = _mm_cmpeq_epi8(_mm_loadu_si128((const void *)p), wanted);
        const unsigned found = (unsigned)_mm_movemask_epi8(is);
        return found ? p + __builtin_ctz(found) : NULL;
    }
    while (p < end && *p != '\n')
        p++;
    return p < end ? p : NULL;
}
#else
static inline const char *http1_line_feed(const char *p, const char *end) {
    return memchr(p, '\n', (size_t)(end - p));
}
#endif

static inline void http1_line_reset(struct http1_line *line) {
    line->total = 0;
    line->used = 0;
    line->over = false;
    line->complete = false;
}

static inline char http1_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool http1_blank(char c) {
    return c == ' ' || c == '\t';
}

/* ---- eight bytes at once ---- */

#define HTTP1_EACH(byte) ((byte)*UINT64_C(0x0101010101010101)) /* that byte eight times */

static inline uint64_t http1_word(const char *text) {
    uint64_t word;
    memcpy(&word, text, sizeof word);
    return word;
}

/* The top bit of each byte that is a control character, DEL included. */
static inline uint64_t http1_controls(uint64_t word) {
    const uint64_t low = word & HTTP1_EACH(0x7f);
    const uint64_t below = ~(low + HTTP1_EACH(0x80 - 0x20)), is_del = low + HTTP1_EACH(1);
    return (below | is_del) & ~word & HTTP1_EACH(0x80);
}

/* The top bit of each byte that is this one. */
static inline uint64_t http1_bytes(uint64_t word, unsigned char byte) {
    const uint64_t differs = word ^ HTTP1_EACH((uint64_t)byte);
    return ~(((differs & HTTP1_EACH(0x7f)) + HTTP1_EACH(0x7f)) | differs) & HTTP1_EACH(0x80);
}

/* In lower case. */
static inline uint64_t http1_lower_word(uint64_t word) {
    const uint64_t low = word & HTTP1_EACH(0x7f);
    const uint64_t upper = ((low + HTTP1_EACH(0x80 - 'A')) ^ (low + HTTP1_EACH(0x7f - 'Z'))) &
                           ~word & HTTP1_EACH(0x80);
    return word | upper >> 2;
}

/* Equal but for the case of letters, eight bytes at once: in `lower` only letters have bit 6. */
static inline bool http1_same_word(uint64_t word, uint64_t lower) {
    return ((word ^ lower) & ~((lower & 0x4040404040404040) >> 1)) == 0;
}

/*
 * text begins with these lower-case characters (letters, '-' and '/'), in whatever case. n is at
 * least 4 and known to the compiler; the caller has seen to the length of text.
 */
__attribute__((always_inline)) static inline bool http1_same(const char *text, const char *lower,
                                                             size_t n) {
    if (n < 8) {
        uint32_t word[2], other[2];
        memcpy(&word[0], text, 4);
        memcpy(&other[0], lower, 4);
        memcpy(&word[1], text + (n - 4), 4);
        memcpy(&other[1], lower + (n - 4), 4);
        return http1_same_word((uint64_t)word[0] << 32 | word[1],
                               (uint64_t)other[0] << 32 | other[1]);
    }
    for (size_t i = 0;; i += 8) {
        if (i + 8 > n) i = n - 8;
        uint64_t word, other;
        memcpy(&word, text + i, 8);
        memcpy(&other, lower + i, 8);
        if (!http1_same_word(word, other)) return false;
        if (i + 8 == n) return true;
    }
}

#endif
