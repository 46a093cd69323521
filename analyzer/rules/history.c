/* What went away again: findings that would have stood for a while, out of the journal. */
#include "rules/context.h"

/* A body that was read to its end, or closed, after nobody had tried to read it nor waited for longer than the grace. */
void rules_count_retracted(struct rules_context *context) {
    struct trace_journal journal;
    struct trace_event event;
    uint64_t longest = 0;
    for (struct model_process *process = context->model->processes; process;
         process = process->next) {
        trace_journal_begin(&journal, process->file);
        while (trace_journal_next(&journal, &event)) {
            if (event.type != TRACE_EVENT_BODY_DRAINED && event.type != TRACE_EVENT_BODY_DISCARDED)
                continue;
            if (event.b <= context->grace_ns || event.b == UINT64_MAX) continue;
            context->report->retracted++;
            if (event.b > longest) longest = event.b;
        }
    }
    context->report->retracted_longest_s = (double)longest / 1e9;
}
