/* What the two files of the text report share. */
#ifndef HTTPLEAK_TEXT_H
#define HTTPLEAK_TEXT_H

#include "render/paper.h"
#include "render/render.h"

#define INDENT 10u /* of what stands under a finding's sentence */
#define LINE_MAX_TEXT 8192u

/* A line that is put together piece by piece; what does not fit is left out. */
struct line {
    size_t length;
    char text[LINE_MAX_TEXT];
};
void line_add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

void write_finding(const struct report_finding *finding, const struct paper *paper,
                   const struct render_options *options);
/* One line, under the finding that it follows from. */
void write_consequence(const struct report_finding *finding, const struct paper *paper);
void write_note(const struct report_finding *finding, const struct paper *paper,
                const struct render_options *options);

#endif
