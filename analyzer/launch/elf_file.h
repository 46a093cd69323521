/* What the dynamic loader would read of an ELF file. */
#ifndef HTTPLEAK_ELF_FILE_H
#define HTTPLEAK_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct elf_file {
    bool valid;         /* an ELF executable or library */
    bool other_machine; /* class or processor differ from this program's */
    bool go;            /* built by the Go tool chain */
    char *loader;       /* PT_INTERP */
    char *search;       /* DT_RUNPATH, else DT_RPATH; $ORIGIN replaced */
    char *needed[64];   /* DT_NEEDED */
    size_t needed_count;
};

/* All strings are malloc'ed. The file may be anything; what is not ELF gives valid = false. */
void elf_file_read(struct elf_file *file, const char *path);
void elf_file_free(struct elf_file *file);

/* Whether it defines all of these functions (32 at most, ends with NULL): looks through all symbols, which takes its time. */
bool elf_file_has_functions(const char *path, const char *const *names);

#endif
