/* The symbols that an executable has for debuggers only: .symtab of its file, which the loader never maps. */
#ifndef INTERPOSE_SYMTAB_H
#define INTERPOSE_SYMTAB_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symtab {
    const uint8_t *file; /* mapped; NULL: none */
    size_t size;
    uintptr_t bias;
    const Elf64_Sym *symbols;
    size_t count;
    const char *strings;
    size_t strings_size;
};

/*
 * Maps the program's own file. False: it is stripped, or holds no function whose name begins so, or cannot be read; then there is
 * nothing to close. No descriptor stays open. From the constructor only.
 */
bool symtab_open(struct symtab *, uintptr_t bias, const char *prefix);
/* The address in memory of a defined function and the size of its code; NULL: none, or several of that name. */
void *symtab_find(const struct symtab *, const char *name, size_t *size);
void symtab_close(struct symtab *);

#endif
