/*
 * The real functions of TLS libraries. Unlike those of libc they are looked up by who calls: libssl
 * is often loaded with local scope (Python, Perl), and a process may hold several copies of it.
 */
#ifndef INTERPOSE_TLS_REAL_H
#define INTERPOSE_TLS_REAL_H

#include <stdbool.h>
#include <stdint.h>

#include "track/tls.h"

#define TLS_GETTERS 8

/* A kind of TLS library: what we ask it ourselves. */
struct tls_flavor {
    struct tls_library library; /* its functions get the struct tls_module that they are in */
    const char *marker; /* who exports a name of ours, but not this one, is no TLS library but
                           another preload */
    const char *getters[TLS_GETTERS]; /* NULL: no more */
};

/* A loaded library of that kind. */
struct tls_module {
    struct tls_library library; /* first: what its functions are given points here */
    const struct tls_flavor *flavor;
    uintptr_t start, end;
    void *getters[TLS_GETTERS]; /* as the flavor names them; NULL: it has none */
    uint32_t state;
};

struct tls_real {
    void *function;
    const struct tls_module *module; /* NULL: nothing to be asked */
    bool from_library;               /* the caller is the library itself */
    bool carried; /* the caller is the executable that carries it, or the library in there */
};

/*
 * The function called name that caller (a return address) would have been bound to without us;
 * false: nobody defines it. name must be a string of static storage, always the same one. 5 ns when
 * the call site is known; else it looks through the loaded modules, without malloc and without the
 * loader's main lock.
 */
bool tls_real_find(struct tls_real *, const struct tls_flavor *, const char *name,
                   const void *caller);
/* dlclose happened. */
void tls_real_flush(void);

#endif
