/* The report as text: verdict, a line per host, then findings, worst first, each with its consequences under it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "render/paper.h"
#include "render/render.h"
#include "rules/rules.h"

#define INDENT 10u /* of what stands under a finding's sentence */
#define LABEL 24u  /* where the values behind labels start */
#define FRAMES 6u  /* of a stack, without --full-stacks */
#define LINE_MAX_TEXT 8192u

/* A line that is put together piece by piece; what does not fit is left out. */
struct line {
    size_t length;
    char text[LINE_MAX_TEXT];
};

static void line_add(struct line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void line_add(struct line *line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line->text + line->length, sizeof line->text - line->length, format, args);
    va_end(args);
    if (n > 0) line->length += (size_t)n;
    if (line->length >= sizeof line->text) line->length = sizeof line->text - 1;
}

static const char *plural(uint64_t count, const char *one, const char *many) {
    return count == 1 ? one : many;
}

static enum paper_style severity_style(enum report_severity severity) {
    return severity == SEVERITY_ERROR     ? STYLE_ERROR
           : severity == SEVERITY_WARNING ? STYLE_WARNING
                                          : STYLE_NOTE;
}

/* ---- verdict ---- */

static void write_verdict(const struct report *report, const struct paper *paper) {
    struct line line = {0};
    uint64_t roots[SEVERITY_ERROR + 1] = {0}, folded = 0;
    for (size_t i = 0; i < report->finding_count; i++) {
        const struct report_finding *finding = report->findings[i];
        if (finding->cause)
            folded++;
        else
            roots[finding->severity]++;
    }
    const char *lead = "httpleak: clean";
    enum paper_style style = STYLE_GOOD;
    if (report->verdict == VERDICT_LEAKS) lead = "httpleak: leaks", style = STYLE_ERROR;
    if (report->verdict == VERDICT_NO_LEAK_SEEN)
        lead = "httpleak: no leak seen", style = STYLE_BOLD;
    if (report->verdict == VERDICT_LEAKS) {
        line_add(&line, "- %" PRIu64 " %s", roots[SEVERITY_ERROR],
                 plural(roots[SEVERITY_ERROR], "error", "errors"));
        if (folded)
            line_add(&line, " (and %" PRIu64 " that %s from them)", folded,
                     plural(folded, "follows", "follow"));
    } else if (report->verdict == VERDICT_NO_LEAK_SEEN) {
        line_add(&line, "- but not everything could be seen");
    } else if (report->totals.connections.opened == 0) {
        line_add(&line, "- no HTTP client connection was seen");
    } else {
        line_add(&line, "- nothing leaked");
    }
    if (roots[SEVERITY_WARNING])
        line_add(&line, ", %" PRIu64 " %s", roots[SEVERITY_WARNING],
                 plural(roots[SEVERITY_WARNING], "warning", "warnings"));
    if (roots[SEVERITY_NOTE])
        line_add(&line, ", %" PRIu64 " %s", roots[SEVERITY_NOTE],
                 plural(roots[SEVERITY_NOTE], "note", "notes"));
    paper_write(paper, strlen(lead) + 1, lead, style, line.text, STYLE_PLAIN);
}

static void write_process(const struct report_process *process, const struct paper *paper,
                          bool verbose) {
    struct line line = {0};
    line_add(&line, "%s, pid %" PRIu32, symbol_base_name(process->exe), process->pid);
    switch (process->end) {
    case REPORT_END_RUNNING: line_add(&line, ", still running"); break;
    case REPORT_END_LOST: line_add(&line, ", gone without a word (killed?)"); break;
    case REPORT_END_EXEC: line_add(&line, ", became another program (exec)"); break;
    case REPORT_END_SIGNAL:
        line_add(&line, ", killed");
        if (process->status_known)
            line_add(&line, " by signal %d (%s)", process->status, strsignal(process->status));
        break;
    case REPORT_END_EXIT:
        line_add(&line, ", ended in order");
        if (process->status_known) line_add(&line, " with status %d", process->status);
        break;
    }
    if (process->lost_records)
        line_add(&line, "; %" PRIu64 " records were lost", process->lost_records);
    if (verbose) {
        line_add(&line, "; stacks by %s", process->unwinder);
        if (process->torn) line_add(&line, "; %" PRIu64 " half-written records", process->torn);
        line_add(&line, "; trace %s", process->trace);
    }
    paper_write(paper, 4, "  ", STYLE_PLAIN, line.text, STYLE_DIM);
}

/* ---- hosts ---- */

struct part {
    uint64_t count;
    const char *word;
};

/* " · 5 opened, 5 live": the first always, the others when they are not zero. */
static void add_parts(struct line *line, const char *what, const struct part *parts, size_t count) {
    if (parts[0].count == 0) return;
    line_add(line, "%s%s %s", line->length ? "; " : "", what, paper_number(parts[0].count));
    bool first = true;
    for (size_t i = 1; i < count; i++) {
        if (!parts[i].count) continue;
        line_add(line, "%s%s %s", first ? " (" : ", ", paper_number(parts[i].count), parts[i].word);
        first = false;
    }
    if (!first) line_add(line, ")");
}

static void host_name(struct line *line, const char *host, uint16_t port) {
    bool bare_ip6 = strchr(host, ':') && host[0] != '[' && port;
    line_add(line, bare_ip6 ? "[%s]" : "%s", host[0] ? host : "(host not known)");
    if (port) line_add(line, ":%u", port);
}

static void write_host(const struct report_host *host, const struct paper *paper, bool verbose) {
    const struct report_totals *t = &host->totals;
    struct line name = {0}, line = {0};
    host_name(&name, host->host, host->port);
    if (strcmp(host->scheme, "https") == 0) line_add(&name, " (TLS)");
    const struct part connections[] = {{t->connections.opened, "opened"},
                                       {t->connections.live, "live"},
                                       {t->connections.idle, "idle"},
                                       {t->connections.closed, "closed"},
                                       {t->connections.reused, "reuses"}};
    const struct part bodies[] = {
        {t->bodies.opened, "opened"},   {t->bodies.unclosed, "unclosed"},
        {t->bodies.drained, "drained"}, {t->bodies.discarded, "discarded"},
        {t->bodies.failed, "failed"},   {t->bodies.drained_unclosed, "of them never closed"}};
    const struct part workers[] = {
        {t->workers.live, "live"},
        {t->workers.readers_live, "readers"},
        {t->workers.writers_live, "writers"},
        {t->workers.both_live, "both"},
        {t->workers.readers_stranded + t->workers.writers_stranded + t->workers.both_stranded,
         "stranded"}};
    add_parts(&line, "connections", connections, 5);
    add_parts(&line, "bodies", bodies, 6);
    add_parts(&line, "threads", workers, 5);
    if (verbose && host->peer_count) {
        line_add(&line, "; at");
        for (size_t i = 0; i < host->peer_count; i++)
            line_add(&line, " %s", host->peers[i]);
    }
    /* the name is the network's: escaped, like everything that is */
    char *safe = render_escape(name.text);
    struct line lead = {0};
    line_add(&lead, "  %s  ", safe ? safe : "");
    free(safe);
    paper_write(paper, lead.length < 34 ? lead.length : 6, lead.text, STYLE_BOLD, line.text,
                STYLE_PLAIN);
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

static void write_stack(const struct paper *paper, const char *label,
                        const struct report_stack *stack, const struct render_options *options) {
    size_t shown = 0;
    for (size_t i = 0; i < stack->count; i++) {
        const struct symbol_frame *frame = &stack->frames[i];
        struct line line = {0};
        if (!options->full_stacks) {
            if (shown == FRAMES) break;
            /* what starts a program or a thread says nothing; nor do the frames inside an interpreter */
            if (shown > 0 && frame->kind != SYMBOL_USER) continue;
        }
        add_frame(&line, frame);
        if (!options->full_stacks && frame->kind == SYMBOL_INTERPRETER) {
            line.length = 0;
            line_add(&line,
                     "inside %s (no native code of its caller's own; --full-stacks shows the "
                     "interpreter's)",
                     symbol_base_name(frame->module));
        }
        write_label(paper, shown ? "" : label, line.text, shown ? STYLE_PLAIN : STYLE_BOLD);
        if (!options->full_stacks && frame->kind == SYMBOL_INTERPRETER) break;
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
        line_add(&line, "%s%s ago", line.length ? ", " : "", paper_age(finding->oldest_age_s));
    if (finding->bytes_expected != TRACE_UNKNOWN && finding->status)
        line_add(&line, ", %s of %s bytes read", paper_number(finding->bytes_read),
                 paper_number(finding->bytes_expected));
    else if (finding->status)
        line_add(&line, ", %s bytes read", paper_number(finding->bytes_read));
    if (line.length)
        write_label(paper, finding->count > 1 ? "the oldest" : "request", line.text, STYLE_PLAIN);
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

static void write_parked(const struct report_finding *finding, const struct paper *paper) {
    struct line line = {0};
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

/* One line: the sentence of the root told already how many there are, this says where they come from. */
static void write_consequence(const struct report_finding *finding, const struct paper *paper) {
    struct line line = {0};
    line_add(&line, "%s [%s]", finding->message, finding->rule->id);
    const struct report_stack *stack = finding->worker.count ? &finding->worker : &finding->request;
    if (stack->count) {
        line_add(&line, "%s ", finding->worker.count ? ", started in" : ", asked for in");
        add_frame(&line, &stack->frames[0]);
    }
    write_label(paper, "so", line.text, STYLE_PLAIN);
}

static void write_finding(const struct report_finding *finding, const struct paper *paper,
                          const struct render_options *options) {
    struct line line = {0};
    enum paper_style style = severity_style(finding->severity);
    line_add(&line, "%s [%s]", finding->message, finding->rule->id);
    fputc('\n', paper->out);
    paper_write(paper, INDENT, rules_severity_name(finding->severity), style, line.text,
                STYLE_BOLD);
    if (finding->worker.count) write_stack(paper, "started in", &finding->worker, options);
    if (finding->request.count) write_stack(paper, "asked for in", &finding->request, options);
    if (finding->connect.count && (!finding->request.count || options->verbose ||
                                   !same_entry(&finding->request, &finding->connect)))
        write_stack(paper, "connected in", &finding->connect, options);
    write_request(finding, paper);
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
                    "what waited in the socket is not known; judged by what the threads did",
                    STYLE_PLAIN);
    if (finding->severity != SEVERITY_NOTE || options->verbose)
        write_label(paper, "mend", finding->advice, STYLE_GOOD);
    if (options->verbose) write_label(paper, "fingerprint", finding->fingerprint, STYLE_DIM);
}

/* Notes are one sentence and, where there is one, the first frame. */
static void write_note(const struct report_finding *finding, const struct paper *paper,
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

static void write_findings(const struct report *report, const struct paper *paper,
                           const struct render_options *options) {
    size_t roots = 0, hidden = 0;
    bool shown = false, note_before = false;
    for (size_t i = 0; i < report->finding_count; i++) {
        const struct report_finding *finding = report->findings[i];
        if (finding->cause) { /* stands right behind it */
            if (shown) write_consequence(finding, paper);
            continue;
        }
        shown = !options->limit || roots < options->limit;
        hidden += !shown;
        if (!shown) continue;
        roots++;
        if (finding->severity != SEVERITY_NOTE) {
            write_finding(finding, paper, options);
            continue;
        }
        if (!note_before && !options->verbose && !options->full_stacks) fputc('\n', paper->out);
        note_before = true;
        write_note(finding, paper, options);
    }
    if (hidden)
        fprintf(paper->out, "\n%zu more %s not shown (--limit %zu)\n", hidden,
                plural(hidden, "finding is", "findings are"), options->limit);
}

int render_text(const struct report *report, FILE *out, const struct render_options *options) {
    struct paper paper = {out, options->color,
                          options->width > 0 ? (size_t)options->width : (size_t)render_width(out)};
    errno = 0;
    write_verdict(report, &paper);
    if (options->verbose || report->process_count == 1)
        for (size_t i = 0; i < report->process_count; i++)
            write_process(&report->processes[i], &paper, options->verbose);
    for (size_t i = 0; i < report->host_count; i++)
        write_host(&report->hosts[i], &paper, options->verbose);
    write_findings(report, &paper, options);
    if (report->retracted) {
        struct line line = {0};
        line_add(&line,
                 "%s %s left alone for more than the grace of %s, the longest for %s, and then "
                 "read or closed after "
                 "all: no finding any more",
                 paper_number(report->retracted),
                 plural(report->retracted, "body was", "bodies were"), paper_age(report->grace_s),
                 paper_age(report->retracted_longest_s));
        fputc('\n', out);
        paper_write(&paper, INDENT, "retracted", STYLE_NOTE, line.text, STYLE_PLAIN);
    }
    if (fflush(out) == 0 && !ferror(out)) return 0;
    if (errno == 0) errno = EIO;
    return -1;
}
