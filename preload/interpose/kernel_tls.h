/* What message.c needs to know of TLS that the kernel does. */
#ifndef INTERPOSE_KERNEL_TLS_H
#define INTERPOSE_KERNEL_TLS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "interpose/hooks.h"

/* Before a sendmsg on a descriptor of ours: the message is a TLS record of its own kind (alert, handshake). */
bool kernel_tls_is_control(int fd, const struct msghdr *);
/* After a recvmsg that brought something. */
void kernel_tls_received(struct io_read *, int fd, const struct msghdr *, ssize_t bytes);

#endif
