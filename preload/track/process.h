/* The process as a whole: its start, forks, exec and end. */
#ifndef TRACK_PROCESS_H
#define TRACK_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "record/trace.h"

#pragma GCC visibility push(hidden) /* the compiler need not ask where they are */

/* The recorder does something in this process (not AT_SECURE, not left out by options). */
extern bool process_active;
/* Fork generation: 0 in the process that loaded us, +1 in each fork child. */
extern uint32_t process_generation;
/* The base name of this library's file, "" when unknown. */
extern const char *process_recorder;

/* recorder: path of this library, as the loader knows it. From the constructor. */
void process_init(int argc, char **argv, char **envp, const char *recorder);

/* A word in a page that the kernel wipes at fork: 0 in a child that nobody has told us of yet, and
 * before there is a trace. */
extern volatile uint32_t process_fork_mark[];
void process_fork_seen(void);
/* First thing wherever it matters: notices a fork that no wrapper saw. About 1 ns. */
__attribute__((always_inline)) static inline void process_check_fork(void) {
    if (trace && __builtin_expect(process_fork_mark[0] == 0, 0)) process_fork_seen();
}
/* Before a trace is made: false in a vfork child. */
bool process_may_trace(void);
/* True in a child that shares our memory but is another process (vfork): it must change nothing.
 * One getpid. */
bool process_is_vfork_child(void);
void process_forked(int child_pid); /* in the parent */
/* In the child, when fork returned there; false: it is none, or the mark told it before. */
bool process_fork_child(void);
void process_after_fork(void); /* forget everything, keep nothing of the parent's */
/* Orderly end. known: status is what it will exit with. May come more than once; the last one
 * counts. */
void process_exiting(int status, bool known);
void process_end(void); /* now: samples, end record, summary. */
void process_exec_begin(void);
void process_exec_failed(void);
/* The program is about to give up the means to make a file (chroot, setuid, seccomp). */
bool process_before_confinement(bool seccomp);
/* seccomp is on from here: only the system calls that were used before. Where process_before_confinement said so. */
void process_confined(bool strict);

#pragma GCC visibility pop

#endif
