/*
 * Modules: what is loaded where, with build ids; a sorted array that is searched without locks and
 * renewed by whoever misses.
 */
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "record/clock.h"
#include "record/gate.h"
#include "record/intern.h"
#include "record/sys.h"
#include "record/text.h"
#include "record/trace_file.h"

#define MODULES_MAX 4096u
#define SCAN_WAIT_NS 2000000u

struct range {
    uintptr_t start, end, base;
    uint32_t id;
};

/*
 * Two arrays take turns: table `epoch & 1` is searched while the other one is filled. A search is
 * good if the epoch is the same afterwards; if not, its array may have been overwritten under it,
 * and it is done again.
 */
static struct {
    struct range ranges[MODULES_MAX];
    uint32_t count;
} tables[2];
static uint64_t epoch;
static uint64_t scanned_adds; /* the loader's count of loads at the last scan */
static uint32_t scanner;      /* thread that scans, 0: none */
static uint32_t scan_owed;    /* somebody asked for a scan while one was under way */

/* The linker's names for the ends of the object that this is linked into. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

int module_is_recorder(uintptr_t pc) {
    return pc - (uintptr_t)__ehdr_start < (uintptr_t)_end - (uintptr_t)__ehdr_start;
}

static const struct range *search(const struct range *ranges, uint32_t count, uintptr_t pc) {
    uint32_t low = 0, high = count < MODULES_MAX ? count : MODULES_MAX;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (pc < ranges[middle].start)
            high = middle;
        else if (pc >= ranges[middle].end)
            low = middle + 1;
        else
            return &ranges[middle];
    }
    return 0;
}

static bool lookup(uintptr_t pc, struct range *found) {
    for (int tries = 0; tries < 8; tries++) {
        const uint64_t e = __atomic_load_n(&epoch, __ATOMIC_ACQUIRE);
        const struct range *r = search(tables[e & 1].ranges, tables[e & 1].count, pc);
        if (r) *found = *r;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&epoch, __ATOMIC_RELAXED) == e) return r != 0;
    }
    return false;
}

/* ---- one module ------------------------------------------------------------------------------ */

struct seen {
    uintptr_t base, start, end;
    uint32_t path, flags;
    const uint8_t *build_id;
    uint32_t build_id_size;
};

static uint32_t module_path(const char *name, bool is_main) {
    char path[TRACE_STRING_MAX + 1];
    struct text t = TEXT_ON(path);
    if (is_main) {
        text_put(&t, trace_process.exe);
    } else {
        /*
         * Relative to the working directory that it was loaded in: the first one is the best guess.
         */
        if (name[0] != '/' && strchr(name, '/') && trace_process.directory[0]) {
            text_put(&t, trace_process.directory);
            text_put(&t, "/");
        }
        text_put(&t, name);
    }
    return intern_string(path, t.length);
}

/* A note segment that lies in a loaded, readable one; the build id in it. */
static void find_build_id(struct seen *m, const struct dl_phdr_info *info,
                          const ElfW(Phdr) * note) {
    bool loaded = false;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        loaded |= p->p_type == PT_LOAD && (p->p_flags & PF_R) && note->p_vaddr >= p->p_vaddr &&
                  note->p_memsz <= p->p_filesz &&
                  note->p_vaddr - p->p_vaddr <= p->p_filesz - note->p_memsz;
    }
    if (!loaded) return;
    const uint8_t *at = (const uint8_t *)info->dlpi_addr + note->p_vaddr;
    size_t left = note->p_memsz, align = note->p_align == 8 ? 8 : 4;
    while (left >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) n;
        memcpy(&n, at, sizeof n);
        const size_t name = sizeof n + (((size_t)n.n_namesz + 3) & ~3ul);
        const size_t desc = name + (((size_t)n.n_descsz + align - 1) & ~(align - 1));
        if (name > left || n.n_descsz > left - name) return;
        if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 &&
            memcmp(at + sizeof n, "GNU", 4) == 0) {
            m->build_id = at + name;
            m->build_id_size = n.n_descsz < TRACE_BUILD_ID_MAX ? n.n_descsz : TRACE_BUILD_ID_MAX;
            return;
        }
        if (desc > left) return;
        at += desc;
        left -= desc;
    }
}

static bool look_at(struct seen *m, const struct dl_phdr_info *info) {
    memset(m, 0, sizeof *m);
    m->base = info->dlpi_addr;
    m->start = UINTPTR_MAX;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_NOTE && !m->build_id) find_build_id(m, info, p);
        if (p->p_type != PT_LOAD) continue;
        const uintptr_t start = info->dlpi_addr + p->p_vaddr;
        if (start < m->start) m->start = start;
        if (start + p->p_memsz > m->end) m->end = start + p->p_memsz;
    }
    if (m->start >= m->end) return false;
    const uintptr_t main_headers = getauxval(AT_PHDR), vdso = getauxval(AT_SYSINFO_EHDR);
    if (main_headers - m->start < m->end - m->start) m->flags |= TRACE_MODULE_MAIN;
    if (vdso && vdso - m->start < m->end - m->start) m->flags |= TRACE_MODULE_VDSO;
    if ((uintptr_t)__ehdr_start - m->start < m->end - m->start) m->flags |= TRACE_MODULE_RECORDER;
    m->path = module_path(info->dlpi_name ? info->dlpi_name : "", m->flags & TRACE_MODULE_MAIN);
    return true;
}

static bool is_same(const struct trace_module *r, const struct seen *m) {
    return r->base == m->base && r->start == m->start && r->end == m->end && r->path == m->path &&
           r->build_id_size == m->build_id_size &&
           (m->build_id_size == 0 || memcmp(r->build_id, m->build_id, m->build_id_size) == 0);
}

static void module_event(uint32_t id, uint16_t what, uint64_t now) {
    struct trace_event e = {.type = TRACE_EVENT_MODULE, .a = id, .arg = what};
    journal_append(&e, now, __atomic_load_n(&scanner, __ATOMIC_RELAXED));
}

/*
 * The record of a module: the one it has, the one it had before it was unloaded (same place, same
 * build), or a new one.
 */
static uint32_t record_of(const struct seen *m, uint64_t now) {
    struct trace_map *t = trace;
    struct range known;
    if (lookup(m->start, &known) && known.start == m->start && is_same(&t->modules[known.id], m))
        return known.id;
    const uint64_t used = t->header->regions[TRACE_REGION_MODULE].used;
    for (uint32_t id = 1; id < used; id++) {
        struct trace_module *r = &t->modules[id];
        if (!r->unloaded_ns || !is_same(r, m)) continue;
        __atomic_store_n(&r->unloaded_ns, 0, __ATOMIC_RELEASE);
        module_event(id, 1, now);
        return id;
    }
    const uint32_t id = trace_take_record(TRACE_REGION_MODULE);
    if (id == UINT32_MAX) {
        trace_lose(TRACE_LOST_MODULES);
        return 0;
    }
    struct trace_module *r = &t->modules[id];
    r->base = m->base;
    r->start = m->start;
    r->end = m->end;
    r->loaded_ns = now;
    r->path = m->path;
    r->flags = m->flags;
    r->build_id_size = m->build_id_size;
    if (m->build_id_size) memcpy(r->build_id, m->build_id, m->build_id_size);
    __atomic_store_n(&r->ready, 1, __ATOMIC_RELEASE);
    module_event(id, 1, now);
    return id;
}

/* ---- all of them ----------------------------------------------------------------------------- */

struct scan {
    struct range *ranges;
    uint32_t count;
    uint64_t adds, now;
};

/* Under the loader's lock: the name and the notes stay where they are. */
static int scan_one(struct dl_phdr_info *info, size_t size, void *data) {
    struct scan *s = data;
    struct seen m;
    if (size >= offsetof(struct dl_phdr_info, dlpi_adds) + sizeof info->dlpi_adds)
        s->adds = info->dlpi_adds;
    if (s->count == MODULES_MAX) {
        trace_lose(TRACE_LOST_MODULES);
        return 1;
    }
    if (!look_at(&m, info)) return 0;
    const uint32_t id = record_of(&m, s->now);
    if (id) s->ranges[s->count++] = (struct range){m.start, m.end, m.base, id};
    return 0;
}

static int peek_adds(struct dl_phdr_info *info, size_t size, void *data) {
    if (size >= offsetof(struct dl_phdr_info, dlpi_adds) + sizeof info->dlpi_adds)
        *(uint64_t *)data = info->dlpi_adds;
    return 1;
}

/* Shell sort: no recursion, no memory, quick enough for some thousands. */
static void sort(struct range *r, uint32_t n) {
    for (uint32_t gap = n / 2; gap; gap /= 2)
        for (uint32_t i = gap; i < n; i++) {
            const struct range x = r[i];
            uint32_t j = i;
            for (; j >= gap && r[j - gap].start > x.start; j -= gap)
                r[j] = r[j - gap];
            r[j] = x;
        }
}

static void scan_now(void) {
    const uint64_t e = __atomic_load_n(&epoch, __ATOMIC_RELAXED);
    struct scan s = {.ranges = tables[(e + 1) & 1].ranges, .now = clock_now()};
    const uint64_t signals = sys_hold_signals();
    gate_enter();
    dl_iterate_phdr(scan_one, &s);
    gate_leave();
    sys_release_signals(signals);
    sort(s.ranges, s.count);
    for (uint32_t i = 0; i < tables[e & 1].count; i++) {
        const struct range *was = &tables[e & 1].ranges[i],
                           *is = search(s.ranges, s.count, was->start);
        if (is && is->id == was->id) continue;
        __atomic_store_n(&trace->modules[was->id].unloaded_ns, s.now, __ATOMIC_RELEASE);
        module_event(was->id, 2, s.now);
    }
    tables[(e + 1) & 1].count = s.count;
    __atomic_store_n(&scanned_adds, s.adds, __ATOMIC_RELAXED);
    __atomic_store_n(&epoch, e + 1, __ATOMIC_RELEASE);
}

void module_scan(void) {
    if (!trace) return;
    __atomic_store_n(&scan_owed, 1, __ATOMIC_RELEASE);
    for (int rounds = 0; rounds < 4 && __atomic_load_n(&scan_owed, __ATOMIC_ACQUIRE); rounds++) {
        uint32_t nobody = 0;
        if (!__atomic_compare_exchange_n(&scanner, &nobody, sys_gettid(), false, __ATOMIC_ACQUIRE,
                                         __ATOMIC_RELAXED))
            return; /* who scans now sees that one more is owed */
        __atomic_store_n(&scan_owed, 0, __ATOMIC_RELAXED);
        scan_now();
        __atomic_store_n(&scanner, 0, __ATOMIC_RELEASE);
    }
}

uint32_t module_of(uintptr_t pc, uint64_t *base) {
    struct range r = {0};
    bool found = lookup(pc, &r);
    if (!found && trace) {
        uint64_t adds = UINT64_MAX;
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
        while ((other = __atomic_load_n(&scanner, __ATOMIC_ACQUIRE)) && other != sys_gettid() &&
               clock_now() - start < SCAN_WAIT_NS)
            sys_call(SYS_sched_yield);
        found = lookup(pc, &r);
    }
    if (!found) return 0;
    *base = r.base;
    return r.id;
}

void module_reset(void) {
    epoch = 0;
    tables[0].count = tables[1].count = 0;
    scanned_adds = 0;
    scanner = scan_owed = 0;
}
