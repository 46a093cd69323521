/* The rule about handles of client libraries: handle-leak. */
#include <stdlib.h>
#include <string.h>

#include "rules/context.h"

#define UNUSED_MIN 3u /* handles that were never seen at work, fewer are no finding */

static const char *const kind_names[] = {"", "libcurl easy", "libcurl multi", "libcurl share",
                                         "SSL"};

/* When its work ended, as far as it is known. */
static uint64_t idle_since(const struct model_handle *handle) {
    return handle->raw.kind == TRACE_HANDLE_SSL ? handle->raw.since_ns : handle->raw.used_ns;
}

static bool is_idle(const struct rules_context *context, const struct model_handle *handle) {
    const struct trace_handle *raw = &handle->raw;
    if (raw->busy || raw->parent || raw->members) return false;
    if (raw->kind == TRACE_HANDLE_SSL && (raw->since_ns == 0 || handle->connection)) return false;
    return rules_age(handle->process, idle_since(handle)) >= rules_grace(context, handle->process);
}

/* Nobody has seen it work: what it is for cannot be told from outside. */
static bool is_unused(const struct model_handle *handle) {
    return handle->raw.kind == TRACE_HANDLE_CURL_SHARE || handle->raw.uses == 0;
}

static bool is_alive(const struct model_process *process, uint32_t tid) {
    if (tid == process->header->pid) return true;
    for (size_t i = 0; i < process->worker_count; i++)
        if (process->workers[i].raw.tid == tid) return true;
    return false;
}

/* The thread that made it and worked with it has ended. */
static bool is_left_behind(const struct model_handle *handle) {
    const struct trace_handle *raw = &handle->raw;
    return raw->creator_tid == raw->user_tid && raw->connection &&
           !is_alive(handle->process, raw->creator_tid);
}

/* Handles of one kind made in one place, in the order of their creation by one thread for one host. */
static int sibling_compare(const void *a, const void *b) {
    const struct trace_handle *x = &(*(const struct model_handle *const *)a)->raw,
                              *y = &(*(const struct model_handle *const *)b)->raw;
#define BY(field)                                                                                  \
    if (x->field != y->field) return x->field < y->field ? -1 : 1
    BY(kind);
    BY(created_stack);
    BY(creator_tid);
    BY(host);
    BY(created_ns);
    BY(id);
#undef BY
    return 0;
}

static bool same_place(const struct model_handle *a, const struct model_handle *b) {
    return a->raw.kind == b->raw.kind && a->raw.created_stack == b->raw.created_stack;
}

static bool same_line(const struct model_handle *a, const struct model_handle *b) {
    return same_place(a, b) && a->raw.creator_tid == b->raw.creator_tid &&
           a->raw.host == b->raw.host;
}

/* Requests went out between most of these creations: they belong to the work, they are not its preparation. */
static bool are_made_on_the_way(struct model_handle *const *line, size_t count) {
    struct trace_journal journal;
    const struct model_process *process = line[0]->process;
    struct trace_event event;
    size_t gaps = 0, next = 0;
    trace_journal_begin(&journal, process->file);
    while (next + 1 < count && trace_journal_next(&journal, &event)) {
        if (!trace_event_asks(&event)) continue;
        while (next + 1 < count && line[next + 1]->raw.created_ns < event.time_ns)
            next++;
        if (next + 1 < count && line[next]->raw.created_ns < event.time_ns) gaps++, next++;
    }
    return gaps * 2 >= count - 1 && gaps > 0;
}

/*
 * A runtime's collector will clean it up, at any time or never: nobody can tell that from a leak. An interpreter's SSL objects are
 * all of that kind.
 */
static bool is_collected(struct rules_context *context, const struct model_handle *handle) {
    static const char *const runtimes[] = {"libruby",    "ruby",     "liblua",   "lua",
                                           "libR.",      "libjulia", "libguile", "libmono",
                                           "libcoreclr", "libjvm.",  "node",     "libcaml"};
    const struct rules_stack *stack =
        rules_stack(context, handle->process, handle->raw.created_stack);
    for (size_t i = 0; i < stack->count; i++) {
        const struct symbol_frame *frame = &stack->frames[i];
        const char *module = symbol_base_name(frame->module);
        if (handle->raw.kind == TRACE_HANDLE_SSL &&
            (frame->interpreted || frame->kind == SYMBOL_INTERPRETER))
            return true;
        for (size_t k = 0; k < sizeof runtimes / sizeof *runtimes; k++)
            if (strncmp(module, runtimes[k], strlen(runtimes[k])) == 0) return true;
    }
    return false;
}

struct verdict {
    size_t left,
        reused; /* idle ones that stood there while another was made; those used again after that */
};

/* One thread's handles for one host, by creation; marks in `leaked` those that are. */
static struct verdict judge_line(const struct rules_context *context,
                                 struct model_handle *const *line, size_t count, bool *leaked) {
    struct verdict verdict = {0};
    uint64_t youngest = line[count - 1]->raw.created_ns;
    bool on_the_way = false, asked = false;
    for (size_t i = 0; i < count; i++) {
        const struct model_handle *handle = line[i];
        leaked[i] = false;
        if (i + 1 < count && handle->raw.uses > 1 &&
            handle->raw.used_ns > line[i + 1]->raw.created_ns)
            verdict.reused++;
        if (!is_idle(context, handle)) continue;
        if (!is_unused(handle)) {
            leaked[i] = idle_since(handle) < youngest || is_left_behind(handle);
        } else if (count >= UNUSED_MIN) {
            if (!asked) on_the_way = are_made_on_the_way(line, count), asked = true;
            leaked[i] = on_the_way;
        }
        verdict.left += leaked[i];
    }
    /* where older ones were left, the newest idle one is left as well */
    if (verdict.left && !leaked[count - 1] && is_idle(context, line[count - 1])) {
        leaked[count - 1] = true;
        verdict.left++;
    }
    return verdict;
}

/* What findings about a handle have in common; the callers say the rest. */
static struct rules_object object_of(const struct model_handle *handle,
                                     enum report_severity severity, uint64_t since_ns) {
    return (struct rules_object){
        .process = handle->process,
        .host = handle->host,
        .severity = severity,
        .confidence = CONFIDENCE_PROVEN,
        .request_stack = handle->raw.created_stack,
        .since_ns = since_ns,
        .bytes_expected = TRACE_UNKNOWN,
        .connection = handle->connection,
        .listed = true,
        .connection_id = handle->raw.connection,
        .root = handle->connection ? handle->connection->root : NULL,
    };
}

static void add_handle(struct rules_context *context, const struct model_handle *handle,
                       enum report_severity severity) {
    const struct trace_handle *raw = &handle->raw;
    const bool kept = severity == SEVERITY_NOTE, ssl = raw->kind == TRACE_HANDLE_SSL;
    struct rules_object object = object_of(handle, severity, idle_since(handle));
    if (kept && !ssl) object.host = NULL;
    if (kept) object.root = NULL;
    object.detail = kind_names[raw->kind];
    if (kept && ssl)
        object.message = "{n} SSL {object|objects} {outlives its|outlive their} closed "
                         "{connection|connections} to {host}; kept until the end";
    else if (kept)
        object.message = "{n} {detail} {handle|handles} {was|were} kept until the end and never "
                         "cleaned up";
    else if (ssl)
        object.message = "{n} SSL {object|objects} {outlives its|outlive their} closed "
                         "{connection|connections} to {host}: nobody frees {it|them}";
    else if (!handle->host)
        object.message = "{n} {detail} {handle|handles} {was|were} made and never cleaned up";
    if (ssl) object.advice = "Call SSL_free when the connection is closed.";
    rules_add(context, &object);
}

/* All of one kind made in one place. One alone may be meant to last; several that are used again are a pool. */
static void judge_place(struct rules_context *context, struct model_handle *const *place,
                        size_t count, bool *leaked) {
    struct verdict sum = {0};
    if (is_collected(context, place[0])) return;
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && same_line(place[first], place[end]);)
            end++;
        struct verdict verdict = judge_line(context, place + first, end - first, leaked + first);
        sum.left += verdict.left;
        sum.reused += verdict.reused;
    }
    bool pool = sum.reused * 2 >= sum.left;
    bool leak = sum.left > 1 && !pool;
    for (size_t i = 0; i < count; i++) {
        if (leak ? leaked[i] : place[i]->process->orderly && is_idle(context, place[i]))
            add_handle(context, place[i], leak ? SEVERITY_ERROR : SEVERITY_NOTE);
    }
}

/* ---- transfers that nobody drives ---- */

static void paused(struct rules_context *context, const struct model_handle *handle) {
    const struct trace_handle *raw = &handle->raw;
    if (raw->kind != TRACE_HANDLE_CURL_EASY || !(raw->flags & TRACE_HANDLE_PAUSED)) return;
    if (!raw->parent && !raw->busy) return; /* its transfer is over */
    if (rules_age(handle->process, raw->since_ns) < RULES_PAUSED_GRACES * context->grace_ns) return;
    struct rules_object object = object_of(handle, SEVERITY_WARNING, raw->since_ns);
    object.detail = "paused";
    object.message = "{n} {transfer|transfers} from {host} {was|were} paused "
                     "(curl_easy_pause) and never resumed";
    object.advice = "Resume the transfer with curl_easy_pause(handle, CURLPAUSE_CONT), or "
                    "remove it: a paused one holds its connection.";
    rules_add(context, &object);
}

/*
 * A multi handle with transfers in it that nobody works with: a finding where its connection is one, or where the process ended in
 * order and had not touched it for the grace. In an event loop silence alone means that nothing comes.
 */
static void abandoned(struct rules_context *context, const struct model_handle *handle) {
    const struct trace_handle *raw = &handle->raw;
    const struct model_process *process = handle->process;
    struct model_connection *connection = handle->connection;
    struct report_finding *root = connection ? connection->root : NULL;
    if (raw->kind != TRACE_HANDLE_CURL_MULTI || raw->members == 0 || raw->busy) return;
    if (rules_age(process, raw->used_ns) < context->grace_ns) return;
    bool follows = root && root->severity == SEVERITY_ERROR;
    bool forgotten = process->orderly && !(connection && rules_is_waited_for(context, connection));
    if (!follows && !forgotten) return;
    struct rules_object object = object_of(handle, SEVERITY_ERROR, raw->used_ns);
    object.detail = "abandoned";
    object.message = "{n} libcurl multi {handle|handles} {was|were} left with transfers in "
                     "{it|them} that nobody drives any more";
    object.advice = "Call curl_multi_perform until no transfer runs, or remove the "
                    "transfers and clean the handle up.";
    rules_add(context, &object);
}

static void handle_leak(struct rules_context *context) {
    for (struct model_process *process = context->model->processes; process;
         process = process->next) {
        const size_t count = process->handle_count;
        if (count == 0 || (process->header->features & TRACE_FEATURE_HANDLES_UNSURE)) continue;
        struct model_handle **sorted = calloc(count, sizeof(struct model_handle *));
        bool *leaked = calloc(count, sizeof *leaked);
        for (size_t i = 0; sorted && leaked && i < count; i++) {
            sorted[i] = &process->handles[i];
            paused(context, sorted[i]);
            abandoned(context, sorted[i]);
        }
        if (sorted && leaked) qsort(sorted, count, sizeof(struct model_handle *), sibling_compare);
        for (size_t first = 0, end; sorted && leaked && first < count; first = end) {
            for (end = first + 1; end < count && same_place(sorted[first], sorted[end]);)
                end++;
            judge_place(context, sorted + first, end - first, leaked + first);
        }
        free(sorted);
        free(leaked);
    }
}

const struct rule rule_handle_leak = {
    .id = "handle-leak",
    .severity = SEVERITY_ERROR,
    .message = "{n} {detail} {handle|handles} for {host} {was|were} made and never cleaned up",
    .advice = "Call the handle's cleanup (curl_easy_cleanup, curl_multi_cleanup, "
              "curl_share_cleanup) on every path, or keep one and use it again.",
    .meaning =
        "A handle of a client library outlives its use: a libcurl easy, multi or share handle "
        "that nobody works with any more and that was never cleaned up, or an OpenSSL SSL "
        "object whose connection is closed. It counts when the same place went on to make "
        "another one for the same host while this one stood idle, or when the thread that "
        "used it has ended; where a garbage collector cleans up (Ruby, Lua) nothing is said. Each "
        "keeps its buffers, its cache of connections, its TLS "
        "sessions. One handle kept to the end of the program is a note, and a pool whose "
        "handles are used again is none. A transfer that was paused and not resumed for ten "
        "times the grace is a warning; a multi handle that was left with transfers in it is an "
        "error.",
    .mistake = "A handle for each request, with the cleanup on the good path only; an early return "
               "between init and cleanup; SSL_free forgotten beside close.",
    .mend = "Tie the handle to a scope, or keep one per thread and use it again: it keeps its "
            "connections, and the next request saves the handshake.",
    .where = "made in",
    .evaluate = handle_leak,
};
