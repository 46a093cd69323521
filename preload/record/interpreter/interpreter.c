/* Which interpreters are there, and how their frames go into a native stack. */
#include "record/interpreter/interpreter.h"

#include <link.h>
#include <string.h>

#include "record/clock.h"
#include "record/gate.h"
#include "record/interpreter/java.h"
#include "record/interpreter/javascript.h"
#include "record/interpreter/lua.h"
#include "record/interpreter/perl.h"
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
    struct perl perl;
    struct lua lua;
    struct java java;
    struct javascript javascript;
};

/* What was found lives in one of two places, taken in turns, so that a stack that is being taken keeps what it began with. */
static struct found places[2];
static const struct found *found;
static uint32_t turn;
static uint32_t changes = 1; /* of the modules */
static uint32_t seen;        /* how many of them `found` knows of */
static uint32_t looker;      /* the thread that looks, 0: nobody */
#define LOOK_WAIT_NS 50000000u

static bool is_known(void) {
    return __builtin_expect(
        __atomic_load_n(&seen, __ATOMIC_ACQUIRE) == __atomic_load_n(&changes, __ATOMIC_RELAXED), 1);
}

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
    else if (perl_find(&f->perl, &image))
        f->language = TRACE_LANGUAGE_PERL;
    else if (lua_find(&f->lua, &image))
        f->language = TRACE_LANGUAGE_LUA;
    else if (java_find(&f->java, &image, f->start, f->end))
        f->language = TRACE_LANGUAGE_JAVA;
    else if (javascript_find(&f->javascript, &image))
        f->language = TRACE_LANGUAGE_JAVASCRIPT;
    else
        return 0;
    return 1;
}

static bool is_same(const struct found *a, const struct found *b) {
    return a->start == b->start && a->end == b->end && a->language == b->language &&
           a->python.code_type == b->python.code_type &&
           a->python.thread_state == b->python.thread_state && a->ruby.frames == b->ruby.frames &&
           a->php.globals == b->php.globals && a->perl.key == b->perl.key &&
           a->lua.stack == b->lua.stack && a->java.structs == b->java.structs &&
           a->javascript.trace == b->javascript.trace;
}

/* As a rule nothing has changed: then whoever is taking a stack goes on with what he has. */
static void look(void) {
    struct found now;
    memset(&now, 0, sizeof now);
    const uint32_t known = __atomic_load_n(&changes, __ATOMIC_ACQUIRE);
    const int there = dl_iterate_phdr(look_at, &now);
    const struct found *before = __atomic_load_n(&found, __ATOMIC_ACQUIRE);
    if (!there || !before || !is_same(before, &now)) {
        struct found *place = &places[__atomic_fetch_add(&turn, 1, __ATOMIC_RELAXED) & 1];
        if (there) *place = now;
        __atomic_store_n(&found, there ? place : NULL, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&seen, known, __ATOMIC_RELEASE);
}

/* One thread looks, and those that come meanwhile wait for what it finds: their stacks would be native ones. */
static void know(void) {
    const uint64_t signals = sys_hold_signals();
    const uint32_t me = sys_gettid();
    const uint64_t start = clock_now();
    gate_enter();
    for (uint32_t owner = 0; !is_known(); owner = __atomic_load_n(&looker, __ATOMIC_RELAXED)) {
        if (owner == me) break; /* we are in the handler of a fault on top of it */
        /* an owner that takes so long may be one that a fork left behind */
        if (owner && clock_wait(start, LOOK_WAIT_NS)) continue;
        if (__atomic_compare_exchange_n(&looker, &owner, me, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
            if (!is_known()) look();
            __atomic_store_n(&looker, 0, __ATOMIC_RELEASE);
        }
    }
    gate_leave();
    sys_release_signals(signals);
}

void interpreter_forget(void) {
    __atomic_fetch_add(&changes, 1, __ATOMIC_RELEASE);
}

bool interpreter_is_absent(void) {
    return is_known() && !__atomic_load_n(&found, __ATOMIC_ACQUIRE);
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
    case TRACE_LANGUAGE_PERL: return inside ? perl_frames(&f->perl, counters, most) : 0;
    case TRACE_LANGUAGE_LUA: return inside ? lua_frames(&f->lua, counters, most) : 0;
    default: return 0;
    }
}

bool interpreter_is_platform(const void *pc) {
    static const struct {
        enum trace_language language;
        const char *prefix; /* of the file, of Java of the function */
    } platforms[] = {
        {TRACE_LANGUAGE_JAVASCRIPT, "node:"}, {TRACE_LANGUAGE_JAVA, "java."},
        {TRACE_LANGUAGE_JAVA, "javax."},      {TRACE_LANGUAGE_JAVA, "jdk."},
        {TRACE_LANGUAGE_JAVA, "sun."},        {TRACE_LANGUAGE_JAVA, "com.sun."},
    };
    const struct frame_names names = frame_names(pc);
    for (size_t i = 0; i < sizeof platforms / sizeof *platforms; i++) {
        const struct frame_text *text =
            names.language == TRACE_LANGUAGE_JAVA ? &names.function : &names.file;
        const size_t n = strlen(platforms[i].prefix);
        if (platforms[i].language == names.language && text->size >= n &&
            memcmp(text->bytes, platforms[i].prefix, n) == 0)
            return true;
    }
    return false;
}

/*
 * The runtime's own libraries lie between what is called and who asked for it, a hundred frames at times: where there is not room
 * for all, the program's are kept, and of the others the innermost.
 */
static uint32_t keep_own(void **counters, uint32_t n, uint32_t most) {
    uint32_t own = 0, kept = 0;
    if (n <= most) return n;
    for (uint32_t i = 0; i < n; i++)
        own += !interpreter_is_platform(counters[i]);
    uint32_t others = own < most ? most - own : 0;
    for (uint32_t i = 0; i < n && kept < most; i++) {
        if (interpreter_is_platform(counters[i])) {
            if (others == 0) continue;
            others--;
        }
        counters[kept++] = counters[i];
    }
    return kept;
}

static uint32_t splice(const struct found *f, void **pcs, uint32_t n, uint32_t most) {
    void *inside[TRACE_STACK_DEPTH_MAX], *outside[TRACE_STACK_DEPTH_MAX];
    const struct part part =
        f->language == TRACE_LANGUAGE_JAVA ? part_of_java(&f->java, pcs, n) : part_of(f, pcs, n);
    uint32_t count = frames_of(f, part.first < part.last, inside,
                               f->language == TRACE_LANGUAGE_JAVA ? TRACE_STACK_DEPTH_MAX : most);
    if (count == 0) return n;
    /* Of what it called, half the room at most: the code that asked for it is what a report wants. */
    const uint32_t kept = part.first < most / 2 ? part.first : most / 2;
    if (f->language == TRACE_LANGUAGE_JAVA) count = keep_own(inside, count, most - kept);
    const uint32_t taken = count < most - kept ? count : most - kept;
    const uint32_t left = most - kept - taken;
    const uint32_t behind = n - part.last < left ? n - part.last : left;
    memcpy(outside, pcs + part.last, behind * sizeof *pcs);
    memcpy(pcs + kept, inside, taken * sizeof *pcs);
    memcpy(pcs + kept + taken, outside, behind * sizeof *pcs);
    return kept + taken + behind;
}

static const struct found *here(void) {
    if (!is_known()) know();
    return __atomic_load_n(&found, __ATOMIC_ACQUIRE);
}

uint32_t interpreter_stack(void **pcs, uint32_t most) {
    void *all[TRACE_STACK_DEPTH_MAX];
    const struct found *f = here();
    if (__builtin_expect(f == NULL, 1) || f->language != TRACE_LANGUAGE_JAVASCRIPT) return 0;
    const uint32_t n = javascript_frames(&f->javascript, all, TRACE_STACK_DEPTH_MAX);
    const uint32_t kept = keep_own(all, n, most);
    memcpy(pcs, all, kept * sizeof *pcs);
    return kept;
}

uint32_t interpreter_splice(void **pcs, uint32_t n, uint32_t most) {
    const struct found *f = here();
    if (__builtin_expect(f == NULL, 1)) return n;
    return splice(f, pcs, n, most < TRACE_STACK_DEPTH_MAX ? most : TRACE_STACK_DEPTH_MAX);
}
