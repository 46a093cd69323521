/* Looks symbols up in loaded modules without the dynamic loader, whose own lookups lock and may allocate. */
#include <elf.h>
#include <string.h>

#include "interpose/elf_image.h"
#include "record/text.h"

/* glibc relocates these pointers in place, musl and the vDSO do not. */
static const void *pointer(const struct elf_image *image, ElfW(Addr) address) {
    const uintptr_t at = address < image->base ? address + image->base : address;
    return elf_image_holds(image, at) ? (const void *)at : NULL;
}

bool elf_image_read(struct elf_image *image, const struct dl_phdr_info *info) {
    *image = (struct elf_image){.base = info->dlpi_addr, .start = UINTPTR_MAX};
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_DYNAMIC) image->dynamic = (const ElfW(Dyn) *)(image->base + p->p_vaddr);
        if (p->p_type != PT_LOAD) continue;
        if (image->base + p->p_vaddr < image->start) image->start = image->base + p->p_vaddr;
        if (image->base + p->p_vaddr + p->p_memsz > image->end) image->end = image->base + p->p_vaddr + p->p_memsz;
    }
    if (!image->dynamic || !elf_image_holds(image, (uintptr_t)image->dynamic)) return false;
    const ElfW(Dyn) *soname = NULL;
    size_t sizes[2] = {0, 0};
    for (const ElfW(Dyn) *d = image->dynamic; d->d_tag != DT_NULL; d++) {
        switch (d->d_tag) {
        case DT_SYMTAB: image->symbols = pointer(image, d->d_un.d_ptr); break;
        case DT_STRTAB: image->strings = pointer(image, d->d_un.d_ptr); break;
        case DT_GNU_HASH: image->gnu_hash = pointer(image, d->d_un.d_ptr); break;
        case DT_HASH: image->sysv_hash = pointer(image, d->d_un.d_ptr); break;
        case DT_JMPREL: image->relocations[0] = pointer(image, d->d_un.d_ptr); break;
        case DT_RELA: image->relocations[1] = pointer(image, d->d_un.d_ptr); break;
        case DT_PLTRELSZ: sizes[0] = d->d_un.d_val; break;
        case DT_RELASZ: sizes[1] = d->d_un.d_val; break;
        case DT_SONAME: soname = d; break;
        default: break;
        }
    }
    if (!image->symbols || !image->strings || (!image->gnu_hash && !image->sysv_hash)) return false;
    for (int i = 0; i < 2; i++)
        if (image->relocations[i]) image->relocation_count[i] = sizes[i] / sizeof(ElfW(Rela));
    if (soname) image->name = image->strings + soname->d_un.d_val;
    else image->name = info->dlpi_name ? text_base_name(info->dlpi_name) : "";
    return true;
}

static bool is_definition(const struct elf_image *image, const ElfW(Sym) *symbol, const char *name) {
    return symbol->st_shndx != SHN_UNDEF && symbol->st_value != 0 && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
           strcmp(image->strings + symbol->st_name, name) == 0;
}

static const ElfW(Sym) *find_gnu(const struct elf_image *image, const char *name) {
    uint32_t hash = 5381;
    for (const char *s = name; *s; s++) hash = hash * 33 + (uint8_t)*s;
    const uint32_t *h = image->gnu_hash;
    const uint32_t buckets = h[0], first = h[1], bloom_size = h[2], shift = h[3];
    const ElfW(Addr) *bloom = (const ElfW(Addr) *)(h + 4);
    const uint32_t *bucket = (const uint32_t *)(bloom + bloom_size), *chain = bucket + buckets;
    const unsigned bits = 8 * sizeof *bloom;
    if (buckets == 0 || bloom_size == 0) return NULL;
    const ElfW(Addr) word = bloom[hash / bits % bloom_size];
    if (!(word >> hash % bits & word >> (hash >> shift) % bits & 1)) return NULL;
    uint32_t i = bucket[hash % buckets];
    if (i < first) return NULL;
    for (;; i++) {
        const uint32_t entry = chain[i - first];
        if ((entry | 1) == (hash | 1) && is_definition(image, &image->symbols[i], name)) return &image->symbols[i];
        if (entry & 1) return NULL;
    }
}

static const ElfW(Sym) *find_sysv(const struct elf_image *image, const char *name) {
    uint32_t hash = 0;
    for (const char *s = name; *s; s++) {
        hash = (hash << 4) + (uint8_t)*s;
        hash = (hash ^ (hash >> 24 & 0xf0)) & 0x0fffffff;
    }
    const uint32_t *h = image->sysv_hash, buckets = h[0], count = h[1];
    const uint32_t *bucket = h + 2, *chain = bucket + buckets;
    if (buckets == 0) return NULL;
    for (uint32_t i = bucket[hash % buckets], steps = 0; i != 0 && i < count && steps < count; i = chain[i], steps++)
        if (is_definition(image, &image->symbols[i], name)) return &image->symbols[i];
    return NULL;
}

void *elf_image_function(const struct elf_image *image, const char *name) {
    const ElfW(Sym) *symbol = image->gnu_hash ? find_gnu(image, name) : find_sysv(image, name);
    return symbol ? (void *)(image->base + symbol->st_value) : NULL;
}

bool elf_image_needs(const struct elf_image *image, const char *name) {
    for (const ElfW(Dyn) *d = image->dynamic; d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_NEEDED && strcmp(text_base_name(image->strings + d->d_un.d_val), name) == 0) return true;
    return false;
}

unsigned elf_image_bindings(const struct elf_image *image, uintptr_t start, uintptr_t end) {
    unsigned count = 0;
    for (int table = 0; table < 2; table++)
        for (size_t i = 0; i < image->relocation_count[table]; i++) {
            const ElfW(Rela) *r = &image->relocations[table][i];
            const unsigned type = ELF64_R_TYPE(r->r_info);
            if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_64) continue;
            if (ELF64_R_SYM(r->r_info) == 0) continue;
            const uintptr_t place = image->base + r->r_offset;
            if (place % sizeof place != 0 || !elf_image_holds(image, place)) continue;
            const uintptr_t value = __atomic_load_n((const uintptr_t *)place, __ATOMIC_RELAXED);
            if (value >= start && value < end) count++;
        }
    return count;
}
