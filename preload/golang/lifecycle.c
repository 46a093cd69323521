/* What the probes' side does before hooks are placed, and when they are not. */
#include "golang/golang.h"

#include "record/module_table.h"
#include "record/trace.h"

bool golang_prepare(void) {
    const struct golang_program *p = &golang_program;
    module_main_set(p->headers, p->header_count, p->bias);
    trace_go(TRACE_GO_FOLLOWED, golang_program.version, "");
    return true;
}

/* The report is to say so: the one case in which there is a trace without a connection. */
void golang_blind(void) {
    trace_go(TRACE_GO_BLIND, golang_program.version, golang_program.blind_reason);
    trace_open();
}
