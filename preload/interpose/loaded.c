/* Reads a loaded module's segments, dynamic section and bound references (gABI, "Dynamic Section",
 * "Relocation"). */
#include "interpose/loaded.h"

#include <elf.h>
#include <string.h>

#include "record/text.h"

static void read_segments(struct loaded *m, const struct dl_phdr_info *info) {
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        const uintptr_t start = info->dlpi_addr + p->p_vaddr, end = start + p->p_memsz;
        if (p->p_type == PT_DYNAMIC) m->dynamic = (const ElfW(Dyn) *)start;
        if (p->p_type != PT_LOAD) continue;
        if (start < m->start) m->start = start;
        if (end > m->end) m->end = end;
    }
}

/* As in image.c: relocated in place, or as in the file. */
static const void *pointer(const struct loaded *m, ElfW(Addr) address) {
    const uintptr_t at = address < m->image.base ? address + m->image.base : address;
    return loaded_holds(m, at) ? (const void *)at : NULL;
}

bool loaded_read(struct loaded *m, const struct dl_phdr_info *info) {
    *m = (struct loaded){.start = UINTPTR_MAX};
    read_segments(m, info);
    if (!m->dynamic || !loaded_holds(m, (uintptr_t)m->dynamic)) return false;
    image_read(&m->image, info->dlpi_addr, m->dynamic);
    if (!m->image.symbols || !m->image.strings) return false;
    const ElfW(Dyn) *soname = NULL;
    size_t sizes[2] = {0, 0};
    for (const ElfW(Dyn) *d = m->dynamic; d->d_tag != DT_NULL; d++) {
        switch (d->d_tag) {
        case DT_JMPREL: m->relocations[0] = pointer(m, d->d_un.d_ptr); break;
        case DT_RELA: m->relocations[1] = pointer(m, d->d_un.d_ptr); break;
        case DT_PLTRELSZ: sizes[0] = d->d_un.d_val; break;
        case DT_RELASZ: sizes[1] = d->d_un.d_val; break;
        case DT_SONAME: soname = d; break;
        default: break;
        }
    }
    for (int i = 0; i < 2; i++)
        if (m->relocations[i]) m->relocation_count[i] = sizes[i] / sizeof(ElfW(Rela));
    if (soname)
        m->name = m->image.strings + soname->d_un.d_val;
    else
        m->name = info->dlpi_name ? text_base_name(info->dlpi_name) : "";
    return true;
}

bool loaded_needs(const struct loaded *m, const char *name) {
    for (const ElfW(Dyn) *d = m->dynamic; d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_NEEDED &&
            strcmp(text_base_name(m->image.strings + d->d_un.d_val), name) == 0)
            return true;
    return false;
}

unsigned loaded_bindings(const struct loaded *m, uintptr_t start, uintptr_t end) {
    unsigned count = 0;
    for (int table = 0; table < 2; table++)
        for (size_t i = 0; i < m->relocation_count[table]; i++) {
            const ElfW(Rela) *r = &m->relocations[table][i];
            const unsigned type = ELF64_R_TYPE(r->r_info);
            if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_64)
                continue;
            if (ELF64_R_SYM(r->r_info) == 0) continue;
            const uintptr_t place = m->image.base + r->r_offset;
            if (place % sizeof place != 0 || !loaded_holds(m, place)) continue;
            const uintptr_t value = __atomic_load_n((const uintptr_t *)place, __ATOMIC_RELAXED);
            if (value >= start && value < end) count++;
        }
    return count;
}
