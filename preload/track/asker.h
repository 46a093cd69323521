/*
 * Who asked for what an event loop does later: the stack that was there when a handle was made, or when a connection was given to
 * another request, kept until the connect or the request comes.
 *
 * Owners are the program's objects that stand for handles (in Node its C++ wraps), each used by one thread. They live in a bounded
 * table; who finds no place there is asked of nobody, and the stack of the call itself counts.
 */
#ifndef TRACK_ASKER_H
#define TRACK_ASKER_H

#include "record/stack_memo.h"
#include "track/connection.h"

/* A handle was made for owner, by code that is on the stack now. */
void asker_made(const void *owner);
/* It goes away; a handle that took its place a moment ago (the next address of the same host) is asked for by whoever asked for it. */
void asker_closed(const void *owner);
/* The connection of owner is given to a request of whoever is on the stack now. */
void asker_again(const void *owner);

/* Between these this thread works for owner, and its connects and requests are owner's. */
struct asker_scope {
    const void *owner, *before;
};
void asker_enter(struct asker_scope *, const void *owner);
void asker_leave(const struct asker_scope *);
/* Owners of TLS objects: set once, at start-up. */
extern const void *(*asker_tls_owner)(const void *object);
static inline void asker_enter_tls(struct asker_scope *scope, const void *object) {
    scope->owner = NULL;
    if (__builtin_expect(asker_tls_owner != NULL, 0)) asker_enter(scope, asker_tls_owner(object));
}
static inline void asker_leave_tls(const struct asker_scope *scope) {
    if (__builtin_expect(asker_tls_owner != NULL, 0)) asker_leave(scope);
}

/* The stack of a connect (asked: whether that is known to be the program's own code), and of a request that begins. */
uint32_t asker_connect_stack(bool *asked);
uint32_t asker_request_stack(struct connection *, const struct stack_caller *);

#endif
