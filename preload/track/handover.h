/*
 * A program that LD_PRELOAD cannot enter is about to be executed by this process: Go's statically linked ones. They are handed
 * over to the launcher (`httpleak run`), which enters them; without one, a trace is left that names them.
 *
 * Everything here may run in a vfork child, which shares its parent's memory: nothing but the caller's stack and the kernel is
 * changed. Costs an open, a read and a close for a program that is none of those.
 */
#ifndef TRACK_HANDOVER_H
#define TRACK_HANDOVER_H

#include <stdbool.h>

#define HANDOVER_PATH 1024

struct handover {
    bool held;                /* the launcher holds us */
    bool told;                /* it knows of the program */
    char mark[HANDOVER_PATH]; /* the trace that was left, "": none */
};

/* Where the program is looked for: as execveat does it, or in PATH, as execvp. */
struct handover_program {
    int directory;    /* AT_FDCWD, or what `path` is relative to */
    const char *path; /* "": the descriptor itself */
    bool search;      /* in PATH, if it has no slash */
    char *const *envp;
};

/*
 * Before an exec in this process, or (spawn) before this thread starts a child that executes it. *handover is written in any
 * case. At most two seconds, if the launcher is there and busy.
 */
void handover_begin(struct handover *, const struct handover_program *, bool spawn);
/* The exec failed: the program runs on as it was. */
void handover_failed(const struct handover *);
/* After a spawn; pid 0: it failed. */
void handover_spawned(struct handover *, const struct handover_program *, int pid);

#endif
