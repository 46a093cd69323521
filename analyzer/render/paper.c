/* Wrapping, colours, numbers and ages for people. */
#include "render/paper.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "render/escape.h"
#include "render/render.h"

static const char *const style_codes[] = {"",           "\033[1m",  "\033[2m",   "\033[1;31m",
                                          "\033[1;33m", "\033[36m", "\033[1;32m"};

static void style_begin(const struct paper *paper, enum paper_style style) {
    if (paper->color) fputs(style_codes[style], paper->out);
}

static void style_end(const struct paper *paper, enum paper_style style) {
    if (paper->color && style != STYLE_PLAIN) fputs("\033[0m", paper->out);
}

/* Columns of UTF-8 text, one a character. */
static size_t columns(const char *text, size_t length) {
    size_t n = 0;
    for (size_t i = 0; i < length; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

void paper_write(const struct paper *paper, size_t indent, const char *lead,
                 enum paper_style lead_style, const char *text, enum paper_style style) {
    char *safe = escape_text(text, true);
    size_t at = strlen(lead);
    style_begin(paper, lead_style);
    fputs(lead, paper->out);
    style_end(paper, lead_style);
    for (; at < indent; at++)
        fputc(' ', paper->out);
    style_begin(paper, style);
    size_t gap = 0; /* spaces before the word */
    for (const char *word = safe ? safe : ""; *word;) {
        size_t length = strcspn(word, " "), wide = columns(word, length);
        if (gap && at + gap + wide > paper->width) {
            style_end(paper, style);
            fprintf(paper->out, "\n%*s", (int)indent, "");
            style_begin(paper, style);
            at = indent;
            gap = 0;
        }
        fprintf(paper->out, "%*s", (int)gap, "");
        fwrite(word, 1, length, paper->out);
        at += gap + wide;
        gap = strspn(word + length, " ");
        word += length + gap;
    }
    style_end(paper, style);
    fputc('\n', paper->out);
    free(safe);
}

static char *next_buffer(void) {
    static char buffers[16][48];
    static unsigned next;
    return buffers[next++ % 16];
}

const char *paper_number(uint64_t number) {
    char digits[24], *out = next_buffer(), *to = out;
    size_t n = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, number);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) *to++ = ',';
        *to++ = digits[i];
    }
    *to = 0;
    return out;
}

const char *paper_age(double seconds) {
    char *out = next_buffer();
    uint64_t s = seconds < 0 ? 0 : seconds > 1e12 ? 1000000000000u : (uint64_t)(seconds + 0.5);
    if (seconds < 9.95)
        snprintf(out, 48, "%.1f s", seconds < 0 ? 0 : seconds);
    else if (s < 120)
        snprintf(out, 48, "%" PRIu64 " s", s);
    else if (s < 7200)
        snprintf(out, 48, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
    else if (s < 172800)
        snprintf(out, 48, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
    else
        snprintf(out, 48, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
    return out;
}

bool render_use_color(FILE *out) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if (no_color && no_color[0]) return false;
    return isatty(fileno(out)) && term && strcmp(term, "dumb") != 0;
}

int render_width(FILE *out) {
    const char *set = getenv("COLUMNS");
    struct winsize size;
    long width = set ? strtol(set, NULL, 10) : 0;
    if (width <= 0 && isatty(fileno(out)) && ioctl(fileno(out), TIOCGWINSZ, &size) == 0)
        width = size.ws_col;
    if (width <= 0) width = 100;
    return width < 40 ? 40 : width > 1000 ? 1000 : (int)width;
}
