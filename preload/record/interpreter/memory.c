/* Which pages can be read, remembered for a second. */
#include "record/interpreter/memory.h"

#include "record/clock.h"
#include "record/sys.h"

uint64_t memory_known[MEMORY_PAGES];

struct memory memory_begin(void) {
    return (struct memory){(uint32_t)(clock_coarse() / 1000000000u) & 0xffff};
}

bool memory_ask(const struct memory *memory, uintptr_t page) {
    const uintptr_t at = page << MEMORY_PAGE_BITS;
    if (!sys_is_plausible((const void *)at) || !sys_is_readable(at)) return false;
    __atomic_store_n(&memory_known[(page ^ page >> 12) % MEMORY_PAGES],
                     (uint64_t)page << 16 | memory->second, __ATOMIC_RELAXED);
    return true;
}
