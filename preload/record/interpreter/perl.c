/* Walks the calling thread's Perl frames. */
#include "record/interpreter/perl.h"

/* struct interpreter; struct stackinfo; struct context: measured with offsetof, see perl_layout */
#define INTERPRETER_OPERATION 8u
#define STACK_CONTEXTS 8u
#define STACK_PREVIOUS 16u
#define STACK_INDEX 32u
#define STACK_KIND 44u
#define STACK_SIZE 48u
#define STACK_MAIN 1 /* PERLSI_MAIN: nothing runs below it */
#define CONTEXT_SIZE 104u
#define CONTEXT_STATEMENT 16u
#define CONTEXT_RETURN 48u
#define CONTEXT_SUB 72u
#define KIND_MASK 0x0fu
#define KIND_SUB 9u
#define KIND_FORMAT 10u
#define KIND_EVAL 11u
#define FLAG_SAME_SUB 0x80u /* of a sub: code in a pattern; of an eval: a try block */
#define FLAG_BLOCK 0x40u    /* of an eval: a block, no text */

#define CONTEXTS_MOST 16384u /* blocks and loops among them */
#define STACKS_MOST 1000u
#define COMPARED_MOST 32u /* stacks that are compared with the interpreter's own answer */

/* Measured with offsetof against the headers of 5.32.1, 5.36.0, 5.40.1 and 5.42.3; all else is the same in these. */
static const struct perl_layout layouts[] = {
    {32, 224, 240, 195, false},
    {36, 208, 224, 195, true},
    {40, 208, 224, 198, true},
    {42, 208, 224, 202, true},
};

/* Who disagreed with his interpreter is not believed any more. */
static bool wrong;
static uint32_t compared;

struct walk {
    const struct perl *perl;
    struct memory memory;
    uintptr_t interpreter;
    uintptr_t statement, operation; /* where the frame is that comes next */
    bool called;                    /* the operation is the one to go on with */
    bool compare;
    int32_t level;
    void **counters;
    uint32_t count, most, contexts;
};

static bool show(struct walk *w, struct frame_text function) {
    struct frame_text file;
    uint32_t line;
    const uintptr_t statement =
        perl_statement(w->perl, &w->memory, w->statement, w->operation, w->called);
    if (!perl_place(w->perl, &w->memory, w->interpreter, statement, &file, &line)) return false;
    if (file.size == 0)
        return true; /* the interpreter itself, before it runs a statement and after the last */
    void *pc = frame_counter(TRACE_LANGUAGE_PERL, file, function, line);
    if (pc) w->counters[w->count++] = pc;
    return true;
}

/* One that a caller may be behind: false when something is wrong. */
static bool walk_context(struct walk *w, uintptr_t at, uint8_t type) {
    static const char text_name[] = "(eval)";
    const bool block = (type & KIND_MASK) == KIND_EVAL && type & FLAG_BLOCK;
    struct frame_text function = {text_name, sizeof text_name - 1};
    char buffer[FRAME_TEXT_MAX];
    uintptr_t sub;
    if (w->compare) {
        const void *told = NULL;
        w->perl->caller((void *)w->interpreter, w->level, &told);
        if ((uintptr_t)told != at) return false;
    }
    w->level++;
    if (block) return true; /* the same subroutine, which goes on inside of it */
    if ((type & KIND_MASK) != KIND_EVAL &&
        (!perl_load(&w->memory, at + CONTEXT_SUB, &sub) ||
         !perl_name(w->perl, &w->memory, sub, buffer, &function)))
        return false;
    if (!show(w, function)) return false;
    w->called = true;
    return perl_load(&w->memory, at + CONTEXT_STATEMENT, &w->statement) &&
           perl_load(&w->memory, at + CONTEXT_RETURN, &w->operation);
}

static bool walk_contexts(struct walk *w, uintptr_t contexts, int32_t index) {
    for (; index >= 0 && w->count < w->most; index--) {
        if (w->contexts++ == CONTEXTS_MOST) return false;
        const uintptr_t at = contexts + (uintptr_t)index * CONTEXT_SIZE;
        if (at % 8 != 0 || !memory_can_read(&w->memory, at, CONTEXT_SIZE)) return false;
        const uint8_t type = *(const uint8_t *)at, kind = type & KIND_MASK;
        if (kind != KIND_SUB && kind != KIND_FORMAT && kind != KIND_EVAL) continue;
        if (kind != KIND_FORMAT && type & FLAG_SAME_SUB) continue;
        if (!walk_context(w, at, type)) return false;
    }
    return true;
}

/* What sort, overloaded operators, DESTROY and the like run has a stack of its own, over that of who caused it. */
static bool walk_stacks(struct walk *w, uintptr_t stack) {
    for (unsigned i = 0; stack && i < STACKS_MOST && w->count < w->most; i++) {
        uintptr_t contexts, previous;
        int32_t index, kind;
        if (stack % 8 != 0 || !memory_can_read(&w->memory, stack, STACK_SIZE) ||
            !perl_load(&w->memory, stack + STACK_CONTEXTS, &contexts) ||
            !perl_load(&w->memory, stack + STACK_PREVIOUS, &previous))
            return false;
        memcpy(&index, (const void *)(stack + STACK_INDEX), sizeof index);
        memcpy(&kind, (const void *)(stack + STACK_KIND), sizeof kind);
        if (!walk_contexts(w, contexts, index)) return false;
        if (kind == STACK_MAIN) break;
        stack = previous;
    }
    return true;
}

static bool walk(struct walk *w) {
    static const char main_name[] = "(main)";
    uintptr_t stack;
    const uintptr_t interpreter = w->interpreter;
    const struct perl_layout *l = &w->perl->layout;
    if (!perl_load(&w->memory, interpreter + l->statement, &w->statement) ||
        !perl_load(&w->memory, interpreter + l->stack, &stack) ||
        !perl_load(&w->memory, interpreter + INTERPRETER_OPERATION, &w->operation) ||
        !walk_stacks(w, stack))
        return false;
    if (w->count == w->most) return true;
    if (w->compare && w->perl->caller((void *)interpreter, w->level, NULL)) return false;
    return show(w, (struct frame_text){main_name, sizeof main_name - 1});
}

uint32_t perl_frames(const struct perl *perl, void **counters, uint32_t most) {
    if (__atomic_load_n(&wrong, __ATOMIC_RELAXED) || most == 0) return 0;
    struct walk w = {.perl = perl,
                     .memory = memory_begin(),
                     .interpreter = (uintptr_t)pthread_getspecific(*perl->key),
                     .compare = __atomic_load_n(&compared, __ATOMIC_RELAXED) < COMPARED_MOST,
                     .counters = counters,
                     .most = most};
    /* None yet, or no more. */
    if (w.interpreter % 8 != 0 ||
        !memory_can_read(&w.memory, w.interpreter, perl->interpreter_size))
        return 0;
    if (!walk(&w)) {
        if (w.compare) __atomic_store_n(&wrong, true, __ATOMIC_RELAXED);
        return 0;
    }
    if (w.compare) __atomic_fetch_add(&compared, 1, __ATOMIC_RELAXED);
    return w.count;
}

/* Whether a table of names that Perl exports has this one there. */
static bool names(const struct image *module, const char *table, unsigned index, const char *name) {
    const char *const *at = image_find_data(module, table);
    return at && strcmp(at[index], name) == 0;
}

bool perl_find(struct perl *perl, const struct image *module) {
    const uint16_t *size = image_find_data(module, "PL_interp_size");
    if (!size) return false; /* as a rule; also where there is but one interpreter, in variables */
    const uint8_t *version = image_find_data(module, "PL_version");
    const char *options = image_find_data(module, "PL_bincompat_options");
    const pthread_key_t *key = image_find_data(module, "PL_thr_key");
    void *caller = image_find(module, "Perl_caller_cx", image_hash("Perl_caller_cx"));
    if (!version || !options || !key || !caller || !strstr(options, " USE_ITHREADS")) return false;
    *perl = (struct perl){.interpreter_size = *size, .key = key};
    memcpy(&perl->caller, &caller, sizeof caller);
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i].version == *version) perl->layout = layouts[i];
    const unsigned next_state = perl->layout.next_state;
    return perl->layout.version && names(module, "PL_block_type", KIND_SUB, "SUB") &&
           names(module, "PL_block_type", KIND_FORMAT, "FORMAT") &&
           names(module, "PL_block_type", KIND_EVAL, "EVAL") &&
           names(module, "PL_op_name", next_state, "nextstate") &&
           names(module, "PL_op_name", next_state + 1, "dbstate") &&
           names(module, "PL_op_name", next_state + 5, "scope");
}
