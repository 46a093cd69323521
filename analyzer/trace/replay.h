/* Replays an unwrapped journal and compares what it tells with the slots and counters of the same trace. */
#ifndef HTTPLEAK_REPLAY_H
#define HTTPLEAK_REPLAY_H

#include <stdio.h>

#include "trace/reader.h"

enum replay_result {
    REPLAY_EQUAL,
    REPLAY_DIFFERENT,
    REPLAY_WRAPPED, /* the ring lapped (or records were lost): nothing can be said */
    REPLAY_ERROR,   /* unreadable: trace_file_error */
};

/*
 * Differences go to `out` (may be NULL), one line each. In a process that was killed every thread may have left one transition
 * half done; `tolerance` is how far each count may be off for that (0 for an orderly end).
 */
enum replay_result trace_replay_check(struct trace_file *file, uint64_t tolerance, FILE *out);

#endif
