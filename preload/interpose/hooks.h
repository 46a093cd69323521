/* What the I/O wrappers do around a call on a descriptor of ours: thin shells over track/flow.h
 * that look after errno. */
#ifndef INTERPOSE_HOOKS_H
#define INTERPOSE_HOOKS_H

#include <errno.h>

#include "track/flow.h"
#include "track/worker.h"

/* Lives on the wrapper's stack; nothing is held between before and after. */
struct io_read {
    struct flow_read flow;
    int flags; /* of recv */
    enum {
        IO_DATA,
        IO_NO_DATA, /* what came is a message of a protocol below, no bytes of the stream */
        IO_END      /* as that, and it says that no bytes will come */
    } came;
};

void io_read_before(struct io_read *, int fd, int flags);
/* wanted: bytes that there was room for. Keeps errno as the call left it. */
void io_read_after(struct io_read *, int fd, const struct iovec *, int count, ssize_t result,
                   size_t wanted);
/* caller: as STACK_CALLER() says in the wrapper itself; NULL: not known. */
void io_write_before(struct flow_write *, int fd, const struct iovec *, int count,
                     const struct stack_caller *caller);
void io_write_after(struct flow_write *, const struct iovec *, int count, ssize_t result);
/* Bytes that nobody can look at went out to fd. */
void io_write_unseen(int fd, ssize_t result);
/* Of a list that the kernel took; it is not looked at before. */
size_t io_total(const struct iovec *, int count);
/*
 * How many parts of a list may be looked at ahead of a write: those before the first that the
 * kernel is bound to refuse, none of a list that it refuses as a whole.
 */
int io_plausible(const struct iovec *, size_t count);

/*
 * What a wrapper does for a descriptor of ours, apart: the way out for all others stays short. A wrapper that ends in a call of it
 * jumps there, so that it is the function that the program called.
 */
#define IO_OURS static __attribute__((noinline))

/* A call that takes bytes from a descriptor of ours, and one that gives it some. */
#define IO_READ(fd, flags, iov, count, wanted, call)                                               \
    ({                                                                                             \
        struct io_read hook_;                                                                      \
        io_read_before(&hook_, fd, flags);                                                         \
        const ssize_t result_ = (call);                                                            \
        io_read_after(&hook_, fd, iov, count, result_, result_ == 0 ? (wanted) : 1);               \
        result_;                                                                                   \
    })
#define IO_WRITE(fd, iov, count, call)                                                             \
    ({                                                                                             \
        struct flow_write hook_;                                                                   \
        const int count_ = io_plausible(iov, count);                                               \
        const struct stack_caller caller_ = STACK_CALLER();                                        \
        io_write_before(&hook_, fd, iov, count_, &caller_);                                        \
        const ssize_t result_ = (call);                                                            \
        io_write_after(&hook_, iov, count_, result_);                                              \
        result_;                                                                                   \
    })
/*
 * A write to anything else: a thread that deals with connections and is blocked here shows back
 * pressure. Two stores, no clock, since this is every write of the program.
 */
#define IO_WRITE_ELSEWHERE(call)                                                                   \
    ({                                                                                             \
        struct trace_worker *worker_ = worker_waits() ? thread_self.slot : NULL;                   \
        if (worker_) __atomic_store_n(&worker_->wait, TRACE_WAIT_OTHER_WRITE, __ATOMIC_RELAXED);   \
        const __typeof__(call) result_ = (call);                                                   \
        if (worker_) worker_wait_end();                                                            \
        result_;                                                                                   \
    })

#endif
