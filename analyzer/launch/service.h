/*
 * The launcher: puts the recorder into static programs that the command's traced processes start, on their request.
 *
 * A request comes over a socket that LAUNCHER_VARIABLE names (include/httpleak/launcher.h says what is spoken). Whoever asks is
 * taken by its word for itself alone: only the process at the other end of the socket is held, as the kernel names it.
 */
#ifndef HTTPLEAK_SERVICE_H
#define HTTPLEAK_SERVICE_H

#include <stdbool.h>

struct service;

/*
 * Opens the socket, puts its name into this process's environment, and serves it from threads that take no signals. NULL where
 * that cannot be done (then processes that ask find nobody, and leave a trace instead).
 */
struct service *service_open(void);

/*
 * Serves nobody any more, waits for those who are served, and gives each program that could not be entered to `note`, as one
 * sentence. NULL: nothing to do.
 */
void service_close(struct service *, void (*note)(void *context, const char *text), void *context);

#endif
