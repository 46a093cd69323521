/*
 * What the private libunwind calls instead of the C library: it lives inside somebody else's process, so it may not open files
 * there, and may not call names that the recorder interposes. objcopy renames each call NAME to shim_NAME (see libunwind).
 *
 * Backtraces need none of these but one: memory is validated before libunwind guesses a frame that has no unwind tables (code of
 * a JIT compiler). By default that goes through a pipe, held open for ever and confused by a program that closes or reuses its
 * descriptors. Here rt_sigprocmask reads the address instead, with an invalid `how`: the kernel fetches the set first (EFAULT),
 * then refuses (EINVAL), so nothing changes, no descriptor is needed, and every seccomp filter allows the call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>

int shim_close(int fd);
int shim_fstat(int fd, struct stat *st);
void shim_free(void *memory);
void *shim_malloc(size_t size);
int shim_mincore(void *address, size_t length, unsigned char *vector);
int shim_msync(void *address, size_t length, int flags);
int shim_open(const char *path, int flags, ...);
int shim_pipe2(int fds[2], int flags);
ssize_t shim_read(int fd, void *buffer, size_t size);
int shim_stat(const char *path, struct stat *st);
long shim_syscall(long number, ...);
ssize_t shim_write(int fd, const void *buffer, size_t size);

/* x86-64 has the assembly; elsewhere guessed frames are refused, which only makes their stacks shorter. */
static int address_readable(const void *address) {
    uintptr_t aligned = (uintptr_t)address & ~(uintptr_t)7;
#if defined(__x86_64__)
    register long mask_size __asm__("r10") = 8;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"((long)SYS_rt_sigprocmask), "D"(-1L), "S"(aligned), "d"(0L),
                       "r"(mask_size)
                     : "rcx", "r11", "memory");
    return result == -EINVAL;
#else
    return aligned == 0 && address != NULL;
#endif
}

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
