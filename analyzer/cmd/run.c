/*
 * httpleak run: a command with the recorder in it, then one report of every process that left a
 * trace.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/session.h"
#include "launch/command.h"
#include "launch/inject.h"
#include "launch/library.h"
#include "launch/service.h"
#include "launch/target.h"
#include "launch/traces.h"

/*
 * What the command started and did not wait for gets this long to end; what lives on is reported as
 * running.
 */
enum { RUN_PATIENCE_MS = 300, RUN_STEP_MS = 10 };

struct run {
    struct session session;
    struct traces_place place;
    struct command_end end;
    struct target target;
    struct inject inject; /* if the command itself needs that */
};

static const char *run_unwinder(uint32_t unwinder) {
    switch (unwinder) {
    case TRACE_UNWINDER_LIBUNWIND: return "libunwind";
    case TRACE_UNWINDER_LIBGCC: return "libgcc (slower)";
    default: return "none";
    }
}

/* Whether some other process with a trace is about to end. */
static bool run_still_ending(const struct run *run) {
    struct traces_list list;
    bool running = false;
    if (!traces_place_new(&run->place, &list)) return false;
    for (size_t i = 0; i < list.count && !running; i++) {
        struct trace_error error;
        struct trace_file *file = trace_file_open(list.paths[i], &error);
        const struct trace_header *h = file ? trace_file_header(file) : NULL;
        running = h && h->end == TRACE_END_RUNNING &&
                  command_alive((pid_t)h->pid, h->process_start_ticks);
        trace_file_close(file);
    }
    traces_free(&list);
    return running;
}

/* The trace of the command itself: its pid, and of the programs that had that pid the last one. */
static struct trace_file *run_own_trace(const struct run *run) {
    struct trace_file *own = NULL;
    for (size_t i = 0; i < run->session.file_count; i++) {
        const struct trace_header *h = trace_file_header(run->session.files[i]);
        if ((pid_t)h->pid != run->end.pid || h->started_ns < run->end.started_ns ||
            h->end == TRACE_END_EXEC)
            continue;
        if (!own || h->started_ns > trace_file_header(own)->started_ns) own = run->session.files[i];
    }
    return own;
}

static void run_wait(const struct run *run) {
    for (int waited = 0; waited < RUN_PATIENCE_MS && run_still_ending(run); waited += RUN_STEP_MS)
        nanosleep(&(struct timespec){.tv_nsec = RUN_STEP_MS * 1000000l}, NULL);
}

/* False when a trace could not be read: what it held is missing in the report. */
static bool run_collect(struct run *run) {
    struct session *s = &run->session;
    struct traces_list list;
    bool complete = true;
    if (!traces_place_new(&run->place, &list)) {
        verb_error(s->verb, "cannot read the directory '%s': %m", run->place.directory);
        return false;
    }
    for (size_t i = 0; i < list.count; i++)
        complete = session_trace(s, list.paths[i]) && complete;
    const struct trace_file *own = run_own_trace(run);
    struct process_fate fate = {true, run->end.status, run->end.signal, run->end.ended_ns};
    for (size_t i = 0; i < s->file_count; i++) {
        const struct trace_header *h = trace_file_header(s->files[i]);
        if (s->options->verbose)
            fprintf(stderr, "%s run: trace %s: pid %" PRIu32 ", recorder %s, unwinder %s\n",
                    TOOL_NAME, trace_file_path(s->files[i]), h->pid, h->recorder_version,
                    run_unwinder(h->unwinder));
        complete = session_add(s, s->files[i], s->files[i] == own ? &fate : NULL) && complete;
    }
    if (s->options->verbose && list.count == 0)
        fprintf(stderr,
                "%s run: no trace: no process opened a client connection, or the recorder could "
                "not reach it\n",
                TOOL_NAME);
    if (!complete) model_add_blind(s->model, "a trace could not be read");
    traces_free(&list);
    return complete;
}

static int run_start_failed(int error, const char *command) {
    verb_error("run", "cannot run '%s': %s", command, strerror(error));
    return error == ENOENT ? EXIT_RUN_NOT_FOUND : EXIT_RUN_NOT_EXECUTABLE;
}

/*
 * Tells the report what the recorder did not reach. A packed program may have had a loader inside, and the recorder by that.
 */
static void run_unseen(struct run *run) {
    const struct target *t = &run->target;
    const char *what = target_blind(t), *lost = NULL;
    char *text = NULL;
    if (what && t->go.packed && run_own_trace(run)) return;
    if (run->inject.end == INJECT_FAILED) lost = run->inject.why;
    if (run->inject.end == INJECT_NOTHING) lost = go_program_lost;
    if (!what && !lost) return;
    if (asprintf(&text, "%s: %s%s", t->path, lost ? "static Go program, not followed: " : "",
                 lost ? lost : what) >= 0)
        model_add_blind(run->session.model, text);
    free(text);
}

static void run_note(void *model, const char *text) {
    model_add_blind(model, text);
}

static bool run_prepare(struct run *run, const struct verb_options *options) {
    char error[512];
    if (!session_open(&run->session, "run", options)) return false;
    char *library = library_find(error, sizeof error);
    bool ok = library && traces_place_open(&run->place, options->output, error, sizeof error) &&
              library_export(library, run->place.directory, error, sizeof error);
    if (!ok) verb_error("run", "%s", error);
    if (ok && options->verbose)
        fprintf(stderr, "%s run: recorder %s, traces in %s\n", TOOL_NAME, library,
                run->place.template ? run->place.template : run->place.directory);
    free(library);
    return ok;
}

static int run_command(struct run *run, char **operands) {
    target_inspect(&run->target, operands[0]);
    if (run->target.error) return run_start_failed(run->target.error, operands[0]);
    struct service *service = service_open();
    run->end = command_run(operands, target_launched(&run->target) ? &run->inject : NULL);
    if (!run->end.error) run_wait(run);
    service_close(service, run_note, run->session.model);
    if (run->end.error) return run_start_failed(run->end.error, operands[0]);
    bool complete = run_collect(run);
    run_unseen(run);
    /* Traces are open by now; whoever breaks off the report (a pager, ^C) leaves nothing behind. */
    traces_place_close(&run->place);
    bool written = session_report(&run->session);
    int status = command_exit_status(&run->end);
    if (status) return status;
    if (!complete || !written || !run->session.report) return EXIT_RUN_FAILED;
    return session_status(&run->session);
}

int verb_run(const struct verb_options *options, int count, char **operands) {
    if (count == 0) {
        verb_error("run", "no command: '%s run [options] -- COMMAND [ARG]...' was expected",
                   TOOL_NAME);
        return EXIT_RUN_FAILED;
    }
    struct run run = {0};
    int status = run_prepare(&run, options) ? run_command(&run, operands) : EXIT_RUN_FAILED;
    session_close(&run.session);
    traces_place_close(&run.place);
    target_free(&run.target);
    return status;
}
