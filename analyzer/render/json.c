/* The report as JSON, schema httpleak-report/1; the field names are the contract's. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "render/escape.h"
#include "render/render.h"
#include "rules/rules.h"

static json_t *text_json(const char *text) {
    if (!text) return json_null();
    char *safe = escape_text(text, false);
    json_t *out = safe ? json_string(safe) : NULL;
    free(safe);
    return out;
}

static json_t *count_json(uint64_t count) {
    return json_integer(count <= INT64_MAX ? (json_int_t)count : INT64_MAX);
}

static json_t *seconds_json(double seconds) {
    double milliseconds = seconds < 0 ? 0 : seconds > 1e12 ? 1e15 : seconds * 1000;
    return json_real((double)(int64_t)(milliseconds + 0.5) / 1000);
}

/* ISO 8601, UTC, milliseconds; null for 0. */
static json_t *time_json(uint64_t realtime_ns) {
    char day[40], text[64];
    struct tm tm;
    time_t seconds = (time_t)(realtime_ns / 1000000000u);
    if (realtime_ns == 0 || !gmtime_r(&seconds, &tm)) return json_null();
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, sizeof text, "%s.%03uZ", day, (unsigned)(realtime_ns / 1000000u % 1000u));
    return json_string(text);
}

static json_t *list_json(const char *const *texts, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, text_json(texts[i]));
    return list;
}

static void totals_json(json_t *out, const struct report_totals *t) {
    json_object_set_new(
        out, "connections",
        json_pack("{s:o, s:o, s:o, s:o, s:o}", "opened", count_json(t->connections.opened),
                  "closed", count_json(t->connections.closed), "live",
                  count_json(t->connections.live), "idle", count_json(t->connections.idle),
                  "reused", count_json(t->connections.reused)));
    json_object_set_new(
        out, "bodies",
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "opened", count_json(t->bodies.opened),
                  "drained", count_json(t->bodies.drained), "discarded",
                  count_json(t->bodies.discarded), "failed", count_json(t->bodies.failed),
                  "unclosed", count_json(t->bodies.unclosed), "drained_unclosed",
                  count_json(t->bodies.drained_unclosed)));
    json_t *workers = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o}", "started", count_json(t->workers.started), "exited",
        count_json(t->workers.exited), "live", count_json(t->workers.live), "readers_live",
        count_json(t->workers.readers_live), "writers_live", count_json(t->workers.writers_live),
        "both_live", count_json(t->workers.both_live));
    json_object_set_new(workers, "readers_stranded", count_json(t->workers.readers_stranded));
    json_object_set_new(workers, "writers_stranded", count_json(t->workers.writers_stranded));
    json_object_set_new(workers, "both_stranded", count_json(t->workers.both_stranded));
    json_object_set_new(out, "workers", workers);
}

static json_t *process_json(const struct report_process *process) {
    static const char *const ends[] = {"exit", "signal", "exec", "running", "lost"};
    json_t *out = json_object();
    json_object_set_new(out, "pid", json_integer(process->pid));
    json_object_set_new(out, "ppid", json_integer(process->ppid));
    json_object_set_new(out, "exe", text_json(process->exe));
    json_object_set_new(out, "argv", list_json(process->argv, process->argc));
    json_object_set_new(out, "started", time_json(process->started_realtime_ns));
    json_object_set_new(out, "ended", time_json(process->ended_realtime_ns));
    json_object_set_new(out, "end", json_string(ends[process->end]));
    json_object_set_new(out, "status",
                        process->status_known ? json_integer(process->status) : json_null());
    json_object_set_new(out, "runtimes", list_json(process->runtimes, process->runtime_count));
    json_object_set_new(out, "blind", list_json(process->blind, process->blind_count));
    json_object_set_new(out, "lost_records", count_json(process->lost_records));
    json_object_set_new(out, "history_from", time_json(process->history_from_realtime_ns));
    return out;
}

static json_t *host_json(const struct report_host *host) {
    json_t *out = json_object();
    json_object_set_new(out, "host", text_json(host->host));
    json_object_set_new(out, "port", json_integer(host->port));
    json_object_set_new(out, "scheme", text_json(host->scheme));
    json_object_set_new(out, "peers", list_json(host->peers, host->peer_count));
    totals_json(out, &host->totals);
    return out;
}

static json_t *stack_json(const struct report_stack *stack) {
    json_t *list = json_array();
    for (size_t i = 0; i < stack->count; i++) {
        const struct symbol_frame *frame = &stack->frames[i];
        json_t *out = json_object();
        json_object_set_new(out, "module", text_json(frame->module));
        json_object_set_new(out, "build_id", text_json(frame->build_id));
        json_object_set_new(out, "offset", count_json(frame->offset));
        json_object_set_new(out, "function", text_json(frame->function));
        json_object_set_new(out, "file", text_json(frame->file));
        json_object_set_new(out, "line", frame->line ? json_integer(frame->line) : json_null());
        json_object_set_new(out, "language", text_json(frame->language));
        json_array_append_new(list, out);
    }
    return list;
}

static json_t *object_json(const struct report_object *object) {
    json_t *out = json_object();
    json_object_set_new(out, "pid", json_integer(object->pid));
    json_object_set_new(out, "connection", count_json(object->connection));
    json_object_set_new(out, "fd", object->fd >= 0 ? json_integer(object->fd) : json_null());
    json_object_set_new(out, "peer", text_json(object->peer));
    json_object_set_new(out, "age_s", seconds_json(object->age_s));
    json_object_set_new(out, "tid", object->tid ? json_integer(object->tid) : json_null());
    json_object_set_new(out, "wait", text_json(object->wait));
    return out;
}

static json_t *finding_json(const struct report_finding *finding) {
    json_t *out = json_object(), *objects = json_array();
    json_object_set_new(out, "rule", json_string(finding->rule->id));
    json_object_set_new(out, "severity", json_string(rules_severity_name(finding->severity)));
    json_object_set_new(
        out, "confidence",
        json_string(finding->confidence == CONFIDENCE_PROVEN ? "proven" : "inferred"));
    json_object_set_new(out, "host", text_json(finding->host));
    json_object_set_new(out, "port", json_integer(finding->port));
    json_object_set_new(out, "scheme", text_json(finding->scheme));
    json_object_set_new(out, "count", count_json(finding->count));
    json_object_set_new(out, "message", text_json(finding->message));
    json_object_set_new(out, "advice", text_json(finding->advice));
    json_object_set_new(out, "fingerprint", json_string(finding->fingerprint));
    json_object_set_new(out, "caused_by",
                        finding->cause ? json_string(finding->cause->fingerprint) : json_null());
    json_object_set_new(out, "tags", list_json(finding->tags, finding->tag_count));
    if (finding->role) json_object_set_new(out, "role", json_string(finding->role));
    json_t *request = json_object();
    json_object_set_new(request, "method", text_json(finding->method));
    json_object_set_new(request, "path", text_json(finding->path));
    json_object_set_new(request, "status",
                        finding->status ? json_integer(finding->status) : json_null());
    json_object_set_new(out, "request", request);
    json_object_set_new(out, "oldest_age_s", seconds_json(finding->oldest_age_s));
    json_object_set_new(out, "newest_age_s",
                        finding->newest_age_s < 0 ? json_null()
                                                  : seconds_json(finding->newest_age_s));
    json_object_set_new(out, "bytes_read", count_json(finding->bytes_read));
    json_object_set_new(out, "bytes_expected",
                        finding->bytes_expected == TRACE_UNKNOWN
                            ? json_null()
                            : count_json(finding->bytes_expected));
    json_t *stacks = json_object();
    json_object_set_new(stacks, "request", stack_json(&finding->request));
    json_object_set_new(stacks, "connect", stack_json(&finding->connect));
    json_object_set_new(stacks, "worker", stack_json(&finding->worker));
    json_object_set_new(out, "stacks", stacks);
    json_object_set_new(out, "caller", json_string(finding->by_connect ? "connect" : "request"));
    for (size_t i = 0; i < finding->object_count; i++)
        json_array_append_new(objects, object_json(&finding->objects[i]));
    json_object_set_new(out, "objects", objects);
    return out;
}

int render_json(const struct report *report, FILE *out, const char *version) {
    static const char *const verdicts[] = {"clean", "no-leak-seen", "leaks"};
    json_t *root = json_object(), *totals = json_object();
    json_t *processes = json_array(), *hosts = json_array(), *findings = json_array();
    for (size_t i = 0; i < report->process_count; i++)
        json_array_append_new(processes, process_json(&report->processes[i]));
    for (size_t i = 0; i < report->host_count; i++)
        json_array_append_new(hosts, host_json(&report->hosts[i]));
    for (size_t i = 0; i < report->finding_count; i++)
        json_array_append_new(findings, finding_json(report->findings[i]));
    totals_json(totals, &report->totals);
    json_object_set_new(root, "schema", json_string("httpleak-report/1"));
    json_object_set_new(root, "tool",
                        json_pack("{s:s, s:s}", "name", "httpleak", "version", version));
    json_object_set_new(root, "verdict", json_string(verdicts[report->verdict]));
    json_object_set_new(root, "processes", processes);
    json_object_set_new(root, "totals", totals);
    json_object_set_new(root, "hosts", hosts);
    json_object_set_new(root, "findings", findings);
    json_object_set_new(root, "suppressed", json_array());
    json_object_set_new(root, "retracted", count_json(report->retracted));
    json_object_set_new(root, "retracted_longest_s", seconds_json(report->retracted_longest_s));
    errno = 0;
    int result = json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(root);
    if (result == 0 && fputc('\n', out) != EOF && fflush(out) == 0) return 0;
    if (errno == 0) errno = EIO;
    return -1;
}
