/* httpleak report: traces judged, whoever made them and however their programs ended. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/session.h"
#include "launch/traces.h"

static bool report_add(struct session *session, const char *path) {
    struct trace_file *file = session_trace(session, path);
    return file && session_add(session, file, NULL);
}

/* A directory stands for every trace in it. */
static bool report_add_directory(struct session *session, const char *directory) {
    struct traces_list list;
    if (!traces_in_directory(directory, &list)) {
        verb_error(session->verb, "cannot read the directory '%s': %m", directory);
        return false;
    }
    bool ok = list.count > 0;
    if (!ok)
        verb_error(session->verb, "no trace in '%s': httpleak.*.trace was expected", directory);
    for (size_t i = 0; i < list.count; i++)
        ok = report_add(session, list.paths[i]) && ok;
    traces_free(&list);
    return ok;
}

/*
 * When a trace was made, by the calendar. Its header says it; a time of change says little of a
 * file that is written through a mapping, and counts only for what is no readable trace (and is
 * worth a message if it is the newest).
 */
static uint64_t report_age(const char *path) {
    struct trace_error error;
    struct stat st;
    struct trace_file *file = trace_file_open(path, &error);
    if (!file)
        return stat(path, &st) == 0
                   ? (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec
                   : 0;
    const struct trace_header *h = trace_file_header(file);
    uint64_t made = h->started_realtime_ns + (h->created_ns - h->started_ns);
    trace_file_close(file);
    return made;
}

static bool report_add_newest(struct session *session) {
    struct traces_list list;
    if (!traces_in_directory(".", &list)) {
        verb_error(session->verb, "cannot read the working directory: %m");
        return false;
    }
    const char *newest = NULL;
    uint64_t newest_made = 0;
    for (size_t i = 0; i < list.count; i++) {
        uint64_t made = report_age(list.paths[i]);
        if (newest && made < newest_made) continue;
        newest = list.paths[i];
        newest_made = made;
    }
    bool ok = newest && report_add(session, newest);
    if (!newest)
        verb_error(session->verb,
                   "no trace named and no httpleak.*.trace in the working directory");
    traces_free(&list);
    return ok;
}

int verb_report(const struct verb_options *options, int count, char **operands) {
    struct session session;
    bool ok = session_open(&session, "report", options);
    if (!ok) {
        session_close(&session);
        return EXIT_USAGE;
    }
    for (int i = 0; i < count; i++) {
        struct stat st;
        bool directory = stat(operands[i], &st) == 0 && S_ISDIR(st.st_mode);
        /* One bad trace must not hide what the others say. */
        ok = (directory ? report_add_directory : report_add)(&session, operands[i]) && ok;
    }
    if (count == 0) ok = report_add_newest(&session);
    int status = EXIT_USAGE;
    if (session.model->process_count > 0) {
        bool written = session_report(&session);
        if (session.report) status = session_status(&session);
        if (!ok || !written) status = EXIT_USAGE;
    }
    session_close(&session);
    return status;
}
