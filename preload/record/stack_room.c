/*
 * Whether there is room for taking a stack: a thread may be as small as 16 KiB, a signal handler's own stack 8 KiB, and a
 * coroutine's whatever its author measured without us.
 */
#include <signal.h>
#include <sys/auxv.h>

#include "record/intern.h"
#include "record/sys.h"

#define ROOM_NEEDED                                                                                \
    12288u /* libunwind's first way through new code takes 8 KiB, interning and the caller the rest */
/* Below the main thread's stack the kernel leaves this much free, whatever its limit (mm/util.c, mmap_base). */
#define MAIN_STACK_MOST (UINT64_C(64) << 20)

static __thread struct {
    uintptr_t low, size; /* size 0: not known */
} own __attribute__((tls_model("initial-exec")));

static bool refused;

void stack_of_thread(uintptr_t low, uintptr_t high) {
    own.low = low;
    own.size = high > low ? high - low : 0;
}

static bool is_main_stack(uintptr_t here) {
    static uintptr_t top; /* the kernel put its random bytes above the first frame */
    uintptr_t known = __atomic_load_n(&top, __ATOMIC_RELAXED);
    if (known == 0) __atomic_store_n(&top, known = getauxval(AT_RANDOM), __ATOMIC_RELAXED);
    return known - here < MAIN_STACK_MOST;
}

/* A signal handler's stack, or a coroutine's: every page is asked for, since what lies behind its guard page may be readable. */
static bool has_room_elsewhere(uintptr_t here) {
    stack_t signals = {0};
    if (!sys_is_confined() && sys_call(SYS_sigaltstack, 0, &signals) == 0 &&
        signals.ss_flags & SS_ONSTACK)
        return here - (uintptr_t)signals.ss_sp >= ROOM_NEEDED;
    for (uintptr_t below = SYS_PAGE; below < ROOM_NEEDED + SYS_PAGE; below += SYS_PAGE)
        if (!sys_is_readable((here - below) & ~(SYS_PAGE - 1))) return false;
    return true;
}

void stack_refuse(void) {
    refused = true;
}

bool stack_has_room(void) {
    if (refused) return false;
    const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (here - own.low < own.size) return here - own.low >= ROOM_NEEDED;
    if (is_main_stack(here)) return true;
    return has_room_elsewhere(here);
}
