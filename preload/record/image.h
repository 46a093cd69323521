/*
 * Exported symbols of loaded modules, read from their own hash tables: no lock, no allocation, no
 * libc, so it may run where dlsym may not (signal handlers, fork children, before relocation,
 * inside the allocator).
 */
#ifndef RECORD_IMAGE_H
#define RECORD_IMAGE_H

#include <link.h>
#include <stddef.h>
#include <stdint.h>

struct image { /* the dynamic section of one module; all NULL: it exports nothing */
    uintptr_t base;
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint16_t *versions;
    const uint32_t *gnu_hash;
    const uint32_t *sysv_hash;
};

/* dynamic may be as in the file or relocated in place by the loader. */
void image_read(struct image *, uintptr_t base, const ElfW(Dyn) * dynamic);
/* The GNU hash of a name, for image_find. */
uint32_t image_hash(const char *name);
/* The default version of the name if the module defines it, else NULL. An IFUNC is resolved. */
void *image_find(const struct image *, const char *name, uint32_t hash);
/* The same with the size of its code; NULL for an IFUNC, whose code is elsewhere. */
void *image_find_sized(const struct image *, const char *name, size_t *size);
/* The same for a variable: its address, NULL if the module does not define it. */
void *image_find_data(const struct image *, const char *name);

#endif
