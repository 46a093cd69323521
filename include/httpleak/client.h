/*
 * Annotations for authors of HTTP clients: tell httpleak about the handles your users hold.
 *
 * Without them httpleak sees the wire: a body is over when its last byte was taken off the socket. With them it also knows
 * whether your user closed what you gave him, and says `drained-unclosed` where he did not. Header only: nothing to link, and
 * without the recorder in the process each call costs one predicted branch. Thread safe, signal safe, errno is kept.
 *
 *     httpleak_body_opened(response, fd);   when a response with a body is handed to the caller, fd being its connection's
 *     httpleak_body_drained(response);      when a read of it gave the end
 *     httpleak_body_closed(response);       when the caller closed it; the address may then be used anew
 *     httpleak_worker_role(HTTPLEAK_READER);  in a thread that only reads (or writes) for one connection
 *
 * A handle is any address that stays the body's own from opened to closed. Unknown handles are ignored, and the calls may come
 * from any thread.
 *
 * How the recorder is found: the first call asks it through libc's syscall(), which the recorder interposes, with a number that
 * any kernel answers harmlessly (getpid, its surplus arguments are ignored). A weak symbol would not do: linkers of programs
 * that are not position independent resolve it to null for good.
 */
#ifndef HTTPLEAK_CLIENT_H
#define HTTPLEAK_CLIENT_H

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HTTPLEAK_CLIENT_ASK                                                                        \
    0x48544c4bL /* second argument of the question; the third is where the answer goes */

#ifndef __cplusplus
extern long syscall(long number, ...); /* strict C modes leave it undeclared */
#endif

enum httpleak_role { HTTPLEAK_READER = 1, HTTPLEAK_WRITER = 2, HTTPLEAK_BOTH = 3 };

/* The recorder's answer. Fields are only ever added at the end; size says how many there are. */
struct httpleak_client {
    size_t size;
    void (*body_opened)(const void *handle, int fd);
    void (*body_drained)(const void *handle);
    void (*body_closed)(const void *handle);
    void (*worker_role)(int role);
};

static const struct httpleak_client httpleak_client_unasked = {0, NULL, NULL, NULL, NULL};
static const struct httpleak_client *httpleak_client_state =
    &httpleak_client_unasked; /* NULL: no recorder here */

static inline const struct httpleak_client *httpleak_client_ask(void) {
    const struct httpleak_client *answer = NULL;
    const int saved = errno;
    /* The C library's function, not the instruction: that is what a preloaded recorder can answer. */
    (void)syscall(SYS_getpid, HTTPLEAK_CLIENT_ASK, &answer);
    errno = saved;
    __atomic_store_n(&httpleak_client_state, answer, __ATOMIC_RELEASE);
    return answer;
}

static inline const struct httpleak_client *httpleak_client_here(void) {
    const struct httpleak_client *client =
        __atomic_load_n(&httpleak_client_state, __ATOMIC_ACQUIRE);
    return client == &httpleak_client_unasked ? httpleak_client_ask() : client;
}

#define HTTPLEAK_CLIENT_CALL(call)                                                                 \
    do {                                                                                           \
        if (__builtin_expect(__atomic_load_n(&httpleak_client_state, __ATOMIC_RELAXED) != NULL,    \
                             0)) {                                                                 \
            const struct httpleak_client *client = httpleak_client_here();                         \
            if (client) client->call;                                                              \
        }                                                                                          \
    } while (0)

static inline void httpleak_body_opened(const void *handle, int fd) {
    HTTPLEAK_CLIENT_CALL(body_opened(handle, fd));
}
static inline void httpleak_body_drained(const void *handle) {
    HTTPLEAK_CLIENT_CALL(body_drained(handle));
}
static inline void httpleak_body_closed(const void *handle) {
    HTTPLEAK_CLIENT_CALL(body_closed(handle));
}
static inline void httpleak_worker_role(enum httpleak_role role) {
    HTTPLEAK_CLIENT_CALL(worker_role((int)role));
}

#undef HTTPLEAK_CLIENT_CALL

#ifdef __cplusplus
}
#endif

#endif
