/* What the files of probes share. Everything here runs inside the program's goroutines (golang.h). */
#ifndef GOLANG_PROBE_H
#define GOLANG_PROBE_H

#include "golang/golang.h"
#include "track/managed.h"

static inline uint64_t probe_goid(const struct golang_registers *r) {
    return golang_goid(r->g);
}
static inline struct managed_worker *probe_self(const struct golang_registers *r) {
    return managed_worker_get(probe_goid(r));
}
/* How deep the goroutine's stack is: the same at a function's entry and return, also when the stack was moved in between. */
uint64_t probe_depth(const struct golang_registers *);

/* A string of the program's at an address. */
static inline struct managed_text probe_text(uint64_t at) {
    const uint64_t *s = (const uint64_t *)at;
    return (struct managed_text){(const char *)s[0], s[1]};
}

/* Sees to it that the modules of code outside the executable (plugins) are in the trace. */
void golang_know(void *const *pcs, uint32_t count);
/* The goroutine's stack from the caller of the patched function on, as a stack of the trace; 0: none. */
uint32_t golang_stack(const struct golang_registers *);
/* The same, quicker if it is the one that this goroutine had before. */
uint32_t golang_stack_again(const struct golang_registers *, struct managed_worker *);

struct probe_transport { /* what a net.Conn comes down to */
    uint64_t
        key; /* address of its net.netFD, or of what is behind a net.Conn that we cannot look into */
    int fd;  /* -1: not known */
    bool socket; /* it is a net.netFD: its Close is seen */
    bool closed;
};
struct probe_transport probe_transport_of(uint64_t itab, uint64_t data);

/* Whether an error is io.EOF. */
bool probe_is_eof(uint64_t itab, uint64_t data);
/* Whether it says that the other side or the network failed; else it is the program that gave up. */
bool probe_is_network(uint64_t itab, uint64_t data);

/* A field of an http.Header (its address, 0: none): its first value; false: it is not there. The name in its canonical form. */
bool probe_field(uint64_t header, const char *name, struct managed_text *value);
/* What kind of body the header of a response announces. */
enum managed_media probe_media(uint64_t header);

/* Method, path and host of a request. */
struct probe_request {
    int32_t method, url, host; /* offsets */
};
void probe_request_of(struct managed_request *, uint64_t request, const struct probe_request *);

void probe_read_begin(const struct golang_registers *, uint64_t handle);
void probe_read_end(const struct golang_registers *);

#endif
