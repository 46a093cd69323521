/* Around I/O on descriptors of ours: which recv flags consume, which do not, and errno kept through
 * it all. */
#include "interpose/hooks.h"

#include <limits.h>

#include "record/sys.h"
#include "track/tls.h"

/*
 * Where the thread has its errno: asking libc each time is a call into code that nothing else here needs. The same place as long
 * as the thread lives, in a fork child, too.
 */
static inline int *errno_place(void) {
    static __thread int *place __attribute__((tls_model("initial-exec")));
    if (__builtin_expect(!place, 0)) place = &errno;
    return place;
}

#define NOT_THE_STREAM (MSG_OOB | MSG_ERRQUEUE)

size_t io_total(const struct iovec *iov, int count) {
    size_t n = 0;
    for (int i = 0; i < count; i++)
        n += iov[i].iov_len;
    return n;
}

int io_plausible(const struct iovec *iov, size_t count) {
    if (count > IOV_MAX || !sys_is_plausible(iov)) return 0;
    size_t i = 0;
    while (i < count && (iov[i].iov_len == 0 || sys_is_plausible(iov[i].iov_base)))
        i++;
    return (int)i;
}

void io_read_before(struct io_read *hook, int fd, int flags) {
    int *const place = errno_place(), saved = *place;
    struct connection *c = flags & NOT_THE_STREAM ? NULL : connection_of_fd(fd);
    hook->flags = flags;
    hook->came = IO_DATA;
    if (flags & MSG_PEEK)
        flow_peek_before(&hook->flow, c);
    else
        flow_read_before(&hook->flow, c, tls_layer(c, KERNEL_TLS_READS));
    *place = saved;
}

/* A read that can show no record's type fails with EIO where one waits that is no data: nothing has happened to the connection. */
static bool is_other_record(const struct flow_read *flow, int error) {
    return error == EIO && flow->connection && flow->connection->kernel_tls & KERNEL_TLS_READS;
}

void io_read_after(struct io_read *hook, int fd, const struct iovec *iov, int count, ssize_t result,
                   size_t wanted) {
    int *const place = errno_place(), error = *place;
    if (hook->flags & MSG_PEEK) {
        flow_peek_after(&hook->flow);
    } else if (hook->came == IO_END && hook->flow.layer == FLOW_PLAINTEXT) {
        flow_read_after(&hook->flow, iov, 0, 0, 0, 1);
    } else if (hook->came != IO_DATA || (result < 0 && is_other_record(&hook->flow, error))) {
        flow_read_after(&hook->flow, iov, 0, -1, EINTR, wanted);
    } else if (hook->flags & MSG_TRUNC && result > 0 && hook->flow.connection) {
        /* On TCP the kernel drops the bytes instead of storing them (tcp(7)), so there is nothing
         * to look at. */
        flow_read_after(&hook->flow, iov, 0, -1, EINTR, wanted);
        flow_read_unseen(connection_of_fd(fd), (uint64_t)result);
    } else {
        flow_read_after(&hook->flow, iov, count, result, error, wanted);
    }
    *place = error;
}

void io_write_before(struct flow_write *hook, int fd, const struct iovec *iov, int count,
                     const struct stack_caller *caller) {
    int *const place = errno_place(), saved = *place;
    struct connection *c = connection_of_fd(fd);
    flow_write_before(hook, c, tls_layer(c, KERNEL_TLS_WRITES), iov, count, caller);
    *place = saved;
}

void io_write_after(struct flow_write *hook, const struct iovec *iov, int count, ssize_t result) {
    int *const place = errno_place(), error = *place;
    flow_write_after(hook, iov, count, result, error);
    *place = error;
}

void io_write_unseen(int fd, ssize_t result) {
    int *const place = errno_place(), error = *place;
    if (result > 0 && fd_is_ours(fd)) flow_write_unseen(connection_of_fd(fd), (uint64_t)result);
    *place = error;
}
