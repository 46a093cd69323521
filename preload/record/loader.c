/*
 * The loader's list of modules, also where its lock is lost: a thread that was in dlopen, or in an exception, when another one
 * forked has left it locked in the child for ever. Who holds to async-signal-safe calls there never notices; so must we.
 */
#include "record/loader.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#include "record/sys.h"

/* glibc's recursive mutex, as gdb and every glibc since 2.4 know it; other libcs have nothing that looks like it. */
struct mutex {
    int lock;
    uint32_t count;
    int owner;
    uint32_t users;
    int kind;
};
static const struct mutex *lock;
static bool lost;

/* Inside dl_iterate_phdr the lock is ours: the mutex in the loader's data that says so. */
static int find_lock(struct dl_phdr_info *info, size_t size, void *tid) {
    (void)size;
    if (info->dlpi_addr != getauxval(AT_BASE)) return 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_W)) continue;
        const uintptr_t start = (info->dlpi_addr + p->p_vaddr + 7) & ~(uintptr_t)7;
        const uintptr_t end = info->dlpi_addr + p->p_vaddr + p->p_memsz;
        for (uintptr_t at = start; at + sizeof(struct mutex) <= end; at += 8) {
            const struct mutex *m = (const struct mutex *)at;
            if (m->lock == 0 || m->count == 0 || m->owner != *(const int *)tid ||
                (m->kind & 3) != 1)
                continue;
            lock = m;
            return 1;
        }
    }
    return 1;
}

void loader_find_lock(void) {
    static bool sought;
    if (__atomic_exchange_n(&sought, true, __ATOMIC_RELAXED)) return;
    int tid = (int)sys_gettid();
    const uint64_t signals = sys_hold_signals();
    dl_iterate_phdr(find_lock, &tid);
    sys_release_signals(signals);
}

void loader_after_fork(void) {
    if (lock && __atomic_load_n(&lock->lock, __ATOMIC_RELAXED) != 0) lost = true;
}

/* ---- the list without the lock: nobody in this process can change it any more ---- */

static const struct link_map *first_module(const struct dl_phdr_info *program) {
    const ElfW(Dyn) *dynamic = NULL;
    for (unsigned i = 0; i < program->dlpi_phnum; i++)
        if (program->dlpi_phdr[i].p_type == PT_DYNAMIC)
            dynamic = (const void *)(program->dlpi_addr + program->dlpi_phdr[i].p_vaddr);
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++)
        if (dynamic->d_tag == DT_DEBUG && dynamic->d_un.d_ptr)
            return ((const struct r_debug *)dynamic->d_un.d_ptr)->r_map;
    return NULL;
}

static struct dl_phdr_info main_program(void) {
    struct dl_phdr_info info = {.dlpi_name = "",
                                .dlpi_phdr = (const void *)getauxval(AT_PHDR),
                                .dlpi_phnum = (ElfW(Half))getauxval(AT_PHNUM)};
    for (unsigned i = 0; info.dlpi_phdr && i < info.dlpi_phnum; i++)
        if (info.dlpi_phdr[i].p_type == PT_PHDR)
            info.dlpi_addr = (uintptr_t)info.dlpi_phdr - info.dlpi_phdr[i].p_vaddr;
    return info;
}

/* A library's headers lie at its beginning; one that the fork caught half mapped has none yet. */
static bool library(struct dl_phdr_info *info, const struct link_map *map) {
    const ElfW(Ehdr) *elf = (const void *)map->l_addr;
    if (!sys_is_plausible(elf) || !sys_is_readable((uintptr_t)elf) ||
        memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0)
        return false;
    info->dlpi_addr = map->l_addr;
    info->dlpi_name = map->l_name;
    info->dlpi_phdr = (const void *)(map->l_addr + elf->e_phoff);
    info->dlpi_phnum = elf->e_phnum;
    return sys_is_readable((uintptr_t)(info->dlpi_phdr + info->dlpi_phnum) - 8);
}

static int walk(int (*visit)(struct dl_phdr_info *, size_t, void *), void *data) {
    struct dl_phdr_info info = main_program();
    const struct link_map *first = first_module(&info);
    for (const struct link_map *map = first; map; map = map->l_next)
        info.dlpi_adds++;
    int result = first ? visit(&info, sizeof info, data) : 0;
    for (const struct link_map *map = first; map && result == 0; map = map->l_next)
        if (map != first && library(&info, map)) result = visit(&info, sizeof info, data);
    return result;
}

/* What the linker puts in the place of every dl_iterate_phdr in here, libunwind's included (-Wl,--wrap). */
extern __typeof__(dl_iterate_phdr) __real_dl_iterate_phdr __attribute__((weak));
__typeof__(dl_iterate_phdr) __wrap_dl_iterate_phdr;

int __wrap_dl_iterate_phdr(int (*visit)(struct dl_phdr_info *, size_t, void *), void *data) {
    return lost ? walk(visit, data) : __real_dl_iterate_phdr(visit, data);
}
