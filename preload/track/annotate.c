/* The functions behind include/httpleak/client.h: handed to annotated programs that ask for them. */
#include <errno.h>
#include <stdbool.h>

#include "track/annotate.h"
#include "track/handle.h"
#include "track/process.h"
#include "track/worker.h"

static void body_opened(const void *handle, int fd) {
    const int saved = errno;
    handle_opened(handle, fd);
    errno = saved;
}
static void body_drained(const void *handle) {
    const int saved = errno;
    handle_drained(handle);
    errno = saved;
}
static void body_closed(const void *handle) {
    const int saved = errno;
    handle_closed(handle);
    errno = saved;
}
static void role(int which) {
    if (which >= TRACE_ROLE_READER && which <= TRACE_ROLE_BOTH)
        worker_role((enum trace_worker_role)which);
}

static const struct httpleak_client client = {sizeof client, body_opened, body_drained, body_closed,
                                              role};

bool annotate_asked(long question, const struct httpleak_client **answer) {
    if (question != HTTPLEAK_CLIENT_ASK || !answer || !process_active) return false;
    *answer = &client;
    return true;
}
