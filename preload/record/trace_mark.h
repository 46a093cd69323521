/* A trace without anything in it but its header: what there is to say of a process that the recorder is not in. */
#ifndef RECORD_TRACE_MARK_H
#define RECORD_TRACE_MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace_mark {
    const char *exe; /* absolute */
    uint32_t pid, ppid;
    const char *go_version, *go_reason; /* why it is blind */
};

/*
 * Makes it where options.trace names one for that program and process; its path goes into `path`. False, and path "": it could
 * not be made, or there are max_traces. Changes nothing in memory but `path`: fit for a vfork child. Uses 8 KiB of stack.
 */
bool trace_mark_blind(const struct trace_mark *, char *path, size_t size);

#endif
