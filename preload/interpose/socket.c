/* Wrappers of the life of file descriptors: connect, close in all its forms, the dup family, and
 * what gives out new numbers. */
#include <errno.h>
#include <linux/close_range.h>
#include <linux/seccomp.h>

#include "interpose/real.h"
#include "interpose/stream.h"
#include "record/sys.h"
#include "track/annotate.h"
#include "track/bad_close.h"
#include "track/connection.h"
#include "track/process.h"
#include "track/wait.h"

/* ---- new numbers ---- */

/* A number fresh from the kernel: whatever was known under it was closed where nobody could see it.
 */
static int fd_fresh(int fd) {
    if (fd >= 0) {
        connection_fd_new(fd);
        wait_epoll_forget(fd);
    }
    return fd;
}

HTTPLEAK_EXPORT int socket(int domain, int type, int protocol) {
    return fd_fresh(REAL(socket)(domain, type, protocol));
}

HTTPLEAK_EXPORT int socketpair(int domain, int type, int protocol, int fds[2]) {
    const int r = REAL(socketpair)(domain, type, protocol, fds);
    if (r == 0) fd_fresh(fds[0]), fd_fresh(fds[1]);
    return r;
}

HTTPLEAK_EXPORT int accept(int fd, struct sockaddr *address, socklen_t *size) {
    return fd_fresh(REAL(accept)(fd, address, size));
}

HTTPLEAK_EXPORT int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags) {
    return fd_fresh(REAL(accept4)(fd, address, size, flags));
}

/* ---- connect and shutdown ---- */

HTTPLEAK_EXPORT int connect(int fd, const struct sockaddr *address, socklen_t size) {
    const int r = REAL(connect)(fd, address, size);
    if (!process_active) return r;
    const int error = errno;
    const bool may_be =
        r == 0 || error == EINPROGRESS || error == EINTR || error == EALREADY || error == EISCONN;
    if (may_be || fd_is_ours(fd)) connection_connected(fd, address, size, r, error);
    if (fd <= STDERR_FILENO && fd_is_ours(fd)) stream_seen = true;
    errno = error;
    return r;
}

HTTPLEAK_EXPORT int shutdown(int fd, int how) {
    const int r = REAL(shutdown)(fd, how);
    if (r != 0 || !fd_is_ours(fd)) return r;
    struct connection *c = connection_of_fd(fd);
    if (c) connection_shutdown(c, how);
    return r;
}

/* ---- close: before the real one, since the number may be somebody else's the moment it is free
 * ---- */

static void closing(int fd) {
    bad_close_before(fd);
    connection_fd_closing(fd, false);
}

static void close_failed(int fd, int error) {
    bad_close_failed(fd, error);
    errno = error;
}

HTTPLEAK_EXPORT int close(int fd) {
    if (fd_is_ours(fd)) closing(fd);
    const int r = REAL(close)(fd);
    if (__builtin_expect(r != 0 && process_active, 0)) close_failed(fd, errno);
    return r;
}

static void range_closing(unsigned first, unsigned last, int flags) {
    if (fd_highest >= 0 && !(flags & CLOSE_RANGE_CLOEXEC)) connection_range_closing(first, last);
}

HTTPLEAK_EXPORT int close_range(unsigned first, unsigned last, int flags) {
    if (first <= last) range_closing(first, last, flags);
    return REAL(close_range)(first, last, flags);
}

HTTPLEAK_EXPORT void closefrom(int first) {
    range_closing(first < 0 ? 0 : (unsigned)first, UINT32_MAX, 0);
    REAL(closefrom)(first);
}

/* ---- dup ---- */

static void fd_duplicated(int old_fd, int new_fd) {
    if (!fd_is_ours(old_fd)) return;
    connection_fd_duplicated(old_fd, new_fd);
    stream_seen =
        true; /* the new number may be one that a stream stands on, as a shell's redirection */
}

static int fd_copied(int old_fd, int new_fd) {
    if (new_fd < 0) return new_fd;
    connection_fd_new(new_fd);
    fd_duplicated(old_fd, new_fd);
    return new_fd;
}

/* dup2 and dup3 close what the new number was, if the old one is there at all. */
static void fd_replacing(int old_fd, int new_fd) {
    if (!fd_is_ours(new_fd) || old_fd == new_fd) return;
    if (sys_call(SYS_fcntl, old_fd, F_GETFD) >= 0) connection_fd_closing(new_fd, false);
}

static int fd_replaced(int old_fd, int new_fd, int result) {
    if (result >= 0 && old_fd != new_fd) fd_duplicated(old_fd, new_fd);
    return result;
}

HTTPLEAK_EXPORT int dup(int fd) {
    return fd_copied(fd, REAL(dup)(fd));
}

HTTPLEAK_EXPORT int dup2(int old_fd, int new_fd) {
    fd_replacing(old_fd, new_fd);
    return fd_replaced(old_fd, new_fd, REAL(dup2)(old_fd, new_fd));
}

HTTPLEAK_EXPORT int dup3(int old_fd, int new_fd, int flags) {
    fd_replacing(old_fd, new_fd);
    return fd_replaced(old_fd, new_fd, REAL(dup3)(old_fd, new_fd, flags));
}

static int fcntl_after(int fd, int command, int result) {
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? fd_copied(fd, result) : result;
}

#define FCNTL(name)                                                                                \
    HTTPLEAK_EXPORT int name(int fd, int command, ...) {                                           \
        va_list arguments;                                                                         \
        va_start(arguments, command);                                                              \
        void *argument =                                                                           \
            va_arg(arguments, void *); /* whatever it is: an int, a pointer, or nothing */         \
        va_end(arguments);                                                                         \
        return fcntl_after(fd, command, REAL(name)(fd, command, argument));                        \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* ---- system calls by number ---- */

static void syscall_before(long number, const long a[6]) {
    switch (number) {
    case SYS_close:
        if (fd_is_ours((int)a[0])) closing((int)a[0]);
        break;
    case SYS_close_range: range_closing((unsigned)a[0], (unsigned)a[1], (int)a[2]); break;
    case SYS_dup2:
    case SYS_dup3: fd_replacing((int)a[0], (int)a[1]); break;
    case SYS_exit_group:
        process_exiting((int)a[0], true);
        process_end();
        break;
    default: break;
    }
}

static void syscall_after(long number, const long a[6], long result, int error) {
    switch (number) {
    case SYS_close:
        if (result != 0) close_failed((int)a[0], error);
        break;
    case SYS_socket:
    case SYS_accept:
    case SYS_accept4: fd_fresh((int)result); break;
    case SYS_connect:
        if (process_active && (result == 0 || error == EINPROGRESS || fd_is_ours((int)a[0])))
            connection_connected((int)a[0], (const struct sockaddr *)a[1], (socklen_t)a[2],
                                 (int)result, error);
        break;
    case SYS_dup: fd_copied((int)a[0], (int)result); break;
    case SYS_dup2:
    case SYS_dup3: fd_replaced((int)a[0], (int)a[1], (int)result); break;
    case SYS_fcntl: fcntl_after((int)a[0], (int)a[1], (int)result); break;
    default: break;
    }
}

HTTPLEAK_EXPORT long syscall(long number, ...) {
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    if (!process_active) return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);

    int *error = &errno;
    const int before = *error;
    const bool confines = number == SYS_seccomp &&
                          (a[0] == SECCOMP_SET_MODE_STRICT || a[0] == SECCOMP_SET_MODE_FILTER) &&
                          process_before_confinement(true);
    if (number == SYS_getpid)
        annotate_asked(a[0], (const struct httpleak_client **)a[1]);
    else
        syscall_before(number, a);
    *error = before;
    const long r = REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    const int after = *error;
    if (confines && r >= 0) process_confined(a[0] == SECCOMP_SET_MODE_STRICT);
    syscall_after(number, a, r, after);
    *error = after;
    return r;
}
