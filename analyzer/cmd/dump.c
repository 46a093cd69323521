/*
 * httpleak dump: every record of a trace as one line of words and KEY=VALUE, in an order and a form
 * that stay.
 */
#include <inttypes.h>

#include "cmd/dump.h"
#include "cmd/verb.h"
#include "trace/replay.h"

static void dump_header(struct trace_file *file) {
    static const char *const ends[] = {"running", "exit", "exec", "signal"};
    static const char *const unwinders[] = {"none", "libunwind", "libgcc"};
    static const char *const kinds[TRACE_REGION_COUNT] = {"connection", "body",  "worker", "handle",
                                                          "site",       "host",  "module", "timer",
                                                          "string",     "stack", "journal"};
    static const char *const lost[TRACE_LOST_COUNT] = {
        "connections", "bodies",  "workers", "events", "sites",  "strings",
        "stacks",      "modules", "tls",     "timers", "handles"};
    static const char *const go_states[] = {"none", "followed", "blind"};
    const struct trace_header *h = trace_file_header(file);
    printf("header");
    dump_text("file", trace_file_path(file));
    dump_number("version", h->version);
    dump_text("recorder", h->recorder_version);
    dump_number("pid", h->pid);
    dump_number("ppid", h->ppid);
    dump_text("exe", h->exe);
    dump_number("started_ns", h->started_ns);
    dump_number("started_realtime_ns", h->started_realtime_ns);
    dump_time(file, "created", h->created_ns);
    dump_time(file, "forked", h->forked_ns);
    dump_time(file, "last_moment", h->last_moment_ns);
    printf(" end=%s", h->end < 4 ? ends[h->end] : "unknown");
    dump_time(file, "ended", h->ended_ns);
    if (h->status_known) printf(" status=%" PRId32, h->status);
    printf(" unwinder=%s", h->unwinder < 3 ? unwinders[h->unwinder] : "unknown");
    dump_number("stack_depth", h->stack_depth);
    printf(" go=%s", h->go_state < 3 ? go_states[h->go_state] : "unknown");
    if (h->go_state != TRACE_GO_NONE) dump_text("go_version", h->go_version);
    if (h->go_state == TRACE_GO_BLIND) dump_text("go_reason", h->go_reason);
    dump_number("connections_foreign", h->connections_foreign);
    dump_number("connections_opaque", h->connections_opaque);
    dump_number("connections_failed", h->connections_failed);
    dump_number("workers_exited", h->workers_exited);
    dump_number("torn", trace_file_torn(file));
    putchar('\n');
    for (int i = 0; i < TRACE_REGION_COUNT; i++)
        printf("region kind=%s offset=%" PRIu64 " size=%" PRIu64 " record_size=%" PRIu64
               " used=%" PRIu64 " populated=%" PRIu64 "\n",
               kinds[i], h->regions[i].offset, h->regions[i].size, h->regions[i].record_size,
               h->regions[i].used, h->regions[i].populated);
    for (int i = 0; i < TRACE_LOST_COUNT; i++)
        if (h->lost[i]) printf("lost kind=%s count=%" PRIu64 "\n", lost[i], h->lost[i]);
}

static void dump_journal(struct trace_file *file) {
    struct trace_journal journal;
    struct trace_event e;
    trace_journal_begin(&journal, file);
    if (journal.first_place) printf("journal first_place=%" PRIu64 "\n", journal.first_place);
    while (trace_journal_next(&journal, &e)) {
        dump_stack(file, e.stack);
        printf("event seq=%" PRIu64, e.seq);
        dump_time(file, "t", e.time_ns);
        printf(" type=%s tid=%" PRIu32, trace_event_name(e.type), e.tid);
        dump_number("connection", e.connection);
        dump_number("object", e.object);
        dump_size("a", e.a);
        dump_number("b", e.type == TRACE_EVENT_BODY_OPEN ? trace_event_site(&e) : e.b);
        dump_number("stack", e.stack);
        dump_number("arg", e.type == TRACE_EVENT_BODY_OPEN ? trace_event_framing(&e) : e.arg);
        dump_number("flags", e.flags);
        if (e.type == TRACE_EVENT_BODY_OPEN && trace_event_number(&e))
            dump_number("number", trace_event_number(&e));
        if (e.type == TRACE_EVENT_BODY_OPEN && e.flags & TRACE_EVENT_ANSWER)
            dump_number("status", trace_event_status(&e));
        if (e.again) dump_number("again", e.again);
        if (e.flags & TRACE_EVENT_DRAINED) dump_number("drained", 1);
        if (e.flags & TRACE_EVENT_CLOSED) dump_number("closed", 1);
        if (e.flags & TRACE_EVENT_ASKED) dump_number("asked", 1);
        if (e.type == TRACE_EVENT_REQUEST) {
            dump_string(file, "method", (uint32_t)e.a);
            dump_string(file, "path", (uint32_t)e.b);
        }
        putchar('\n');
    }
    if (journal.skipped) printf("journal skipped=%" PRIu64 "\n", journal.skipped);
}

/* A killed process may have left one transition half done in each thread that was at work. */
static int dump_check(struct trace_file *file) {
    const struct trace_header *h = trace_file_header(file);
    uint64_t tolerance =
        h->end == TRACE_END_RUNNING ? 1 + trace_file_count(file, TRACE_REGION_WORKER) : 0;
    switch (trace_replay_check(file, tolerance, stdout)) {
    case REPLAY_EQUAL: return EXIT_CLEAN;
    case REPLAY_DIFFERENT: return 1;
    case REPLAY_WRAPPED:
        printf("nothing to compare: the journal has wrapped or lost records\n");
        return EXIT_CLEAN;
    case REPLAY_ERROR: break;
    }
    return EXIT_USAGE;
}

static int dump_all(struct trace_file *file) {
    dump_begin(file);
    dump_header(file);
    dump_modules(file);
    dump_hosts(file);
    dump_sites(file);
    dump_timers(file);
    dump_connections(file);
    dump_bodies(file);
    dump_workers(file);
    dump_handles(file);
    dump_journal(file);
    dump_end();
    return EXIT_CLEAN;
}

int verb_dump(const struct verb_options *options, int count, char **operands) {
    int status = EXIT_CLEAN;
    if (count == 0) {
        verb_error("dump", "which trace? (see %s dump --help)", TOOL_NAME);
        return EXIT_USAGE;
    }
    for (int i = 0; i < count; i++) {
        struct trace_error error;
        struct trace_file *file = trace_file_open(operands[i], &error);
        if (!file) {
            verb_error("dump", "%s", error.text);
            status = EXIT_USAGE;
            continue;
        }
        int one = options->check ? dump_check(file) : dump_all(file);
        const struct trace_error *found = trace_file_error(file);
        if (found) {
            fflush(stdout);
            verb_error("dump", "%s", found->text);
            one = EXIT_USAGE;
        }
        if (one > status) status = one;
        trace_file_close(file);
    }
    return status;
}
