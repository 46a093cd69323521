/*
 * Verbs and options: what is dispatched, parsed, and printed by --help, the manual page and shell
 * completion.
 */
#ifndef HTTPLEAK_VERB_H
#define HTTPLEAK_VERB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "model/report.h"

#define TOOL_NAME "httpleak"
#ifndef TOOL_VERSION
#define TOOL_VERSION "0.1.0"
#endif

/* Exit statuses that are ours; those of the command under `run` are its own. */
enum {
    EXIT_CLEAN = 0,
    EXIT_USAGE = 2,     /* report, dump, doctor, explain: wrong usage, unreadable trace */
    EXIT_FINDINGS = 23, /* findings at or above --fail-on; nothing seen with --require-seen */
    EXIT_RUN_FAILED = 125,
    EXIT_RUN_NOT_EXECUTABLE = 126,
    EXIT_RUN_NOT_FOUND = 127,
};

/* What the options of a command line say. Strings point into argv. */
struct verb_options {
    const char *json; /* file, "-": standard output, NULL: none */
    const char *output;
    const char *host;
    const char *source_root;
    enum report_severity fail_on;
    double grace_s;
    unsigned long limit; /* 0: all */
    bool quiet;
    bool full_stacks;
    bool debuginfod;
    bool require_seen;
    bool verbose;
    bool check;
    bool help;
};

enum verb_option_id {
    OPTION_JSON,
    OPTION_QUIET,
    OPTION_FAIL_ON,
    OPTION_GRACE,
    OPTION_HOST,
    OPTION_LIMIT,
    OPTION_SOURCE_ROOT,
    OPTION_FULL_STACKS,
    OPTION_DEBUGINFOD,
    OPTION_REQUIRE_SEEN,
    OPTION_OUTPUT,
    OPTION_CHECK,
    OPTION_VERBOSE,
    OPTION_HELP,
    OPTION_COUNT
};

struct verb_option {
    const char *name;     /* long name, without the dashes */
    char letter;          /* short one, 0: none */
    const char *argument; /* its name in help, NULL: takes none */
    const char *values;   /* the only values it takes, separated by spaces; NULL: any */
    const char *help;
};

struct verb {
    const char *name;
    const char *synopsis; /* after the name */
    const char *summary;  /* half a line */
    const char *text;     /* paragraphs for --help and the manual page */
    uint32_t options;     /* bits 1 << enum verb_option_id */
    bool stops_early; /* the first operand ends the options: what follows is a command of its own */
    int usage_status; /* exit status for wrong usage */
    int (*run)(const struct verb_options *options, int count, char **operands);
};

/*
 * The tables; verb_table ends with a row whose name is NULL, verb_option_table has a row for each
 * enum verb_option_id.
 */
extern const struct verb verb_table[];
extern const struct verb_option verb_option_table[OPTION_COUNT];

/* NULL if there is none of that name. */
const struct verb *verb_find(const char *name);

/*
 * Parses argv (argv[0] is the verb). On success returns the index of the first operand; on wrong
 * usage writes one line into `error` and returns -1. Permutes argv unless the verb stops early.
 * Starts from the defaults.
 */
int verb_parse(const struct verb *verb, int argc, char **argv, struct verb_options *options,
               char *error, size_t size);

/* Prints the one line of a failure: "httpleak VERB: ...". */
void verb_error(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

int verb_run(const struct verb_options *options, int count, char **operands);
int verb_report(const struct verb_options *options, int count, char **operands);
int verb_dump(const struct verb_options *options, int count, char **operands);
int verb_doctor(const struct verb_options *options, int count, char **operands);
int verb_explain(const struct verb_options *options, int count, char **operands);

/* help.c: everything that is printed from the tables. */
void help_text(FILE *out, const char *text, int indent); /* paragraphs, broken at spaces */
void help_overview(FILE *out);
void help_verb(const struct verb *verb, FILE *out);
void help_manual(FILE *out);          /* a manual page, in man(7) macros */
void help_completion_bash(FILE *out); /* a bash completion script */

#endif
