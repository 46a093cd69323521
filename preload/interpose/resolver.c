/* Wrapper of the resolver: which name each address was asked under. */
#include <errno.h>

#include "interpose/real.h"
#include "track/host.h"
#include "track/process.h"

HTTPLEAK_EXPORT int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                                struct addrinfo **list) {
    const int r = REAL(getaddrinfo)(node, service, hints, list);
    if (r != 0 || !node || !process_active) return r;
    const int error = errno;
    host_resolved(node, *list);
    errno = error;
    return r;
}
