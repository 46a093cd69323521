/* Wrappers of reads and writes on descriptors. */
#include "interpose/hooks.h"
#include "interpose/real.h"

/*
 * The four that programs call most, also on descriptors that are none of ours, leave without a frame: all that needs one is done
 * elsewhere, binding included.
 */
IO_OURS ssize_t read_slowly(int fd, void *buffer, size_t n) {
    if (!fd_is_ours(fd)) return REAL(read)(fd, buffer, n);
    const struct iovec iov = {buffer, n};
    return IO_READ(fd, 0, &iov, 1, n, REAL(read)(fd, buffer, n));
}

HTTPLEAK_EXPORT ssize_t read(int fd, void *buffer, size_t n) {
    if (fd_is_ours(fd) || !IS_BOUND(read)) return read_slowly(fd, buffer, n);
    return real.read_(fd, buffer, n);
}

HTTPLEAK_EXPORT ssize_t __read_chk(int fd, void *buffer, size_t n, size_t size) {
    if (!fd_is_ours(fd)) return REAL(__read_chk)(fd, buffer, n, size);
    const struct iovec iov = {buffer, n};
    return IO_READ(fd, 0, &iov, 1, n, REAL(__read_chk)(fd, buffer, n, size));
}

HTTPLEAK_EXPORT ssize_t readv(int fd, const struct iovec *iov, int count) {
    if (!fd_is_ours(fd)) return REAL(readv)(fd, iov, count);
    return IO_READ(fd, 0, iov, count, io_total(iov, count), REAL(readv)(fd, iov, count));
}

/* On a socket these two work with the offset -1 only, and are readv and writev then. */
#define READ_AT(name)                                                                              \
    HTTPLEAK_EXPORT ssize_t name(int fd, const struct iovec *iov, int count, off_t offset,         \
                                 int flags) {                                                      \
        if (!fd_is_ours(fd)) return REAL(name)(fd, iov, count, offset, flags);                     \
        return IO_READ(fd, 0, iov, count, io_total(iov, count),                                    \
                       REAL(name)(fd, iov, count, offset, flags));                                 \
    }
READ_AT(preadv2)
READ_AT(preadv64v2)

#define WRITE_AT(name)                                                                             \
    IO_OURS ssize_t name##_ours(int fd, const struct iovec *iov, int count, off_t offset,          \
                                int flags) {                                                       \
        return IO_WRITE(fd, iov, count, REAL(name)(fd, iov, count, offset, flags));                \
    }                                                                                              \
    HTTPLEAK_EXPORT ssize_t name(int fd, const struct iovec *iov, int count, off_t offset,         \
                                 int flags) {                                                      \
        if (!fd_is_ours(fd)) return IO_WRITE_ELSEWHERE(REAL(name)(fd, iov, count, offset, flags)); \
        return name##_ours(fd, iov, count, offset, flags);                                         \
    }
WRITE_AT(pwritev2)
WRITE_AT(pwritev64v2)

IO_OURS ssize_t recv_slowly(int fd, void *buffer, size_t n, int flags) {
    if (!fd_is_ours(fd)) return REAL(recv)(fd, buffer, n, flags);
    const struct iovec iov = {buffer, n};
    return IO_READ(fd, flags, &iov, 1, n, REAL(recv)(fd, buffer, n, flags));
}

HTTPLEAK_EXPORT ssize_t recv(int fd, void *buffer, size_t n, int flags) {
    if (fd_is_ours(fd) || !IS_BOUND(recv)) return recv_slowly(fd, buffer, n, flags);
    return real.recv_(fd, buffer, n, flags);
}

HTTPLEAK_EXPORT ssize_t __recv_chk(int fd, void *buffer, size_t n, size_t size, int flags) {
    if (!fd_is_ours(fd)) return REAL(__recv_chk)(fd, buffer, n, size, flags);
    const struct iovec iov = {buffer, n};
    return IO_READ(fd, flags, &iov, 1, n, REAL(__recv_chk)(fd, buffer, n, size, flags));
}

HTTPLEAK_EXPORT ssize_t recvfrom(int fd, void *buffer, size_t n, int flags, struct sockaddr *from,
                                 socklen_t *size) {
    if (!fd_is_ours(fd)) return REAL(recvfrom)(fd, buffer, n, flags, from, size);
    const struct iovec iov = {buffer, n};
    return IO_READ(fd, flags, &iov, 1, n, REAL(recvfrom)(fd, buffer, n, flags, from, size));
}

HTTPLEAK_EXPORT ssize_t __recvfrom_chk(int fd, void *buffer, size_t n, size_t room, int flags,
                                       struct sockaddr *from, socklen_t *size) {
    if (!fd_is_ours(fd)) return REAL(__recvfrom_chk)(fd, buffer, n, room, flags, from, size);
    const struct iovec iov = {buffer, n};
    return IO_READ(fd, flags, &iov, 1, n,
                   REAL(__recvfrom_chk)(fd, buffer, n, room, flags, from, size));
}

IO_OURS ssize_t write_ours(int fd, const void *buffer, size_t n) {
    const struct iovec iov = {(void *)buffer, n};
    return IO_WRITE(fd, &iov, 1, REAL(write)(fd, buffer, n));
}

IO_OURS ssize_t write_elsewhere(int fd, const void *buffer, size_t n) {
    return IO_WRITE_ELSEWHERE(REAL(write)(fd, buffer, n));
}

HTTPLEAK_EXPORT ssize_t write(int fd, const void *buffer, size_t n) {
    if (fd_is_ours(fd)) return write_ours(fd, buffer, n);
    if (!IS_BOUND(write) || worker_waits()) return write_elsewhere(fd, buffer, n);
    return real.write_(fd, buffer, n);
}

IO_OURS ssize_t writev_ours(int fd, const struct iovec *iov, int count) {
    return IO_WRITE(fd, iov, count, REAL(writev)(fd, iov, count));
}

HTTPLEAK_EXPORT ssize_t writev(int fd, const struct iovec *iov, int count) {
    if (!fd_is_ours(fd)) return IO_WRITE_ELSEWHERE(REAL(writev)(fd, iov, count));
    return writev_ours(fd, iov, count);
}

IO_OURS ssize_t send_ours(int fd, const void *buffer, size_t n, int flags) {
    const struct iovec iov = {(void *)buffer, n};
    return IO_WRITE(fd, &iov, 1, REAL(send)(fd, buffer, n, flags));
}

IO_OURS ssize_t send_elsewhere(int fd, const void *buffer, size_t n, int flags) {
    return IO_WRITE_ELSEWHERE(REAL(send)(fd, buffer, n, flags));
}

HTTPLEAK_EXPORT ssize_t send(int fd, const void *buffer, size_t n, int flags) {
    if (fd_is_ours(fd) && !(flags & MSG_OOB)) return send_ours(fd, buffer, n, flags);
    if (!IS_BOUND(send) || worker_waits()) return send_elsewhere(fd, buffer, n, flags);
    return real.send_(fd, buffer, n, flags);
}

IO_OURS ssize_t sendto_ours(int fd, const void *buffer, size_t n, int flags,
                            const struct sockaddr *to, socklen_t size) {
    const struct iovec iov = {(void *)buffer, n};
    return IO_WRITE(fd, &iov, 1, REAL(sendto)(fd, buffer, n, flags, to, size));
}

HTTPLEAK_EXPORT ssize_t sendto(int fd, const void *buffer, size_t n, int flags,
                               const struct sockaddr *to, socklen_t size) {
    if (!fd_is_ours(fd) || flags & MSG_OOB)
        return IO_WRITE_ELSEWHERE(REAL(sendto)(fd, buffer, n, flags, to, size));
    return sendto_ours(fd, buffer, n, flags, to, size);
}
