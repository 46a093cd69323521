/* The clocks: the vDSO's clock_gettime, found by hand. */
#include "record/clock.h"

#include <elf.h>
#include <string.h>
#include <time.h>

#include "record/sys.h"

typedef int (*clock_function)(clockid_t, struct timespec *);
static SYS_EARLY clock_function vdso_clock;
static clockid_t precise = CLOCK_MONOTONIC;

struct vdso {
    uintptr_t bias;
    const Elf64_Sym *symbols;
    const char *strings;
    const uint32_t *hash, *gnu_hash;
};

/*
 * Newer kernels build the vDSO with a GNU hash table only, older ones with a System V one. Both end
 * at the symbol count.
 */
static uint32_t vdso_symbol_count(const struct vdso *v) {
    if (v->hash) return v->hash[1];
    if (!v->gnu_hash) return 0;
    const uint32_t buckets = v->gnu_hash[0], first = v->gnu_hash[1], bloom_words = v->gnu_hash[2];
    const uint32_t *bucket = v->gnu_hash + 4 + 2 * bloom_words, *chain = bucket + buckets;
    uint32_t last = 0;
    for (uint32_t i = 0; i < buckets; i++)
        if (bucket[i] > last) last = bucket[i];
    if (last < first) return first;
    while (!(chain[last - first] & 1))
        last++;
    return last + 1;
}

/*
 * The kernel relocates nothing: addresses in the dynamic section are relative to the vDSO's first
 * segment.
 */
static void vdso_open(struct vdso *v, const Elf64_Ehdr *elf) {
    const Elf64_Phdr *ph = (const Elf64_Phdr *)((uintptr_t)elf + elf->e_phoff);
    const Elf64_Dyn *dynamic = 0;
    for (unsigned i = 0; i < elf->e_phnum; i++) {
        if (ph[i].p_type == PT_LOAD && !v->bias)
            v->bias = (uintptr_t)elf + ph[i].p_offset - ph[i].p_vaddr;
        if (ph[i].p_type == PT_DYNAMIC)
            dynamic = (const Elf64_Dyn *)((uintptr_t)elf + ph[i].p_offset);
    }
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        const void *p = (const void *)(v->bias + dynamic->d_un.d_ptr);
        if (dynamic->d_tag == DT_SYMTAB) v->symbols = p;
        if (dynamic->d_tag == DT_STRTAB) v->strings = p;
        if (dynamic->d_tag == DT_HASH) v->hash = p;
        if (dynamic->d_tag == DT_GNU_HASH) v->gnu_hash = p;
    }
}

static SYS_EARLY uintptr_t vdso_address;

SYS_COLD void clock_know_vdso(uintptr_t elf) {
    vdso_address = elf;
}

void clock_init(void) {
    const Elf64_Ehdr *elf = (const Elf64_Ehdr *)vdso_address;
    if (!elf || memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0) return;
    struct vdso v = {0};
    vdso_open(&v, elf);
    if (!v.symbols || !v.strings) return;
    const char name[] = "__vdso_clock_gettime";
    for (uint32_t i = 0, n = vdso_symbol_count(&v); i < n; i++) {
        const Elf64_Sym *s = &v.symbols[i];
        if (s->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(s->st_info) != STT_FUNC) continue;
        const char *is = v.strings + s->st_name;
        if (strlen(is) != sizeof name - 1 || memcmp(is, name, sizeof name - 1) != 0) continue;
        __atomic_store_n(&vdso_clock, (clock_function)(v.bias + s->st_value), __ATOMIC_RELAXED);
        return;
    }
}

__attribute__((hot)) static uint64_t clock_read(clockid_t id) {
    struct timespec t;
    const clock_function vdso = __atomic_load_n(&vdso_clock, __ATOMIC_RELAXED);
    if (!vdso || vdso(id, &t) != 0) {
        t.tv_sec = t.tv_nsec = 0;
        sys_call(SYS_clock_gettime, id, &t);
    }
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void clock_forgo_counter(void) {
    __atomic_store_n(&precise, CLOCK_MONOTONIC_COARSE, __ATOMIC_RELAXED);
}

uint64_t clock_now(void) {
    return clock_read(__atomic_load_n(&precise, __ATOMIC_RELAXED));
}

uint64_t clock_coarse(void) {
    return clock_read(CLOCK_MONOTONIC_COARSE);
}

bool clock_wait(uint64_t since, uint64_t most_ns) {
    if (clock_now() - since >= most_ns) return false;
    if (sys_is_confined())
        __builtin_ia32_pause();
    else
        sys_call(SYS_sched_yield);
    return true;
}

SYS_COLD void clock_first(uint64_t *now, uint64_t *realtime) {
    *now = clock_read(CLOCK_MONOTONIC);
    *realtime = clock_read(CLOCK_REALTIME);
}
