/* Who waits for which connection to become readable: poll, select and epoll sets. Signal safe,
 * errno left to the wrapper. */
#ifndef TRACK_WAIT_H
#define TRACK_WAIT_H

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "track/connection.h"

/* begin: marks the tracked ones among the fds that are asked for reading; true if there was one
 * (then call end). */
bool wait_poll_begin(const struct pollfd *, nfds_t);
void wait_poll_end(const struct pollfd *, nfds_t, int result);
bool wait_select_begin(int nfds, const fd_set *readable, const fd_set *writable);
void wait_select_end(int nfds, const fd_set *readable, const fd_set *writable, int result);

/* epoll: sets that hold a tracked connection are known by their fd. */
void wait_epoll_ctl(int epfd, int op, int fd, const struct epoll_event *); /* after it succeeded */
/* The same for a fd that is no connection (yet): nginx and others register a socket before they
 * connect it. */
void wait_epoll_early(int epfd, int op, int fd, const struct epoll_event *);
/* A connection was made of fd: what was registered for it early is its interest now. */
void wait_epoll_adopt(int fd);
/* A new socket has that number: nothing is registered for it. */
void wait_epoll_forget(int fd);
bool wait_epoll_begin(int epfd); /* true: call end */
void wait_epoll_end(int epfd);
/* The set's fd is gone (called by connection_fd_closing for FD_EPOLL entries). */
void wait_epoll_closed(uint64_t entry);
void wait_after_fork(void);

#endif
