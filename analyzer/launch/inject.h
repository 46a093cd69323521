/*
 * Puts the recorder into a static program between its exec and its first instruction.
 *
 * The process is let run to its exec, its signals held back; the image is mapped into it by system calls that are made to
 * happen at its entry, and its entry runs on the program's own stack, below what the kernel put there. Then registers, signal
 * mask and the bytes at the entry are what they were, and the process is let go for good.
 */
#ifndef HTTPLEAK_INJECT_H
#define HTTPLEAK_INJECT_H

#include <stdbool.h>

#include "launch/tracee.h"

enum inject_end {
    INJECT_PLACED, /* the recorder is in it and the process runs, untraced */
    INJECT_UNUSED, /* it runs untraced, and the recorder left again: its options say so, or it has said in a trace why it is blind */
    INJECT_FAILED, /* it runs untraced and untouched: why says what could not be done */
    INJECT_NOTHING, /* as UNUSED: it found no HTTP client of Go's in it */
    INJECT_NO_EXEC, /* it runs untraced: it said that its exec failed */
    INJECT_ENDED, /* it ended before it got there, or its exec failed and it ended: status as of waitpid */
};

struct inject {
    enum inject_end end;
    char why[200];
    int status;
};

/*
 * Of a process that was seized and runs towards an exec. Comes back when it is no tracee any more. listens: it may say that its
 * exec failed (LAUNCHER_GAVE_UP), so it stops at every system call until then.
 */
struct inject inject_at_exec(struct tracee *, bool listens);

#endif
