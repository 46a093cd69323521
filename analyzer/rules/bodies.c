/* Rules about response bodies: unclosed-body, drained-unclosed, discarded-body. */
#include "rules/context.h"

/* What Go's net/http wants of its callers (net/http.Response.Body). */
static const char go_close[] =
    "`defer resp.Body.Close()` after the error check; read to EOF if the "
    "connection should be reused.";

/* ---- unclosed-body ---- */

static void unclosed_body(struct rules_context *context) {
    for (struct model_process *process = context->model->processes; process;
         process = process->next) {
        for (size_t i = 0; i < process->body_count; i++) {
            const struct model_body *body = &process->bodies[i];
            const struct trace_body *raw = &body->raw;
            struct body_judgement judgement = rules_judge_body(context, body);
            if (judgement.state != BODY_ABANDONED && judgement.state != BODY_PAUSED) continue;
            bool paused = judgement.state == BODY_PAUSED;
            bool stream = rules_is_wire_stream(raw);
            rules_add(
                context,
                &(struct rules_object){
                    .process = process,
                    .host = body->host,
                    .severity = paused ? SEVERITY_WARNING : SEVERITY_ERROR,
                    .confidence = judgement.confidence,
                    .message = paused ? "{n} response {body|bodies} from {host} {was|were} read in "
                                        "part and then "
                                        "left: bytes wait, nobody takes them"
                               : stream ? "{n} response {body|bodies} from {host} {was|were} never "
                                          "closed ({an HTTP/2 stream|HTTP/2 streams})"
                                        : NULL,
                    .advice =
                        paused ? "Resume the transfer, or close the body: a paused one holds its "
                                 "connection, and the server's, for as long."
                        : raw->flags & TRACE_BODY_GO ? go_close
                        : stream ? "Read each response body to its end or reset its stream, on "
                                   "every path: one that is kept holds its part of the "
                                   "connection's window, and in the end all others starve."
                                 : NULL,
                    .request_stack = raw->request_stack,
                    .connect_stack = body->connection->raw.connect_stack,
                    .by_connect_stack = rules_sent_by_own_worker(body->connection, raw->asker_tid),
                    .method = raw->method,
                    .path = raw->path,
                    .status = raw->status,
                    .since_ns = raw->opened_ns ? raw->opened_ns : raw->requested_ns,
                    .bytes_read = raw->bytes_read,
                    .bytes_expected = raw->expected,
                    .tags = {raw->flags & TRACE_BODY_REDIRECT ? "redirect" : NULL,
                             raw->flags & TRACE_BODY_ERROR_STATUS ? "error-status" : NULL,
                             raw->flags & TRACE_BODY_UPGRADE_REFUSED ? "upgrade-refused" : NULL,
                             body->connection->raw.protocol == TRACE_PROTOCOL_HTTP2 ? "http2"
                                                                                    : NULL},
                    .connection = body->connection,
                });
        }
    }
}

const struct rule rule_unclosed_body = {
    .id = "unclosed-body",
    .severity = SEVERITY_ERROR,
    .message = "{n} response {body|bodies} from {host} {was|were} never closed",
    .advice = "Read each response body to its end or close it, on every path, error statuses and "
              "redirects included.",
    .meaning = "The head of a response arrived, its body did not end, and the program does not "
               "read it any more: bytes wait in "
               "the socket (or the client library's handle is open), and the thread that asked "
               "went on, or nobody tried to "
               "read for the grace, or the process ended in order. Until the body is read to its "
               "end or closed, its "
               "connection cannot be used again, and whatever serves that connection (threads, "
               "buffers, the server's "
               "worker) stays. A body that is being read, a slow server and a long poll are no "
               "findings; one that was read "
               "in bursts and rests since is a warning (paused).",
    .mistake = "Only the status was looked at; an early return or exception between the response "
               "and its close; a retry that "
               "drops the failed response; a redirect or error response whose body nobody wanted.",
    .mend =
        "Close the response in the same scope that asked for it: `with` in Python, a guard object "
        "in C++, a single exit "
        "label in C. Where the connection shall be used again, drain a small rest before closing.",
    .evaluate = unclosed_body,
};

/* ---- what ended: counters of call sites ---- */

static void site_finding(struct rules_context *context, const struct model_site *site,
                         uint64_t count, const char *go_advice) {
    const struct trace_site *raw = &site->raw;
    if (count == 0) return;
    bool go = rules_stack_is_go(context, site->process, raw->stack);
    rules_add(context, &(struct rules_object){
                           .process = site->process,
                           .host = site->host,
                           .severity = context->rule->severity,
                           .confidence = CONFIDENCE_PROVEN,
                           .advice = go ? go_advice : NULL,
                           .count = count,
                           .request_stack = raw->stack,
                           .method = raw->sample_method,
                           .path = raw->sample_path,
                           .status = raw->sample_status,
                           .since_ns = raw->sample_ns,
                           .bytes_read = raw->sample_bytes_read,
                           .bytes_expected = raw->sample_expected,
                       });
}

static void drained_unclosed(struct rules_context *context) {
    static const char advice[] =
        "`defer resp.Body.Close()` after the error check: reading to EOF gave the connection back "
        "this time, an early return or an error on the way does not.";
    for (struct model_process *process = context->model->processes; process;
         process = process->next)
        for (size_t i = 0; i < process->site_count; i++)
            site_finding(context, &process->sites[i], process->sites[i].raw.drained_unclosed,
                         advice);
}

const struct rule rule_drained_unclosed = {
    .id = "drained-unclosed",
    .severity = SEVERITY_WARNING,
    .message = "{n} response {body|bodies} from {host} {was|were} read to the end but never closed",
    .advice = "Close the body even when it was read to its end: what the library keeps for it goes "
              "only then.",
    .meaning = "The body was read to its end, so its connection is free again, but the client "
               "library's handle for it was "
               "never closed. Where handles cannot be seen, nothing is said.",
    .mistake = "Reading to the end was taken for closing.",
    .mend = "Close the handle in the scope that opened it, whatever was read.",
    .evaluate = drained_unclosed,
};

static void discarded_body(struct rules_context *context) {
    for (struct model_process *process = context->model->processes; process;
         process = process->next) {
        for (size_t i = 0; i < process->site_count; i++)
            site_finding(context, &process->sites[i], process->sites[i].raw.bodies_discarded,
                         "Nothing leaks; but each costs a new connection (and TLS handshake). Read "
                         "small rests before Close: `io.Copy(io.Discard, resp.Body)`.");
        for (size_t i = 0; i < process->body_count; i++) {
            const struct model_body *body = &process->bodies[i];
            const struct trace_body *raw = &body->raw;
            if (!(raw->flags & TRACE_BODY_HANDLE_CLOSED)) continue;
            rules_add(context, &(struct rules_object){
                                   .process = process,
                                   .host = body->host,
                                   .severity = SEVERITY_NOTE,
                                   .confidence = CONFIDENCE_PROVEN,
                                   .request_stack = raw->request_stack,
                                   .method = raw->method,
                                   .path = raw->path,
                                   .status = raw->status,
                                   .since_ns = raw->opened_ns,
                                   .bytes_read = raw->bytes_read,
                                   .bytes_expected = raw->expected,
                               });
        }
    }
}

const struct rule rule_discarded_body = {
    .id = "discarded-body",
    .severity = SEVERITY_NOTE,
    .message = "{n} response {body|bodies} from {host} {was|were} closed before {its|their} end",
    .advice = "Nothing leaks; but with HTTP/1 each costs a new connection (and TLS handshake). "
              "Drain small "
              "rests before closing.",
    .meaning = "The body was closed with bytes of it still to come. That is no leak; but with "
               "HTTP/1 the connection cannot be used again, "
               "so the next request pays for a new one. HTTP/2 resets the stream alone.",
    .mistake = "A response is closed unread because only its status matters.",
    .mend =
        "Read a small rest to its end before closing; ask with HEAD where only the status matters.",
    .evaluate = discarded_body,
};
