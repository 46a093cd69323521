/*
 * The program's memory read with care: a wrong pointer is an answer, never a fault.
 *
 * Whether a page can be read is asked of the kernel once a second at most (150 ns), else it is remembered (2 ns): interpreters'
 * objects of one stack lie on some ten pages, and the same ones are looked at again and again. Signal safe.
 */
#ifndef INTERPRETER_MEMORY_H
#define INTERPRETER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MEMORY_PAGES 4096u
#define MEMORY_PAGE_BITS 12u

struct memory { /* of one walk */
    uint32_t second;
};

struct memory memory_begin(void);
/* A page's number over the second in which it was asked for; races cost a question. */
extern uint64_t memory_known[MEMORY_PAGES];
bool memory_ask(const struct memory *, uintptr_t page);

static inline bool memory_page(const struct memory *memory, uintptr_t page) {
    const uint64_t entry = (uint64_t)page << 16 | memory->second;
    const uint64_t *place = &memory_known[(page ^ page >> 12) % MEMORY_PAGES];
    return __builtin_expect(__atomic_load_n(place, __ATOMIC_RELAXED) == entry, 1) ||
           memory_ask(memory, page);
}

/* Whether all of [at, at + size) can be read; size not 0, up to some KiB. */
static inline bool memory_can_read(const struct memory *memory, uintptr_t at, size_t size) {
    const uintptr_t last = at + size - 1;
    if (last < at) return false;
    for (uintptr_t page = at >> MEMORY_PAGE_BITS; page <= last >> MEMORY_PAGE_BITS; page++)
        if (!memory_page(memory, page)) return false;
    return true;
}

static inline bool memory_read(const struct memory *memory, uintptr_t at, void *out, size_t size) {
    if (!memory_can_read(memory, at, size)) return false;
    memcpy(out, (const void *)at, size);
    return true;
}

#endif
