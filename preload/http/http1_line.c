/* Finding the lines of a message head in a byte stream that is cut anywhere. */
#include "http/http1_line.h"

#include <string.h>

static void line_append(struct http1_line *line, const char *text, size_t n) {
    size_t room = HTTP1_LINE_SIZE - line->used;
    if (n > room) {
        line->over = true;
        n = room;
    }
    memcpy(line->text + line->used, text, n);
    line->used = (uint16_t)(line->used + n);
}

/*
 * A start line that runs over loses its middle: the last HTTP1_LINE_TAIL bytes of the buffer move
 * along with its end.
 */
static void line_append_start(struct http1_line *line, const char *text, size_t n) {
    line->total = n > HTTP1_START_LINE_MAX ? HTTP1_START_LINE_MAX + 1 : line->total + (uint32_t)n;
    size_t room = HTTP1_LINE_SIZE - line->used;
    line_append(line, text, n);
    if (n <= room) return;
    text += room;
    n -= room;
    char *tail = line->text + HTTP1_LINE_SIZE - HTTP1_LINE_TAIL;
    if (n >= HTTP1_LINE_TAIL) {
        memcpy(tail, text + n - HTTP1_LINE_TAIL, HTTP1_LINE_TAIL);
    } else {
        memmove(tail, tail + n, HTTP1_LINE_TAIL - n);
        memcpy(tail + HTTP1_LINE_TAIL - n, text, n);
    }
}

/* RFC 9112 2.2: a bare LF may end a line, too. */
static inline size_t line_strip(const char *text, size_t n) {
    return n > 0 && text[n - 1] == '\r' ? n - 1 : n;
}

bool http1_line_start(struct http1_line *line, const char **p, const char *end,
                      struct http1_span *span) {
    const char *text = *p;
    const char *lf = http1_line_feed(text, end);
    if (!lf) {
        line_append_start(line, text, (size_t)(end - text));
        *p = end;
        return false;
    }
    *p = lf + 1;
    size_t n = (size_t)(lf - text), total = n;
    if (line->total > 0) {
        line_append_start(line, text, n);
        total = line->total;
        text = line->text;
        n = line->used;
        line->used = 0;
        line->total = 0;
        line->over = false;
    }
    span->text = text;
    span->cut = total > HTTP1_LINE_SIZE;
    if (span->cut) {
        span->len = total > HTTP1_START_LINE_MAX ? 0 : HTTP1_LINE_SIZE - HTTP1_LINE_TAIL;
        span->tail = text + n - HTTP1_LINE_TAIL;
        span->tail_len = line_strip(span->tail, HTTP1_LINE_TAIL);
    } else {
        span->len = line_strip(text, n);
        span->tail = text;
        span->tail_len = span->len;
    }
    return true;
}

/* The line buffer ends in a line's end: true if that was the empty line. */
static bool line_end(struct http1_line *line) {
    if (!line->over) line->used = (uint16_t)line_strip(line->text, line->used);
    line->complete = line->used > 0;
    return !line->complete;
}

/* Also with the line: then the colon may stand on a folded one. */
static inline bool name_ends(const char *text, size_t n, size_t length) {
    return n == length || (n > length && (text[length] == ':' || text[length] == '\r' ||
                                          http1_blank(text[length])));
}

/*
 * Whether http1_field_read may find something in a line of n bytes: the first letter and the length of the name settle that for
 * nearly all. What a folded line goes on with begins with a blank, and belongs to a line that was looked at.
 */
static inline bool line_matters(const char *text, size_t n) {
    switch (*text | 0x20) {
    case 'c': return name_ends(text, n, 10) || name_ends(text, n, 12) || name_ends(text, n, 14);
    case 'h': return name_ends(text, n, 4);
    case 'p': return name_ends(text, n, 16);
    case 't': return name_ends(text, n, 17);
    case 'u': return name_ends(text, n, 7);
    default: return false;
    }
}

/*
 * The quick way, as long as lines lie whole and unfolded in the feed, the byte behind them included: passes over those that do not
 * matter. false: *p is where the slow way goes on.
 */
static bool line_quick(const char **p, const char *end, struct http1_span *span) {
    const char *text = *p;
    while (end - text >= 2) {
        if (text[0] == '\n' || (text[0] == '\r' && text[1] == '\n')) {
            span->text = text;
            span->len = 0;
            span->cut = false;
            *p = text + (text[0] == '\r') + 1;
            return true;
        }
        const char *lf = http1_line_feed(text, end);
        if (!lf || lf + 1 == end) break;
        const size_t n = (size_t)(lf - text);
        if (line_matters(text, n)) {
            if (http1_blank(lf[1])) break;
            span->text = text;
            span->cut = n > HTTP1_LINE_SIZE;
            span->len = span->cut ? HTTP1_LINE_SIZE : line_strip(text, n);
            *p = lf + 1;
            return true;
        }
        text = lf + 1;
    }
    *p = text;
    return false;
}

bool http1_line_field(struct http1_line *line, const char **p, const char *end,
                      struct http1_span *span) {
    if (line->used == 0 && !line->complete && line_quick(p, end, span)) return true;
    while (*p < end) {
        const char *text = *p;
        if (line->complete) {
            line->complete = false;
            if (!http1_blank(*text)) {
                span->text = line->text;
                span->len = line->used;
                span->cut = line->over;
                line->used = 0;
                line->over = false;
                return true;
            }
        }
        const char *lf = http1_line_feed(text, end);
        if (!lf) {
            line_append(line, text, (size_t)(end - text));
            *p = end;
            return false;
        }
        *p = lf + 1;
        size_t n = (size_t)(lf - text);
        if (line->used == 0) {
            size_t bare = line_strip(text, n);
            if (bare == 0 || (lf + 1 < end && !http1_blank(lf[1]))) {
                span->cut = n > HTTP1_LINE_SIZE;
                span->text = text;
                span->len = span->cut ? HTTP1_LINE_SIZE : bare;
                return true;
            }
        }
        line_append(line, text, n);
        if (line_end(line)) {
            span->text = line->text;
            span->len = 0;
            span->cut = false;
            return true;
        }
    }
    return false;
}
