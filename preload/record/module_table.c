/* The table of modules: what is loaded where, with build ids; a sorted array that is searched without locks. */
#include "record/module_table.h"

#include <elf.h>
#include <string.h>

#include "record/clock.h"
#include "record/intern.h"
#include "record/sys.h"
#include "record/text.h"
#include "record/trace_file.h"

#define MODULES_MAX 4096u

struct module_range {
    uintptr_t start, end, base;
    uint32_t id;
};

/*
 * Two arrays take turns: table `epoch & 1` is searched while the other one is filled. A search is
 * good if the epoch is the same afterwards; if not, its array may have been overwritten under it,
 * and it is done again.
 */
static struct {
    struct module_range ranges[MODULES_MAX];
    uint32_t count;
} tables[2];
static uint64_t epoch;
static uint32_t renewer; /* thread that fills the other one, 0: none */

static const struct module_range *search(const struct module_range *ranges, uint32_t count,
                                         uintptr_t pc) {
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

static bool lookup(uintptr_t pc, struct module_range *found) {
    for (int tries = 0; tries < 8; tries++) {
        const uint64_t e = __atomic_load_n(&epoch, __ATOMIC_ACQUIRE);
        const struct module_range *r = search(tables[e & 1].ranges, tables[e & 1].count, pc);
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
        text_put(&t, trace_exe);
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
static void find_build_id(struct seen *m, const struct module_image *image,
                          const Elf64_Phdr *note) {
    bool loaded = false;
    for (size_t i = 0; i < image->header_count; i++) {
        const Elf64_Phdr *p = &image->headers[i];
        loaded |= p->p_type == PT_LOAD && (p->p_flags & PF_R) && note->p_vaddr >= p->p_vaddr &&
                  note->p_memsz <= p->p_filesz &&
                  note->p_vaddr - p->p_vaddr <= p->p_filesz - note->p_memsz;
    }
    if (!loaded) return;
    const uint8_t *at = (const uint8_t *)image->bias + note->p_vaddr;
    size_t left = note->p_memsz, align = note->p_align == 8 ? 8 : 4;
    while (left >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr n;
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

static bool look_at(struct seen *m, const struct module_image *image) {
    memset(m, 0, sizeof *m);
    m->base = image->bias;
    m->start = UINTPTR_MAX;
    m->flags = image->flags;
    for (size_t i = 0; i < image->header_count; i++) {
        const Elf64_Phdr *p = &image->headers[i];
        if (p->p_type == PT_NOTE && !m->build_id) find_build_id(m, image, p);
        if (p->p_type != PT_LOAD) continue;
        const uintptr_t start = image->bias + p->p_vaddr;
        if (start < m->start) m->start = start;
        if (start + p->p_memsz > m->end) m->end = start + p->p_memsz;
    }
    if (m->start >= m->end) return false;
    m->path = module_path(image->name ? image->name : "", m->flags & TRACE_MODULE_MAIN);
    return true;
}

static bool is_same(const struct trace_module *r, const struct seen *m) {
    return r->base == m->base && r->start == m->start && r->end == m->end && r->path == m->path &&
           r->build_id_size == m->build_id_size &&
           (m->build_id_size == 0 || memcmp(r->build_id, m->build_id, m->build_id_size) == 0);
}

static void module_event(uint32_t id, uint16_t what, uint64_t now) {
    struct trace_event e = {.type = TRACE_EVENT_MODULE, .a = id, .arg = what};
    journal_append(&e, now, module_renewer());
}

/*
 * The record of a module: the one it has, the one it had before it was unloaded (same place, same
 * build), or a new one.
 */
static uint32_t record_of(const struct seen *m, uint64_t now) {
    struct trace_map *t = trace;
    struct module_range known;
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

/* ---- renewals -------------------------------------------------------------------------------- */

uint32_t module_renewer(void) {
    return __atomic_load_n(&renewer, __ATOMIC_ACQUIRE);
}

bool module_renewal_begin(struct module_renewal *n, uint32_t tid) {
    uint32_t nobody = 0;
    if (!__atomic_compare_exchange_n(&renewer, &nobody, tid, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    const uint64_t e = __atomic_load_n(&epoch, __ATOMIC_RELAXED);
    *n = (struct module_renewal){.ranges = tables[(e + 1) & 1].ranges, .now = clock_now()};
    return true;
}

void module_renewal_keep(struct module_renewal *n) {
    const uint64_t e = __atomic_load_n(&epoch, __ATOMIC_RELAXED);
    n->count = tables[e & 1].count;
    for (uint32_t i = 0; i < n->count; i++)
        n->ranges[i] = tables[e & 1].ranges[i];
}

bool module_renewal_add(struct module_renewal *n, const struct module_image *image) {
    struct seen m;
    if (n->count == MODULES_MAX) {
        trace_lose(TRACE_LOST_MODULES);
        return false;
    }
    if (!look_at(&m, image)) return true;
    const uint32_t id = record_of(&m, n->now);
    if (id) n->ranges[n->count++] = (struct module_range){m.start, m.end, m.base, id};
    return true;
}

/* Shell sort: no recursion, no memory, quick enough for some thousands. */
static void sort(struct module_range *r, uint32_t n) {
    for (uint32_t gap = n / 2; gap; gap /= 2)
        for (uint32_t i = gap; i < n; i++) {
            const struct module_range x = r[i];
            uint32_t j = i;
            for (; j >= gap && r[j - gap].start > x.start; j -= gap)
                r[j] = r[j - gap];
            r[j] = x;
        }
}

void module_renewal_end(struct module_renewal *n) {
    const uint64_t e = __atomic_load_n(&epoch, __ATOMIC_RELAXED);
    sort(n->ranges, n->count);
    for (uint32_t i = 0; i < tables[e & 1].count; i++) {
        const struct module_range *was = &tables[e & 1].ranges[i],
                                  *is = search(n->ranges, n->count, was->start);
        if (is && is->id == was->id) continue;
        __atomic_store_n(&trace->modules[was->id].unloaded_ns, n->now, __ATOMIC_RELEASE);
        module_event(was->id, 2, n->now);
    }
    tables[(e + 1) & 1].count = n->count;
    __atomic_store_n(&epoch, e + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&renewer, 0, __ATOMIC_RELEASE);
}

void module_table_reset(void) {
    epoch = 0;
    tables[0].count = tables[1].count = 0;
    renewer = 0;
}

/* ---- looking, and the executable ------------------------------------------------------------- */

uint32_t module_lookup(uintptr_t pc, uint64_t *base) {
    struct module_range r = {0};
    if (!lookup(pc, &r)) return 0;
    *base = r.base;
    return r.id;
}

static struct module_image executable;

void module_main_set(const Elf64_Phdr *headers, size_t count, uintptr_t bias) {
    executable = (struct module_image){
        .headers = headers, .header_count = count, .bias = bias, .flags = TRACE_MODULE_MAIN};
}

void module_add(const struct module_image *image) {
    struct module_renewal n;
    struct seen m;
    struct module_range known;
    if (!trace || !look_at(&m, image)) return;
    if (lookup(m.start, &known) || !module_renewal_begin(&n, sys_gettid())) return;
    module_renewal_keep(&n);
    module_renewal_add(&n, image);
    module_renewal_end(&n);
}

void module_main_add(void) {
    if (executable.headers) module_add(&executable);
}
