/* The rule about timers: timer-pileup. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "rules/context.h"

#define PENDING_MIN 1000u             /* pending timers of one call site, fewer are no finding */
#define QUIET_NS UINT64_C(2000000000) /* after a rise that short, a plateau cannot be told yet */

static uint64_t timers_pending(const struct trace_timer *timer) {
    uint64_t gone = timer->fired + timer->stopped + timer->forgotten;
    return timer->created > gone ? timer->created - gone : 0;
}

/*
 * It rises as long as the high-water mark does: marks come with every eighth that it gains. A plateau is one that has lasted
 * longer than the rise to it, and one that has fallen since is none either.
 */
static bool timers_rise(const struct model_process *process, const struct trace_timer *timer) {
    uint64_t pending = timers_pending(timer);
    if (pending <= PENDING_MIN || pending < timer->peak - timer->peak / 8 || !timer->mark_count)
        return false;
    uint64_t mark = timer->marks[(timer->mark_count - 1) % TRACE_TIMER_MARKS].time_ns;
    uint64_t rise = mark > timer->first_ns ? mark - timer->first_ns : 0;
    return rules_age(process, mark) <= later(rise, QUIET_NS);
}

/* The name of the function of Go's library that was called, from its frame: inlined or not, it is there. */
static const char *timers_go_function(const struct rules_stack *stack, const char *otherwise) {
    static const char *const names[] = {
        "context.WithTimeout", "context.WithDeadline", "time.After",     "time.Tick",
        "time.NewTimer",       "time.NewTicker",       "time.AfterFunc", "time.(*Timer).Reset"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        for (size_t i = 0; i < stack->count && !stack->frames[i].user; i++)
            if (stack->frames[i].function && strcmp(stack->frames[i].function, names[n]) == 0)
                return names[n];
    return otherwise;
}

struct timers_words {
    const char *function, *advice;
};

static struct timers_words timers_words(const struct trace_timer *timer,
                                        const struct rules_stack *stack) {
    struct timers_words words = {"a timer", NULL};
    switch ((enum trace_timer_kind)timer->kind) {
    case TRACE_TIMER_POSIX:
        words.function = "timer_create";
        words.advice = "Delete each timer when it is not needed any more (timer_delete); for work "
                       "in a loop make one, and set it anew with timer_settime.";
        break;
    case TRACE_TIMER_FD:
        words.function = "timerfd_create";
        words.advice = "Close each timer's descriptor when it is not needed any more; for work in "
                       "a loop make one, and set it anew with timerfd_settime.";
        break;
    case TRACE_TIMER_GO_CHANNEL:
        words.function = timers_go_function(stack, "time.NewTimer");
        words.advice = "Make one timer in front of the loop (`time.NewTimer`), and `Stop` and "
                       "`Reset` it in each round: an abandoned one stays until it fires (with Go "
                       "1.23 and a go.mod that says 1.23 it is collected).";
        break;
    case TRACE_TIMER_GO_TICKER:
        words.function = timers_go_function(stack, "time.NewTicker");
        words.advice = "`defer ticker.Stop()` where the ticker is made; time.Tick cannot be "
                       "stopped.";
        break;
    case TRACE_TIMER_GO_FUNC:
        words.function = timers_go_function(stack, "time.AfterFunc");
        words.advice = strncmp(words.function, "context.", 8) == 0
                           ? "`defer cancel()` where the context is made: its timer stays until it "
                             "fires, whatever became of the work."
                           : "Keep what time.AfterFunc returns, and `Stop` it when its work is "
                             "not wanted any more; or make one, and `Reset` it.";
        break;
    }
    return words;
}

/* " for 1 min", "" when not known */
static const char *timers_duration(char *text, size_t size, uint64_t ns) {
    text[0] = 0;
    if (ns >= UINT64_C(60000000000) && ns % UINT64_C(60000000000) == 0)
        snprintf(text, size, " for %" PRIu64 " min", ns / UINT64_C(60000000000));
    else if (ns >= 1000000000u)
        snprintf(text, size, " for %.3g s", (double)ns / 1e9);
    else if (ns)
        snprintf(text, size, " for %.3g ms", (double)ns / 1e6);
    return text;
}

static void timer_pileup(struct rules_context *context) {
    for (struct model_process *process = context->model->processes; process;
         process = process->next) {
        for (size_t i = 1, n = trace_file_count(process->file, TRACE_REGION_TIMER); i < n; i++) {
            struct trace_timer timer;
            char duration[64];
            if (!trace_file_timer(process->file, i, &timer)) continue;
            /* what the runtime collects once nobody refers to it may be garbage already */
            if (timer.flags & TRACE_TIMER_COLLECTABLE) continue;
            if (!timers_rise(process, &timer)) continue;
            struct timers_words words =
                timers_words(&timer, rules_stack(context, process, timer.stack));
            rules_add(context,
                      &(struct rules_object){
                          .process = process,
                          .severity = SEVERITY_WARNING,
                          .confidence = CONFIDENCE_PROVEN,
                          .detail = words.function,
                          .message = arena_format(
                              &context->report->arena,
                              "{n} {timer|timers} of {detail}%s {is|are} pending (%" PRIu64
                              " made here), and their number keeps rising",
                              timers_duration(duration, sizeof duration, timer.duration_ns),
                              timer.created),
                          .advice = words.advice,
                          .count = timers_pending(&timer),
                          .request_stack = timer.stack,
                          .since_ns = timer.first_ns,
                          .bytes_expected = TRACE_UNKNOWN,
                      });
        }
    }
}

const struct rule rule_timer_pileup = {
    .id = "timer-pileup",
    .severity = SEVERITY_WARNING,
    .message = "{n} {timer|timers} of {detail} {is|are} pending, and their number keeps rising",
    .advice = "Make one timer, and set it anew each time.",
    .meaning = "One place in the program makes timers faster than they end, more than a thousand "
               "are pending, and the high-water mark keeps rising. Each holds memory (and in C a "
               "descriptor, or one of the process's limited timers). Once their number stands "
               "still it is no finding, however high it is.",
    .mistake =
        "Go: `case <-time.After(d)` in a select inside a loop. Each round makes a new timer, "
        "and before Go 1.23 (or with a go.mod that says so) an abandoned one stays until it "
        "fires; since then it is garbage, and nothing is said. A context with a timeout "
        "whose cancel is not called, a ticker that is not stopped. C: timer_create or "
        "timerfd_create for each piece of work, without timer_delete or close.",
    .mend = "Go: one `time.NewTimer` in front of the loop, with `Stop` and `Reset` in each round; "
            "`defer cancel()`; `defer ticker.Stop()`. C: one timer, set anew with timer_settime or "
            "timerfd_settime; else delete each.",
    .evaluate = timer_pileup,
};
