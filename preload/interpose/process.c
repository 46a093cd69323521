/* Wrappers of a process's life: fork and kin, exit in all its forms, and giving up rights. */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>

#include "interpose/real.h"
#include "record/clock.h"
#include "record/gate.h"
#include "record/sys.h"
#include "track/connection.h"
#include "track/handover.h"
#include "track/process.h"
#include "track/worker.h"

/* ---- children ---- */

static void forking(void) {
    const int saved = errno;
    if (process_active) gate_close();
    errno = saved;
}

static pid_t forked(pid_t pid) {
    const int error = errno;
    if (!process_active) return pid;
    if (pid == 0) {
        gate_after_fork();
        process_fork_child();
    } else {
        gate_open();
        if (pid > 0) process_forked(pid);
    }
    errno = error;
    return pid;
}

HTTPLEAK_EXPORT pid_t fork(void) {
    forking();
    return forked(REAL(fork)());
}

HTTPLEAK_EXPORT pid_t _Fork(void) {
    forking();
    return forked(REAL(_Fork)());
}

HTTPLEAK_EXPORT int forkpty(int *master, char *name, const struct termios *terminal,
                            const struct winsize *size) {
    forking();
    return forked(REAL(forkpty)(master, name, terminal, size));
}

/* Forks inside libc too; where it succeeds it returns in the child, and the parent ends in there.
 */
HTTPLEAK_EXPORT int daemon(int keep_directory, int keep_streams) {
    forking();
    const int r = REAL(daemon)(keep_directory, keep_streams);
    const int error = errno;
    if (process_active && process_fork_child())
        gate_after_fork();
    else if (process_active)
        gate_open();
    errno = error;
    return r;
}

/*
 * vfork returns twice through the same stack, so its caller's frame must be the one that it returns
 * to: a jump, no call. The child shares our memory, and whatever would change the parent's state
 * asks process_is_vfork_child.
 */
void *process_real_vfork(void);
void *process_real_vfork(void) {
    return (void *)REAL(vfork);
}
__asm__(".pushsection .text\n"
        ".globl vfork\n"
        ".type vfork, @function\n"
        "vfork:\n"
        ".cfi_startproc\n"
        "subq $8, %rsp\n"
        ".cfi_adjust_cfa_offset 8\n"
        "call process_real_vfork\n"
        "addq $8, %rsp\n"
        ".cfi_adjust_cfa_offset -8\n"
        "jmp *%rax\n"
        ".cfi_endproc\n"
        ".size vfork, .-vfork\n"
        ".popsection\n");

#define SPAWN(name, search)                                                                        \
    HTTPLEAK_EXPORT int name(                                                                      \
        pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,                   \
        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]) {             \
        const struct handover_program program = {AT_FDCWD, path, search, envp};                    \
        struct handover handover;                                                                  \
        pid_t child = 0;                                                                           \
        const int before = errno;                                                                  \
        handover_begin(&handover, &program, true);                                                 \
        errno = before;                                                                            \
        const int r = REAL(name)(&child, path, actions, attributes, argv, envp);                   \
        const int after = errno;                                                                   \
        handover_spawned(&handover, &program, r == 0 ? child : 0);                                 \
        if (r == 0 && pid) *pid = child;                                                           \
        if (r == 0 && trace) process_forked(child);                                                \
        if (r == 0 && trace) connection_spawned(child);                                            \
        errno = after;                                                                             \
        return r;                                                                                  \
    }
SPAWN(posix_spawn, false)
SPAWN(posix_spawnp, true)

/* ---- the end ---- */

/* exit runs handlers that may still do I/O; the destructor of this library comes after them. */
HTTPLEAK_EXPORT void exit(int status) {
    process_exiting(status, true);
    REAL(exit)(status);
    __builtin_unreachable();
}

#define ENDS_AT_ONCE(name)                                                                         \
    HTTPLEAK_EXPORT void name(int status) {                                                        \
        process_exiting(status, true);                                                             \
        process_end();                                                                             \
        REAL(name)(status);                                                                        \
        __builtin_unreachable();                                                                   \
    }
ENDS_AT_ONCE(_exit)
ENDS_AT_ONCE(_Exit)
ENDS_AT_ONCE(quick_exit)

/* ---- rights: after these there may be no way to make a file ---- */

static void user_changes(uid_t effective) {
    if (process_active && !trace && effective != 0 && effective != (uid_t)-1 &&
        sys_call(SYS_geteuid) == 0)
        process_before_confinement(false);
}

HTTPLEAK_EXPORT int setuid(uid_t user) {
    user_changes(user);
    return REAL(setuid)(user);
}

HTTPLEAK_EXPORT int seteuid(uid_t user) {
    user_changes(user);
    return REAL(seteuid)(user);
}

HTTPLEAK_EXPORT int setreuid(uid_t user, uid_t effective) {
    user_changes(effective);
    return REAL(setreuid)(user, effective);
}

HTTPLEAK_EXPORT int setresuid(uid_t user, uid_t effective, uid_t saved) {
    user_changes(effective);
    return REAL(setresuid)(user, effective, saved);
}

HTTPLEAK_EXPORT int chroot(const char *path) {
    if (process_active && !trace) process_before_confinement(false);
    return REAL(chroot)(path);
}

HTTPLEAK_EXPORT int prctl(int option, ...) {
    unsigned long a[4];
    va_list arguments;
    va_start(arguments, option);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(arguments, unsigned long);
    va_end(arguments);
    const bool confines = option == PR_SET_SECCOMP && process_before_confinement(true);
    const int r = REAL(prctl)(option, a[0], a[1], a[2], a[3]);
    if (r == 0 && confines) process_confined(a[0] == SECCOMP_MODE_STRICT);
    if (r == 0 && option == PR_SET_TSC && a[0] == PR_TSC_SIGSEGV) clock_forgo_counter();
    if (r == 0 && option == PR_SET_NAME && worker_seen)
        worker_named(pthread_self(), (const char *)a[0]);
    return r;
}
