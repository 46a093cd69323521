/* A loaded ELF module as it stands in memory: its symbols by name, what it needs, what it is bound to. */
#ifndef INTERPOSE_ELF_IMAGE_H
#define INTERPOSE_ELF_IMAGE_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_image {
    uintptr_t base, start, end; /* load bias; all of its segments */
    const ElfW(Dyn) * dynamic;
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *gnu_hash, *sysv_hash; /* either may be NULL */
    const ElfW(Rela) * relocations[2];
    size_t relocation_count[2];
    const char *name; /* soname, else the file's base name; "" for the program */
};

/* From dl_iterate_phdr; false: it has no dynamic symbols. Valid while that module is loaded. */
bool elf_image_read(struct elf_image *, const struct dl_phdr_info *);
static inline bool elf_image_holds(const struct elf_image *image, uintptr_t address) {
    return address >= image->start && address < image->end;
}
/* The address of a function that the module defines; NULL: none. */
void *elf_image_function(const struct elf_image *, const char *name);
/* One of its DT_NEEDED entries is called so. */
bool elf_image_needs(const struct elf_image *, const char *name);
/* How many of its bound references to other symbols point into [start, end). */
unsigned elf_image_bindings(const struct elf_image *, uintptr_t start, uintptr_t end);

#endif
