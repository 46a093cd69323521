/* Findings: objects gathered by (rule, severity, role, host, port, caller), then worded and put in order. */
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/context.h"

static const char *const scheme_names[] = {"", "http", "https", "unix"};
static const char *const role_names[] = {NULL, "reader", "writer", "both"};

bool rules_host_is_wanted(const struct rules_context *context, const struct model_host *host) {
    const char *glob = context->options.host_glob;
    if (!glob) return true;
    if (!host) return false;
    char with_port[TRACE_STRING_MAX + 16];
    snprintf(with_port, sizeof with_port, "%s:%u", host->name, host->port);
    return fnmatch(glob, host->name, 0) == 0 || fnmatch(glob, with_port, 0) == 0;
}

static struct report_stack stack_shown(const struct rules_stack *stack) {
    if (stack->count == 0) return (struct report_stack){0};
    return (struct report_stack){stack->frames + stack->first, stack->count - stack->first};
}

static bool finding_matches(const struct report_finding *finding,
                            const struct rules_context *context, const struct rules_object *object,
                            const struct rules_stack *caller) {
    const char *host = object->host ? object->host->name : "";
    return finding->rule == context->rule && finding->severity == object->severity &&
           (finding->identity == caller->identity || rules_stack_begins(caller, finding->caller) ||
            rules_stack_begins(finding->caller, caller)) &&
           finding->port == (object->host ? object->host->port : 0) &&
           strcmp(finding->host, host) == 0 && finding->role == role_names[object->role] &&
           strcmp(finding->detail, object->detail ? object->detail : "") == 0;
}

static void finding_set_caller(struct report_finding *finding, const struct rules_stack *caller) {
    finding->caller = caller;
    finding->identity = caller->identity;
    /* two findings that differ in the line alone share a fingerprint: lines shift, functions stay */
    uint64_t hash = rules_hash(RULES_HASH_START, finding->rule->id);
    hash = rules_hash(hash, finding->role ? finding->role : "");
    snprintf(finding->fingerprint, sizeof finding->fingerprint, "%016" PRIx64,
             rules_stack_fingerprint(caller, hash));
}

static struct report_finding *finding_new(struct rules_context *context,
                                          const struct rules_object *object,
                                          const struct rules_stack *caller) {
    struct report_finding *finding = arena_alloc(&context->report->arena, sizeof *finding);
    finding->rule = context->rule;
    finding->severity = object->severity;
    finding->confidence = CONFIDENCE_PROVEN;
    finding->host = object->host ? object->host->name : "";
    finding->port = object->host ? object->host->port : 0;
    finding->scheme = object->host ? scheme_names[object->host->scheme] : "";
    finding->message = object->message ? object->message : context->rule->message;
    finding->advice = object->advice ? object->advice : context->rule->advice;
    finding->role = role_names[object->role];
    finding->detail = object->detail ? object->detail : "";
    finding_set_caller(finding, caller);
    finding->order_ns = UINT64_MAX;
    finding->bytes_expected = TRACE_UNKNOWN;
    *context->tail = finding;
    context->tail = &finding->next;
    return finding;
}

static bool has_user_code(const struct rules_stack *stack) {
    for (size_t i = 0; i < stack->count; i++)
        if (stack->frames[i].kind == SYMBOL_USER && stack->frames[i].module[0]) return true;
    return false;
}

/*
 * Event loops and executors send what others asked for: where no frame of the request's stack is the user's, but one is where the
 * connection was asked for, that is the caller. (In Go programs the request's stack is the asking goroutine's own.)
 */
static bool is_by_connect(struct rules_context *context, const struct rules_object *object) {
    if (object->by_connect_stack) return true;
    if (!object->process || !object->request_stack || !object->connect_stack ||
        (object->connection && object->connection->go))
        return false;
    return !has_user_code(rules_stack(context, object->process, object->request_stack)) &&
           has_user_code(rules_stack(context, object->process, object->connect_stack));
}

/* Fields that are told once are those of the oldest object. */
static void finding_take_oldest(struct rules_context *context, struct report_finding *finding,
                                const struct rules_object *object, bool by_connect) {
    struct model_process *process = object->process;
    if (!process) return;
    uint64_t absolute =
        process->header->started_realtime_ns + object->since_ns - process->header->started_ns;
    if (finding->order_ns != UINT64_MAX && absolute >= finding->order_ns) return;
    finding->order_ns = absolute;
    finding->oldest_age_s =
        object->since_ns ? (double)rules_age(process, object->since_ns) / 1e9 : 0;
    finding->method =
        object->method ? trace_file_string(process->file, object->method, NULL) : NULL;
    finding->path = object->path ? trace_file_string(process->file, object->path, NULL) : NULL;
    finding->status = object->status;
    finding->bytes_read = object->bytes_read;
    finding->bytes_expected = object->bytes_expected;
    finding->by_connect = by_connect;
    finding->asked_before = by_connect && !object->by_connect_stack && object->connection &&
                            object->connection->raw.requests > 1;
    finding->request = stack_shown(rules_stack(context, process, object->request_stack));
    finding->connect = stack_shown(rules_stack(context, process, object->connect_stack));
    finding->worker = stack_shown(rules_stack(context, process, object->worker_stack));
}

/* How it grew is known where each object came with a time of its own: counters of what has ended have a sample's alone. */
static void finding_take_newest(struct report_finding *finding, const struct rules_object *object) {
    double age = object->process && object->since_ns
                     ? (double)rules_age(object->process, object->since_ns) / 1e9
                     : -1;
    if (object->count > 1) age = -1;
    bool first = finding->count == 0;
    if (first || (finding->newest_age_s >= 0 && age < finding->newest_age_s))
        finding->newest_age_s = age;
}

static struct report_object object_line(const struct rules_object *object) {
    struct report_object line = {.pid = object->process->header->pid, .fd = -1, .peer = ""};
    line.connection = object->connection_id;
    line.age_s = object->since_ns ? (double)rules_age(object->process, object->since_ns) / 1e9 : 0;
    if (object->connection) {
        line.connection = object->connection->raw.id;
        line.fd = object->connection->raw.fd;
        line.peer = trace_file_string(object->process->file, object->connection->raw.peer, NULL);
    }
    if (object->worker) {
        line.tid = object->worker->raw.tid;
        line.goroutine = object->worker->goroutine;
        line.wait = model_wait_name(object->worker->raw.wait);
        if (!object->connection) line.connection = object->worker->raw.last_connection;
    }
    return line;
}

/* Keeps the oldest ones, oldest first. */
static void objects_insert(struct report_object *objects, size_t *count,
                           struct report_object line) {
    size_t at = *count;
    while (at > 0 && objects[at - 1].age_s < line.age_s)
        at--;
    if (at >= REPORT_OBJECTS_MAX) return;
    if (*count < REPORT_OBJECTS_MAX) (*count)++;
    memmove(&objects[at + 1], &objects[at], (*count - 1 - at) * sizeof *objects);
    objects[at] = line;
}

static void finding_tag(struct report_finding *finding, const char *tag) {
    for (size_t i = 0; i < finding->tag_count; i++)
        if (strcmp(finding->tags[i], tag) == 0) return;
    if (finding->tag_count < sizeof finding->tags / sizeof *finding->tags)
        finding->tags[finding->tag_count++] = tag;
}

/* A finding follows from what most of its objects follow from (majority vote of Boyer and Moore). */
static void finding_vote(struct report_finding *finding, struct report_finding *root) {
    if (finding->cause_votes == 0) {
        finding->cause = root;
        finding->cause_votes = 1;
    } else if (finding->cause == root) {
        finding->cause_votes++;
    } else {
        finding->cause_votes--;
    }
}

struct report_finding *rules_add(struct rules_context *context, const struct rules_object *object) {
    if (object->host || context->rule != &rule_blind)
        if (!rules_host_is_wanted(context, object->host)) return NULL;
    const bool by_connect = is_by_connect(context, object);
    uint32_t id = object->by_worker_stack && object->worker_stack ? object->worker_stack
                  : by_connect                                    ? object->connect_stack
                  : object->request_stack                         ? object->request_stack
                  : object->connect_stack                         ? object->connect_stack
                                                                  : object->worker_stack;
    static const struct rules_stack nobody;
    const struct rules_stack *caller =
        object->process ? rules_stack(context, object->process, id) : &nobody;
    struct report_finding *finding = context->findings;
    while (finding && !finding_matches(finding, context, object, caller))
        finding = finding->next;
    if (!finding) finding = finding_new(context, object, caller);
    if (finding->identity != caller->identity && rules_stack_begins(caller, finding->caller))
        finding_set_caller(finding, caller);

    finding_take_newest(finding, object);
    finding->count += object->count ? object->count : 1;
    if (object->confidence < finding->confidence) finding->confidence = object->confidence;
    finding_take_oldest(context, finding, object, by_connect);
    for (size_t i = 0; i < sizeof object->tags / sizeof *object->tags; i++)
        if (object->tags[i]) finding_tag(finding, object->tags[i]);
    if (object->connection || object->worker || object->listed)
        objects_insert(finding->objects, &finding->object_count, object_line(object));
    finding_vote(finding, object->root);
    if (object->root && object->worker) {
        object->root->behind[object->role]++;
        object->root->behind_goroutines += object->worker->goroutine;
        objects_insert(object->root->parked, &object->root->parked_count, object_line(object));
    }
    if (object->connection && !object->connection->root) object->connection->root = finding;
    return finding;
}

/* ---- wording ---- */

static void put(char **at, char *end, const char *text, size_t length) {
    if (length > (size_t)(end - *at)) length = (size_t)(end - *at);
    memcpy(*at, text, length);
    *at += length;
}

static void put_host(char **at, char *end, const struct report_finding *finding) {
    char text[TRACE_STRING_MAX + 16];
    bool bare_ip6 = strchr(finding->host, ':') && finding->host[0] != '[' && finding->port;
    if (!finding->host[0])
        snprintf(text, sizeof text, "an unknown host");
    else if (finding->port)
        snprintf(text, sizeof text, bare_ip6 ? "[%s]:%u" : "%s:%u", finding->host, finding->port);
    else
        snprintf(text, sizeof text, "%s", finding->host);
    put(at, end, text, strlen(text));
}

/* As sentences have it; `role` is one of role_names. */
static const char *role_word(const char *role) {
    return role == role_names[TRACE_ROLE_BOTH] ? "reader-and-writer" : role;
}

/* Fills a template: {n} {host} {role} {detail}, {singular|plural}. */
static const char *expand(struct rules_context *context, const char *template,
                          const struct report_finding *finding) {
    char text[4096], number[24], *at = text, *end = text + sizeof text - 1;
    while (*template) {
        const char *close = *template == '{' ? strchr(template, '}') : NULL;
        if (!close) {
            put(&at, end, template ++, 1);
            continue;
        }
        const char *word = template + 1;
        size_t length = (size_t)(close - word);
        const char *bar = memchr(word, '|', length);
        if (bar && finding->count == 1)
            put(&at, end, word, (size_t)(bar - word));
        else if (bar)
            put(&at, end, bar + 1, (size_t)(close - bar - 1));
        else if (strncmp(word, "n}", 2) == 0)
            put(&at, end, number,
                (size_t)snprintf(number, sizeof number, "%" PRIu64, finding->count));
        else if (strncmp(word, "host}", 5) == 0)
            put_host(&at, end, finding);
        else if (strncmp(word, "role}", 5) == 0 && finding->role)
            put(&at, end, role_word(finding->role), strlen(role_word(finding->role)));
        else if (strncmp(word, "detail}", 7) == 0)
            put(&at, end, finding->detail, strlen(finding->detail));
        template = close + 1;
    }
    *at = 0;
    return arena_copy(&context->report->arena, text);
}

/* "; 5 reader and 5 writer threads (goroutines) are stranded behind them" */
static const char *with_stranded(struct rules_context *context,
                                 const struct report_finding *finding) {
    char list[256] = "";
    uint64_t total = 0;
    size_t kinds = 0;
    for (int role = TRACE_ROLE_READER; role <= TRACE_ROLE_BOTH; role++)
        kinds += finding->behind[role] != 0;
    for (int role = TRACE_ROLE_READER, n = 0; role <= TRACE_ROLE_BOTH; role++) {
        if (!finding->behind[role]) continue;
        size_t at = strlen(list);
        const char *glue = n == 0 ? "" : (size_t)n + 1 == kinds ? " and " : ", ";
        snprintf(list + at, sizeof list - at, "%s%" PRIu64 " %s", glue, finding->behind[role],
                 role_word(role_names[role]));
        total += finding->behind[role];
        n++;
    }
    if (total == 0) return finding->message;
    const char *workers = finding->behind_goroutines == 0       ? "thread"
                          : finding->behind_goroutines == total ? "goroutine"
                                                                : "thread and goroutine";
    return arena_format(&context->report->arena, "%s; %s %s%s stranded behind %s", finding->message,
                        list, workers, total == 1 ? " is" : "s are",
                        finding->count == 1 ? "it" : "them");
}

/* ---- order ---- */

static int finding_compare(const void *a, const void *b) {
    const struct report_finding *x = *(struct report_finding *const *)a,
                                *y = *(struct report_finding *const *)b;
    if (x->severity != y->severity) return x->severity > y->severity ? -1 : 1;
    for (size_t i = 0; x->rule != y->rule && rules_table[i]; i++) {
        if (rules_table[i] == x->rule) return -1;
        if (rules_table[i] == y->rule) return 1;
    }
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    if (x->oldest_age_s != y->oldest_age_s) return x->oldest_age_s > y->oldest_age_s ? -1 : 1;
    int by_role = strcmp(x->role ? x->role : "", y->role ? y->role : "");
    if (by_role) return by_role;
    int by_host = strcmp(x->host, y->host);
    return by_host ? by_host : strcmp(x->fingerprint, y->fingerprint);
}

void rules_finish(struct rules_context *context) {
    struct report *report = context->report;
    size_t count = 0, n = 0;
    for (struct report_finding *finding = context->findings; finding; finding = finding->next)
        count++;
    struct report_finding **sorted = arena_alloc(&report->arena, (count + 1) * sizeof *sorted);
    report->findings = arena_alloc(&report->arena, (count + 1) * sizeof *sorted);
    for (struct report_finding *finding = context->findings; finding; finding = finding->next) {
        finding->message = expand(context, finding->message, finding);
        finding->advice = expand(context, finding->advice, finding);
        finding->message = with_stranded(context, finding);
        if (finding->cause && finding->cause->cause) finding->cause = finding->cause->cause;
        sorted[n++] = finding;
    }
    if (count) qsort(sorted, count, sizeof *sorted, finding_compare);
    for (size_t i = 0; i < count; i++) {
        if (sorted[i]->cause) continue;
        report->findings[report->finding_count++] = sorted[i];
        for (size_t j = 0; j < count; j++)
            if (sorted[j]->cause == sorted[i])
                report->findings[report->finding_count++] = sorted[j];
    }
}
