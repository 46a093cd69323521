/* Rules about the threads that serve connections, as such: worker-growth, thread-unjoined. */
#include <stdlib.h>
#include <string.h>

#include "rules/context.h"

#define GROWTH_MIN 16u /* live workers of one place, fewer are no growth */
#define GROWTH_PARTS                                                                               \
    4u /* the time from the oldest of them to the end is cut into so many, and in each they must rise */
#define GROWTH_GRACES 4u /* ... and be so long at least */
#define UNJOINED_MIN 3u  /* while the program runs: somebody may still come to join fewer */

/* ---- worker-growth ---- */

static int growth_compare(const void *a, const void *b) {
    const struct trace_worker *x = &(*(const struct model_worker *const *)a)->raw,
                              *y = &(*(const struct model_worker *const *)b)->raw;
    if (x->created_stack != y->created_stack) return x->created_stack < y->created_stack ? -1 : 1;
    if (x->started_ns != y->started_ns) return x->started_ns < y->started_ns ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/*
 * Each worker that is still there tells how many there were of its kind when it came: points of the true curve, also where others
 * have ended since. A pool's curve is level once it is full, however its threads change; one that rises in each part of the time
 * by half of its share at least has no level.
 */
static bool keeps_rising(struct model_worker *const *workers, size_t count, uint64_t now_ns) {
    const uint64_t start = workers[0]->raw.started_ns, span = now_ns - start;
    uint32_t before = 0;
    size_t i = 0;
    for (unsigned part = 1; part <= GROWTH_PARTS; part++) {
        const uint64_t end = start + span / GROWTH_PARTS * part;
        uint32_t level = before;
        for (; i < count && (workers[i]->raw.started_ns <= end || part == GROWTH_PARTS); i++) {
            if (workers[i]->raw.siblings == 0) return false;
            level = workers[i]->raw.siblings;
        }
        if (level < before + count / (2 * GROWTH_PARTS)) return false;
        before = level;
    }
    return true;
}

/* Most of them do nothing: a program whose load rises has use for its threads. */
static bool are_out_of_work(const struct rules_context *context,
                            struct model_worker *const *workers, size_t count) {
    size_t still = 0;
    for (size_t i = 0; i < count; i++)
        still += rules_age(workers[i]->process, workers[i]->raw.last_io_ns) >= context->grace_ns;
    return still * 2 >= count;
}

static void growth_of_place(struct rules_context *context, struct model_worker *const *workers,
                            size_t count) {
    struct model_process *process = workers[0]->process;
    const uint64_t span = rules_age(process, workers[0]->raw.started_ns);
    if (count < GROWTH_MIN || workers[0]->raw.created_stack == 0 ||
        span < GROWTH_GRACES * context->grace_ns ||
        !keeps_rising(workers, count, process->now_ns) || !are_out_of_work(context, workers, count))
        return;
    for (size_t i = 0; i < count; i++) {
        struct model_connection *connection = workers[i]->dedicated;
        rules_add(context, &(struct rules_object){
                               .process = process,
                               .host = workers[i]->host,
                               .severity = SEVERITY_WARNING,
                               .confidence = CONFIDENCE_PROVEN,
                               .worker_stack = workers[i]->raw.created_stack,
                               .by_worker_stack = true,
                               .since_ns = workers[i]->raw.started_ns,
                               .bytes_expected = TRACE_UNKNOWN,
                               .worker = workers[i],
                               .root = connection ? connection->root : NULL,
                           });
    }
}

static void worker_growth(struct rules_context *context) {
    for (struct model_process *process = context->model->processes; process;
         process = process->next) {
        struct model_worker **sorted = NULL;
        size_t count = 0;
        for (size_t i = 0; i < process->worker_count; i++) {
            if (!process->workers[i].counted ||
                (process->workers[i].raw.flags & TRACE_WORKER_GOROUTINE))
                continue;
            sorted = array_grow(sorted, count, sizeof(struct model_worker *));
            sorted[count++] = &process->workers[i];
        }
        if (count) qsort(sorted, count, sizeof(struct model_worker *), growth_compare);
        for (size_t first = 0, end; first < count; first = end) {
            for (end = first + 1;
                 end < count && sorted[end]->raw.created_stack == sorted[first]->raw.created_stack;)
                end++;
            growth_of_place(context, sorted + first, end - first);
        }
        free(sorted);
    }
}

const struct rule rule_worker_growth = {
    .id = "worker-growth",
    .severity = SEVERITY_WARNING,
    .message =
        "{n} {thread that serves|threads that serve} {host} {was|were} started in one place, "
        "and their number keeps rising",
    .advice = "Bound the number of threads (a pool), and end each one when its work is done.",
    .meaning =
        "The live threads of one place in the program that deal with connections have become "
        "more in every part of the time since the first of them, and most of them do nothing "
        "any more. A pool, however many threads it has and however often they change, "
        "comes to a level and is no finding.",
    .mistake = "A thread for each request or connection that waits for something that never comes "
               "(a queue nobody fills, an answer without a timeout).",
    .mend =
        "Look at what the threads wait for (the report of a running program says it), give it a "
        "timeout, and let a pool of fixed size do the work.",
    .evaluate = worker_growth,
};

/* ---- thread-unjoined ---- */

/* Runtimes that never join their threads, by the module that makes them. */
static bool is_of_runtime(struct rules_context *context, const struct model_process *process,
                          uint32_t id) {
    static const char *const runtimes[] = {"libjvm.",   "libuv.",   "node",        "libruby",
                                           "libpython", "python",   "libgomp.",    "libomp.",
                                           "libtbb",    "libglib-", "libcoreclr.", "libmono",
                                           "libQt",     "libperl",  "libdispatch."};
    const struct rules_stack *stack = rules_stack(context, process, id);
    for (size_t i = 0; i < stack->count && i < 3; i++) {
        const char *module = symbol_base_name(stack->frames[i].module);
        for (size_t k = 0; k < sizeof runtimes / sizeof *runtimes; k++)
            if (strncmp(module, runtimes[k], strlen(runtimes[k])) == 0) return true;
    }
    return false;
}

static bool somebody_joins(const struct model_process *process) {
    for (size_t i = 0; i < process->worker_count; i++)
        if (process->workers[i].raw.wait == TRACE_WAIT_JOIN) return true;
    return false;
}

static void thread_unjoined(struct rules_context *context) {
    for (struct model_process *process = context->model->processes; process;
         process = process->next) {
        if (somebody_joins(process)) continue;
        for (size_t i = 0; i < process->site_count; i++) {
            const struct model_site *site = &process->sites[i];
            const struct trace_site *raw = &site->raw;
            if (raw->workers_unjoined == 0 || raw->workers_unjoined > INT64_MAX) continue;
            if (!process->orderly && (raw->workers_unjoined < UNJOINED_MIN ||
                                      rules_age(process, raw->unjoined_ns) < context->grace_ns))
                continue;
            if (is_of_runtime(context, process, raw->stack)) continue;
            rules_add(context, &(struct rules_object){
                                   .process = process,
                                   .host = site->host,
                                   .severity = SEVERITY_WARNING,
                                   .confidence = CONFIDENCE_PROVEN,
                                   .count = raw->workers_unjoined,
                                   .worker_stack = raw->stack,
                                   .by_worker_stack = true,
                                   .since_ns = raw->unjoined_ns,
                                   .bytes_expected = TRACE_UNKNOWN,
                               });
        }
    }
}

const struct rule rule_thread_unjoined = {
    .id = "thread-unjoined",
    .severity = SEVERITY_WARNING,
    .message =
        "{n} {thread|threads} that served {host} {has|have} ended, and nobody joined {it|them}",
    .advice = "Join each thread (pthread_join), or make it detached when nobody wants its result.",
    .meaning = "A joinable thread that dealt with connections has ended and was neither joined nor "
               "detached. Its stack and its descriptor stay mapped for as long as the process "
               "lives. While the program runs a few such threads are no finding, nor are any while "
               "somebody waits in a join.",
    .mistake = "The thread tells that it is done through a flag or a queue, and its join is "
               "forgotten.",
    .mend = "Keep the pthread_t and join it where the result is taken, or create the thread with "
            "PTHREAD_CREATE_DETACHED.",
    .evaluate = thread_unjoined,
};
