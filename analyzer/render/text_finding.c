/* Findings as text: sentence, stacks, evidence, advice, and what follows from them. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "render/text.h"
#include "rules/rules.h"

#define LABEL 24u /* where the values behind labels start */
#define FRAMES 6u /* of a stack, without --full-stacks */

static enum paper_style severity_style(enum report_severity severity) {
    return severity == SEVERITY_ERROR     ? STYLE_ERROR
           : severity == SEVERITY_WARNING ? STYLE_WARNING
                                          : STYLE_NOTE;
}

/* ---- stacks ---- */

static const char *short_file(const char *file) {
    static char here[4096];
    if (!here[0] && !getcwd(here, sizeof here)) here[0] = '?';
    size_t n = strlen(here);
    return strncmp(file, here, n) == 0 && file[n] == '/' ? file + n + 1 : file;
}

static void add_frame(struct line *line, const struct symbol_frame *frame) {
    const char *module = frame->module[0] ? symbol_base_name(frame->module) : "?";
    if (frame->function)
        line_add(line, "%s", frame->function);
    else
        line_add(line, "%s+0x%" PRIx64, module, frame->offset);
    if (frame->file && frame->line)
        line_add(line, "  %s:%d", short_file(frame->file), frame->line);
    else if (frame->file)
        line_add(line, "  %s", short_file(frame->file));
    else if (frame->function)
        line_add(line, "  (%s)", module);
}

static void write_label(const struct paper *paper, const char *label, const char *text,
                        enum paper_style style) {
    char lead[64];
    snprintf(lead, sizeof lead, "%*s%-*s", (int)INDENT, "", (int)(LABEL - INDENT), label);
    paper_write(paper, LABEL, lead, STYLE_DIM, text, style);
}

/* What starts a program says nothing of it, nor do a library's frames between the user's own, nor code that no file has. */
static bool is_telling(const struct symbol_frame *frame) {
    return frame->kind == SYMBOL_USER && frame->module[0] &&
           !(frame->function && strcmp(frame->function, "_start") == 0);
}

/* The code of an interpreted program is not native: all that can be said is which interpreter ran it. */
static void write_interpreter(const struct paper *paper, const char *label,
                              const struct report_stack *stack) {
    struct line line = {0};
    const char *module = "", *switches = NULL;
    for (size_t i = 0; i < stack->count && !switches; i++) {
        if (stack->frames[i].kind != SYMBOL_INTERPRETER) continue;
        module = stack->frames[i].module;
        switches = symbol_switches(symbol_base_name(module));
    }
    line_add(&line, "code that %s interprets (--full-stacks shows the interpreter's own frames)",
             symbol_base_name(module));
    write_label(paper, label, line.text, STYLE_BOLD);
    if (switches) write_label(paper, "", switches, STYLE_DIM);
}

static void write_stack(const struct paper *paper, const char *label,
                        const struct report_stack *stack, const struct render_options *options) {
    size_t shown = 0;
    if (!options->full_stacks && stack->frames[0].kind == SYMBOL_INTERPRETER) {
        write_interpreter(paper, label, stack);
        return;
    }
    for (size_t i = 0; i < stack->count; i++) {
        const struct symbol_frame *frame = &stack->frames[i];
        struct line line = {0};
        if (!options->full_stacks && (shown == FRAMES || (shown > 0 && !is_telling(frame))))
            continue;
        add_frame(&line, frame);
        write_label(paper, shown ? "" : label, line.text, shown ? STYLE_PLAIN : STYLE_BOLD);
        if (options->verbose && !frame->function && frame->hint)
            write_label(paper, "", frame->hint, STYLE_DIM);
        shown++;
    }
}

/* The outermost function of the user's code: a thread of the client library's own does not lead to who asked. */
static const struct symbol_frame *stack_entry(const struct report_stack *stack) {
    for (size_t i = stack->count; i > 0; i--)
        if (stack->frames[i - 1].kind == SYMBOL_USER) return &stack->frames[i - 1];
    return NULL;
}

static bool same_entry(const struct report_stack *a, const struct report_stack *b) {
    const struct symbol_frame *x = stack_entry(a), *y = stack_entry(b);
    if (!x || !y) return true;
    if (x->function && y->function) return strcmp(x->function, y->function) == 0;
    return x->offset == y->offset;
}

/* ---- findings ---- */

static void write_request(const struct report_finding *finding, const struct paper *paper) {
    struct line line = {0};
    if (finding->method)
        line_add(&line, "%s %s", finding->method, finding->path ? finding->path : "");
    if (finding->status)
        line_add(&line, "%s%" PRIu32, line.length ? " -> " : "status ", finding->status);
    if (finding->oldest_age_s > 0)
        line_add(&line, "%s%s old", line.length ? ", " : "", paper_age(finding->oldest_age_s));
    if (finding->bytes_expected != TRACE_UNKNOWN && finding->status)
        line_add(&line, ", %s of %s bytes read", paper_number(finding->bytes_read),
                 paper_number(finding->bytes_expected));
    else if (finding->status)
        line_add(&line, ", %s bytes read", paper_number(finding->bytes_read));
    if (line.length)
        write_label(paper, finding->count > 1 ? "the oldest" : "request", line.text, STYLE_PLAIN);
}

/* A leak keeps growing; what was left behind in one moment does not. */
static void write_growth(const struct report_finding *finding, const struct paper *paper) {
    struct line line = {0};
    double span = finding->oldest_age_s - finding->newest_age_s;
    if (finding->count < 3 || finding->newest_age_s < 0 || span <= 0) return;
    line_add(&line, "%s in %s", paper_number(finding->count), paper_age(span));
    if (finding->newest_age_s > 0)
        line_add(&line, ", the newest %s ago", paper_age(finding->newest_age_s));
    write_label(paper, "grew by", line.text, STYLE_PLAIN);
}

/* Threads, those that wait in the same kind of call together: "cond: tid 17 18, read: tid 19". */
static void add_threads(struct line *line, const struct report_object *threads, size_t count) {
    for (size_t i = 0; i < count; i++) {
        bool told = false;
        for (size_t j = 0; j < i; j++)
            told |= strcmp(threads[j].wait, threads[i].wait) == 0;
        if (told) continue;
        bool waits = strcmp(threads[i].wait, "none") != 0;
        line_add(line, "%s%s%s: tid", line->length ? ", " : "", waits ? "wait in " : "run",
                 waits ? threads[i].wait : "");
        for (size_t j = i; j < count; j++)
            if (strcmp(threads[j].wait, threads[i].wait) == 0)
                line_add(line, " %" PRIu32, threads[j].tid);
    }
}

/* Goroutines by their numbers, as a stack dump of the program names them. */
static void write_goroutines(const struct report_finding *finding, const struct paper *paper) {
    struct line line = {0};
    uint64_t total = finding->behind[TRACE_ROLE_READER] + finding->behind[TRACE_ROLE_WRITER] +
                     finding->behind[TRACE_ROLE_BOTH];
    for (size_t i = 0; i < finding->parked_count; i++)
        line_add(&line, "%s%" PRIu32, i ? " " : "", finding->parked[i].tid);
    if (total > finding->parked_count)
        line_add(&line, " and %" PRIu64 " more", total - finding->parked_count);
    write_label(paper, "goroutines", line.text, STYLE_PLAIN);
}

static void write_parked(const struct report_finding *finding, const struct paper *paper) {
    struct line line = {0};
    if (finding->parked_count && finding->parked[0].goroutine) {
        write_goroutines(finding, paper);
        return;
    }
    uint64_t total = finding->behind[TRACE_ROLE_READER] + finding->behind[TRACE_ROLE_WRITER] +
                     finding->behind[TRACE_ROLE_BOTH];
    add_threads(&line, finding->parked, finding->parked_count);
    if (total > finding->parked_count)
        line_add(&line, " and %" PRIu64 " more", total - finding->parked_count);
    if (line.length) write_label(paper, "threads", line.text, STYLE_PLAIN);
}

/* The descriptors to look at: pid and fd of the oldest objects. */
static void write_objects(const struct report_finding *finding, const struct paper *paper,
                          bool verbose) {
    struct line line = {0};
    uint32_t pid = 0;
    for (size_t i = 0; i < finding->object_count; i++) {
        const struct report_object *object = &finding->objects[i];
        if (object->tid || object->fd < 0) continue;
        if (object->pid != pid)
            line_add(&line, "%spid %" PRIu32 " fd", line.length ? "; " : "", object->pid);
        pid = object->pid;
        line_add(&line, " %d", object->fd);
        if (verbose) line_add(&line, " (%s, %s)", object->peer, paper_age(object->age_s));
    }
    if (line.length && finding->count > finding->object_count)
        line_add(&line, " and %" PRIu64 " more", finding->count - finding->object_count);
    if (line.length) write_label(paper, "held by", line.text, STYLE_PLAIN);
}

static const char *caller_label(const struct report_finding *finding) {
    if (finding->asked_before) return "connected in";
    return finding->rule->where ? finding->rule->where : "asked for in";
}

/* The sentence of the root told already how many there are, this says where they come from. */
void write_consequence(const struct report_finding *finding, const struct paper *paper) {
    struct line line = {0};
    line_add(&line, "%s [%s]", finding->message, finding->rule->id);
    const struct report_stack *stack = finding->worker.count ? &finding->worker : &finding->request;
    if (stack->count && stack->frames[0].kind != SYMBOL_SYSTEM) {
        line_add(&line, ", %s ", finding->worker.count ? "started in" : caller_label(finding));
        add_frame(&line, &stack->frames[0]);
    }
    write_label(paper, "so", line.text, STYLE_PLAIN);
}

void write_finding(const struct report_finding *finding, const struct paper *paper,
                   const struct render_options *options) {
    struct line line = {0};
    enum paper_style style = severity_style(finding->severity);
    line_add(&line, "%s [%s]", finding->message, finding->rule->id);
    fputc('\n', paper->out);
    paper_write(paper, INDENT, rules_severity_name(finding->severity), style, line.text,
                STYLE_BOLD);
    if (finding->worker.count) write_stack(paper, "started in", &finding->worker, options);
    const struct report_stack *asked = finding->by_connect ? &finding->connect : &finding->request;
    if (asked->count) write_stack(paper, caller_label(finding), asked, options);
    if (finding->by_connect && finding->request.count)
        write_stack(paper, "sent in", &finding->request, options);
    if (!finding->by_connect && finding->connect.count &&
        (!finding->request.count || options->verbose ||
         !same_entry(&finding->request, &finding->connect)))
        write_stack(paper, "connected in", &finding->connect, options);
    write_request(finding, paper);
    write_growth(finding, paper);
    if (finding->tag_count) {
        line.length = 0;
        for (size_t i = 0; i < finding->tag_count; i++)
            line_add(&line, "%s%s", i ? ", " : "", finding->tags[i]);
        write_label(paper, "tags", line.text, STYLE_PLAIN);
    }
    write_objects(finding, paper, options->verbose);
    write_parked(finding, paper);
    if (finding->confidence == CONFIDENCE_INFERRED)
        write_label(paper, "inferred",
                    "no bytes were seen waiting in the socket: judged by what the threads did and "
                    "did not do",
                    STYLE_PLAIN);
    if (finding->severity != SEVERITY_NOTE || options->verbose)
        write_label(paper, "mend", finding->advice, STYLE_GOOD);
    if (options->verbose) write_label(paper, "fingerprint", finding->fingerprint, STYLE_DIM);
}

/* Notes are one sentence and, where there is one, the first frame. */
void write_note(const struct report_finding *finding, const struct paper *paper,
                const struct render_options *options) {
    struct line line = {0};
    if (options->verbose || options->full_stacks) {
        write_finding(finding, paper, options);
        return;
    }
    line_add(&line, "%s [%s]", finding->message, finding->rule->id);
    const struct report_stack *stack =
        finding->request.count ? &finding->request : &finding->connect;
    if (stack->count && stack->frames[0].kind == SYMBOL_USER) {
        line_add(&line, ", in ");
        add_frame(&line, &stack->frames[0]);
    }
    paper_write(paper, INDENT, "note", STYLE_NOTE, line.text, STYLE_PLAIN);
}
