/* libgcc's unwinder needs _dl_find_object, which only glibc's loader has; here it is for the build without libunwind. */

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if !HAVE_PRIVATE_LIBUNWIND && defined(DLFO_STRUCT_HAS_EH_DBASE)

struct find_object_search {
    uintptr_t address;
    struct dl_find_object *found;
};

static int find_object_visit(struct dl_phdr_info *info, size_t size, void *context) {
    struct find_object_search *search = context;
    const ElfW(Phdr) *tables = NULL;
    uintptr_t start = UINTPTR_MAX, end = 0;
    bool inside = false;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t first = info->dlpi_addr + header->p_vaddr;

        if (header->p_type == PT_GNU_EH_FRAME) tables = header;
        if (header->p_type != PT_LOAD) continue;
        start = first < start ? first : start;
        end = first + header->p_memsz > end ? first + header->p_memsz : end;
        inside |= search->address >= first && search->address - first < header->p_memsz;
    }
    if (!inside) return 0;
    if (tables == NULL) return -1;
    search->found->dlfo_map_start = (void *)start;
    search->found->dlfo_map_end = (void *)end;
    search->found->dlfo_eh_frame = (void *)(info->dlpi_addr + tables->p_vaddr);
    return 1;
}

int _dl_find_object(void *address, struct dl_find_object *found) {
    struct find_object_search search = {(uintptr_t)address, found};

    return dl_iterate_phdr(find_object_visit, &search) == 1 ? 0 : -1;
}

#endif
