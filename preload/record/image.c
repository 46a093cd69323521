/* Looks names up in the hash tables of loaded modules (gABI, "Dynamic Linking"; the GNU table as
 * binutils and glibc define it). */
#include "record/image.h"

#include <stdbool.h>
#include <stddef.h>

__attribute__((cold)) void image_read(struct image *image, uintptr_t base,
                                      const ElfW(Dyn) * dynamic) {
    *image = (struct image){.base = base};
    for (const ElfW(Dyn) *d = dynamic; d && d->d_tag != DT_NULL; d++) {
        /* glibc relocates these addresses in place, other loaders (and the vDSO) leave them as they
         * are in the file. */
        const uintptr_t address = d->d_un.d_ptr < base ? base + d->d_un.d_ptr : d->d_un.d_ptr;
        switch (d->d_tag) {
        case DT_SYMTAB: image->symbols = (const void *)address; break;
        case DT_STRTAB: image->strings = (const void *)address; break;
        case DT_VERSYM: image->versions = (const void *)address; break;
        case DT_GNU_HASH: image->gnu_hash = (const void *)address; break;
        case DT_HASH: image->sysv_hash = (const void *)address; break;
        default: break;
        }
    }
}

__attribute__((cold)) uint32_t image_hash(const char *name) {
    uint32_t h = 5381;
    for (; *name; name++)
        h = h * 33 + (uint8_t)*name;
    return h;
}

static bool same_name(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* A definition that a program linked today would get: not a hidden (old) version, not a place in
 * the thread's own storage. */
static bool is_default(const struct image *image, uint32_t index, bool data) {
    const ElfW(Sym) *symbol = &image->symbols[index];
    if (symbol->st_shndx == SHN_UNDEF || symbol->st_value == 0) return false;
    if (image->versions && image->versions[index] & 0x8000) return false;
    const unsigned type = ELF64_ST_TYPE(symbol->st_info);
    if (data) return type == STT_OBJECT;
    return type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE;
}

static void *symbol_address(const struct image *image, const ElfW(Sym) * symbol) {
    if (!symbol) return NULL;
    const uintptr_t address = image->base + symbol->st_value;
    if (ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC) return ((void *(*)(void))address)();
    return (void *)address;
}

static const ElfW(Sym) *
    find_gnu(const struct image *image, const char *name, uint32_t hash, bool data) {
    const uint32_t *table = image->gnu_hash;
    const uint32_t buckets = table[0], first = table[1], words = table[2], shift = table[3];
    const ElfW(Addr) *bloom = (const ElfW(Addr) *)(table + 4);
    const uint32_t *bucket = (const uint32_t *)(bloom + words);
    const uint32_t *chain = bucket + buckets;
    if (buckets == 0 || words == 0) return NULL;

    const ElfW(Addr) word = bloom[hash / 64 & (words - 1)];
    if (!(word >> hash % 64 & word >> (hash >> shift) % 64 & 1)) return NULL;
    uint32_t index = bucket[hash % buckets];
    if (index < first) return NULL;
    for (;; index++) {
        const uint32_t entry = chain[index - first];
        if ((entry | 1) == (hash | 1) && is_default(image, index, data) &&
            same_name(image->strings + image->symbols[index].st_name, name))
            return &image->symbols[index];
        if (entry & 1) return NULL;
    }
}

__attribute__((cold)) static const ElfW(Sym) *
    find(const struct image *image, const char *name, uint32_t hash, bool data) {
    if (!image->symbols || !image->strings) return NULL;
    if (image->gnu_hash) return find_gnu(image, name, hash, data);
    if (!image->sysv_hash) return NULL;
    for (uint32_t i = 1; i < image->sysv_hash[1]; i++)
        if (is_default(image, i, data) &&
            same_name(image->strings + image->symbols[i].st_name, name))
            return &image->symbols[i];
    return NULL;
}

void *image_find(const struct image *image, const char *name, uint32_t hash) {
    return symbol_address(image, find(image, name, hash, false));
}

void *image_find_data(const struct image *image, const char *name) {
    return symbol_address(image, find(image, name, image_hash(name), true));
}

__attribute__((cold)) void *image_find_sized(const struct image *image, const char *name,
                                             size_t *size) {
    const ElfW(Sym) *symbol = find(image, name, image_hash(name), false);
    if (!symbol || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC) return NULL;
    *size = symbol->st_size;
    return symbol_address(image, symbol);
}
