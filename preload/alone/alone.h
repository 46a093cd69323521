/*
 * The recorder without a loader and without libc: what the launcher maps into a statically linked program before its first
 * instruction. What libc and the loader would have given is here.
 */
#ifndef ALONE_H
#define ALONE_H

#include <elf.h>
#include <stdint.h>

#include "golang/golang.h"
#include "httpleak/launcher.h"

/* What the kernel left on a program's first stack. All of it stays there for the process's life. */
struct alone_stack {
    int argc;
    char **argv, **envp;
    const Elf64_auxv_t *auxv;
};
extern struct alone_stack alone_stack;

/* What comes of it, and for LAUNCHER_BLIND a reason, one short line of ASCII. Returned in %rax and %rdx. */
struct alone_answer {
    long what; /* enum launcher_answer */
    const char *reason;
};

/* The image's entry, from entry.S, in a program that has not run yet. */
struct alone_answer alone_start(uintptr_t *stack);

/* The program's own headers and where it lies. */
struct golang_start alone_program(void);

/*
 * Relocates a position independent program ahead of time: what it points to can be read before it does the same itself,
 * which changes nothing any more. False: it has relocations of a kind that must not be done twice.
 */
int alone_relocate(void);
#endif
