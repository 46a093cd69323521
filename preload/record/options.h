/* HTTPLEAK_OPTIONS, parsed once in the constructor into plain data. */
#ifndef RECORD_OPTIONS_H
#define RECORD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define OPTIONS_PATH_MAX 1024

struct options {
    char trace[OPTIONS_PATH_MAX]; /* template, default "httpleak.%e.%p.trace" */
    bool trace_named;             /* the user named the place */
    uint32_t stack_depth;         /* 1..TRACE_STACK_DEPTH_MAX, default 32 */
    uint64_t max_trace;           /* bytes, default 64 MiB; suffixes k, m, g */
    uint32_t max_traces;          /* trace files in one directory, default 1000 */
    bool summary, children, record_paths, record_argv, verbose;
    bool
        active; /* false: only= or skip= leave this program out, or children=0 in a child of a traced process */
};
extern struct options options;

/*
 * Fills options from text (HTTPLEAK_OPTIONS; NULL: defaults); program is the executable's base name, for only= and skip=.
 * An unknown key or a bad value is one warning line on standard error that names it and what was expected, and the default stays.
 */
void options_parse(const char *text, const char *program);
/* Whether only= or skip= in text leave that program out. Changes nothing. */
bool options_leave_out(const char *text, const char *program);

#endif
