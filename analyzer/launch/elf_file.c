/* ELF headers and the dynamic section, read with libelf. */
#include "launch/elf_file.h"

#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "$ORIGIN/../lib" -> "/where/the/file/is/../lib" */
static char *elf_file_origin(const char *search, const char *path) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    const char *slash = strrchr(path, '/');
    int origin = slash ? (int)(slash - path) : 0;
    while (*search) {
        size_t skip = strncmp(search, "$ORIGIN", 7) == 0     ? 7
                      : strncmp(search, "${ORIGIN}", 9) == 0 ? 9
                                                             : 0;
        if (skip)
            fprintf(out, "%.*s", origin, path);
        else
            fputc(*search, out);
        search += skip ? skip : 1;
    }
    fclose(out);
    return text;
}

static void elf_file_dynamic(struct elf_file *file, Elf *elf, Elf_Scn *section,
                             const GElf_Shdr *header, const char *path) {
    Elf_Data *data = elf_getdata(section, NULL);
    bool runpath = false;
    if (!data || header->sh_entsize == 0) return;
    for (size_t i = 0; i < header->sh_size / header->sh_entsize; i++) {
        GElf_Dyn entry;
        if (!gelf_getdyn(data, (int)i, &entry)) break;
        if (entry.d_tag != DT_NEEDED && entry.d_tag != DT_RUNPATH && entry.d_tag != DT_RPATH)
            continue;
        const char *text = elf_strptr(elf, header->sh_link, entry.d_un.d_val);
        if (!text) continue;
        if (entry.d_tag == DT_NEEDED) {
            if (file->needed_count < sizeof file->needed / sizeof *file->needed)
                file->needed[file->needed_count++] = strdup(text);
        } else if (!runpath) {
            runpath = entry.d_tag == DT_RUNPATH;
            free(file->search);
            file->search = elf_file_origin(text, path);
        }
    }
}

static void elf_file_sections(struct elf_file *file, Elf *elf, const char *path) {
    size_t names = 0;
    if (elf_getshdrstrndx(elf, &names) != 0) return;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header)) continue;
        const char *name = elf_strptr(elf, names, header.sh_name);
        if (name && (strcmp(name, ".go.buildinfo") == 0 || strcmp(name, ".note.go.buildid") == 0))
            file->go = true;
        if (header.sh_type == SHT_DYNAMIC) elf_file_dynamic(file, elf, section, &header, path);
    }
}

static void elf_file_loader(struct elf_file *file, Elf *elf) {
    size_t count = 0, size = 0;
    const char *bytes = elf_rawfile(elf, &size);
    if (elf_getphdrnum(elf, &count) != 0 || !bytes) return;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr header;
        if (!gelf_getphdr(elf, (int)i, &header) || header.p_type != PT_INTERP) continue;
        if (header.p_offset > size || header.p_filesz > size - header.p_offset) return;
        file->loader = strndup(bytes + header.p_offset, header.p_filesz);
        return;
    }
}

static Elf *elf_file_open(const char *path, int *fd) {
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    elf_version(EV_CURRENT);
    return *fd >= 0 && fstat(*fd, &st) == 0 && S_ISREG(st.st_mode)
               ? elf_begin(*fd, ELF_C_READ_MMAP, NULL)
               : NULL;
}

static void elf_file_close(Elf *elf, int fd) {
    if (elf) elf_end(elf);
    if (fd >= 0) close(fd);
}

/* Which of the functions a table of symbols defines: a bit for each. */
static unsigned elf_file_functions(Elf_Scn *section, const GElf_Shdr *header, Elf *elf,
                                   const char *const *names) {
    unsigned found = 0;
    Elf_Data *data = elf_getdata(section, NULL);
    if (!data || header->sh_entsize == 0) return 0;
    for (size_t i = 0; i < header->sh_size / header->sh_entsize; i++) {
        GElf_Sym symbol;
        if (!gelf_getsym(data, (int)i, &symbol)) break;
        if (GELF_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
        const char *name = elf_strptr(elf, header->sh_link, symbol.st_name);
        for (unsigned n = 0; name && names[n]; n++)
            if (strcmp(name, names[n]) == 0) found |= 1u << n;
    }
    return found;
}

void elf_file_read(struct elf_file *file, const char *path) {
    *file = (struct elf_file){0};
    int fd;
    Elf *elf = elf_file_open(path, &fd);
    GElf_Ehdr header;
    if (elf && elf_kind(elf) == ELF_K_ELF && gelf_getehdr(elf, &header) &&
        (header.e_type == ET_EXEC || header.e_type == ET_DYN)) {
        const int our_class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
#if defined __x86_64__
        const int our_machine = EM_X86_64;
#elif defined __aarch64__
        const int our_machine = EM_AARCH64;
#else
        const int our_machine = header.e_machine;
#endif
        file->valid = true;
        file->other_machine = gelf_getclass(elf) != our_class || header.e_machine != our_machine;
        elf_file_loader(file, elf);
        elf_file_sections(file, elf, path);
    }
    elf_file_close(elf, fd);
}

bool elf_file_has_functions(const char *path, const char *const *names) {
    unsigned found = 0, wanted = 0;
    int fd;
    Elf *elf = elf_file_open(path, &fd);
    for (unsigned i = 0; names[i]; i++)
        wanted |= 1u << i;
    for (Elf_Scn *section = NULL; elf && (section = elf_nextscn(elf, section));) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) &&
            (header.sh_type == SHT_DYNSYM || header.sh_type == SHT_SYMTAB))
            found |= elf_file_functions(section, &header, elf, names);
    }
    elf_file_close(elf, fd);
    return found == wanted;
}

void elf_file_free(struct elf_file *file) {
    for (size_t i = 0; i < file->needed_count; i++)
        free(file->needed[i]);
    free(file->loader);
    free(file->search);
    *file = (struct elf_file){0};
}
