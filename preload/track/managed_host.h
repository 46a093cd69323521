/* Names of hosts and peers for managed connections. */
#ifndef TRACK_MANAGED_HOST_H
#define TRACK_MANAGED_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "track/managed.h"

struct managed_peer {
    uint32_t name; /* string: "ip:port", "unix:PATH"; 0: not known */
    uint16_t port;
    bool local; /* a Unix socket */
};
/* Whom a socket is connected to: one system call. */
void managed_peer_of(struct managed_peer *, int fd);

/* The host to begin with: what was dialled for, else the peer's address. Also sets the port that a request's host has by default. */
uint32_t managed_host_first(struct managed_connection *, struct managed_text authority);
/* The host of a request's authority; that of the one before is remembered. */
uint32_t managed_host_of(struct managed_connection *, struct managed_text authority);

#endif
