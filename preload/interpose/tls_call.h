/* What every wrapper of a TLS function begins with. */
#ifndef INTERPOSE_TLS_CALL_H
#define INTERPOSE_TLS_CALL_H

#include <errno.h>
#include <stddef.h>

#include "interpose/real.h"
#include "interpose/tls_real.h"
#include "track/asker.h"
#include "track/flow.h"
#include "track/process.h"

/* Declares `found` and `call`, the real function. Nobody defines it: the wrapper fails as the
 * function itself would. */
#define TLS_FIND(flavor, symbol, failure)                                                          \
    struct tls_real found;                                                                         \
    if (!tls_real_find(&found, &(flavor), #symbol, __builtin_return_address(0))) return failure;   \
    __typeof__(symbol) *const call = (__typeof__(symbol) *)found.function

/* The outermost TLS call on this thread, to be ended with tls_leave right after the real call. */
#define TLS_OUTER(object) (process_active && (object) && tls_enter((object), found.from_library))

static inline const struct tls_library *tls_library_of(const struct tls_real *found) {
    return found->module ? &found->module->library : NULL;
}
static inline void *tls_getter(const struct tls_module *module, int which) {
    return module ? module->getters[which] : NULL;
}

/* Around a read of plaintext. bytes < 0: none, error says why; 0: no more will come. */
static inline void tls_read_before(struct flow_read *flow, const struct tls_real *found,
                                   const void *object) {
    flow_read_before(flow, tls_connection(object, tls_library_of(found)), FLOW_PLAINTEXT);
}
static inline void tls_read_after(struct flow_read *flow, const struct tls_real *found,
                                  const void *object, void *buffer, size_t wanted, ssize_t bytes,
                                  int error) {
    if (!flow->connection && bytes > 0) {
        struct connection *c = tls_connection_late(object, tls_library_of(found), true);
        if (c) flow_read_before(flow, c, FLOW_PLAINTEXT);
    }
    const struct iovec iov = {buffer, bytes > 0 ? (size_t)bytes : 0};
    if (flow->connection) flow_read_after(flow, &iov, 1, bytes, error, wanted);
}

/* Around a write of plaintext. bytes < 0: nothing was taken. */
static inline void tls_write_before(struct flow_write *flow, const struct tls_real *found,
                                    const void *object, const struct iovec *iov,
                                    const struct stack_caller *caller) {
    struct asker_scope scope;
    asker_enter_tls(&scope, object);
    flow_write_before(flow, tls_connection(object, tls_library_of(found)), FLOW_PLAINTEXT, iov, 1,
                      caller);
    asker_leave_tls(&scope);
}
static inline void tls_write_after(struct flow_write *flow, const struct tls_real *found,
                                   const void *object, const struct iovec *iov, ssize_t bytes) {
    if (!flow->connection && bytes > 0) { /* the handshake was part of this call */
        struct connection *c = tls_connection_late(object, tls_library_of(found), false);
        struct asker_scope scope;
        asker_enter_tls(&scope, object);
        if (c) flow_write_before(flow, c, FLOW_PLAINTEXT, iov, 1, NULL);
        asker_leave_tls(&scope);
    }
    if (flow->connection) flow_write_after(flow, iov, 1, bytes, bytes < 0 ? EAGAIN : 0);
}

#endif
