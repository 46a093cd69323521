/* ptrace(2), one call a function. */
#include "launch/tracee.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif

static bool tracee_ask(enum __ptrace_request request, const struct tracee *t, uint64_t address,
                       uint64_t data) {
    return ptrace(request, t->pid, address, data) == 0;
}

enum { TRACEE_OPTIONS = PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD };

bool tracee_seize(struct tracee *t, pid_t pid, bool children) {
    const int of_children = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    *t = (struct tracee){.pid = pid};
    return tracee_ask(PTRACE_SEIZE, t, 0,
                      (uint64_t)(TRACEE_OPTIONS | (children ? of_children : 0)));
}

int tracee_trial(void) {
    const pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    struct tracee t;
    int error = pid < 0 || !tracee_seize(&t, pid, false) ? errno : 0;
    if (pid > 0) kill(pid, SIGKILL);
    while (pid > 0 && waitpid(pid, NULL, __WALL) < 0 && errno == EINTR) {
    }
    return error;
}

bool tracee_bind(struct tracee *t) {
    return tracee_ask(PTRACE_SETOPTIONS, t, 0, TRACEE_OPTIONS | PTRACE_O_EXITKILL);
}

bool tracee_interrupt(struct tracee *t) {
    return tracee_ask(PTRACE_INTERRUPT, t, 0, 0);
}

bool tracee_child(struct tracee *t, pid_t *pid) {
    unsigned long message = 0;
    if (!tracee_ask(PTRACE_GETEVENTMSG, t, 0, (uintptr_t)&message)) return false;
    *pid = (pid_t)message;
    return true;
}

/* Its end can be seen without taking it away from whoever waits for it too. */
static bool tracee_has_ended(struct tracee *t) {
    siginfo_t info = {0};
    while (waitid(P_PID, (id_t)t->pid, &info, WEXITED | WSTOPPED | WNOWAIT | __WALL) < 0)
        if (errno != EINTR) return true;
    return info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
}

enum tracee_stop tracee_wait(struct tracee *t) {
    pid_t got;
    if (t->keep && tracee_has_ended(t)) return TRACEE_LOST;
    while ((got = waitpid(t->pid, &t->status, __WALL)) < 0 && errno == EINTR) {
    }
    if (got != t->pid) return TRACEE_LOST;
    if (!WIFSTOPPED(t->status)) return TRACEE_ENDED;
    t->signal = WSTOPSIG(t->status);
    switch (t->status >> 16) {
    case 0: return t->signal == (SIGTRAP | 0x80) ? TRACEE_SYSCALL : TRACEE_SIGNAL;
    case PTRACE_EVENT_EXEC: return TRACEE_EXEC;
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE: return TRACEE_CHILD;
    case PTRACE_EVENT_STOP: return t->signal == SIGTRAP ? TRACEE_TRAP : TRACEE_GROUP;
    default: return TRACEE_TRAP;
    }
}

bool tracee_to_syscall(struct tracee *t, int signal) {
    return tracee_ask(PTRACE_SYSCALL, t, 0, (uint64_t)signal);
}

bool tracee_continue(struct tracee *t, int signal) {
    return tracee_ask(PTRACE_CONT, t, 0, (uint64_t)signal);
}

bool tracee_listen(struct tracee *t) {
    return tracee_ask(PTRACE_LISTEN, t, 0, 0);
}

void tracee_detach(struct tracee *t, int signal) {
    tracee_ask(PTRACE_DETACH, t, 0, (uint64_t)signal);
}

bool tracee_registers(struct tracee *t, struct user_regs_struct *registers) {
    return tracee_ask(PTRACE_GETREGS, t, 0, (uintptr_t)registers);
}

bool tracee_set_registers(struct tracee *t, const struct user_regs_struct *registers) {
    return tracee_ask(PTRACE_SETREGS, t, 0, (uintptr_t)registers);
}

bool tracee_signal_mask(struct tracee *t, uint64_t *mask) {
    return tracee_ask(PTRACE_GETSIGMASK, t, sizeof *mask, (uintptr_t)mask);
}

bool tracee_set_signal_mask(struct tracee *t, uint64_t mask) {
    return tracee_ask(PTRACE_SETSIGMASK, t, sizeof mask, (uintptr_t)&mask);
}

bool tracee_peek(struct tracee *t, uint64_t address, uint64_t *word) {
    errno = 0;
    *word = (uint64_t)ptrace(PTRACE_PEEKDATA, t->pid, address, 0);
    return errno == 0;
}

bool tracee_poke(struct tracee *t, uint64_t address, uint64_t word) {
    return tracee_ask(PTRACE_POKEDATA, t, address, word);
}

/* A sandbox may forbid process_vm_writev and not ptrace. */
static bool tracee_write_words(struct tracee *t, uint64_t address, const uint8_t *bytes,
                               size_t size) {
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        const size_t n = size - at < sizeof(uint64_t) ? size - at : sizeof(uint64_t);
        uint64_t word = 0;
        if (n < sizeof word && !tracee_peek(t, address + at, &word)) return false;
        memcpy(&word, bytes + at, n);
        if (!tracee_poke(t, address + at, word)) return false;
    }
    return true;
}

bool tracee_write(struct tracee *t, uint64_t address, const void *bytes, size_t size) {
    const struct iovec from = {(void *)(uintptr_t)bytes, size}, to = {(void *)address, size};
    if (process_vm_writev(t->pid, &from, 1, &to, 1, 0) == (ssize_t)size) return true;
    return tracee_write_words(t, address, bytes, size);
}
