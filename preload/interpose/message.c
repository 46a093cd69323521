/* Wrappers of messages with scattered buffers, several at a time, and of bytes that the kernel
 * moves by itself. */
#include <limits.h>

#include "interpose/hooks.h"
#include "interpose/kernel_tls.h"
#include "interpose/real.h"
#include "record/sys.h"

HTTPLEAK_EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    if (!fd_is_ours(fd)) return REAL(recvmsg)(fd, message, flags);
    if (!sys_is_plausible(message)) return REAL(recvmsg)(fd, message, flags);
    const struct iovec *iov = message->msg_iov;
    const int count = (int)message->msg_iovlen;
    struct io_read hook;
    io_read_before(&hook, fd, flags);
    const ssize_t r = REAL(recvmsg)(fd, message, flags);
    if (r > 0) kernel_tls_received(&hook, fd, message, r);
    /* only what the kernel took is looked at: a list it refuses may lead nowhere */
    io_read_after(&hook, fd, iov, count, r, r == 0 ? io_total(iov, count) : 1);
    return r;
}

IO_OURS ssize_t sendmsg_ours(int fd, const struct msghdr *message, int flags) {
    return IO_WRITE(fd, message->msg_iov, message->msg_iovlen, REAL(sendmsg)(fd, message, flags));
}

HTTPLEAK_EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (!fd_is_ours(fd) || flags & MSG_OOB || !sys_is_plausible(message) ||
        kernel_tls_is_control(fd, message))
        return IO_WRITE_ELSEWHERE(REAL(sendmsg)(fd, message, flags));
    return sendmsg_ours(fd, message, flags);
}

/* On a stream the messages of one call follow each other without a seam, so their buffers are
 * looked at as one list. */
#define GATHERED 64
struct gathered {
    struct iovec iov[GATHERED];
    int count;
    size_t bytes, wanted;
    bool whole; /* all of them found a place */
};

/* taken: of each message only what was transferred (recvmmsg, afterwards), else all of it. */
static void gather(struct gathered *g, const struct mmsghdr *messages, unsigned n, bool taken) {
    g->count = 0;
    g->bytes = g->wanted = 0;
    g->whole = true;
    for (unsigned m = 0; m < n; m++) {
        const struct msghdr *header = &messages[m].msg_hdr;
        size_t left = taken ? messages[m].msg_len : SIZE_MAX;
        if (!taken && io_plausible(header->msg_iov, header->msg_iovlen) < (int)header->msg_iovlen) {
            g->whole = false;
            return;
        }
        for (size_t i = 0; i < header->msg_iovlen; i++) {
            struct iovec part = header->msg_iov[i];
            g->wanted += part.iov_len;
            if (part.iov_len > left) part.iov_len = left;
            left -= part.iov_len;
            g->bytes += part.iov_len;
            if (part.iov_len == 0) continue;
            if (g->count == GATHERED)
                g->whole = false;
            else
                g->iov[g->count++] = part;
        }
    }
}

static ssize_t sent_bytes(const struct mmsghdr *messages, int sent) {
    ssize_t bytes = sent < 0 ? -1 : 0;
    for (int m = 0; m < sent; m++)
        bytes += messages[m].msg_len;
    return bytes;
}

HTTPLEAK_EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags) {
    if (!fd_is_ours(fd) || flags & MSG_OOB || !sys_is_plausible(messages))
        return IO_WRITE_ELSEWHERE(REAL(sendmmsg)(fd, messages, n, flags));
    struct gathered all;
    gather(&all, messages, n < IOV_MAX ? n : IOV_MAX, false); /* the kernel takes no more */
    if (!all.whole) {
        const int r = REAL(sendmmsg)(fd, messages, n, flags);
        io_write_unseen(fd, sent_bytes(messages, r));
        return r;
    }
    struct flow_write hook;
    const struct stack_caller caller = STACK_CALLER();
    io_write_before(&hook, fd, all.iov, all.count, &caller);
    const int r = REAL(sendmmsg)(fd, messages, n, flags);
    io_write_after(&hook, all.iov, all.count, sent_bytes(messages, r));
    return r;
}

HTTPLEAK_EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags,
                             struct timespec *timeout) {
    if (!fd_is_ours(fd)) return REAL(recvmmsg)(fd, messages, n, flags, timeout);
    struct io_read hook;
    struct gathered all;
    io_read_before(&hook, fd, flags);
    const int r = REAL(recvmmsg)(fd, messages, n, flags, timeout);
    gather(&all, messages, r > 0 ? (unsigned)r : 0, true);
    if (!all.whole) { /* as MSG_TRUNC on TCP: counted, not looked at */
        hook.flags |= MSG_TRUNC;
        all.count = 0;
    }
    io_read_after(&hook, fd, all.iov, all.count, r < 0 ? -1 : (ssize_t)all.bytes,
                  r < 0 ? 1 : all.wanted);
    return r;
}

/* ---- the kernel moves the bytes ---- */

HTTPLEAK_EXPORT ssize_t sendfile(int out, int in, off_t *offset, size_t n) {
    const ssize_t r = IO_WRITE_ELSEWHERE(REAL(sendfile)(out, in, offset, n));
    io_write_unseen(out, r);
    return r;
}

HTTPLEAK_EXPORT ssize_t sendfile64(int out, int in, off64_t *offset, size_t n) {
    const ssize_t r = IO_WRITE_ELSEWHERE(REAL(sendfile64)(out, in, offset, n));
    io_write_unseen(out, r);
    return r;
}

HTTPLEAK_EXPORT ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t n,
                               unsigned flags) {
    if (!fd_is_ours(in) && !fd_is_ours(out))
        return IO_WRITE_ELSEWHERE(REAL(splice)(in, in_offset, out, out_offset, n, flags));
    if (!fd_is_ours(in)) {
        const ssize_t r = REAL(splice)(in, in_offset, out, out_offset, n, flags);
        io_write_unseen(out, r);
        return r;
    }
    /* Bytes that arrive are hidden in a pipe: counted as MSG_TRUNC ones are. The end is seen as
     * with any read. */
    const struct iovec none = {NULL, 0};
    const ssize_t r =
        IO_READ(in, MSG_TRUNC, &none, 0, n, REAL(splice)(in, in_offset, out, out_offset, n, flags));
    io_write_unseen(out, r);
    return r;
}
