/* Modules as the loader lists them: when to look, and what to tell the table. */
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "record/clock.h"
#include "record/gate.h"
#include "record/intern.h"
#include "record/interpreter/interpreter.h"
#include "record/module_table.h"
#include "record/stack_memo.h"
#include "record/sys.h"

#define SCAN_WAIT_NS 2000000u

static uint64_t scanned_adds; /* the loader's count of loads at the last scan */
static uint32_t scan_owed;    /* somebody asked for a scan while one was under way */

/* The linker's names for the ends of the object that this is linked into. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

int module_is_recorder(uintptr_t pc) {
    return pc - (uintptr_t)__ehdr_start < (uintptr_t)_end - (uintptr_t)__ehdr_start;
}

struct scan {
    struct module_renewal renewal;
    uint64_t adds;
};

/* What lies in one of the object's segments makes it the executable, the vDSO or us. */
static uint32_t flags_of(const struct dl_phdr_info *info) {
    const uintptr_t headers = getauxval(AT_PHDR), vdso = getauxval(AT_SYSINFO_EHDR);
    uintptr_t start = UINTPTR_MAX, end = 0;
    uint32_t flags = 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        const uintptr_t from = info->dlpi_addr + p->p_vaddr;
        if (p->p_type != PT_LOAD) continue;
        if (from < start) start = from;
        if (from + p->p_memsz > end) end = from + p->p_memsz;
    }
    if (start >= end) return 0;
    if (headers - start < end - start) flags |= TRACE_MODULE_MAIN;
    if (vdso && vdso - start < end - start) flags |= TRACE_MODULE_VDSO;
    if ((uintptr_t)__ehdr_start - start < end - start) flags |= TRACE_MODULE_RECORDER;
    return flags;
}

/* Under the loader's lock: the name and the notes stay where they are. */
static int scan_one(struct dl_phdr_info *info, size_t size, void *data) {
    struct scan *s = data;
    if (size >= offsetof(struct dl_phdr_info, dlpi_adds) + sizeof info->dlpi_adds)
        s->adds = info->dlpi_adds;
    const struct module_image image = {.name = info->dlpi_name,
                                       .headers = info->dlpi_phdr,
                                       .header_count = info->dlpi_phnum,
                                       .bias = info->dlpi_addr,
                                       .flags = flags_of(info)};
    return !module_renewal_add(&s->renewal, &image);
}

static int peek_adds(struct dl_phdr_info *info, size_t size, void *data) {
    if (size >= offsetof(struct dl_phdr_info, dlpi_adds) + sizeof info->dlpi_adds)
        *(uint64_t *)data = info->dlpi_adds;
    return 1;
}

static void scan_now(struct scan *s) {
    const uint64_t signals = sys_hold_signals();
    gate_enter();
    dl_iterate_phdr(scan_one, s);
    gate_leave();
    sys_release_signals(signals);
    __atomic_store_n(&scanned_adds, s->adds, __ATOMIC_RELAXED);
    interpreter_forget();
    module_renewal_end(&s->renewal);
    stack_memo_forget();
}

void module_scan(void) {
    if (!trace) return;
    __atomic_store_n(&scan_owed, 1, __ATOMIC_RELEASE);
    for (int rounds = 0; rounds < 4 && __atomic_load_n(&scan_owed, __ATOMIC_ACQUIRE); rounds++) {
        struct scan s = {.adds = 0};
        if (!module_renewal_begin(&s.renewal, sys_gettid()))
            return; /* who scans now sees that one more is owed */
        __atomic_store_n(&scan_owed, 0, __ATOMIC_RELAXED);
        scan_now(&s);
    }
}

/* pc lies in no module that is known. */
static uint32_t missed(uintptr_t pc, uint64_t *base) {
    uint64_t adds = UINT64_MAX;
    if (!trace) return 0;
    const uint64_t signals = sys_hold_signals();
    gate_enter();
    dl_iterate_phdr(peek_adds, &adds);
    gate_leave();
    sys_release_signals(signals);
    if (adds != __atomic_load_n(&scanned_adds, __ATOMIC_RELAXED)) module_scan();
    /*
     * Another thread's scan under way may bring it; a scan of our own, interrupted by the
     * signal we are in, never ends.
     */
    const uint64_t start = clock_now();
    uint32_t other;
    while ((other = module_renewer()) && other != sys_gettid() && clock_wait(start, SCAN_WAIT_NS))
        continue;
    return module_lookup(pc, base);
}

uint32_t module_of(uintptr_t pc, uint64_t *base) {
    const uint32_t id = module_lookup(pc, base);
    return id ? id : missed(pc, base);
}

/* A new trace. */
static void opened(void) {
    scanned_adds = 0;
    scan_owed = 0;
    module_scan();
}

SYS_COLD void module_use_loader(void) {
    static const struct module_source loader = {.opened = opened, .missed = missed};
    module_source = &loader;
}
