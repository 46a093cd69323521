/*
 * Go plugins: code outside the executable that goroutines run. The loader's own list tells where it came from; it is read
 * without the loader's lock, since nothing of libc can be called here. Go never unloads a plugin, and what others unload meanwhile is
 * looked at only where it can be read.
 */
#include <link.h>

#include "golang/engine.h"
#include "golang/probe.h"
#include "golang/words.h"
#include "record/module_table.h"
#include "record/sys.h"

enum { LIBRARIES_MOST = 4096 };

static const struct r_debug *loader(void) {
    const ElfW(Dyn) *dynamic = NULL;
    for (size_t i = 0; i < golang_program.header_count; i++)
        if (golang_program.headers[i].p_type == PT_DYNAMIC)
            dynamic = (const void *)(golang_program.bias + golang_program.headers[i].p_vaddr);
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++)
        if (dynamic->d_tag == DT_DEBUG) return (const void *)dynamic->d_un.d_ptr;
    return NULL;
}

static bool is_readable(const void *at, size_t size) {
    return sys_is_plausible(at) && sys_is_readable((uintptr_t)at) &&
           sys_is_readable((uintptr_t)at + size - 1);
}

/* A library's headers lie at its beginning. */
static bool holds(struct module_image *image, const struct link_map *map, uintptr_t pc) {
    const ElfW(Ehdr) *elf = (const void *)map->l_addr;
    if (!is_readable(elf, sizeof *elf) || !words_equal((const char *)elf->e_ident, ELFMAG, SELFMAG))
        return false;
    const ElfW(Phdr) *headers = (const void *)(map->l_addr + elf->e_phoff);
    if (elf->e_phnum == 0 || !is_readable(headers, elf->e_phnum * sizeof *headers)) return false;
    for (size_t i = 0; i < elf->e_phnum; i++)
        if (headers[i].p_type == PT_LOAD &&
            pc - (map->l_addr + headers[i].p_vaddr) < headers[i].p_memsz) {
            *image = (struct module_image){.name = map->l_name,
                                           .headers = headers,
                                           .header_count = elf->e_phnum,
                                           .bias = map->l_addr};
            return true;
        }
    return false;
}

static void find(uintptr_t pc) {
    const struct r_debug *list = loader();
    struct module_image image;
    if (!list || !is_readable(list, sizeof *list)) return;
    const struct link_map *map = list->r_map;
    for (int i = 0; i < LIBRARIES_MOST && is_readable(map, sizeof *map); i++, map = map->l_next)
        if (holds(&image, map, pc)) {
            module_add(&image);
            return;
        }
}

void golang_know(void *const *pcs, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        const uintptr_t pc = (uintptr_t)pcs[i];
        uint64_t base;
        if (pc - golang_program.text < golang_program.etext - golang_program.text) continue;
        if (!module_lookup(pc, &base)) find(pc);
    }
}
