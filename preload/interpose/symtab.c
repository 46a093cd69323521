/* Reads .symtab of the program's own file (gABI, "Sections"); every offset is checked, a damaged file has no symbols. */
#include "interpose/symtab.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "record/sys.h"

static bool inside(const struct symtab *t, uint64_t offset, uint64_t size) {
    return offset <= t->size && size <= t->size - offset;
}

static bool find_sections(struct symtab *t) {
    const Elf64_Ehdr *elf = (const void *)t->file;
    if (t->size < sizeof *elf || memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 ||
        elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_shentsize != sizeof(Elf64_Shdr) ||
        elf->e_shoff % _Alignof(Elf64_Shdr) != 0 ||
        !inside(t, elf->e_shoff, (uint64_t)elf->e_shnum * sizeof(Elf64_Shdr)))
        return false;
    const Elf64_Shdr *sections = (const void *)(t->file + elf->e_shoff);
    for (unsigned i = 0; i < elf->e_shnum; i++) {
        const Elf64_Shdr *s = &sections[i];
        if (s->sh_type != SHT_SYMTAB || s->sh_link >= elf->e_shnum ||
            s->sh_entsize != sizeof(Elf64_Sym) || s->sh_offset % _Alignof(Elf64_Sym) != 0)
            continue;
        const Elf64_Shdr *strings = &sections[s->sh_link];
        if (!inside(t, s->sh_offset, s->sh_size) ||
            !inside(t, strings->sh_offset, strings->sh_size) || strings->sh_size == 0)
            return false;
        t->symbols = (const void *)(t->file + s->sh_offset);
        t->count = s->sh_size / sizeof(Elf64_Sym);
        t->strings = (const char *)t->file + strings->sh_offset;
        t->strings_size = strings->sh_size;
        return t->strings[t->strings_size - 1] == 0;
    }
    return false;
}

static const char *function_name(const struct symtab *t, const Elf64_Sym *symbol) {
    if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
        symbol->st_value == 0 || symbol->st_name >= t->strings_size)
        return NULL;
    return t->strings + symbol->st_name;
}

/* Only the symbols that begin so are of interest: the table is cut to the part that holds them. */
static bool keep_prefix(struct symtab *t, const char *prefix) {
    const size_t n = strlen(prefix);
    size_t first = t->count, end = 0;
    for (size_t i = 0; i < t->count; i++) {
        const char *name = function_name(t, &t->symbols[i]);
        if (!name || strncmp(name, prefix, n) != 0) continue;
        if (first == t->count) first = i;
        end = i + 1;
    }
    if (end == 0) return false;
    t->symbols += first;
    t->count = end - first;
    return true;
}

bool symtab_open(struct symtab *t, uintptr_t bias, const char *prefix) {
    struct stat status;
    *t = (struct symtab){.bias = bias};
    const long fd = sys_call(SYS_openat, AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    if (sys_call(SYS_fstat, fd, &status) == 0 && status.st_size > 0) {
        const long at = sys_call(SYS_mmap, 0, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at > 0 || at < -4095) t->file = (const uint8_t *)at, t->size = (size_t)status.st_size;
    }
    sys_call(SYS_close, fd);
    if (t->file && find_sections(t) && keep_prefix(t, prefix)) return true;
    symtab_close(t);
    return false;
}

void *symtab_find(const struct symtab *t, const char *name, size_t *size) {
    uint64_t found = 0;
    for (size_t i = 0; t->file && i < t->count; i++) {
        const char *is = function_name(t, &t->symbols[i]);
        if (!is || strcmp(is, name) != 0) continue;
        if (found && found != t->symbols[i].st_value) return NULL;
        found = t->symbols[i].st_value;
        *size = t->symbols[i].st_size;
    }
    return found ? (void *)(t->bias + found) : NULL;
}

void symtab_close(struct symtab *t) {
    if (t->file) sys_call(SYS_munmap, t->file, t->size);
    *t = (struct symtab){0};
}
