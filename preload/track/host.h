/* Names for addresses: what the resolver was asked, and how an authority is split. */
#ifndef TRACK_HOST_H
#define TRACK_HOST_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* getaddrinfo(node) gave this list: remember which name each address was asked under (a bounded ring, newest wins). */
void host_resolved(const char *node, const struct addrinfo *list);
/* The name last asked for that address; false: never asked (or it was the address itself). out is NUL terminated. */
bool host_name_of(const struct sockaddr *address, socklen_t address_size, char *out, unsigned size);
/* "name", "name:port", "[v6]:port" -> name length and port (0: none written). False: malformed. Brackets stay with the name's text out. */
bool host_split(const char *authority, const char **name, unsigned *name_length, uint16_t *port);

#endif
