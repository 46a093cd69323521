/*
 * Makes nghttp2's HPACK fit for a library that every process loads: no relocation at load time.
 *
 *     hpack OBJECT SECTION >words.c
 *
 * Its table of static header fields is full of pointers, and the dynamic linker would have to write each of them in every
 * process. Here they become distances from where they stand (R_X86_64_64 to R_X86_64_PC64), which the linker knows, in SECTION of
 * the relocatable OBJECT, in place; preload/http/hpack.c adds the places when the first HTTP/2 connection comes. What is printed is
 * the list of those words' offsets in the section, as C.
 */
#include <elf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *object;
static uint8_t *bytes;
static size_t size;

static void die(const char *why) {
    fprintf(stderr, "%s: %s\n", object, why);
    exit(1);
}

static void *at(uint64_t offset, uint64_t length) {
    if (offset > size || length > size - offset) die("not an ELF object that holds together");
    return bytes + offset;
}

static Elf64_Shdr *section(unsigned index) {
    const Elf64_Ehdr *header = at(0, sizeof *header);
    if (index >= header->e_shnum) die("a section that is not there");
    return at(header->e_shoff + (uint64_t)index * sizeof(Elf64_Shdr), sizeof(Elf64_Shdr));
}

static const char *name_of(const Elf64_Shdr *s) {
    const Elf64_Ehdr *header = at(0, sizeof *header);
    return at(section(header->e_shstrndx)->sh_offset + s->sh_name, 1);
}

/* The relocations of one section: absolute words become relative ones. */
static void convert(const Elf64_Shdr *relocations) {
    const uint64_t count = relocations->sh_size / sizeof(Elf64_Rela);
    printf("/* Made by .ci/hpack.c: the words of nghttp2's table that need their own address "
           "added. */\n"
           "#include \"http/hpack_table.h\"\n\nconst uint16_t hpack_table_words[] = {");
    for (uint64_t i = 0; i < count; i++) {
        Elf64_Rela *one = at(relocations->sh_offset + i * sizeof *one, sizeof *one);
        if (ELF64_R_TYPE(one->r_info) != R_X86_64_64)
            die("another kind of relocation than was expected");
        if (one->r_offset > UINT16_MAX) die("a larger table than was expected");
        one->r_info = ELF64_R_INFO(ELF64_R_SYM(one->r_info), R_X86_64_PC64);
        printf("%s%u,", i % 16 ? " " : "\n    ", (unsigned)one->r_offset);
    }
    printf("\n};\nconst unsigned hpack_table_count = %u;\n", (unsigned)count);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: hpack OBJECT SECTION\n");
        return 2;
    }
    object = argv[1];
    FILE *file = fopen(object, "r+b");
    if (!file) die(strerror(errno));
    if (fseek(file, 0, SEEK_END) != 0) die(strerror(errno));
    const long length = ftell(file);
    if (length <= 0) die("empty");
    size = (size_t)length;
    bytes = malloc(size);
    rewind(file);
    if (!bytes || fread(bytes, 1, size, file) != size) die("cannot be read");
    const Elf64_Ehdr *header = at(0, sizeof *header);
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
        header->e_machine != EM_X86_64 || header->e_type != ET_REL)
        die("no relocatable object of x86-64");
    unsigned found = 0;
    for (unsigned i = 0; i < header->e_shnum; i++) {
        const Elf64_Shdr *s = section(i);
        if (s->sh_type != SHT_RELA || strcmp(name_of(section(s->sh_info)), argv[2]) != 0) continue;
        convert(s);
        found++;
    }
    if (found != 1) die("the section is not there, or has no relocations");
    rewind(file);
    if (fwrite(bytes, 1, size, file) != size || fclose(file) != 0) die("cannot be written");
    return 0;
}
