/* The memory of a thread's last stacks, and what libunwind tells of its walk. */
#include "record/stack_memo.h"

#include <stddef.h>

#include "record/interpreter/interpreter.h"
#include "record/sys.h"

#define STEPS 48u                      /* of a walk, our own frames included */
#define WORDS 64u                      /* that a stack may depend on */
#define MEMOS 2u                       /* of a thread: two places that take turns */
#define OWNERS 512u                    /* threads at a time that have them; the others walk */
#define STACK_GAP ((uintptr_t)1 << 20) /* frames further apart: libunwind looks before it reads */

struct stack_memo {
    uint32_t generation; /* 0: nothing is known here */
    uint32_t begun;      /* the generation in which the walk began */
    struct stack_caller caller;
    bool needs_fp; /* the caller's own frame pointer decided something */
    uint32_t id;
    uint32_t count;
    struct word {
        uintptr_t at, is;
    } words[WORDS];
};

struct step {        /* from a frame to the one that called it */
    uintptr_t cfa;   /* the return address lies below it */
    uintptr_t fp_at; /* by_fp: where that frame pointer was saved ... */
    int fp_step;     /* ... by the frame of this step; -1: it was in its register */
    bool by_fp, plain;
};

struct owner {
    uint32_t taken;
    uint32_t begun; /* walks */
    bool
        busy; /* one is under way; for good if a signal handler jumped out of it, which costs speed and no more */
    struct stack_memo memos[MEMOS];
    struct walk {
        uint32_t count;
        bool odd; /* what is here does not tell all */
        uintptr_t fp_at;
        int fp_step;
        struct step steps[STEPS];
    } walk;
};

static struct owner *owners;
static uint32_t generation = 1;

#define NO_OWNER ((struct owner *)1)
static __thread struct owner *mine __attribute__((tls_model("initial-exec"))); /* NULL: not asked */
static __thread struct walk *walking __attribute__((tls_model("initial-exec")));

/* ---- memory ---- */

static struct owner *owner_take(void) {
    static uint32_t last;
    if (!owners && sys_is_confined()) return NO_OWNER;
    if (!sys_memory_once(&owners, OWNERS * sizeof *owners)) return NO_OWNER;
    const uint32_t start = __atomic_fetch_add(&last, 1, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < OWNERS; i++) {
        struct owner *o = &owners[(start + i) % OWNERS];
        uint32_t no = 0;
        if (__atomic_load_n(&o->taken, __ATOMIC_RELAXED) == 0 &&
            __atomic_compare_exchange_n(&o->taken, &no, 1, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return o;
    }
    return NO_OWNER;
}

static struct owner *owner_here(void) {
    if (!mine) mine = owner_take();
    return mine == NO_OWNER ? NULL : mine;
}

void stack_memo_thread_over(void) {
    struct owner *o = mine;
    mine = NO_OWNER;
    if (!o || o == NO_OWNER) return;
    o->busy = false;
    for (uint32_t i = 0; i < MEMOS; i++)
        o->memos[i].generation = 0;
    __atomic_store_n(&o->taken, 0, __ATOMIC_RELEASE);
}

void stack_memo_after_fork(void) {
    for (uint32_t i = 0; owners && i < OWNERS; i++)
        if (&owners[i] != mine && owners[i].taken) owners[i].taken = 0;
    stack_memo_forget();
}

void stack_memo_forget(void) {
    if (__atomic_add_fetch(&generation, 1, __ATOMIC_ACQ_REL) == 0)
        __atomic_add_fetch(&generation, 1, __ATOMIC_ACQ_REL);
}

/* ---- looking ---- */

/* The words are read in the order in which the walk read them: each frame is known to be there by those before it. */
__attribute__((no_sanitize("address", "thread"))) static bool
holds(const struct stack_memo *m, const struct stack_caller *caller) {
    if (m->needs_fp && m->caller.fp != caller->fp) return false;
    for (uint32_t i = 0; i < m->count; i++)
        if (*(const uintptr_t *)m->words[i].at != m->words[i].is) return false;
    return true;
}

uint32_t stack_memo_find(const struct stack_caller *caller) {
    const struct owner *o = mine;
    if (!o || o == NO_OWNER) return 0;
    const uint32_t now = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
    const uint32_t begun = __atomic_load_n(&o->begun, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < MEMOS; i++) {
        const struct stack_memo *m = &o->memos[i];
        if (m->caller.sp != caller->sp || m->caller.pc != caller->pc || m->generation != now ||
            !holds(m, caller))
            continue;
        const uint32_t id = m->id;
        /* Unless a signal handler on top of us has written here meanwhile. */
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        return __atomic_load_n(&o->begun, __ATOMIC_RELAXED) == begun ? id : 0;
    }
    return 0;
}

/* ---- writing down ---- */

/*
 * Called by the private libunwind (.ci/libunwind) for each frame that it leaves: cfa lies at an offset from the stack pointer or,
 * if not from_sp, from the frame pointer; fp_offset: where from cfa on its caller's frame pointer was saved, -1: it was not;
 * plain: nothing else had a say. cfa 0: that was in vain, it walks again in another way.
 */
void stack_walk_step(uintptr_t cfa, int from_sp, int fp_offset, int plain)
    __attribute__((visibility("hidden")));

void stack_walk_step(uintptr_t cfa, int from_sp, int fp_offset, int plain) {
    struct walk *w = walking;
    if (!w) return;
    if (cfa == 0) w->odd = true;
    if (w->count == STEPS) return;
    w->steps[w->count] = (struct step){cfa, w->fp_at, w->fp_step, !from_sp, plain};
    if (fp_offset != -1) {
        w->fp_at = cfa + (uintptr_t)(intptr_t)fp_offset;
        w->fp_step = (int)w->count;
    }
    w->count++;
}

struct stack_memo *stack_memo_begin(const struct stack_caller *caller) {
    if (walking) walking->odd = true; /* a walk on top of another one, which goes on unseen */
    walking = NULL;
    struct owner *o = caller && caller->pc ? owner_here() : NULL;
    if (!o || o->busy) return NULL;
    o->busy = true;
    struct stack_memo *m = &o->memos[++o->begun % MEMOS];
    m->generation = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    m->begun = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
    m->caller = *caller;
    o->walk.count = 0;
    o->walk.odd = false;
    o->walk.fp_step = -1;
    walking = &o->walk;
    return m;
}

/* The step that leads to the caller: out of the function that the program called. */
static uint32_t entry_of(const struct stack_memo *m, const struct walk *w, void *const *pcs,
                         uint32_t n) {
    uint32_t i = 0;
    while (i < w->count && i < n &&
           (w->steps[i].cfa != m->caller.sp || (uintptr_t)pcs[i] != m->caller.pc))
        i++;
    return i < n ? i : w->count;
}

static bool remember(struct stack_memo *m, uintptr_t at) {
    if (m->count == WORDS) return false;
    m->words[m->count++] = (struct word){at, *(const uintptr_t *)at};
    return true;
}

__attribute__((no_sanitize("address", "thread"))) static bool
learn(struct stack_memo *m, const struct walk *w, void *const *pcs, uint32_t n, uint32_t end) {
    const uint32_t entry = entry_of(m, w, pcs, n);
    m->count = 0;
    m->needs_fp = false;
    if (entry == w->count) return false;
    for (uint32_t i = entry + 1; i < end; i++) {
        const struct step *s = &w->steps[i];
        if (!s->plain || s->cfa - w->steps[i - 1].cfa > STACK_GAP) return false;
        if (s->by_fp && s->fp_step < (int)entry) return false; /* nobody saw its value */
        if (s->by_fp && s->fp_step == (int)entry)
            m->needs_fp = true;
        else if (s->by_fp && !remember(m, s->fp_at))
            return false;
        if (!remember(m, s->cfa - 8)) return false;
        /* A frame that was left without our being told shifts all that follow. */
        if (i < n && m->words[m->count - 1].is != (uintptr_t)pcs[i]) return false;
    }
    return true;
}

void stack_memo_walked(struct stack_memo *m, void *const *pcs, uint32_t n, uint32_t used,
                       bool whole) {
    const struct walk *w = walking;
    walking = NULL;
    m->begun = w && !w->odd ? m->begun : 0;
    if (m->begun == 0) return;
    /* It ends at an outermost frame, or with one step more, to an address that is none. */
    const bool seen =
        whole ? w->count < STEPS && (w->count == n || w->count == n + 1) : used <= w->count;
    if (!seen || !learn(m, w, pcs, n, whole ? w->count : used)) m->begun = 0;
}

void stack_memo_end(struct stack_memo *m, uint32_t id) {
    struct owner *o = mine;
    m->id = id;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (id && interpreter_is_absent()) m->generation = m->begun;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    o->busy = false;
}
