/*
 * Where we are called from: return addresses by libunwind's cached backtrace, or by libgcc's
 * unwinder where there is none.
 */
#include "record/gate.h"
#include "record/intern.h"
#include "record/interpreter/interpreter.h"
#include "record/options.h"
#include "record/stack_memo.h"
#include "record/sys.h"

#define OWN_FRAMES_MOST                                                                            \
    16u /* of the recorder, between the program and here, thread trampoline included */

#if HAVE_PRIVATE_LIBUNWIND

#define UNW_LOCAL_ONLY
#include <libunwind.h>

static uint32_t backtrace(void **pcs, uint32_t n) {
    const int got = unw_backtrace(pcs, (int)n);
    return got > 0 ? (uint32_t)got : 0;
}

SYS_COLD enum trace_unwinder stack_unwinder(void) {
    return TRACE_UNWINDER_LIBUNWIND;
}

static void unwinder_flush(void) {
    unw_flush_cache(unw_local_addr_space, 0, 0);
}

#else

#include <dlfcn.h>
#include <link.h>
#include <unwind.h>

struct walk {
    void **pcs;
    uint32_t count, most;
};

static _Unwind_Reason_Code walk_frame(struct _Unwind_Context *context, void *data) {
    struct walk *w = data;
    const uintptr_t pc = _Unwind_GetIP(context);
    if (pc) w->pcs[w->count++] = (void *)pc;
    return pc && w->count < w->most ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static __attribute__((noinline)) uint32_t backtrace(void **pcs, uint32_t n) {
    struct walk w = {pcs, 0, n};
    _Unwind_Backtrace(walk_frame, &w);
    return w.count;
}

SYS_COLD enum trace_unwinder stack_unwinder(void) {
    return TRACE_UNWINDER_LIBGCC;
}

static void unwinder_flush(void) {
}

#endif

static __attribute__((noinline)) uint32_t capture(void **pcs, uint32_t depth,
                                                  struct stack_memo *memo) {
    void *all[TRACE_STACK_DEPTH_MAX + OWN_FRAMES_MOST];
    if (depth > TRACE_STACK_DEPTH_MAX) depth = TRACE_STACK_DEPTH_MAX;
    const uint32_t interpreted = interpreter_stack(pcs, depth);
    if (interpreted && memo) stack_memo_walked(memo, all, 0, 0, false); /* nothing was walked */
    if (interpreted) return interpreted;
    gate_enter();
    const uint32_t n = backtrace(all, depth + OWN_FRAMES_MOST);
    gate_leave();
    uint32_t count = 0, i = 0;
    for (; i < n && count < depth; i++)
        if (!module_is_recorder((uintptr_t)all[i])) pcs[count++] = all[i];
    if (memo) stack_memo_walked(memo, all, n, i, count < depth);
    return interpreter_splice(pcs, count, depth);
}

uint32_t intern_stack(void *const *pcs, uint32_t n) {
    void *kept[TRACE_STACK_DEPTH_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < n && count < TRACE_STACK_DEPTH_MAX; i++)
        if (!module_is_recorder((uintptr_t)pcs[i])) kept[count++] = pcs[i];
    return intern_frames(kept, count);
}

static __attribute__((noinline)) uint32_t walked(const struct stack_caller *caller) {
    void *pcs[TRACE_STACK_DEPTH_MAX];
    if (!stack_has_room()) return 0;
    struct stack_memo *memo = stack_memo_begin(caller);
    const uint32_t id = intern_frames(pcs, capture(pcs, options.stack_depth, memo));
    if (memo) stack_memo_end(memo, id);
    return id;
}

uint32_t stack_here(void) {
    return trace ? walked(NULL) : 0;
}

uint32_t stack_of(const struct stack_caller *caller) {
    if (!trace) return 0;
    const uint32_t known = stack_memo_find(caller);
    return known ? known : walked(caller);
}

uint32_t stack_capture(void **pcs, uint32_t depth) {
    if (!stack_has_room()) return 0;
    stack_memo_begin(NULL);
    return capture(pcs, depth, NULL);
}

void stack_flush(void) {
    interpreter_forget();
    unwinder_flush();
    stack_memo_forget();
}
