/* A loaded module as a party to a binding: where it lies, what it defines and needs, what its
 * references are bound to. */
#ifndef INTERPOSE_LOADED_H
#define INTERPOSE_LOADED_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/image.h"

struct loaded {
    struct image image;
    uintptr_t start, end; /* all of its segments */
    const ElfW(Dyn) * dynamic;
    const ElfW(Rela) * relocations[2];
    size_t relocation_count[2];
    const char *name; /* soname, else the file's base name; "" for the program */
};

/* From dl_iterate_phdr; false: it has no dynamic symbols. Valid while that module is loaded. */
bool loaded_read(struct loaded *, const struct dl_phdr_info *);
static inline bool loaded_holds(const struct loaded *module, uintptr_t address) {
    return address >= module->start && address < module->end;
}
/* One of its DT_NEEDED entries is called so. */
bool loaded_needs(const struct loaded *, const char *name);
/* How many of its references to symbols are bound to an address in [start, end). */
unsigned loaded_bindings(const struct loaded *, uintptr_t start, uintptr_t end);

#endif
