/*
 * Clients of HTTP/2 in a Go program that are not net/http's: not followed, so the report has to say so. They are noticed when they
 * serve their first connection, since many programs have them and never use them.
 */
#include "golang/probe.h"

#include "record/trace.h"

static void not_seen(const char *what) {
    static bool said;
    if (__atomic_exchange_n(&said, true, __ATOMIC_RELAXED)) return;
    trace_go(TRACE_GO_FOLLOWED, golang_program.version, what);
    managed_trace();
}

void probe_foreign_x_net(const struct golang_registers *r) {
    (void)r;
    not_seen("what this Go program does over golang.org/x/net/http2");
}

void probe_foreign_grpc(const struct golang_registers *r) {
    (void)r;
    not_seen("what this Go program does over gRPC (google.golang.org/grpc)");
}
