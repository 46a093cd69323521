/* What text is written on: wrapped lines with hanging indents, and colours where they are wanted. */
#ifndef HTTPLEAK_PAPER_H
#define HTTPLEAK_PAPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum paper_style {
    STYLE_PLAIN,
    STYLE_BOLD,
    STYLE_DIM,
    STYLE_ERROR,
    STYLE_WARNING,
    STYLE_NOTE,
    STYLE_GOOD
};

struct paper {
    FILE *out;
    bool color;
    size_t width;
};

/*
 * Writes `text` (escaped for a terminal, in a style) behind `lead`, and wraps it: following lines are indented by `indent`
 * columns. `lead` is the program's own text, written as it is in `lead_style`, padded to `indent`. Ends with a newline.
 */
void paper_write(const struct paper *paper, size_t indent, const char *lead,
                 enum paper_style lead_style, const char *text, enum paper_style style);

/* "12,345"; "3.4 s", "2 min 5 s", "4 h 12 min", "3 d 2 h". The buffer is theirs for 16 calls. */
const char *paper_number(uint64_t number);
const char *paper_age(double seconds);

#endif
