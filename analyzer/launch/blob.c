/* Reading the image for static programs: every number in it is checked, though we made it ourselves. */
#include "launch/blob.h"

#include <elf.h>
#include <string.h>
#include <sys/mman.h>

/* No image of ours is near this. */
enum { BLOB_MOST = 64 << 20 };

static bool blob_no(const char **why, const char *text) {
    *why = text;
    return false;
}

static bool blob_header(const struct blob *b, Elf64_Ehdr *h, const char **why) {
    if (b->file_size < sizeof *h) return blob_no(why, "shorter than an ELF header");
    memcpy(h, b->file, sizeof *h);
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_ident[EI_DATA] != ELFDATA2LSB)
        return blob_no(why, "no 64 bit ELF file");
    if (h->e_type != ET_DYN || h->e_machine != EM_X86_64)
        return blob_no(why, "no shared object for x86-64");
    if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phoff > b->file_size ||
        h->e_phnum > (b->file_size - h->e_phoff) / sizeof(Elf64_Phdr))
        return blob_no(why, "program headers outside of the file");
    return true;
}

static bool blob_segment(struct blob *b, const Elf64_Phdr *p, const char **why) {
    const uint64_t mask = BLOB_PAGE - 1;
    if (b->segment_count == BLOB_SEGMENTS) return blob_no(why, "too many segments");
    if (p->p_memsz == 0 || p->p_memsz > BLOB_MOST || p->p_vaddr > BLOB_MOST)
        return blob_no(why, "a segment too large");
    if (p->p_filesz > p->p_memsz || p->p_offset > b->file_size ||
        p->p_filesz > b->file_size - p->p_offset)
        return blob_no(why, "a segment outside of the file");
    if ((p->p_flags & PF_W) && (p->p_flags & PF_X))
        return blob_no(why, "a segment that is writable and executable");
    struct blob_segment s = {
        .at = p->p_vaddr & ~mask,
        .file_at = p->p_offset,
        .file_size = p->p_filesz,
        .bytes_at = p->p_vaddr,
        .protection = (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
                      (p->p_flags & PF_X ? PROT_EXEC : 0),
    };
    s.size = ((p->p_vaddr + p->p_memsz + mask) & ~mask) - s.at;
    if (s.at < b->size) return blob_no(why, "segments that overlap or are out of order");
    b->size = s.at + s.size;
    b->segments[b->segment_count++] = s;
    return true;
}

/* The segment that holds n bytes of the file at this place in memory; NULL: none. */
static const struct blob_segment *blob_holds(const struct blob *b, uint64_t at, uint64_t n) {
    for (size_t i = 0; i < b->segment_count; i++) {
        const struct blob_segment *s = &b->segments[i];
        if (at >= s->bytes_at && at - s->bytes_at <= s->file_size &&
            n <= s->file_size - (at - s->bytes_at))
            return s;
    }
    return NULL;
}

static bool blob_dynamic(struct blob *b, const Elf64_Phdr *p, const char **why) {
    uint64_t rela = 0, size = 0, entry = sizeof(Elf64_Rela);
    if (p->p_offset > b->file_size || p->p_filesz > b->file_size - p->p_offset)
        return blob_no(why, "a dynamic section outside of the file");
    for (uint64_t i = 0; i < p->p_filesz / sizeof(Elf64_Dyn); i++) {
        Elf64_Dyn d;
        memcpy(&d, b->file + p->p_offset + i * sizeof d, sizeof d);
        if (d.d_tag == DT_NULL) break;
        if (d.d_tag == DT_RELA) rela = d.d_un.d_ptr;
        if (d.d_tag == DT_RELASZ) size = d.d_un.d_val;
        if (d.d_tag == DT_RELAENT) entry = d.d_un.d_val;
        if (d.d_tag == DT_NEEDED || d.d_tag == DT_JMPREL || d.d_tag == DT_REL ||
            d.d_tag == DT_INIT || d.d_tag == DT_INIT_ARRAY)
            return blob_no(why, "something that only a loader could do");
    }
    if (size == 0) return true;
    if (entry != sizeof(Elf64_Rela) || size % entry || !blob_holds(b, rela, size))
        return blob_no(why, "relocations outside of the file");
    b->relocations = rela;
    b->relocation_count = size / entry;
    return true;
}

static void blob_relocation(const struct blob *b, const struct blob_segment *in, uint64_t i,
                            Elf64_Rela *r) {
    const uint64_t at = b->relocations + i * sizeof *r - in->bytes_at;
    memcpy(r, b->file + in->file_at + at, sizeof *r);
}

static bool blob_relocations(const struct blob *b, const char **why) {
    const struct blob_segment *in =
        blob_holds(b, b->relocations, b->relocation_count * sizeof(Elf64_Rela));
    for (uint64_t i = 0; in && i < b->relocation_count; i++) {
        Elf64_Rela r;
        blob_relocation(b, in, i, &r);
        if (ELF64_R_TYPE(r.r_info) != R_X86_64_RELATIVE)
            return blob_no(why, "a relocation that is not relative");
        if (r.r_offset > b->size - sizeof(uint64_t) || (uint64_t)r.r_addend > b->size)
            return blob_no(why, "a relocation outside of the image");
    }
    return true;
}

bool blob_read(struct blob *b, const void *file, size_t size, const char **why) {
    Elf64_Ehdr header;
    Elf64_Phdr dynamic = {0};
    *b = (struct blob){.file = file, .file_size = size};
    if (!blob_header(b, &header, why)) return false;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr p;
        memcpy(&p, b->file + header.e_phoff + i * sizeof p, sizeof p);
        if (p.p_type == PT_TLS) return blob_no(why, "thread-local storage");
        if (p.p_type == PT_DYNAMIC) dynamic = p;
        if (p.p_type == PT_LOAD && !blob_segment(b, &p, why)) return false;
    }
    if (b->segment_count == 0 || b->segments[0].at != 0)
        return blob_no(why, "nothing to load at its start");
    b->entry = header.e_entry;
    const struct blob_segment *code = blob_holds(b, b->entry, 1);
    if (!code || !(code->protection & PROT_EXEC))
        return blob_no(why, "an entry outside of its code");
    return blob_dynamic(b, &dynamic, why) && blob_relocations(b, why);
}

void blob_fill(const struct blob *b, uint8_t *memory, uint64_t address) {
    for (size_t i = 0; i < b->segment_count; i++) {
        const struct blob_segment *s = &b->segments[i];
        memcpy(memory + s->bytes_at, b->file + s->file_at, s->file_size);
    }
    const struct blob_segment *in =
        blob_holds(b, b->relocations, b->relocation_count * sizeof(Elf64_Rela));
    for (uint64_t i = 0; in && i < b->relocation_count; i++) {
        Elf64_Rela r;
        blob_relocation(b, in, i, &r);
        const uint64_t value = address + (uint64_t)r.r_addend;
        memcpy(memory + r.r_offset, &value, sizeof value);
    }
}
