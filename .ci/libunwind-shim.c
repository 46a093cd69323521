/*
 * What the private libunwind calls instead of the C library: it lives inside somebody else's process, so it may not open files
 * there, and may not call names that the recorder interposes. objcopy renames each call NAME to shim_NAME (see libunwind).
 *
 * Backtraces need none of these but one: memory is validated before libunwind guesses a frame that has no unwind tables (code of
 * a JIT compiler). By default that goes through a pipe, held open for ever and confused by a program that closes or reuses its
 * descriptors. Here rt_sigprocmask reads the address instead, with an invalid `how`: the kernel fetches the set first (EFAULT),
 * then refuses (EINVAL), so nothing changes, no descriptor is needed, and every seccomp filter allows the call.
 *
 * Locks, memory and the signal mask are had from the kernel directly: a sanitizer's runtime replaces those functions of libc, and
 * libunwind still frees a thread's frame cache when that runtime has already buried the thread.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

void shim_abort(void) __attribute__((noreturn));
int shim_close(int fd);
int shim_fstat(int fd, struct stat *st);
void shim_free(void *memory);
int shim_getpagesize(void);
pid_t shim_getpid(void);
void *shim_malloc(size_t size);
void *shim_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int shim_mincore(void *address, size_t length, unsigned char *vector);
int shim_msync(void *address, size_t length, int flags);
int shim_munmap(void *address, size_t size);
int shim_open(const char *path, int flags, ...);
int shim_pipe2(int fds[2], int flags);
int shim_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int shim_pthread_mutex_lock(pthread_mutex_t *mutex);
int shim_pthread_mutex_unlock(pthread_mutex_t *mutex);
ssize_t shim_read(int fd, void *buffer, size_t size);
int shim_sigfillset(sigset_t *set);
int shim_sigprocmask(int how, const sigset_t *set, sigset_t *old);
int shim_stat(const char *path, struct stat *st);
char *shim_stpcpy(char *to, const char *from);
int shim_strcmp(const char *a, const char *b);
char *shim_strcpy(char *to, const char *from);
char *shim_strerror(int error);
char *shim_strncpy(char *to, const char *from, size_t size);
char *shim_strrchr(const char *text, int c);
long shim_syscall(long number, ...);
long shim_sysconf(int name);
void stack_walk_step(uintptr_t cfa, int from_sp, int fp_offset, int plain);
ssize_t shim_write(int fd, const void *buffer, size_t size);

/* x86-64 has the assembly; elsewhere libc has to do, and guessed frames are refused, which only makes their stacks shorter. */
#if defined(__x86_64__)
static long kernel(long number, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static int address_readable(const void *address) {
    uintptr_t aligned = (uintptr_t)address & ~(uintptr_t)7;
    return kernel(SYS_rt_sigprocmask, -1, (long)aligned, 0, 8, 0, 0) == -EINVAL;
}

void *shim_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    long result = kernel(SYS_mmap, (long)address, (long)size, protection, flags, fd, offset);
    return result < 0 && result > -4096 ? MAP_FAILED : (void *)result;
}

int shim_munmap(void *address, size_t size) {
    return kernel(SYS_munmap, (long)address, (long)size, 0, 0, 0, 0) == 0 ? 0 : -1;
}

int shim_sigprocmask(int how, const sigset_t *set, sigset_t *old) {
    return kernel(SYS_rt_sigprocmask, how, (long)set, (long)old, 8, 0, 0) == 0 ? 0 : -1;
}

/* The first word of the mutex: 0 free, 1 taken, 2 taken and somebody waits. As PTHREAD_MUTEX_INITIALIZER has it, it is free. */
int shim_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes) {
    (void)attributes;
    __atomic_store_n((int *)(void *)mutex, 0, __ATOMIC_RELEASE);
    return 0;
}

int shim_pthread_mutex_lock(pthread_mutex_t *mutex) {
    int *word = (int *)(void *)mutex, free_word = 0;
    if (__atomic_compare_exchange_n(word, &free_word, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return 0;
    while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE) != 0)
        kernel(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, 2, 0, 0, 0);
    return 0;
}

int shim_pthread_mutex_unlock(pthread_mutex_t *mutex) {
    int *word = (int *)(void *)mutex;
    if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == 2)
        kernel(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    return 0;
}
#else
static int address_readable(const void *address) {
    return (uintptr_t)address < 8 && address != NULL;
}

void *shim_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    return mmap(address, size, protection, flags, fd, offset);
}

int shim_munmap(void *address, size_t size) {
    return munmap(address, size);
}

int shim_sigprocmask(int how, const sigset_t *set, sigset_t *old) {
    return sigprocmask(how, set, old);
}

int shim_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes) {
    return pthread_mutex_init(mutex, attributes);
}

int shim_pthread_mutex_lock(pthread_mutex_t *mutex) {
    return pthread_mutex_lock(mutex);
}

int shim_pthread_mutex_unlock(pthread_mutex_t *mutex) {
    return pthread_mutex_unlock(mutex);
}
#endif

/* Files are only opened to name functions, which the analyzer does later and elsewhere. */
static int refuse(void) {
    errno = ENOSYS;
    return -1;
}

int shim_open(const char *path, int flags, ...) {
    (void)path, (void)flags;
    return refuse();
}

int shim_close(int fd) {
    (void)fd;
    return refuse();
}

int shim_stat(const char *path, struct stat *st) {
    (void)path, (void)st;
    return refuse();
}

int shim_fstat(int fd, struct stat *st) {
    (void)fd, (void)st;
    return refuse();
}

int shim_pipe2(int fds[2], int flags) {
    (void)fds, (void)flags;
    return refuse();
}

void *shim_malloc(size_t size) {
    (void)size;
    return NULL;
}

void shim_free(void *memory) {
    (void)memory;
}

int shim_mincore(void *address, size_t length, unsigned char *vector) {
    (void)length;
    *vector = 1;
    return address_readable(address) ? 0 : refuse();
}

int shim_msync(void *address, size_t length, int flags) {
    (void)length, (void)flags;
    return address_readable(address) ? 0 : refuse();
}

/* "The pipe is empty": libunwind drains it before each check, and repeats while errno says EINTR, whoever set it. */
ssize_t shim_read(int fd, void *buffer, size_t size) {
    (void)fd, (void)buffer, (void)size;
    errno = EAGAIN;
    return -1;
}

/* libunwind asks with a write of one byte whether the kernel could read it. */
ssize_t shim_write(int fd, const void *buffer, size_t size) {
    (void)fd;
    return address_readable(buffer) ? (ssize_t)size : refuse();
}

long shim_syscall(long number, ...) {
    __builtin_va_list arguments;
    long fd;
    const void *buffer;

    __builtin_va_start(arguments, number);
    fd = __builtin_va_arg(arguments, long);
    buffer = __builtin_va_arg(arguments, const void *);
    __builtin_va_end(arguments);
    return number == SYS_write ? shim_write((int)fd, buffer, 1) : refuse();
}

/* ---- what costs every process a look-up of its name, though it is called once on the way to a backtrace, or never ---- */

int shim_getpagesize(void) {
    return (int)getauxval(AT_PAGESZ);
}

long shim_sysconf(int name) {
    return name == _SC_PAGESIZE ? (long)getauxval(AT_PAGESZ) : -1;
}

#if defined(__x86_64__)
pid_t shim_getpid(void) {
    return (pid_t)kernel(SYS_getpid, 0, 0, 0, 0, 0, 0);
}
#else
pid_t shim_getpid(void) {
    return getpid();
}
#endif

void shim_abort(void) {
    __builtin_trap();
}

int shim_sigfillset(sigset_t *set) {
    for (size_t i = 0; i < sizeof *set; i++)
        ((volatile unsigned char *)set)[i] = 0xff;
    return 0;
}

char *shim_strerror(int error) {
    static char nothing[1];
    (void)error;
    return nothing;
}

/* Names of files and functions are copied, which nobody asks for. (volatile: the compiler would make calls of these again.) */
char *shim_stpcpy(char *to, const char *from) {
    while ((*(volatile char *)to = *from))
        to++, from++;
    return to;
}

char *shim_strcpy(char *to, const char *from) {
    shim_stpcpy(to, from);
    return to;
}

char *shim_strncpy(char *to, const char *from, size_t size) {
    for (size_t i = 0; i < size; i++) {
        *(volatile char *)&to[i] = *from;
        from += *from != 0;
    }
    return to;
}

int shim_strcmp(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

char *shim_strrchr(const char *text, int c) {
    const char *last = NULL;
    for (;; text++) {
        if (*text == (char)c) last = text;
        if (!*text) return (char *)(uintptr_t)last;
    }
}

/* The recorder's own takes its place (preload/record/stack_memo.c). */
__attribute__((weak)) void stack_walk_step(uintptr_t cfa, int from_sp, int fp_offset, int plain) {
    (void)cfa, (void)from_sp, (void)fp_offset, (void)plain;
}
