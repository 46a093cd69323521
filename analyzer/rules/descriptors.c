/* Rules about descriptors in the wrong hands: inherited-connection, bad-close. */
#include "rules/context.h"

/* ---- inherited-connection ---- */

static void inherited_live(struct rules_context *context, struct model_connection *connection) {
    const struct trace_connection *raw = &connection->raw;
    if (!raw->exec_held || (raw->flags & TRACE_CONNECTION_SHARED)) return;
    rules_add(context, &(struct rules_object){
                           .process = connection->process,
                           .host = connection->host,
                           .severity = SEVERITY_NOTE,
                           .confidence = CONFIDENCE_PROVEN,
                           .connect_stack = raw->connect_stack,
                           .since_ns = raw->exec_ns,
                           .bytes_expected = TRACE_UNKNOWN,
                           .connection = connection,
                       });
}

/* Those that the program itself has closed since: only the journal has them. */
static void inherited_gone(struct rules_context *context, struct model_process *process) {
    struct trace_journal journal;
    struct trace_event event;
    trace_journal_begin(&journal, process->file);
    while (trace_journal_next(&journal, &event)) {
        struct trace_site site;
        if (event.type != TRACE_EVENT_CONNECTION_INHERITED ||
            process_connection(process, event.connection))
            continue;
        struct model_host *host = NULL;
        if (trace_file_site(process->file, event.b, &site) && site.host < process->host_count)
            host = process->hosts[site.host];
        rules_add(context, &(struct rules_object){
                               .process = process,
                               .host = host,
                               .severity = SEVERITY_NOTE,
                               .confidence = CONFIDENCE_PROVEN,
                               .connect_stack = event.stack,
                               .since_ns = event.time_ns,
                               .bytes_expected = TRACE_UNKNOWN,
                               .listed = true,
                               .connection_id = event.connection,
                           });
    }
}

static void inherited_connection(struct rules_context *context) {
    for (struct model_process *process = context->model->processes; process;
         process = process->next) {
        for (size_t i = 0; i < process->connection_count; i++)
            inherited_live(context, &process->connections[i]);
        inherited_gone(context, process);
    }
}

const struct rule rule_inherited_connection = {
    .id = "inherited-connection",
    .severity = SEVERITY_NOTE,
    .message = "{n} {connection|connections} to {host} {was|were} inherited by a program that was "
               "started meanwhile, and {is|are} open there",
    .advice = "Make sockets close-on-exec (SOCK_CLOEXEC): otherwise a close here does not end the "
              "connection.",
    .meaning = "A connection without close-on-exec was open when the program started another one "
               "(fork and exec, posix_spawn), and a second later that one had it still. As long as "
               "it lives the server sees no end, whatever this program closes. Connections handed "
               "over as standard input, output or error are meant to be.",
    .mistake = "socket() without SOCK_CLOEXEC, and a child that does not close what it does not "
               "know.",
    .mend = "Open sockets with SOCK_CLOEXEC (accept4, dup3 and fcntl F_DUPFD_CLOEXEC for the "
            "others).",
    .evaluate = inherited_connection,
};

/* ---- bad-close ---- */

static void bad_close(struct rules_context *context) {
    for (struct model_process *process = context->model->processes; process;
         process = process->next)
        for (size_t i = 0; i < process->site_count; i++) {
            const struct trace_site *raw = &process->sites[i].raw;
            if (raw->bad_closes == 0) continue;
            rules_add(context, &(struct rules_object){
                                   .process = process,
                                   .host = process->sites[i].host,
                                   .severity = SEVERITY_ERROR,
                                   .confidence = CONFIDENCE_PROVEN,
                                   .count = raw->bad_closes,
                                   .request_stack = raw->stack,
                                   .since_ns = raw->bad_close_ns,
                                   .bytes_expected = TRACE_UNKNOWN,
                               });
        }
}

const struct rule rule_bad_close = {
    .id = "bad-close",
    .severity = SEVERITY_ERROR,
    .message = "{n} {connection|connections} to {host} {was|were} closed by a thread that meant "
               "another one: it had closed the same descriptor number before",
    .advice = "Close each descriptor once; set the variable to -1 right after.",
    .meaning =
        "A thread closed a descriptor number that it had closed before. By then the number "
        "was a connection that another thread had opened, and that thread found it gone when "
        "it came to close it. Requests fail for no visible reason, or go out on somebody "
        "else's connection. Fork children and loops that close every number are no finding.",
    .mistake = "Two owners of one descriptor, or an error path that closes what the normal path "
               "closes as well.",
    .mend = "Give each descriptor one owner. After close forget the number.",
    .where = "closed in",
    .evaluate = bad_close,
};
