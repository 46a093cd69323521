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

void elf_file_read(struct elf_file *file, const char *path) {
    *file = (struct elf_file){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0) return;
    elf_version(EV_CURRENT);
    Elf *elf = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? elf_begin(fd, ELF_C_READ_MMAP, NULL) : NULL;
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
    if (elf) elf_end(elf);
    close(fd);
}

void elf_file_free(struct elf_file *file) {
    for (size_t i = 0; i < file->needed_count; i++)
        free(file->needed[i]);
    free(file->loader);
    free(file->search);
    *file = (struct elf_file){0};
}
