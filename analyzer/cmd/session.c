/* From traces to outputs, once for all verbs that report. */
#include "cmd/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "render/render.h"

bool session_open(struct session *s, const char *verb, const struct verb_options *options) {
    *s = (struct session){.verb = verb, .options = options};
    if (options->json) {
        s->json = strcmp(options->json, "-") == 0 ? stdout : fopen(options->json, "we");
        if (!s->json) {
            verb_error(verb, "cannot write '%s': %m", options->json);
            return false;
        }
    }
    s->model = model_new(NULL);
    if (s->model) return true;
    verb_error(verb, "out of memory");
    return false;
}

struct trace_file *session_trace(struct session *s, const char *path) {
    struct trace_error error;
    struct trace_file *file = trace_file_open(path, &error);
    if (!file) {
        verb_error(s->verb, "%s", error.text);
        return NULL;
    }
    s->files = array_grow(s->files, s->file_count, sizeof *s->files);
    s->files[s->file_count++] = file;
    return file;
}

bool session_add(struct session *s, struct trace_file *file, const struct process_fate *fate) {
    struct trace_error error;
    if (model_add_trace(s->model, file, fate, &error) == 0) return true;
    verb_error(s->verb, "%s", error.text);
    return false;
}

static bool session_write_json(struct session *s) {
    bool ok = render_json(s->report, s->json, TOOL_VERSION) == 0;
    ok = (s->json == stdout ? fflush(stdout) : fclose(s->json)) == 0 && ok;
    s->json = NULL;
    if (!ok) verb_error(s->verb, "cannot write '%s': %m", s->options->json);
    return ok;
}

bool session_report(struct session *s) {
    const struct verb_options *o = s->options;
    struct rules_options rules = {
        .grace_s = o->grace_s, .host_glob = o->host, .full_stacks = o->full_stacks};
    struct symbol_options symbols = {.debuginfod = o->debuginfod, .source_root = o->source_root};
    /*
     * Not before the command of `run` has ended: a symbolizer that stays offline changes the
     * environment.
     */
    s->symbolizer = symbolizer_new(&symbols);
    s->report = rules_evaluate(s->model, s->symbolizer, &rules);
    if (!s->report) {
        verb_error(s->verb, "out of memory");
        return false;
    }
    bool stdout_taken = s->json == stdout, ok = true;
    if (s->json) ok = session_write_json(s);
    if (o->quiet || stdout_taken) return ok;
    struct render_options text = {
        .color = render_use_color(stdout),
        .width = render_width(stdout),
        .limit = o->limit,
        .full_stacks = o->full_stacks,
        .verbose = o->verbose,
        .host_glob = o->host,
    };
    if (render_text(s->report, stdout, &text) == 0 && fflush(stdout) == 0) return ok;
    verb_error(s->verb, "cannot write to standard output: %m");
    return false;
}

int session_status(const struct session *s) {
    if (s->options->require_seen && s->report->connections_followed == 0) {
        verb_error(s->verb, "--require-seen: no client connection could be followed");
        return EXIT_FINDINGS;
    }
    if (s->options->require_seen && s->options->host && s->report->host_count == 0) {
        verb_error(s->verb,
                   "--require-seen: no client connection to a host that matches '%s' was seen",
                   s->options->host);
        return EXIT_FINDINGS;
    }
    return rules_exit_needed(s->report, s->options->fail_on) ? EXIT_FINDINGS : EXIT_CLEAN;
}

void session_close(struct session *s) {
    if (s->json && s->json != stdout) fclose(s->json);
    report_free(s->report);
    model_free(s->model);
    symbolizer_free(s->symbolizer);
    for (size_t i = 0; i < s->file_count; i++)
        trace_file_close(s->files[i]);
    free(s->files);
    *s = (struct session){0};
}
