/* The image for static programs: ours is understood, nothing damaged is, and what it points to is where it should be. */
#include <check.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "launch/blob.h"
#include "tests/unit/suite.h"

static size_t own_size(void) {
    return blob_bytes_size;
}

START_TEST(our_own_is_understood) {
    struct blob blob;
    const char *why = "";
    ck_assert_msg(blob_read(&blob, blob_bytes, own_size(), &why), "%s", why);
    ck_assert_uint_gt(blob.segment_count, 1);
    ck_assert_uint_lt(blob.entry, blob.size);
    ck_assert_uint_eq(blob.size % BLOB_PAGE, 0);
    for (size_t i = 0; i < blob.segment_count; i++)
        ck_assert_int_ne(blob.segments[i].protection & (PROT_WRITE | PROT_EXEC),
                         PROT_WRITE | PROT_EXEC);
}
END_TEST

/* ---- an image made here: headers, one page of code, one of data with pointers in it ---- */

enum { CODE = 4096, DATA = 8192, RELA = DATA + 512, FILE_SIZE = DATA + 1024 };
struct made {
    Elf64_Ehdr header;
    Elf64_Phdr segments[4];
};
static uint8_t made_bytes[FILE_SIZE];

static struct made *made(void) {
    struct made *m = (struct made *)made_bytes;
    Elf64_Dyn *dynamic = (Elf64_Dyn *)(made_bytes + DATA);
    Elf64_Rela *rela = (Elf64_Rela *)(made_bytes + RELA);
    memset(made_bytes, 0, sizeof made_bytes);
    memcpy(m->header.e_ident, ELFMAG, SELFMAG);
    m->header.e_ident[EI_CLASS] = ELFCLASS64;
    m->header.e_ident[EI_DATA] = ELFDATA2LSB;
    m->header.e_type = ET_DYN;
    m->header.e_machine = EM_X86_64;
    m->header.e_entry = CODE + 16;
    m->header.e_phoff = offsetof(struct made, segments);
    m->header.e_phentsize = sizeof(Elf64_Phdr);
    m->header.e_phnum = 4;
    m->segments[0] = (Elf64_Phdr){PT_LOAD, PF_R, 0, 0, 0, sizeof *m, sizeof *m, 4096};
    m->segments[1] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, CODE, CODE, CODE, 64, 64, 4096};
    m->segments[2] = (Elf64_Phdr){PT_LOAD, PF_R | PF_W, DATA, DATA, DATA, 1024, 8192, 4096};
    m->segments[3] = (Elf64_Phdr){PT_DYNAMIC, PF_R, DATA, DATA, DATA, 64, 64, 8};
    dynamic[0] = (Elf64_Dyn){DT_RELA, {RELA}};
    dynamic[1] = (Elf64_Dyn){DT_RELASZ, {2 * sizeof *rela}};
    rela[0] = (Elf64_Rela){DATA + 256, ELF64_R_INFO(0, R_X86_64_RELATIVE), CODE + 32};
    rela[1] = (Elf64_Rela){DATA + 8184, ELF64_R_INFO(0, R_X86_64_RELATIVE), DATA + 4096};
    return m;
}

static const char *refusal(void) {
    struct blob blob;
    const char *why = "";
    return blob_read(&blob, made_bytes, sizeof made_bytes, &why) ? NULL : why;
}

START_TEST(pointers_lead_to_its_place) {
    struct blob blob;
    const char *why = "";
    made();
    made_bytes[CODE + 32] = 0x55;
    ck_assert_msg(blob_read(&blob, made_bytes, sizeof made_bytes, &why), "%s", why);
    ck_assert_uint_eq(blob.size, DATA + 8192);
    ck_assert_uint_eq(blob.segments[2].size, 8192);
    ck_assert_uint_eq(blob.relocation_count, 2);
    uint8_t *memory = calloc(1, blob.size);
    blob_fill(&blob, memory, UINT64_C(0x7f0000000000));
    uint64_t pointers[2];
    memcpy(&pointers[0], memory + DATA + 256, 8);
    memcpy(&pointers[1], memory + DATA + 8184, 8);
    ck_assert_uint_eq(pointers[0], UINT64_C(0x7f0000000000) + CODE + 32);
    ck_assert_uint_eq(pointers[1], UINT64_C(0x7f0000000000) + DATA + 4096);
    ck_assert_uint_eq(memory[CODE + 32], 0x55);
    ck_assert_uint_eq(memory[DATA + 4096], 0);
    free(memory);
}
END_TEST

static void refused(const char *expected) {
    const char *why = refusal();
    ck_assert_ptr_nonnull(why);
    ck_assert_msg(strstr(why, expected) != NULL, "refused for '%s', not '%s'", why, expected);
}

START_TEST(what_it_must_not_be) {
    ck_assert_ptr_null((made(), refusal()));
    made()->header.e_ident[EI_CLASS] = ELFCLASS32;
    refused("64 bit");
    made()->header.e_machine = EM_AARCH64;
    refused("x86-64");
    made()->header.e_type = ET_EXEC;
    refused("shared object");
    made()->header.e_phoff = UINT64_MAX - 8;
    refused("program headers");
    made()->header.e_phnum = 1000;
    refused("program headers");
    made()->header.e_entry = DATA;
    refused("entry");
    made()->header.e_entry = UINT64_MAX;
    refused("entry");
    made()->segments[1].p_flags |= PF_W;
    refused("writable and executable");
    made()->segments[2].p_offset = UINT64_MAX - 512;
    refused("outside of the file");
    made()->segments[2].p_filesz = 16384;
    refused("outside of the file");
    made()->segments[2].p_memsz = UINT64_MAX;
    refused("too large");
    made()->segments[2].p_vaddr = UINT64_MAX - 4096;
    refused("too large");
    made()->segments[2].p_vaddr = CODE + 128;
    refused("overlap");
    made()->segments[0].p_type = PT_NULL;
    refused("nothing to load");
    made()->segments[0].p_type = PT_TLS;
    refused("thread-local");
    made()->segments[3].p_offset = FILE_SIZE - 8;
    refused("dynamic section");
}
END_TEST

START_TEST(what_only_a_loader_could_do) {
    Elf64_Dyn *dynamic = (Elf64_Dyn *)(made_bytes + DATA);
    Elf64_Rela *rela = (Elf64_Rela *)(made_bytes + RELA);
    made();
    dynamic[2].d_tag = DT_NEEDED;
    refused("loader");
    made();
    dynamic[2].d_tag = DT_JMPREL;
    refused("loader");
    made();
    dynamic[1].d_un.d_val = 4096;
    refused("relocations outside");
    made();
    dynamic[0].d_un.d_ptr = UINT64_MAX - 16;
    refused("relocations outside");
    made();
    dynamic[1].d_un.d_val = sizeof *rela + 1;
    refused("relocations outside");
    made();
    rela[0].r_info = ELF64_R_INFO(1, R_X86_64_GLOB_DAT);
    refused("not relative");
    made();
    rela[0].r_offset = DATA + 8185;
    refused("outside of the image");
    made();
    rela[1].r_addend = -4096;
    refused("outside of the image");
}
END_TEST

/* Cut anywhere, or one byte changed anywhere in the first pages: refused or understood, and never read past its end. */
START_TEST(damaged_ones) {
    struct blob blob;
    const char *why;
    const size_t size = own_size();
    for (size_t n = 0; n < size; n += n < 1024 ? 1 : 61) {
        uint8_t *cut = malloc(n + 1);
        memcpy(cut, blob_bytes, n);
        if (blob_read(&blob, cut, n, &why)) {
            uint8_t *memory = calloc(1, blob.size);
            blob_fill(&blob, memory, 4096);
            free(memory);
        }
        free(cut);
    }
    uint8_t *copy = malloc(size + 1);
    for (size_t at = 0; at < 1024 && at < size; at++) {
        memcpy(copy, blob_bytes, size);
        copy[at] ^= (uint8_t)(1u << (at % 8));
        if (!blob_read(&blob, copy, size, &why)) continue;
        uint8_t *memory = calloc(1, blob.size);
        ck_assert_ptr_nonnull(memory);
        blob_fill(&blob, memory, 4096);
        free(memory);
    }
    free(copy);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("blob");
    TCase *tests = tcase_create("blob");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, our_own_is_understood);
    tcase_add_test(tests, pointers_lead_to_its_place);
    tcase_add_test(tests, what_it_must_not_be);
    tcase_add_test(tests, what_only_a_loader_could_do);
    tcase_add_test(tests, damaged_ones);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
