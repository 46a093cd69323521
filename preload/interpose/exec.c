/* Wrappers of exec: the process goes on as another program, and comes back here only if that
 * failed. */
#include <errno.h>
#include <fcntl.h>

#include "interpose/real.h"
#include "track/handover.h"
#include "track/process.h"

/* Which program, as struct handover_program says it, and the call. */
#define EXECUTING(directory, path, search, envp, call)                                             \
    ({                                                                                             \
        const struct handover_program program_ = {directory, path, search, envp};                  \
        struct handover handover_;                                                                 \
        process_exec_begin();                                                                      \
        handover_begin(&handover_, &program_, false);                                              \
        const int result_ = (call);                                                                \
        const int error_ = errno;                                                                  \
        handover_failed(&handover_);                                                               \
        process_exec_failed();                                                                     \
        errno = error_;                                                                            \
        result_;                                                                                   \
    })

HTTPLEAK_EXPORT int execve(const char *path, char *const argv[], char *const envp[]) {
    return EXECUTING(AT_FDCWD, path, false, envp, REAL(execve)(path, argv, envp));
}

HTTPLEAK_EXPORT int execv(const char *path, char *const argv[]) {
    return EXECUTING(AT_FDCWD, path, false, environ, REAL(execv)(path, argv));
}

HTTPLEAK_EXPORT int execvp(const char *file, char *const argv[]) {
    return EXECUTING(AT_FDCWD, file, true, environ, REAL(execvp)(file, argv));
}

HTTPLEAK_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[]) {
    return EXECUTING(AT_FDCWD, file, true, envp, REAL(execvpe)(file, argv, envp));
}

HTTPLEAK_EXPORT int fexecve(int fd, char *const argv[], char *const envp[]) {
    return EXECUTING(fd, "", false, envp, REAL(fexecve)(fd, argv, envp));
}

HTTPLEAK_EXPORT int execveat(int directory, const char *path, char *const argv[],
                             char *const envp[], int flags) {
    return EXECUTING(directory, path, false, envp,
                     REAL(execveat)(directory, path, argv, envp, flags));
}

/* The variadic ones: their arguments become an array on the stack, as in libc itself (no allocation
 * after a fork). */
static size_t argument_count(va_list arguments) {
    size_t n = 0;
    while (va_arg(arguments, char *))
        n++;
    return n;
}

/* argv, and behind its NULL the environment if there is one. */
#define ARGUMENTS(first, argv, after)                                                              \
    /* The header promises that there is a first one; programs do pass NULL alone. */              \
    const char *volatile head = first;                                                             \
    va_list arguments;                                                                             \
    va_start(arguments, first);                                                                    \
    const size_t count = head ? argument_count(arguments) + 1 : 0;                                 \
    va_end(arguments);                                                                             \
    char *argv[count + 1];                                                                         \
    va_start(arguments, first);                                                                    \
    argv[0] = (char *)first;                                                                       \
    for (size_t i = 1; i <= count; i++)                                                            \
        argv[i] = va_arg(arguments, char *);                                                       \
    after;                                                                                         \
    va_end(arguments)

HTTPLEAK_EXPORT int execl(const char *path, const char *first, ...) {
    ARGUMENTS(first, argv, (void)0);
    return EXECUTING(AT_FDCWD, path, false, environ, REAL(execv)(path, argv));
}

HTTPLEAK_EXPORT int execlp(const char *file, const char *first, ...) {
    ARGUMENTS(first, argv, (void)0);
    return EXECUTING(AT_FDCWD, file, true, environ, REAL(execvp)(file, argv));
}

HTTPLEAK_EXPORT int execle(const char *path, const char *first, ...) {
    ARGUMENTS(first, argv, char **envp = va_arg(arguments, char **));
    return EXECUTING(AT_FDCWD, path, false, envp, REAL(execve)(path, argv, envp));
}
