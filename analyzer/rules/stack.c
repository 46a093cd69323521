/* Stacks with names, and what of them tells one caller from another. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "rules/context.h"
#include "symbol/perf_map.h"

#define FINGERPRINT_FRAMES 5u

uint64_t rules_hash(uint64_t hash, const char *text) { /* FNV-1a, the terminator included */
    do
        hash = (hash ^ (uint8_t)*text) * UINT64_C(1099511628211);
    while (*text++);
    return hash;
}

/*
 * Whose frames stand for the caller: the user's; else those of libraries in the language of an interpreter; else the interpreter's
 * that runs the user's code; else whatever is there.
 */
static enum symbol_kind caller_kind(const struct rules_stack *stack) {
    enum symbol_kind best = SYMBOL_RECORDER;
    bool interpreted = false;
    for (size_t i = 0; i < stack->count; i++) {
        enum symbol_kind kind = stack->frames[i].kind;
        if (stack->frames[i].module[0] && kind < best) best = kind;
        interpreted |= stack->frames[i].interpreted;
    }
    return best != SYMBOL_USER && interpreted ? SYMBOL_CLIENT : best;
}

/* The i-th frame of the caller, from *at on; NULL at the end. Of an interpreter one frame stands for the whole run of them:
 * how deep it recurses has nothing to do with who called. */
static const struct symbol_frame *next_frame(const struct rules_stack *stack, enum symbol_kind kind,
                                             size_t *at) {
    const struct symbol_frame *previous = *at ? &stack->frames[*at - 1] : NULL;
    while (*at < stack->count) {
        const struct symbol_frame *frame = &stack->frames[(*at)++];
        if (frame->kind != kind || !frame->module[0]) continue;
        if (kind == SYMBOL_INTERPRETER && previous && strcmp(previous->module, frame->module) == 0)
            continue;
        return frame;
    }
    return NULL;
}

static uint64_t stack_identity(const struct rules_stack *stack) {
    uint64_t hash = RULES_HASH_START;
    enum symbol_kind kind = caller_kind(stack);
    size_t at = 0;
    for (const struct symbol_frame *frame; (frame = next_frame(stack, kind, &at));) {
        char place[32];
        hash = rules_hash(hash, symbol_base_name(frame->module));
        if (kind == SYMBOL_INTERPRETER) continue;
        snprintf(place, sizeof place, frame->line ? "%" PRIu64 : "+%" PRIx64,
                 frame->line ? (uint64_t)frame->line : frame->offset);
        hash = rules_hash(rules_hash(hash, frame->function ? frame->function : ""), place);
    }
    return hash;
}

static bool is_same_place(const struct symbol_frame *a, const struct symbol_frame *b) {
    return strcmp(a->language, "javascript") == 0 && strcmp(b->language, "javascript") == 0 &&
           strcmp(a->module, b->module) == 0 && a->line == b->line &&
           strcmp(a->function ? a->function : "", b->function ? b->function : "") == 0;
}

/*
 * An asynchronous function of JavaScript has its callers below it until it first waits, and then no more: the shorter stack is
 * the longer one's beginning, and the caller is the same.
 */
bool rules_stack_begins(const struct rules_stack *shorter, const struct rules_stack *longer) {
    size_t a = 0, b = 0, same = 0;
    for (;; same++) {
        const struct symbol_frame *x = next_frame(shorter, SYMBOL_USER, &a);
        const struct symbol_frame *y = next_frame(longer, SYMBOL_USER, &b);
        if (!x) return same > 0;
        if (!y || !is_same_place(x, y)) return false;
    }
}

uint64_t rules_stack_fingerprint(const struct rules_stack *stack, uint64_t hash) {
    enum symbol_kind kind = caller_kind(stack);
    size_t at = 0;
    for (unsigned n = 0; n < FINGERPRINT_FRAMES; n++) {
        const struct symbol_frame *frame = next_frame(stack, kind, &at);
        if (!frame) break;
        hash = rules_hash(hash, symbol_base_name(frame->module));
        hash =
            rules_hash(hash, frame->function && kind != SYMBOL_INTERPRETER ? frame->function : "?");
    }
    return hash;
}

/* A module as the symbolizer wants it, one for each of a process's modules that a stack names. */
static const struct symbol_module *module_of(const struct rules_context *context,
                                             const struct model_process *process, uint32_t id) {
    if (id == 0 || id >= process->module_count || !process->modules[id].ready) return NULL;
    const struct trace_module *raw = &process->modules[id];
    struct symbol_module *module = arena_alloc(&context->report->arena, sizeof *module);
    module->path = trace_file_string(process->file, raw->path, NULL);
    module->build_id = raw->build_id;
    module->build_id_size = raw->build_id_size;
    module->flags = raw->flags;
    return module;
}

/* Without a symbolizer: module and offset. */
static size_t name_plainly(const struct rules_context *context,
                           const struct symbol_address *addresses, size_t count,
                           const struct symbol_frame **out) {
    struct symbol_frame *frames =
        arena_alloc(&context->report->arena, (count + 1) * sizeof *frames);
    for (size_t i = 0; i < count; i++) {
        const struct symbol_module *module = addresses[i].module;
        frames[i].module = module ? module->path : "";
        frames[i].build_id = "";
        if (addresses[i].language) {
            frames[i].module = symbol_script_module(&context->report->arena, &addresses[i]);
            if (addresses[i].language != TRACE_LANGUAGE_JAVA || addresses[i].line)
                frames[i].file = addresses[i].file;
            frames[i].function = addresses[i].function;
            frames[i].line = (int)addresses[i].line;
            frames[i].language = symbol_language_name(addresses[i].language);
            frames[i].kind = symbol_script_kind(addresses[i].language, frames[i].module);
            frames[i].user = frames[i].kind == SYMBOL_USER;
            frames[i].interpreted = true;
            continue;
        }
        frames[i].offset = addresses[i].address;
        frames[i].language = "native";
        frames[i].kind = module ? symbol_module_kind(module->path, module->flags) : SYMBOL_USER;
        frames[i].user = frames[i].kind == SYMBOL_USER;
    }
    *out = frames;
    return count;
}

/* The perf map of a process, looked for once. */
struct rules_compiled {
    struct rules_compiled *next;
    const struct model_process *process;
    struct perf_map *map; /* NULL: there is none */
};

static const struct perf_map *map_of(struct rules_context *context,
                                     const struct model_process *process) {
    for (const struct rules_compiled *c = context->compiled; c; c = c->next)
        if (c->process == process) return c->map;
    struct rules_compiled *compiled = arena_alloc(&context->report->arena, sizeof *compiled);
    char path[64];
    snprintf(path, sizeof path, "/tmp/perf-%" PRIu32 ".map", process->header->pid);
    compiled->process = process;
    compiled->map =
        perf_map_open(path, (int64_t)(process->header->started_realtime_ns / 1000000000u));
    compiled->next = context->compiled;
    context->compiled = compiled;
    return compiled->map;
}

void rules_stack_end(struct rules_context *context) {
    for (struct rules_compiled *c = context->compiled; c; c = c->next)
        perf_map_close(c->map);
    context->compiled = NULL;
}

/* Code that a runtime compiled while it ran: false when nobody wrote down its name. */
static bool address_compiled(struct rules_context *context, const struct model_process *process,
                             uint64_t pc, struct symbol_address *out) {
    const struct perf_map *map = map_of(context, process);
    struct perf_name name;
    if (!map || !perf_map_find(map, pc ? pc - 1 : 0, &name)) return false;
    *out = (struct symbol_address){.language = name.language,
                                   .line = name.line,
                                   .file = arena_copy(&context->report->arena, name.file),
                                   .function = arena_copy(&context->report->arena, name.function)};
    return true;
}

/* A frame as the symbolizer wants it. Of interpreted code the trace has the names. */
static struct symbol_address address_of(struct rules_context *context,
                                        const struct model_process *process,
                                        const struct trace_frame *raw) {
    struct symbol_address compiled = {0};
    if (raw->language == TRACE_LANGUAGE_NATIVE && raw->module == 0 &&
        address_compiled(context, process, raw->address, &compiled))
        return compiled;
    if (raw->language == TRACE_LANGUAGE_NATIVE)
        return (struct symbol_address){.module = module_of(context, process, raw->module),
                                       .address = raw->address};
    return (struct symbol_address){
        .language = raw->language,
        .line = (uint32_t)(raw->address >> 32),
        .file = trace_file_string(process->file, raw->module, NULL),
        .function = trace_file_string(process->file, (uint32_t)raw->address, NULL)};
}

const struct rules_stack *rules_stack(struct rules_context *context,
                                      const struct model_process *process, uint32_t id) {
    for (struct rules_stack *stack = context->stacks; stack; stack = stack->next)
        if (stack->process == process && stack->id == id) return stack;
    struct rules_stack *stack = arena_alloc(&context->report->arena, sizeof *stack);
    stack->process = process;
    stack->id = id;
    stack->next = context->stacks;
    context->stacks = stack;
    const struct trace_stack *raw = trace_file_stack(process->file, id);
    if (raw) {
        struct symbol_address addresses[TRACE_STACK_DEPTH_MAX];
        for (uint32_t i = 0; i < raw->count; i++)
            addresses[i] = address_of(context, process, &raw->frames[i]);
        stack->count =
            context->symbolizer
                ? symbolizer_resolve(context->symbolizer, addresses, raw->count, &stack->frames)
                : name_plainly(context, addresses, raw->count, &stack->frames);
        while (stack->count && stack->frames[0].kind == SYMBOL_RECORDER)
            stack->frames++, stack->count--;
        stack->first =
            context->options.full_stacks ? 0 : symbol_first_user(stack->frames, stack->count);
    }
    stack->identity = stack_identity(stack);
    return stack;
}

bool rules_stack_is_go(struct rules_context *context, const struct model_process *process,
                       uint32_t id) {
    const struct rules_stack *stack = rules_stack(context, process, id);
    if (stack->first >= stack->count) return false;
    const struct symbol_frame *frame = &stack->frames[stack->first];
    return frame->function ? strcmp(frame->language, "go") == 0
                           : process->header->go_state == TRACE_GO_FOLLOWED;
}
