/*
 * TLS libraries inside the executable (Node, programs linked with libssl.a): no call of theirs goes through a symbol table, so
 * their functions are patched in place and lead to the same wrappers.
 */
#ifndef INTERPOSE_CARRIED_H
#define INTERPOSE_CARRIED_H

#include <link.h>
#include <stdbool.h>
#include <stdint.h>

#include "interpose/tls_real.h"

/*
 * From the constructor, while there is one thread: looks for OpenSSL's functions in the executable (exported ones, else those of
 * its .symtab if it is big enough to hold a TLS library) and patches all that it has or none. library: the recorder's own.
 */
void carried_init(const struct link_map *program, const ElfW(Phdr) * headers, size_t count,
                  const struct link_map *library);

/* For a caller inside the executable: the carried function of that name; false: it carries none, or not that one. */
bool carried_find(struct tls_real *, const struct tls_flavor *, const char *name, uintptr_t caller);
/* What to call in place of a function's patched entry; other functions as they are. */
void *carried_original(void *function);

#endif
