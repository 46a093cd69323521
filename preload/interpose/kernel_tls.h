/* What message.c needs to know of TLS that the kernel does. */
#ifndef INTERPOSE_KERNEL_TLS_H
#define INTERPOSE_KERNEL_TLS_H

#include <stdbool.h>
#include <sys/socket.h>

/* Before a sendmsg, after a recvmsg on a descriptor of ours: the message is a TLS record of its own kind (alert, handshake). */
bool kernel_tls_is_control(int fd, const struct msghdr *);

#endif
