/* The rules: one table row and one function each, and what makes a report of their findings. */
#ifndef HTTPLEAK_RULES_H
#define HTTPLEAK_RULES_H

#include "model/model.h"
#include "model/report.h"

struct rules_options {
    double grace_s;        /* --grace; contract's default RULES_GRACE_DEFAULT_S */
    const char *host_glob; /* --host: fnmatch pattern for "host" or "host:port"; NULL: all */
    bool full_stacks;      /* --full-stacks */
};
#define RULES_GRACE_DEFAULT_S 5.0

struct rules_context;
struct rule {
    const char *id;
    enum report_severity severity; /* the worst one that it gives */
    const char *message; /* template: {n} {host} {role} {detail}, {singular|plural} by the count */
    const char *advice;
    const char *meaning; /* what `explain` prints, paragraph by paragraph */
    const char *mistake;
    const char *mend;
    const char *where; /* what the caller's stack shows, "asked for in" when NULL */
    void (*evaluate)(struct rules_context *context);
};

/* The table of all rules, worst first; ends with NULL. Each row stands in the file of its function. */
extern const struct rule *const rules_table[];
const struct rule *rules_find(const char *id);

/* Judges. The model, its traces and the symbolizer must outlive the report. `options` and `symbolizer` may be NULL. */
struct report *rules_evaluate(struct model *model, struct symbolizer *symbolizer,
                              const struct rules_options *options);
void report_free(struct report *report);

/* true when a finding at or above `fail_on` remains (SEVERITY_NEVER: never): exit status 23. */
bool rules_exit_needed(const struct report *report, enum report_severity fail_on);

/* "error", "warning", "note", "never" and back; false for any other word. */
const char *rules_severity_name(enum report_severity severity);
bool rules_severity_parse(const char *word, enum report_severity *out);

#endif
