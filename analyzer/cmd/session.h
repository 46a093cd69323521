/*
 * What `run` and `report` share: traces into a model, the model into a report, the report into its
 * outputs.
 */
#ifndef HTTPLEAK_SESSION_H
#define HTTPLEAK_SESSION_H

#include "cmd/verb.h"
#include "model/model.h"
#include "rules/rules.h"

struct session {
    const char *verb; /* for messages */
    const struct verb_options *options;
    FILE *json; /* NULL: none */
    struct model *model;
    struct symbolizer *symbolizer;
    struct trace_file **files;
    size_t file_count;
    struct report *report; /* after session_report */
};

/* Opens the outputs, before anything else is done. False after one line on standard error. */
bool session_open(struct session *session, const char *verb, const struct verb_options *options);
/* Opens a trace; NULL after one line on standard error. The session keeps it. */
struct trace_file *session_trace(struct session *session, const char *path);
/* Adds an opened trace to the model. False after one line on standard error. */
bool session_add(struct session *session, struct trace_file *file, const struct process_fate *fate);
/*
 * Judges and writes every output. False after one line on standard error when an output could not
 * be written.
 */
bool session_report(struct session *session);
/*
 * 0, or EXIT_FINDINGS (after a line on standard error if that is for --require-seen). After
 * session_report.
 */
int session_status(const struct session *session);
void session_close(struct session *session);

#endif
