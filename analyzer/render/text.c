/* The report as text: verdict, a line per host, then findings, worst first, each with its consequences under it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "render/text.h"
#include "rules/rules.h"

void line_add(struct line *line, const char *format, ...) {
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

/* ---- verdict ---- */

static void write_verdict(const struct report *report, const struct paper *paper,
                          const char *host_glob) {
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
        if (host_glob) line_add(&line, " to a host that matches '%s'", host_glob);
    } else {
        line_add(&line, "- nothing leaked");
        /* in flight, waited for, younger than the grace: what is open is no finding, but said */
        if (report->totals.bodies.unclosed)
            line_add(&line, " (%s %s open at the end)",
                     paper_number(report->totals.bodies.unclosed),
                     plural(report->totals.bodies.unclosed, "body was", "bodies were"));
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
    if (process->pid)
        line_add(&line, "%s, pid %" PRIu32, symbol_base_name(process->exe), process->pid);
    else
        line_add(&line, "a process that had not begun to record");
    switch (process->end) {
    case REPORT_END_RUNNING: line_add(&line, ", still running"); break;
    case REPORT_END_LOST: /* what could not be entered could not say how it ended either */
        line_add(&line, process->blind_count ? ", its end was not seen"
                                             : ", gone without a word (killed?), judged at its "
                                               "last recorded moment");
        break;
    case REPORT_END_EXEC: line_add(&line, ", became another program (exec)"); break;
    case REPORT_END_SIGNAL:
        if (process->status_known)
            line_add(&line, ", killed by signal %d (%s)", process->status,
                     strsignal(process->status));
        else
            line_add(&line, ", ended by a panic or a fatal error");
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
    add_parts(&line,
              host->goroutines_live == 0                 ? "threads"
              : host->goroutines_live == t->workers.live ? "goroutines"
                                                         : "threads and goroutines",
              workers, 5);
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
    write_verdict(report, &paper, options->host_glob);
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
