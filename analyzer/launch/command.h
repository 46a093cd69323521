/* One command, started and waited for as env(1) and time(1) do it. */
#ifndef HTTPLEAK_COMMAND_H
#define HTTPLEAK_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct inject;

struct command_end {
    int error; /* errno: it could not be started (then nothing below); 0: it ran */
    pid_t pid;
    int signal;          /* that ended it, 0: it exited */
    int status;          /* exit status, 0 if a signal ended it */
    uint64_t started_ns; /* CLOCK_MONOTONIC, before it was started */
    uint64_t ended_ns;   /* when its end was seen */
};

/*
 * Runs argv (looked up in PATH) with this process's environment and waits for it. SIGINT, SIGQUIT,
 * SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 that somebody sent to us alone are handed on; those of the
 * terminal reach the command by themselves. The command gets the signal dispositions and the mask
 * that this process was started with. inject (NULL: no): it is held by ptrace until its first instruction, and the recorder is
 * put into it, as launch/inject.h says; *inject tells what became of that.
 */
struct command_end command_run(char *const *argv, struct inject *inject);

/* What a shell would call its exit status: the status, or 128 + signal. */
int command_exit_status(const struct command_end *end);

/*
 * Whether the process that started at these ticks (field 22 of /proc/PID/stat; 0: any) still runs;
 * a zombie does not.
 */
bool command_alive(pid_t pid, uint64_t start_ticks);

#endif
