/* The table of owners and their stacks. */
#include "track/asker.h"

#include <string.h>

#include "record/interpreter/javascript.h"
#include "record/options.h"
#include "record/sys.h"
#include "track/flow_inside.h"

#define OWNERS 4096u
#define WINDOW 8u      /* places where an owner may be */
#define STACK_MOST 64u /* frames that are kept */

struct owner {
    uintptr_t key;  /* 0: free */
    uint32_t count; /* of pcs; 0: nobody is known to have asked */
    bool again;     /* it is for the next request, else for the connect */
    void *pcs[STACK_MOST];
};

static struct owner *owners;
const void *(*asker_tls_owner)(const void *object);

static __thread struct {
    const void *owner; /* for whom this thread works */
    const void
        *successor; /* made by Node itself to take the place of a handle that goes away next */
} own __attribute__((tls_model("initial-exec")));

static struct owner *find(const void *key) {
    const uint64_t hash = (uintptr_t)key * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    for (uint32_t i = 0; owners && key && i < WINDOW; i++) {
        struct owner *o = &owners[(hash + i) % OWNERS];
        if (__atomic_load_n(&o->key, __ATOMIC_RELAXED) == (uintptr_t)key) return o;
    }
    return NULL;
}

static struct owner *find_or_make(const void *key) {
    struct owner *o = find(key);
    const uint64_t hash = (uintptr_t)key * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    if (o || !key || (!owners && !sys_memory_once(&owners, OWNERS * sizeof *owners))) return o;
    for (uint32_t i = 0; i < WINDOW; i++) {
        uintptr_t nobody = 0;
        o = &owners[(hash + i) % OWNERS];
        if (__atomic_compare_exchange_n(&o->key, &nobody, (uintptr_t)key, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) { /* what who had it wrote is over */
            o->count = 0;
            return o;
        }
    }
    return NULL;
}

static uint32_t capture(void **pcs) {
    return stack_capture(pcs, options.stack_depth < STACK_MOST ? options.stack_depth : STACK_MOST);
}

/* Only a stack with code of the program's own tells who asked. */
static bool remember(struct owner *o, void **pcs, uint32_t n, bool again) {
    const bool known = javascript_is_own(pcs, n);
    o->count = known ? n : 0;
    o->again = again;
    if (known) memcpy(o->pcs, pcs, n * sizeof *pcs);
    return known;
}

void asker_made(const void *key) {
    void *pcs[STACK_MOST];
    struct owner *o = find_or_make(key);
    own.successor = NULL;
    if (!o) return;
    const uint32_t n = capture(pcs);
    if (!remember(o, pcs, n, false) &&
        javascript_runs(pcs, n, "node:net", "internalConnectMultiple"))
        own.successor = key;
}

void asker_closed(const void *key) {
    struct owner *o = find(key);
    struct owner *next = own.successor != key ? find(own.successor) : NULL;
    own.successor = NULL;
    if (!o) return;
    if (next && next->count == 0 && !o->again) {
        next->count = o->count;
        memcpy(next->pcs, o->pcs, o->count * sizeof *o->pcs);
    }
    __atomic_store_n(&o->key, 0, __ATOMIC_RELEASE);
}

void asker_again(const void *key) {
    void *pcs[STACK_MOST];
    struct owner *o = find_or_make(key);
    if (o) remember(o, pcs, capture(pcs), true);
}

void asker_enter(struct asker_scope *scope, const void *owner) {
    *scope = (struct asker_scope){owner, own.owner};
    own.owner = owner;
    javascript_enter();
}

void asker_leave(const struct asker_scope *scope) {
    javascript_leave();
    own.owner = scope->before;
}

static uint32_t here(bool *asked) {
    void *pcs[TRACE_STACK_DEPTH_MAX];
    const uint32_t n = trace ? stack_capture(pcs, options.stack_depth) : 0;
    *asked = javascript_is_own(pcs, n);
    return trace ? intern_frames(pcs, n) : 0;
}

uint32_t asker_connect_stack(bool *asked) {
    const struct owner *o = find(own.owner);
    own.successor = NULL;
    if (!o || o->count == 0 || o->again) return here(asked);
    *asked = true;
    return intern_frames(o->pcs, o->count);
}

/* What was asked for stays until the request was sent: a send that took nothing is tried again. */
uint32_t asker_request_stack(struct connection *c, const struct stack_caller *caller) {
    struct owner *o = find(own.owner);
    if (o && o->again) {
        c->asked_stack = intern_frames(o->pcs, o->count);
        o->again = false;
        o->count = 0;
    }
    return c->asked_stack ? c->asked_stack : stack_from(caller);
}
