/* Probes that count, and check what they are given. */
#include "count.h"

struct count_page *count_page;

/*
 * The words at the frame pointer and at the stack pointer are a goroutine's own stack, or the system's; g and m belong together.
 * What is wrong is counted too.
 */
static void count(unsigned row, const struct golang_registers *r) {
    if (!count_page) return;
    __atomic_fetch_add(&count_page->counts[row], 1, __ATOMIC_RELAXED);
    const uint64_t back = *(const uint64_t *)r->sp;
    const bool wrong = golang_word(r->g, golang_offset.g_m) != r->m || back < golang_program.text ||
                       back >= golang_program.etext || (r->sp & 7) != 0 ||
                       (!golang_is_system(r) && golang_goid(r->g) == 0);
    if (wrong) __atomic_fetch_add(&count_page->wrong, 1, __ATOMIC_RELAXED);
}

#define COUNT(n)                                                                                   \
    void probe_count_##n(const struct golang_registers *r) {                                       \
        count(n, r);                                                                               \
    }
COUNT(0)
COUNT(1)
COUNT(2)
COUNT(3)
COUNT(4)
COUNT(5)
COUNT(6)
COUNT(7)
COUNT(8)
COUNT(9)
COUNT(10)
COUNT(11)
COUNT(12)

bool golang_prepare(void) {
    return true;
}

void golang_blind(void) {
}
