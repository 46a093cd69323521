/* Walks the calling thread's Java frames (cpu/x86/frame_x86.hpp, share/runtime/javaFrameAnchor.hpp). */
#include "record/interpreter/java.h"

#include <pthread.h>
#include <string.h>

#define STEPS_MOST 512u
#define WORD 8u
/* Words from the frame pointer. */
#define SAVED_FP 0
#define RETURN_PC 1
#define SENDER_SP 2         /* of the frame below, as the call left it */
#define INTERPRETED_SP (-1) /* the same, as it was before arguments were moved */
#define INTERPRETED_METHOD (-3)
#define INTERPRETED_BCP (-8)
#define INTERPRETED_BCP_8 (-7) /* JDK 8 */
#define ENTRY_WRAPPER (-6)     /* of the frame by which the JVM's C++ calls into Java */
#define JNI_GET_ENV 6u
#define JNI_VERSION 0x00010006

struct jni_vm { /* jni.h: JavaVM */
    void *const *functions;
};

struct frame {
    uintptr_t pc, sp, fp; /* sp: as the frame's own code has it */
};
struct stack {
    uintptr_t low, high;
};

/* ---- the thread ---- */

static void *vm;        /* there is one in a process */
static uint32_t env_at; /* where a JavaThread has its JNIEnv; 0: not known yet */

/* The JNIEnv of the calling thread; 0: it is none of the JVM's, or not one that runs Java. */
static uintptr_t env_of_thread(const struct java *java) {
    struct jni_vm *there = __atomic_load_n(&vm, __ATOMIC_RELAXED);
    if (!there) {
        void *one = NULL;
        int32_t count = 0;
        if (java->created(&one, 1, &count) != 0 || count < 1 || !one) return 0;
        __atomic_store_n(&vm, one, __ATOMIC_RELAXED);
        there = one;
    }
    int32_t (*get_env)(void *, void **, int32_t);
    void *env = NULL;
    memcpy(&get_env, &there->functions[JNI_GET_ENV], sizeof get_env);
    return get_env(there, &env, JNI_VERSION) == 0 ? (uintptr_t)env : 0;
}

/* Whether at `at` is the JavaThread of the thread that asks: by its table of virtual functions, its identity and its stack. */
static bool is_thread(const struct java_walk *w, uintptr_t at, struct stack *stack) {
    const struct java_layout *l = &w->java->layout;
    const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t table, os, identity, base, size;
    if (!java_word(w, at, &table) || table < w->java->start || table >= w->java->end ||
        !java_word(w, at + l->thread_os, &os) || !os ||
        !java_word(w, os + l->os_pthread, &identity) || identity != (uintptr_t)pthread_self() ||
        !java_word(w, at + l->thread_stack_base, &base) ||
        !java_word(w, at + l->thread_stack_size, &size))
        return false;
    *stack = (struct stack){here, base};
    return here < base && base - here < size;
}

static uintptr_t find_thread(const struct java_walk *w, struct stack *stack) {
    const uintptr_t env = env_of_thread(w->java);
    if (env == 0) return 0;
    const uint32_t at = __atomic_load_n(&env_at, __ATOMIC_RELAXED);
    if (at) return is_thread(w, env - at, stack) ? env - at : 0;
    for (uint32_t i = WORD; i < w->java->layout.thread_bytes; i += WORD)
        if (is_thread(w, env - i, stack)) {
            __atomic_store_n(&env_at, i, __ATOMIC_RELAXED);
            return env - i;
        }
    return 0;
}

/* ---- its frames ---- */

static bool is_on(const struct stack *stack, uintptr_t at) {
    return at % WORD == 0 && at >= stack->low && at < stack->high;
}

static bool slot(const struct java_walk *w, const struct stack *s, uintptr_t base, int index,
                 uintptr_t *out) {
    const uintptr_t at = base + (uintptr_t)(index * (int)WORD);
    return is_on(s, at) && java_word(w, at, out);
}

/* Where the JVM's own code last left Java: below it lie Java frames again. false: none. */
static bool read_anchor(const struct java_walk *w, const struct stack *s, uintptr_t anchor,
                        struct frame *out) {
    const struct java_layout *l = &w->java->layout;
    if (!java_word(w, anchor + l->anchor_sp, &out->sp) || !is_on(s, out->sp) ||
        !java_word(w, anchor + l->anchor_fp, &out->fp) ||
        !java_word(w, anchor + l->anchor_pc, &out->pc))
        return false;
    return out->pc != 0 || slot(w, s, out->sp, -1, &out->pc);
}

static bool is_interpreter(const struct java_walk *w, uintptr_t pc) {
    const struct java_layout *l = &w->java->layout;
    uintptr_t queue, start;
    int32_t limit;
    return java_word(w, l->interpreter, &queue) && queue &&
           java_word(w, queue + l->stubs_start, &start) &&
           java_int(w, queue + l->stubs_limit, &limit) && pc >= start &&
           pc - start < (uint32_t)limit;
}

static bool step_interpreted(struct java_walk *w, const struct stack *s, struct frame *f) {
    struct frame next;
    uintptr_t method, bcp;
    int32_t bci = -1;
    if (f->fp <= f->sp || !slot(w, s, f->fp, INTERPRETED_METHOD, &method)) return false;
    if (slot(w, s, f->fp, INTERPRETED_BCP, &bcp)) bci = java_method_place(w, method, bcp);
    if (bci < 0 && slot(w, s, f->fp, INTERPRETED_BCP_8, &bcp))
        bci = java_method_place(w, method, bcp);
    java_add(w, java_method_frame(w, method, bci));
    if (!slot(w, s, f->fp, RETURN_PC, &next.pc) || !slot(w, s, f->fp, SAVED_FP, &next.fp) ||
        !slot(w, s, f->fp, INTERPRETED_SP, &next.sp) || !is_on(s, next.sp) || next.sp <= f->fp)
        return false;
    *f = next;
    return true;
}

static bool step_entry(const struct java_walk *w, const struct stack *s, struct frame *f) {
    uintptr_t wrapper;
    const uintptr_t sp = f->sp;
    return slot(w, s, f->fp, ENTRY_WRAPPER, &wrapper) && is_on(s, wrapper) &&
           read_anchor(w, s, wrapper + w->java->layout.wrapper_anchor, f) && f->sp > sp;
}

/* Frames of compiled code have one size; the frame pointer was saved first. */
static bool step_blob(struct java_walk *w, const struct stack *s, struct frame *f) {
    struct java_blob blob;
    if (!java_blob_find(w, f->pc, &blob) || blob.frame_size < SENDER_SP * WORD) return false;
    if (blob.compiled) java_blob_frames(w, &blob, f->pc, f->sp);
    f->sp += blob.frame_size;
    return is_on(s, f->sp) && slot(w, s, f->sp, -1, &f->pc) && slot(w, s, f->sp, -2, &f->fp);
}

static bool step(struct java_walk *w, const struct stack *s, struct frame *f) {
    uintptr_t stub;
    if (is_interpreter(w, f->pc)) return step_interpreted(w, s, f);
    if (java_word(w, w->java->layout.call_stub_return, &stub) && f->pc == stub)
        return step_entry(w, s, f);
    return step_blob(w, s, f);
}

static struct java_walk walk_of(const struct java *java, void **counters, uint32_t most) {
    const uint32_t version = java->jdk && *java->jdk ? *java->jdk : (uint32_t)*java->hotspot;
    return (struct java_walk){java, memory_begin(), version, counters, 0, most};
}

uint32_t java_frames(const struct java *java, void **counters, uint32_t most) {
    struct java_walk w = walk_of(java, counters, most);
    struct stack stack;
    struct frame f;
    const uintptr_t thread = find_thread(&w, &stack);
    if (thread == 0 || !read_anchor(&w, &stack, thread + java->layout.thread_anchor, &f)) return 0;
    for (uint32_t i = 0; i < STEPS_MOST && w.count < w.most; i++)
        if (!step(&w, &stack, &f)) break;
    return w.count;
}

bool java_holds(const struct java *java, uintptr_t pc) {
    if (pc - java->start < java->end - java->start) return true;
    struct java_walk w = walk_of(java, NULL, 0);
    return java_code_holds(&w, pc);
}
