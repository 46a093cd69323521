/* Memory, small files and messages by direct system calls. */
#include "record/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define HUGE_PAGE_LEAST (256u << 10) /* several such mappings side by side are one to the kernel */

/*
 * What standard error was when we came; a program may close it and get the number 2 for its own
 * data.
 */
static SYS_EARLY bool stderr_known;
static SYS_EARLY bool stderr_usable;
static SYS_EARLY dev_t stderr_device;
static SYS_EARLY ino_t stderr_inode;
static bool confined;

void *sys_memory(size_t size) {
    long p = sys_call(SYS_mmap, 0, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p < 0 && p > -4096) return 0;
    /*
     * Sparse tables: a huge page would be 2 MiB of the program's memory for the first byte of one.
     */
    if (size >= HUGE_PAGE_LEAST) sys_call(SYS_madvise, p, size, MADV_NOHUGEPAGE);
    return (void *)p;
}

/*
 * What is published are the kernel's zeros, so whoever reads the pointer plainly and finds it has all there is to see; to a
 * thread sanitizer such a read races with the exchange below, also with one that fails.
 */
__attribute__((no_sanitize("thread"))) void *sys_memory_once(void *place, size_t size) {
    void **const pointer = place;
    void *there = __atomic_load_n(pointer, __ATOMIC_ACQUIRE);
    if (there) return there;
    void *fresh = sys_memory(size);
    if (!fresh) return 0;
    if (__atomic_compare_exchange_n(pointer, &there, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    sys_memory_free(fresh, size);
    return there;
}

void sys_memory_free(void *p, size_t size) {
    if (p) sys_call(SYS_munmap, p, size);
}

long sys_read_file(const char *path, char *buf, size_t size) {
    if (size == 0) return -EINVAL;
    long fd = sys_call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fd;
    size_t got = 0;
    long n = 0;
    while (got < size - 1) {
        n = sys_call(SYS_read, fd, buf + got, size - 1 - got);
        if (n == -EINTR) continue;
        if (n <= 0) break;
        got += (size_t)n;
    }
    sys_call(SYS_close, fd);
    buf[got] = 0;
    return n < 0 && got == 0 ? n : (long)got;
}

__attribute__((cold)) void sys_remember_stderr(void) {
    struct stat st;
    if (stderr_known) return;
    stderr_usable = sys_call(SYS_fstat, 2, &st) == 0;
    if (stderr_usable) stderr_device = st.st_dev, stderr_inode = st.st_ino;
    stderr_known = true;
}

void sys_confine(void) {
    __atomic_store_n(&confined, true, __ATOMIC_RELAXED);
}

bool sys_is_confined(void) {
    return __atomic_load_n(&confined, __ATOMIC_RELAXED);
}

/*
 * The number 2 still is what a message may go to: what it was at first, a log that is appended to,
 * or a device.
 */
static bool stderr_is_ours_to_write(void) {
    struct stat st;
    if (sys_call(SYS_fstat, 2, &st) != 0) return false;
    if (stderr_usable && st.st_dev == stderr_device && st.st_ino == stderr_inode) return true;
    if (S_ISCHR(st.st_mode)) return true;
    long flags = sys_call(SYS_fcntl, 2, F_GETFL, 0);
    return S_ISREG(st.st_mode) && flags >= 0 && (flags & O_APPEND);
}

void sys_say(const char *text, size_t length) {
    sys_remember_stderr();
    if (!sys_is_confined()) {
        /*
         * A message must not make the program wait for a reader that sleeps, nor die of one that
         * left.
         */
        struct pollfd ready = {.fd = 2, .events = POLLOUT};
        if (!stderr_is_ours_to_write()) return;
        if (sys_call(SYS_poll, &ready, 1, 0) != 1 || !(ready.revents & POLLOUT) ||
            (ready.revents & POLLERR))
            return;
    }
    /*
     * The reader may leave right now all the same: keep SIGPIPE from this thread and take back the
     * one that we caused.
     */
    const uint64_t sigpipe = 1ull << (SIGPIPE - 1);
    uint64_t before = 0, pending = 0;
    sys_call(SYS_rt_sigprocmask, SIG_BLOCK, &sigpipe, &before, sizeof before);
    sys_call(SYS_rt_sigpending, &pending, sizeof pending);
    while (length) {
        long n = sys_call(SYS_write, 2, text, length);
        if (n == -EINTR) continue;
        if (n == -EPIPE && !(pending & sigpipe)) {
            const struct timespec none = {0, 0};
            sys_call(SYS_rt_sigtimedwait, &sigpipe, 0, &none, sizeof sigpipe);
        }
        if (n <= 0) break;
        text += n;
        length -= (size_t)n;
    }
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof before);
}
