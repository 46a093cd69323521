/*
 * System calls made directly: the recorder may call no libc function that it, or somebody else, interposes.
 *
 * Every function returns what the kernel returns: a value, or -errno. errno itself is never touched. All are signal safe.
 */
#ifndef RECORD_SYS_H
#define RECORD_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

/*
 * Of variables that every start writes: beside what the loader relocates, in a page that it has touched already. Elsewhere the first
 * write is a page fault, which costs more than all that is done here.
 */
#define SYS_EARLY __attribute__((section(".data.early")))
/* Of functions that run at every start or end: together, in pages that were touched then. */
#define SYS_COLD __attribute__((cold))

#define SYS_PAGE UINT64_C(4096)
#define SYS_LINE 64u /* of the cache */

static inline long sys_call6(long n, long a, long b, long c, long d, long e, long f) {
    long r;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return r;
}

/* sys_call(SYS_x, up to six arguments) */
#define sys_call(...) SYS_FILL(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define SYS_FILL(n, a, b, c, d, e, f, ...)                                                         \
    sys_call6((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline int sys_getpid(void) {
    return (int)sys_call6(SYS_getpid, 0, 0, 0, 0, 0, 0);
}
static inline int sys_getppid(void) {
    return (int)sys_call6(SYS_getppid, 0, 0, 0, 0, 0, 0);
}
static inline uint32_t sys_gettid(void) {
    return (uint32_t)sys_call6(SYS_gettid, 0, 0, 0, 0, 0, 0);
}
/*
 * False for addresses where nobody has anything: NULL and its neighbours, and the kernel's half. The kernel answers EFAULT for
 * those, so whoever looks at the program's memory ahead of a system call asks here first.
 */
static inline bool sys_is_plausible(const volatile void *p) {
    return (intptr_t)p >= 4096;
}
/*
 * Whether the eight bytes are mapped. The kernel fetches the mask first (EFAULT), then refuses what shall be done with it (EINVAL):
 * nothing changes, and every sandbox allows it.
 */
static inline bool sys_is_readable(uintptr_t address) {
    return sys_call6(SYS_rt_sigprocmask, -1, (long)(address & ~(uintptr_t)7), 0, 8, 0, 0) ==
           -22 /* EINVAL */;
}
/*
 * Around what a signal handler may not cut in two by jumping away (siglongjmp): the loader's lock, the making of the trace.
 * Nothing that may fault belongs in between.
 */
static inline uint64_t sys_hold_signals(void) {
    const uint64_t all = UINT64_MAX;
    uint64_t before = 0;
    sys_call6(SYS_rt_sigprocmask, 0 /* SIG_BLOCK */, (long)&all, (long)&before, sizeof all, 0, 0);
    return before;
}
static inline void sys_release_signals(uint64_t before) {
    sys_call6(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, (long)&before, 0, sizeof before, 0, 0);
}
/* Private anonymous memory, zeroed, not reserved; NULL if there is none. */
void *sys_memory(size_t size);
/*
 * The same for a table that is made when it is first needed: what *place points to, else fresh memory, which it points to from
 * then on, whichever thread was first. Big tables are not static: the address space of a program that makes no connection, and
 * what its mlockall locks, is its own.
 */
void *sys_memory_once(void *place, size_t size);
/* Gives it back. */
void sys_memory_free(void *p, size_t size);

/*
 * NUL-terminated contents of a small file (/proc) into buf; the number of bytes, or -errno. Opens
 * and closes one fd.
 */
long sys_read_file(const char *path, char *buf, size_t size);
/*
 * Writes a message to standard error, if that still is what it was at the start (or a log, or a
 * device); gives up quietly, also where it would have to wait. At most PIPE_BUF bytes go out in one
 * piece.
 */
void sys_say(const char *text, size_t length);
/* Remembers what standard error is; from the constructor (sys_say does it itself if nobody did). */
void sys_remember_stderr(void);
/* seccomp is on, here and in children: from now on no system call that the program does not make itself. */
void sys_confine(void);
bool sys_is_confined(void);

#endif
