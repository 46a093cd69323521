/* TLS that the kernel does (Linux, Documentation/networking/tls.rst): told by setsockopt, after which plain reads and writes of the
 * socket carry plaintext, and records that are no application data come with a control message. */
#include "interpose/kernel_tls.h"

#include <errno.h>
#include <string.h>

#include "interpose/real.h"
#include "track/process.h"
#include "track/tls.h"

/* linux/tls.h, linux/socket.h; written out, since older headers lack some. */
#define LEVEL_TLS 282
#define OPTION_TX 1
#define OPTION_RX 2
#define CONTROL_SET_RECORD_TYPE 1
#define CONTROL_GET_RECORD_TYPE 2
#define RECORD_APPLICATION_DATA 23u

HTTPLEAK_EXPORT int setsockopt(int fd, int level, int option, const void *value, socklen_t size) {
    const int r = REAL(setsockopt)(fd, level, option, value, size);
    if (__builtin_expect(level != LEVEL_TLS, 1) || r != 0 || !fd_is_ours(fd)) return r;
    const int error = errno;
    struct connection *c = connection_of_fd(fd);
    if (c && (option == OPTION_TX || option == OPTION_RX))
        tls_kernel(c, option == OPTION_TX ? KERNEL_TLS_WRITES : KERNEL_TLS_READS);
    errno = error;
    return r;
}

bool kernel_tls_is_control(int fd, const struct msghdr *message) {
    const struct connection *c = connection_of_fd(fd);
    if (!c || __builtin_expect(c->kernel_tls == 0, 1) || !message->msg_control) return false;
    for (const struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
         control = CMSG_NXTHDR((struct msghdr *)message, (struct cmsghdr *)control))
        if (control->cmsg_level == LEVEL_TLS && (control->cmsg_type == CONTROL_SET_RECORD_TYPE ||
                                                 control->cmsg_type == CONTROL_GET_RECORD_TYPE))
            return *CMSG_DATA(control) != RECORD_APPLICATION_DATA;
    return false;
}
