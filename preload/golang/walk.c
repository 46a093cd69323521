/*
 * The stack of a goroutine by its frame pointers, which Go keeps in every function that has a frame (amd64, since 1.7). Bounded by
 * the stack's own limits, so a broken chain ends the walk and nothing else.
 */
#include "golang/probe.h"

#include "record/intern.h"
#include "record/module_table.h"
#include "record/options.h"

enum { STACK_LOW = 0, STACK_HIGH = 8 }; /* of g.stack, the first field of g (runtime2.go) */

uint64_t probe_depth(const struct golang_registers *r) {
    return golang_word(r->g, STACK_HIGH) - r->sp;
}

static uint32_t walk(const struct golang_registers *r, void *pcs[TRACE_STACK_DEPTH_MAX],
                     uint64_t *hash) {
    const uint64_t high = golang_word(r->g, STACK_HIGH);
    uint64_t low = golang_word(r->g, STACK_LOW), frame = r->bp, h = 0;
    uint32_t n = 0;
    if (!managed_trace() || r->sp < low || r->sp >= high) return 0;
    const uint32_t most =
        options.stack_depth < TRACE_STACK_DEPTH_MAX ? options.stack_depth : TRACE_STACK_DEPTH_MAX;
    uint64_t pc = *(const uint64_t *)r->sp;
    low = r->sp;
    while (pc && n < most) {
        pcs[n++] = (void *)pc;
        h = (h << 23 | h >> 41) +
            pc * 0xff51afd7ed558ccdu; /* products do not wait for each other */
        if (frame <= low || frame >= high - 8 || frame % 8) break;
        pc = *(const uint64_t *)(frame + 8);
        low = frame;
        frame = *(const uint64_t *)frame;
    }
    *hash = (h + n) * 0xc4ceb9fe1a85ec53u;
    return n;
}

/* Where the module's record is not there yet, because others made the trace. */
static void know_main(void) {
    static const void *known;
    uint64_t base;
    if (__builtin_expect(__atomic_load_n(&known, __ATOMIC_RELAXED) == trace, 1)) return;
    if (!module_lookup(golang_program.text, &base)) module_main_add();
    if (module_lookup(golang_program.text, &base))
        __atomic_store_n(&known, (const void *)trace, __ATOMIC_RELAXED);
}

static void know(void *const *pcs, uint32_t n) {
    know_main();
    golang_know(pcs, n);
}

uint32_t golang_stack(const struct golang_registers *r) {
    void *pcs[TRACE_STACK_DEPTH_MAX];
    uint64_t hash;
    const uint32_t n = walk(r, pcs, &hash);
    if (n) know(pcs, n);
    return intern_frames_inside(pcs, n);
}

uint32_t golang_stack_again(const struct golang_registers *r, struct managed_worker *self) {
    void *pcs[TRACE_STACK_DEPTH_MAX];
    uint64_t hash;
    const uint32_t n = walk(r, pcs, &hash);
    if (!n || (self->stack && self->stack_hash == hash)) return n ? self->stack : 0;
    know(pcs, n);
    self->stack = intern_frames_inside(pcs, n);
    self->stack_hash = hash;
    return self->stack;
}
