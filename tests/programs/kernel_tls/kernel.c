/* Stands for a kernel with TLS in it, where there is none: a preload behind the recorder that grants the keys and marks records. */
#include <dlfcn.h>
#include <string.h>
#include <sys/socket.h>

#define LEVEL_TLS 282
#define GET_RECORD_TYPE 2
#define RECORD_HANDSHAKE 22

int setsockopt(int fd, int level, int option, const void *value, socklen_t size) {
    int (*next)(int, int, int, const void *, socklen_t);
    if (level == LEVEL_TLS) return 0;
    *(void **)&next = dlsym(RTLD_NEXT, "setsockopt");
    return next(fd, level, option, value, size);
}

/* A record that is no application data is told by a control message. */
ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    ssize_t (*next)(int, struct msghdr *, int);
    *(void **)&next = dlsym(RTLD_NEXT, "recvmsg");
    void *control = message->msg_control;
    const size_t room = message->msg_controllen;
    const ssize_t n = next(fd, message, flags);
    if (n < 6 || memcmp(message->msg_iov[0].iov_base, "TICKET", 6) != 0 || room < CMSG_SPACE(1))
        return n;
    message->msg_control = control;
    message->msg_controllen = CMSG_SPACE(1);
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    c->cmsg_level = LEVEL_TLS;
    c->cmsg_type = GET_RECORD_TYPE;
    c->cmsg_len = CMSG_LEN(1);
    *CMSG_DATA(c) = RECORD_HANDSHAKE;
    return n;
}
