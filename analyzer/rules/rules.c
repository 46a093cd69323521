/* Judging a model: every rule in turn, then hosts, processes, totals and the verdict. */
#include "rules/rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/context.h"

/* Evaluated in this order: the first finding about a connection is the root of later ones about it. */
const struct rule *const rules_table[] = {
    &rule_unclosed_body,
    &rule_response_abandoned,
    &rule_handle_leak, /* before what a forgotten handle does to its connections */
    &rule_peer_closed,
    &rule_connection_abandoned,
    &rule_bad_close,
    &rule_stranded_worker,
    &rule_drained_unclosed,
    &rule_client_per_request,
    &rule_timer_pileup,
    &rule_worker_growth,
    &rule_thread_unjoined,
    &rule_idle_bloat,
    &rule_inherited_connection,
    &rule_discarded_body,
    &rule_blind,
    NULL,
};

const struct rule *rules_find(const char *id) {
    for (size_t i = 0; rules_table[i]; i++)
        if (strcmp(rules_table[i]->id, id) == 0) return rules_table[i];
    return NULL;
}

/* ---- hosts ---- */

static void totals_add(struct report_totals *sum, const struct report_totals *part) {
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)part;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += from[i];
}
_Static_assert(sizeof(struct report_totals) == 20 * sizeof(uint64_t),
               "totals are counters and nothing else");

static bool totals_are_zero(const struct report_totals *totals) {
    static const struct report_totals zero;
    return memcmp(totals, &zero, sizeof zero) == 0;
}

static int host_compare(const void *a, const void *b) {
    const struct report_host *x = a, *y = b;
    const struct report_totals *s = &x->totals, *t = &y->totals;
    if (s->bodies.unclosed != t->bodies.unclosed)
        return s->bodies.unclosed > t->bodies.unclosed ? -1 : 1;
    if (s->connections.opened != t->connections.opened)
        return s->connections.opened > t->connections.opened ? -1 : 1;
    int by_name = strcmp(x->host, y->host);
    return by_name ? by_name : (x->port > y->port) - (x->port < y->port);
}

static const char *const host_schemes[] = {"", "http", "https", "unix"};

static const char *const schemes[] = {"", "http", "https", "unix"};

static bool host_is_named(const struct rules_context *context, const struct model_host *host) {
    for (const struct report_finding *finding = context->findings; finding; finding = finding->next)
        if (finding->port == host->port && strcmp(finding->host, host->name) == 0 &&
            host->name[0] && strcmp(finding->scheme, schemes[host->scheme]) == 0)
            return true;
    return false;
}

static void report_hosts(struct rules_context *context) {
    struct report *report = context->report;
    report->hosts =
        arena_alloc(&report->arena, (context->model->host_count + 1) * sizeof *report->hosts);
    for (const struct model_host *host = context->model->hosts; host; host = host->next) {
        const struct report_totals *totals = &context->totals[host->order];
        if (!rules_host_is_wanted(context, host)) continue;
        if (totals_are_zero(totals) && !host_is_named(context, host)) continue;
        totals_add(&report->totals, totals);
        report->hosts[report->host_count++] = (struct report_host){
            .host = host->name,
            .port = host->port,
            .scheme = host_schemes[host->scheme],
            .peers = host->peers,
            .peer_count = host->peer_count,
            .totals = *totals,
            .goroutines_live = host->goroutines_live,
        };
    }
    if (report->host_count)
        qsort(report->hosts, report->host_count, sizeof *report->hosts, host_compare);
}

/* ---- processes ---- */

static uint64_t to_realtime(const struct trace_header *header, uint64_t monotonic_ns) {
    return header->started_realtime_ns + (monotonic_ns - header->started_ns);
}

static void process_arguments(struct report *report, struct report_process *out,
                              const struct trace_header *header) {
    size_t count = 0;
    for (uint32_t i = 0; i < header->argv_size; i++)
        count += header->argv[i] == 0;
    count += header->argv_size && header->argv[header->argv_size - 1] != 0;
    const char **argv = arena_alloc(&report->arena, (count + 1) * sizeof *argv);
    for (uint32_t at = 0; at < header->argv_size; at += (uint32_t)strlen(header->argv + at) + 1)
        argv[out->argc++] = header->argv + at;
    out->argv = argv;
}

/* "native", and Go's version, whether it could be followed or not. */
static void process_runtimes(struct report *report, struct report_process *out,
                             const struct trace_header *header) {
    const char **runtimes = arena_alloc(&report->arena, 2 * sizeof *runtimes);
    runtimes[out->runtime_count++] = "native";
    if (header->go_state != TRACE_GO_NONE)
        runtimes[out->runtime_count++] = header->go_version[0] ? header->go_version : "go";
    out->runtimes = runtimes;
}

static void report_processes(struct rules_context *context) {
    static const char *const unwinders[] = {"none", "libunwind", "libgcc"};
    struct report *report = context->report;
    report->processes = arena_alloc(&report->arena, (context->model->process_count + 1) *
                                                        sizeof *report->processes);
    for (const struct model_process *process = context->model->processes; process;
         process = process->next) {
        const struct trace_header *header = process->header;
        struct report_process *out = &report->processes[report->process_count++];
        *out = (struct report_process){
            .pid = header->pid,
            .ppid = header->ppid,
            .exe = header->exe,
            .started_realtime_ns = header->started_realtime_ns,
            .ended_realtime_ns = process->alive ? 0 : to_realtime(header, process->now_ns),
            .end = process->end,
            .status_known = process->status_known,
            .status = process->status,
            .history_from_realtime_ns =
                process->history_from_ns ? to_realtime(header, process->history_from_ns) : 0,
            .torn = process->torn,
            .trace = trace_file_path(process->file),
            .unwinder =
                header->unwinder <= TRACE_UNWINDER_LIBGCC ? unwinders[header->unwinder] : "unknown",
        };
        for (int i = 0; i < TRACE_LOST_COUNT; i++)
            out->lost_records += header->lost[i];
        process_arguments(report, out, header);
        process_runtimes(report, out, header);
        out->blind = process->blind;
        out->blind_count = process->blind_count;
    }
}

/* ---- the whole ---- */

static void report_verdict(struct report *report) {
    report->verdict = report->blind ? VERDICT_NO_LEAK_SEEN : VERDICT_CLEAN;
    for (size_t i = 0; i < report->finding_count; i++)
        if (report->findings[i]->severity == SEVERITY_ERROR) report->verdict = VERDICT_LEAKS;
}

struct report *rules_evaluate(struct model *model, struct symbolizer *symbolizer,
                              const struct rules_options *options) {
    struct report *report = calloc(1, sizeof *report);
    if (!report) return NULL;
    struct rules_context context = {
        .model = model,
        .symbolizer = symbolizer,
        .options = options ? *options : (struct rules_options){.grace_s = RULES_GRACE_DEFAULT_S},
        .report = report,
    };
    context.tail = &context.findings;
    double grace_s = context.options.grace_s;
    context.grace_ns = grace_s <= 0     ? 0
                       : grace_s >= 9e9 ? UINT64_C(9000000000000000000)
                                        : (uint64_t)(grace_s * 1e9);
    report->grace_s = grace_s;
    context.totals = arena_alloc(&report->arena, (model->host_count + 1) * sizeof *context.totals);
    for (const struct model_host *host = model->hosts; host; host = host->next)
        context.totals[host->order] = host->totals;
    for (struct model_process *process = model->processes; process; process = process->next)
        for (size_t i = 0; i < process->connection_count; i++)
            process->connections[i].root = NULL;

    for (size_t i = 0; rules_table[i]; i++) {
        context.rule = rules_table[i];
        context.rule->evaluate(&context);
    }
    rules_count_retracted(&context);
    rules_finish(&context);
    rules_stack_end(&context);
    report_hosts(&context);
    report_processes(&context);
    report->connections_followed = model_followed(model);
    report_verdict(report);
    return report;
}

void report_free(struct report *report) {
    if (!report) return;
    arena_free(&report->arena);
    free(report);
}

bool rules_exit_needed(const struct report *report, enum report_severity fail_on) {
    if (fail_on == SEVERITY_NEVER) return false;
    for (size_t i = 0; i < report->finding_count; i++)
        if (report->findings[i]->severity >= fail_on) return true;
    return false;
}

static const char *const severity_names[] = {"never", "note", "warning", "error"};

const char *rules_severity_name(enum report_severity severity) {
    return severity_names[severity];
}

bool rules_severity_parse(const char *word, enum report_severity *out) {
    for (int i = SEVERITY_NEVER; i <= SEVERITY_ERROR; i++) {
        if (strcmp(word, severity_names[i]) != 0) continue;
        *out = (enum report_severity)i;
        return true;
    }
    return false;
}
