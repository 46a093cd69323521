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
#define RECORD_ALERT 21u
#define RECORD_APPLICATION_DATA 23u
#define ALERT_CLOSE_NOTIFY 0u

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

/* The type that stands beside a message's bytes; application data where there is none. */
static unsigned record_type(int fd, const struct msghdr *message) {
    const struct connection *c = connection_of_fd(fd);
    if (!c || __builtin_expect(c->kernel_tls == 0, 1) || !message->msg_control)
        return RECORD_APPLICATION_DATA;
    for (const struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
         control = CMSG_NXTHDR((struct msghdr *)message, (struct cmsghdr *)control))
        if (control->cmsg_level == LEVEL_TLS && (control->cmsg_type == CONTROL_SET_RECORD_TYPE ||
                                                 control->cmsg_type == CONTROL_GET_RECORD_TYPE))
            return *CMSG_DATA(control);
    return RECORD_APPLICATION_DATA;
}

bool kernel_tls_is_control(int fd, const struct msghdr *message) {
    return record_type(fd, message) != RECORD_APPLICATION_DATA;
}

/* An alert is its level and what it says (RFC 8446 section 6). */
void kernel_tls_received(struct io_read *hook, int fd, const struct msghdr *message,
                         ssize_t bytes) {
    const unsigned type = record_type(fd, message);
    if (type == RECORD_APPLICATION_DATA) return;
    const struct iovec *first = message->msg_iov;
    const bool ends = type == RECORD_ALERT && bytes == 2 && first->iov_len >= 2 &&
                      ((const uint8_t *)first->iov_base)[1] == ALERT_CLOSE_NOTIFY;
    hook->came = ends ? IO_END : IO_NO_DATA;
}
