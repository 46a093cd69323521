/* The outputs: each renders a report to a stream and returns 0, or -1 with errno when writing failed. */
#ifndef HTTPLEAK_RENDER_H
#define HTTPLEAK_RENDER_H

#include <stdbool.h>
#include <stdio.h>

#include "model/report.h"

struct render_options {
    bool color;            /* render_use_color() decides well */
    int width;             /* columns; 0: render_width() */
    size_t limit;          /* --limit: findings shown in text; 0: all */
    bool full_stacks;      /* whole stacks instead of the first frames */
    bool verbose;          /* processes, unwinder, peers, every object */
    const char *host_glob; /* --host: all others were left out; NULL: none were */
};

int render_text(const struct report *report, FILE *out, const struct render_options *options);
/* Schema httpleak-report/1. `version` is the tool's. */
int render_json(const struct report *report, FILE *out, const char *version);

/* A terminal, TERM is not dumb, and NO_COLOR is not set (or empty). */
bool render_use_color(FILE *out);
/* $COLUMNS, else the terminal's width, else 100; never less than 40. */
int render_width(FILE *out);

/* Text as a terminal may see it: control bytes and what is not UTF-8 become \xNN. Returns malloc'ed memory. */
char *render_escape(const char *text);

#endif
