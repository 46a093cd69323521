/* What a loader would have done: the program's own relocations. */
#include "alone/alone.h"

#include <link.h>
#include <stddef.h>
#include <sys/auxv.h>
/* Headers without a PT_PHDR lie behind the ELF header, at the start of the first segment. */
static uintptr_t program_bias(const ElfW(Phdr) * headers, size_t count) {
    const uintptr_t at = (uintptr_t)headers;
    for (size_t i = 0; i < count; i++)
        if (headers[i].p_type == PT_PHDR) return at - headers[i].p_vaddr;
    for (size_t i = 0; i < count; i++)
        if (headers[i].p_type == PT_LOAD)
            return (at & ~(uintptr_t)4095) - (headers[i].p_vaddr & ~(uintptr_t)4095);
    return 0;
}

static struct dl_phdr_info program_info(void) {
    struct dl_phdr_info info = {.dlpi_name = "",
                                .dlpi_phdr = (const void *)getauxval(AT_PHDR),
                                .dlpi_phnum = (ElfW(Half))getauxval(AT_PHNUM),
                                .dlpi_adds = 1};
    if (info.dlpi_phdr) info.dlpi_addr = program_bias(info.dlpi_phdr, info.dlpi_phnum);
    return info;
}

struct golang_start alone_program(void) {
    const struct dl_phdr_info info = program_info();
    return (struct golang_start){info.dlpi_phdr, info.dlpi_phnum, info.dlpi_addr};
}

int alone_relocate(void) {
    const struct dl_phdr_info info = program_info();
    const ElfW(Dyn) *dynamic = NULL;
    const ElfW(Rela) *rela = NULL;
    size_t size = 0, entry = sizeof *rela;
    int twice = 1;
    for (size_t i = 0; info.dlpi_addr && i < info.dlpi_phnum; i++)
        if (info.dlpi_phdr[i].p_type == PT_DYNAMIC)
            dynamic = (const void *)(info.dlpi_addr + info.dlpi_phdr[i].p_vaddr);
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        if (dynamic->d_tag == DT_RELA) rela = (const void *)(info.dlpi_addr + dynamic->d_un.d_ptr);
        if (dynamic->d_tag == DT_RELASZ) size = dynamic->d_un.d_val;
        if (dynamic->d_tag == DT_RELAENT) entry = dynamic->d_un.d_val;
        if (dynamic->d_tag == 36 /* DT_RELR: adds to what is there */) twice = 0;
        if (dynamic->d_tag == DT_TEXTREL) twice = 0;
    }
    if (!twice || entry != sizeof *rela) return 0;
    for (size_t i = 0; rela && i < size / sizeof *rela; i++)
        if (ELF64_R_TYPE(rela[i].r_info) == R_X86_64_RELATIVE)
            *(uintptr_t *)(info.dlpi_addr + rela[i].r_offset) =
                info.dlpi_addr + (uintptr_t)rela[i].r_addend;
    return 1;
}
