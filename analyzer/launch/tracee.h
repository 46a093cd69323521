/*
 * A process held by ptrace for the moment between its exec and its first instruction.
 *
 * Stops are those of PTRACE_SEIZE: no signal is invented, none is lost. Nothing here relies on SIGTRAP being delivered, because
 * a forced one would undo what the program inherited for it; the system calls of the tracee are where it stops.
 */
#ifndef HTTPLEAK_TRACEE_H
#define HTTPLEAK_TRACEE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

enum tracee_stop {
    TRACEE_ENDED,   /* no more: `status` is what waitpid gave */
    TRACEE_EXEC,    /* PTRACE_EVENT_EXEC */
    TRACEE_CHILD,   /* PTRACE_EVENT_FORK, _VFORK or _CLONE */
    TRACEE_SYSCALL, /* at the beginning or the end of a system call */
    TRACEE_SIGNAL,  /* about to get `signal` */
    TRACEE_GROUP,   /* stopped by job control */
    TRACEE_TRAP,    /* any other ptrace stop: attached to, interrupted, continued */
    TRACEE_LOST,    /* waitpid failed: it is somebody else's now */
};

struct tracee {
    pid_t pid;
    bool
        keep; /* it is a child that another thread waits for: its end is seen, and left to that one */
    int status; /* as the last waitpid gave it */
    int signal; /* of TRACEE_SIGNAL and TRACEE_GROUP */
};

/*
 * Holds it from here; it runs on until it stops by itself. children: what it forks from now on is held as well, from its first
 * moment. False with errno where ptrace is refused.
 */
bool tracee_seize(struct tracee *, pid_t pid, bool children);
/* Whether a child may be held here at all: 0, or why not (errno). Tries it. */
int tracee_trial(void);
/* From here it dies with this program: half done it must not go on. At a stop. */
bool tracee_bind(struct tracee *);
/* Stops it (TRACEE_TRAP) wherever it is; a system call that it waits in is interrupted. */
bool tracee_interrupt(struct tracee *);
/* The child of TRACEE_CHILD. */
bool tracee_child(struct tracee *, pid_t *pid);

/* Waits for the next stop. */
enum tracee_stop tracee_wait(struct tracee *);

/*
 * Goes on after a stop: to the next system call, freely, or for good (`signal` goes with it; 0: none). A group stop is
 * continued by listening for its end.
 */
bool tracee_to_syscall(struct tracee *, int signal);
bool tracee_continue(struct tracee *, int signal);
bool tracee_listen(struct tracee *);
void tracee_detach(struct tracee *, int signal);

bool tracee_registers(struct tracee *, struct user_regs_struct *);
bool tracee_set_registers(struct tracee *, const struct user_regs_struct *);
bool tracee_signal_mask(struct tracee *, uint64_t *mask);
bool tracee_set_signal_mask(struct tracee *, uint64_t mask);
/* 8 bytes, also of memory that is read-only there. */
bool tracee_peek(struct tracee *, uint64_t address, uint64_t *word);
bool tracee_poke(struct tracee *, uint64_t address, uint64_t word);
/* Memory that is writable there. */
bool tracee_write(struct tracee *, uint64_t address, const void *bytes, size_t size);

#endif
