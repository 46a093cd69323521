/* The summary at an orderly end: counts, and where the trace is. */
#include "record/summary.h"

#include "record/options.h"
#include "record/sys.h"
#include "record/text.h"
#include "record/trace.h"

struct counts {
    uint64_t connections, connections_open, exchanges, drained, discarded, failed, unclosed;
};

static void count_all(const struct trace_map *t, struct counts *c) {
    const struct trace_region *r = t->header->regions;
    for (uint64_t i = 0; i < r[TRACE_REGION_SITE].used; i++) {
        const struct trace_site *s = &t->sites[i];
        c->connections += s->connections_closed;
        c->exchanges += s->exchanges;
        c->drained += s->bodies_drained;
        c->discarded += s->bodies_discarded;
        c->failed += s->bodies_failed;
    }
    for (uint64_t i = 0; i < r[TRACE_REGION_CONNECTION].used; i++) {
        const struct trace_connection *s = &t->connections[i];
        if (s->state != TRACE_CONNECTION_FREE && (s->flags & TRACE_CONNECTION_COUNTED))
            c->connections_open++;
    }
    for (uint64_t i = 0; i < r[TRACE_REGION_BODY].used; i++)
        if (t->bodies[i].state == TRACE_BODY_OPEN) c->unclosed++;
    c->connections += c->connections_open;
}

static void put_count(struct text *t, uint64_t n, const char *one, const char *many) {
    text_put_u64(t, n);
    text_put(t, n == 1 ? one : many);
}

void summary_print(void) {
    static uint32_t line_taken;
    static char line[4096]; /* one write: lines of several processes stay whole */
    struct trace_map *m = trace;
    struct counts c = {0};
    if (!m || !options.summary) return;
    count_all(m, &c);
    if (c.connections == 0 && c.exchanges == 0) return;
    uint64_t no = 0;
    if (!__atomic_compare_exchange_n(&m->header->summary_done, &no, 1, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return;
    if (__atomic_exchange_n(&line_taken, 1, __ATOMIC_ACQUIRE)) return;
    struct text t = TEXT_ON(line);
    text_put(&t, "httpleak: ");
    text_put(&t, trace_program());
    text_put(&t, "[");
    text_put_u64(&t, m->header->pid);
    text_put(&t, "]: ");
    put_count(&t, c.connections, " connection (", " connections (");
    put_count(&t, c.connections_open, " still open), ", " still open), ");
    put_count(&t, c.exchanges, " request; ", " requests; ");
    const uint64_t bodies = c.drained + c.discarded + c.failed + c.unclosed;
    put_count(&t, bodies, " response body: ", " response bodies: ");
    put_count(&t, c.drained, " drained, ", " drained, ");
    put_count(&t, c.discarded, " discarded, ", " discarded, ");
    put_count(&t, c.failed, " failed, ", " failed, ");
    put_count(&t, c.unclosed, " unclosed\n", " unclosed\n");
    text_put(&t, "httpleak: trace in ");
    text_put(&t, trace_path);
    text_put(&t, "\n");
    sys_say(line, t.length);
    __atomic_store_n(&line_taken, 0, __ATOMIC_RELEASE);
}
