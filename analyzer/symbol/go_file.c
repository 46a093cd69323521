/* ELF segments, sections and relocations of a Go program, out of the bytes of its file. */
#include "symbol/go_file.h"

#include <elf.h>
#include <string.h>

static bool range_is_in(uint64_t at, uint64_t size, uint64_t total) {
    return at <= total && size <= total - at;
}

/* Where the dynamic section says that the relocations are. */
static void read_dynamic(struct go_file *file, const Elf64_Phdr *dynamic) {
    uint64_t address = 0, size = 0, symbols = 0, left = 0;
    if (!range_is_in(dynamic->p_offset, dynamic->p_filesz, file->size)) return;
    for (uint64_t at = 0; dynamic->p_filesz - at >= sizeof(Elf64_Dyn); at += sizeof(Elf64_Dyn)) {
        Elf64_Dyn entry;
        memcpy(&entry, file->bytes + dynamic->p_offset + at, sizeof entry);
        if (entry.d_tag == DT_NULL) break;
        if (entry.d_tag == DT_RELA) address = entry.d_un.d_ptr;
        if (entry.d_tag == DT_RELASZ) size = entry.d_un.d_val;
        if (entry.d_tag == DT_SYMTAB) symbols = entry.d_un.d_ptr;
    }
    file->symbols = symbols ? go_file_at(file, symbols, &file->symbols_size) : NULL;
    const uint8_t *table = address ? go_file_at(file, address, &left) : NULL;
    if (!table) return;
    file->rela = (uint64_t)(table - file->bytes);
    file->rela_count = (size < left ? size : left) / sizeof(Elf64_Rela);
}

bool go_file_open(struct go_file *file, const uint8_t *bytes, size_t size) {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    *file = (struct go_file){.bytes = bytes, .size = size};
    if (size < sizeof header) return false;
    memcpy(&header, bytes, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_X86_64 ||
        header.e_phentsize != sizeof segment ||
        !range_is_in(header.e_phoff, (uint64_t)header.e_phnum * sizeof segment, size))
        return false;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < header.e_phnum; i++) {
            memcpy(&segment, bytes + header.e_phoff + i * sizeof segment, sizeof segment);
            if (pass == 1 && segment.p_type == PT_DYNAMIC) read_dynamic(file, &segment);
            if (pass != 0 || segment.p_type != PT_LOAD || segment.p_offset > size) continue;
            if (file->segment_count == GO_SEGMENTS_MAX) return false;
            if (segment.p_filesz > size - segment.p_offset) /* cut off: what is there is used */
                segment.p_filesz = size - segment.p_offset;
            if (segment.p_vaddr + segment.p_filesz < segment.p_vaddr) continue;
            file->segments[file->segment_count++] = (struct go_segment){
                segment.p_vaddr, segment.p_offset, segment.p_filesz, segment.p_flags};
        }
    }
    return file->segment_count > 0;
}

const uint8_t *go_file_at(const struct go_file *file, uint64_t address, uint64_t *left) {
    for (size_t i = 0; i < file->segment_count; i++) {
        const struct go_segment *segment = &file->segments[i];
        if (address < segment->address || address - segment->address >= segment->size) continue;
        *left = segment->size - (address - segment->address);
        return file->bytes + segment->offset + (address - segment->address);
    }
    return NULL;
}

/* A relocation that gives a word its address in the file, as r_addend: relative, or to a symbol of the file's own (in plugins). */
static bool relocation(const struct go_file *file, uint64_t index, Elf64_Rela *out) {
    Elf64_Sym symbol;
    memcpy(out, file->bytes + file->rela + index * sizeof *out, sizeof *out);
    if (ELF64_R_TYPE(out->r_info) == R_X86_64_RELATIVE) return true;
    const uint64_t at = ELF64_R_SYM(out->r_info) * sizeof symbol;
    if (ELF64_R_TYPE(out->r_info) != R_X86_64_64 || !file->symbols ||
        !range_is_in(at, sizeof symbol, file->symbols_size))
        return false;
    memcpy(&symbol, file->symbols + at, sizeof symbol);
    if (symbol.st_shndx == SHN_UNDEF) return false;
    out->r_addend = (Elf64_Sxword)(symbol.st_value + (uint64_t)out->r_addend);
    return true;
}

bool go_file_words(const struct go_file *file, uint64_t address, uint64_t *words, size_t count) {
    uint64_t left = 0;
    const uint8_t *at = go_file_at(file, address, &left);
    if (!at || left / 8 < count) return false;
    for (size_t i = 0; i < count; i++)
        words[i] = go_u64(at + 8 * i);
    for (uint64_t i = 0; i < file->rela_count; i++) {
        Elf64_Rela entry;
        if (!relocation(file, i, &entry) || entry.r_offset < address) continue;
        uint64_t distance = entry.r_offset - address;
        if (distance % 8 == 0 && distance / 8 < count)
            words[distance / 8] = (uint64_t)entry.r_addend;
    }
    return true;
}

/* The table of sections, NULL if there is none that can be read; *names are their names. */
static const uint8_t *section_table(const struct go_file *file, size_t *count, Elf64_Shdr *names) {
    Elf64_Ehdr header;
    memcpy(&header, file->bytes, sizeof header);
    if (header.e_shentsize != sizeof *names || header.e_shstrndx >= header.e_shnum ||
        !range_is_in(header.e_shoff, (uint64_t)header.e_shnum * sizeof *names, file->size))
        return NULL;
    const uint8_t *table = file->bytes + header.e_shoff;
    memcpy(names, table + header.e_shstrndx * sizeof *names, sizeof *names);
    *count = header.e_shnum;
    return range_is_in(names->sh_offset, names->sh_size, file->size) ? table : NULL;
}

bool go_file_has_sections(const struct go_file *file) {
    Elf64_Shdr names;
    size_t count;
    return section_table(file, &count, &names) != NULL;
}

bool go_file_section(const struct go_file *file, const char *const *names, size_t count,
                     uint64_t *address) {
    Elf64_Shdr section, strings;
    size_t sections = 0;
    const uint8_t *table = section_table(file, &sections, &strings);
    for (size_t i = 0; table && i < sections; i++) {
        memcpy(&section, table + i * sizeof section, sizeof section);
        for (size_t n = 0; n < count; n++) {
            size_t length = strlen(names[n]) + 1;
            if (!range_is_in(section.sh_name, length, strings.sh_size) ||
                memcmp(file->bytes + strings.sh_offset + section.sh_name, names[n], length) != 0)
                continue;
            *address = section.sh_addr;
            return true;
        }
    }
    return false;
}

uint64_t go_file_find_word(const struct go_file *file, uint64_t value, uint64_t after) {
    uint64_t best = 0;
    for (size_t i = 0; i < file->segment_count; i++) {
        const struct go_segment *segment = &file->segments[i];
        if (!(segment->flags & PF_W)) continue;
        uint64_t from = (segment->address + 7) & ~UINT64_C(7);
        if (from <= after) from = (after & ~UINT64_C(7)) + 8;
        for (; from - segment->address < segment->size &&
               segment->size - (from - segment->address) >= 8;
             from += 8) {
            if (go_u64(file->bytes + segment->offset + (from - segment->address)) != value)
                continue;
            if (!best || from < best) best = from;
            break;
        }
    }
    for (uint64_t i = 0; i < file->rela_count; i++) {
        Elf64_Rela entry;
        if (relocation(file, i, &entry) && (uint64_t)entry.r_addend == value &&
            entry.r_offset > after && (!best || entry.r_offset < best))
            best = entry.r_offset;
    }
    return best;
}
