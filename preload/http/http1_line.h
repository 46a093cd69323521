/*
 * Lines of a message head: taken where they lie in the feed; only one whose end (or whose
 * successor) is not in the same feed is put aside in the line buffer. Whatever the split, the same
 * lines come out.
 */
#ifndef HTTP_HTTP1_LINE_H
#define HTTP_HTTP1_LINE_H

#include <string.h>

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
 * The next header line, folded ones in one piece (RFC 9112 5.2); len 0 is the empty line. false:
 * the feed is used up. A line at the very end of a feed comes out with the next one: only the byte
 * behind it tells whether it is folded.
 */
bool http1_line_field(struct http1_line *, const char **p, const char *end, struct http1_span *);

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
