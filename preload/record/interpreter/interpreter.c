/* Which interpreters are there, and how their frames go into a native stack. */
#include "record/interpreter/interpreter.h"

#include <link.h>
#include <string.h>

#include "record/gate.h"
#include "record/interpreter/java.h"
#include "record/interpreter/php.h"
#include "record/interpreter/python.h"
#include "record/interpreter/ruby.h"
#include "record/sys.h"

struct found {
    uintptr_t start, end; /* of the module that is the interpreter */
    enum trace_language language;
    struct python python; /* one of these */
    struct ruby ruby;
    struct php php;
    struct java java;
};

/* What was found lives in one of two places, taken in turns, so that a stack that is being taken keeps what it began with. */
static struct found places[2];
static const struct found *found;
static uint32_t turn;
static uint32_t looked; /* modules have not changed since */

static void range_of(struct found *f, const struct dl_phdr_info *info) {
    f->start = UINTPTR_MAX;
    f->end = 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD) continue;
        const uintptr_t start = info->dlpi_addr + p->p_vaddr, end = start + p->p_memsz;
        if (start < f->start) f->start = start;
        if (end > f->end) f->end = end;
    }
}

/* The first one counts: two interpreters in one process are rare, and this thread's could not be told apart. */
static int look_at(struct dl_phdr_info *info, size_t size, void *context) {
    struct found *f = context;
    struct image image;
    (void)size;
    const ElfW(Dyn) *dynamic = NULL;
    for (unsigned i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            dynamic = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    if (!dynamic) return 0;
    image_read(&image, info->dlpi_addr, dynamic);
    range_of(f, info);
    if (python_find(&f->python, &image))
        f->language = TRACE_LANGUAGE_PYTHON;
    else if (ruby_find(&f->ruby, &image))
        f->language = TRACE_LANGUAGE_RUBY;
    else if (php_find(&f->php, &image))
        f->language = TRACE_LANGUAGE_PHP;
    else if (java_find(&f->java, &image, f->start, f->end))
        f->language = TRACE_LANGUAGE_JAVA;
    else
        return 0;
    return 1;
}

static bool is_same(const struct found *a, const struct found *b) {
    return a->start == b->start && a->end == b->end && a->language == b->language &&
           a->python.code_type == b->python.code_type &&
           a->python.thread_state == b->python.thread_state && a->ruby.frames == b->ruby.frames &&
           a->php.globals == b->php.globals && a->java.structs == b->java.structs;
}

/* As a rule nothing has changed: then whoever is taking a stack goes on with what he has. */
static void look(void) {
    struct found now;
    memset(&now, 0, sizeof now);
    const uint64_t signals = sys_hold_signals();
    gate_enter();
    __atomic_store_n(&looked, 1, __ATOMIC_RELAXED);
    const int there = dl_iterate_phdr(look_at, &now);
    gate_leave();
    sys_release_signals(signals);
    const struct found *before = __atomic_load_n(&found, __ATOMIC_ACQUIRE);
    if (there && before && is_same(before, &now)) return;
    struct found *place = &places[__atomic_fetch_add(&turn, 1, __ATOMIC_RELAXED) & 1];
    if (there) *place = now;
    __atomic_store_n(&found, there ? place : NULL, __ATOMIC_RELEASE);
}

void interpreter_forget(void) {
    __atomic_store_n(&looked, 0, __ATOMIC_RELAXED);
}

bool interpreter_is_absent(void) {
    return __atomic_load_n(&looked, __ATOMIC_RELAXED) && !__atomic_load_n(&found, __ATOMIC_ACQUIRE);
}

/* The part of a native stack that is the interpreter's: [first, last); both are n when there is none. */
struct part {
    uint32_t first, last;
};

/* No unwinder finds its way through code that a JVM made: what it says of the frames beyond is made up. */
static struct part part_of_java(const struct java *java, void *const *pcs, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (java_holds(java, (uintptr_t)pcs[i])) return (struct part){i, n};
    return (struct part){n, n};
}

static struct part part_of(const struct found *f, void *const *pcs, uint32_t n) {
    struct part part = {n, n};
    for (uint32_t i = 0; i < n; i++) {
        if ((uintptr_t)pcs[i] - f->start >= f->end - f->start) continue;
        if (part.first == n) part.first = i;
        part.last = i + 1;
    }
    return part;
}

/* Python and Java know by the thread whether it runs something here; of the others the native stack has to tell. */
static uint32_t frames_of(const struct found *f, bool inside, void **counters, uint32_t most) {
    switch (f->language) {
    case TRACE_LANGUAGE_PYTHON: return python_frames(&f->python, counters, most);
    case TRACE_LANGUAGE_RUBY: return inside ? ruby_frames(&f->ruby, counters, most) : 0;
    case TRACE_LANGUAGE_JAVA: return java_frames(&f->java, counters, most);
    case TRACE_LANGUAGE_PHP: return inside ? php_frames(&f->php, counters, most) : 0;
    default: return 0;
    }
}

static uint32_t splice(const struct found *f, void **pcs, uint32_t n, uint32_t most) {
    void *inside[TRACE_STACK_DEPTH_MAX], *outside[TRACE_STACK_DEPTH_MAX];
    const struct part part =
        f->language == TRACE_LANGUAGE_JAVA ? part_of_java(&f->java, pcs, n) : part_of(f, pcs, n);
    const uint32_t count = frames_of(f, part.first < part.last, inside, most);
    if (count == 0) return n;
    /* Of what it called, half the room at most: the code that asked for it is what a report wants. */
    const uint32_t kept = part.first < most / 2 ? part.first : most / 2;
    const uint32_t taken = count < most - kept ? count : most - kept;
    const uint32_t left = most - kept - taken;
    const uint32_t behind = n - part.last < left ? n - part.last : left;
    memcpy(outside, pcs + part.last, behind * sizeof *pcs);
    memcpy(pcs + kept, inside, taken * sizeof *pcs);
    memcpy(pcs + kept + taken, outside, behind * sizeof *pcs);
    return kept + taken + behind;
}

uint32_t interpreter_splice(void **pcs, uint32_t n, uint32_t most) {
    if (__builtin_expect(!__atomic_load_n(&looked, __ATOMIC_RELAXED), 0)) look();
    const struct found *f = __atomic_load_n(&found, __ATOMIC_ACQUIRE);
    if (__builtin_expect(f == NULL, 1)) return n;
    return splice(f, pcs, n, most < TRACE_STACK_DEPTH_MAX ? most : TRACE_STACK_DEPTH_MAX);
}
