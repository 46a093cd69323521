/*
 * The JavaScript stack of the calling thread in Node 16 to 24, as V8 tells it by its public API (include/v8-debug.h).
 *
 * V8 makes objects for the answer, which it may do wherever the program's C++ may: so it is asked only between javascript_enter and
 * javascript_leave, which stand around functions that Node calls with V8's permission (interpose/node.c), never in a signal
 * handler, in the collector, or on a thread that runs no isolate. No JavaScript runs for it.
 */
#ifndef INTERPRETER_JAVASCRIPT_H
#define INTERPRETER_JAVASCRIPT_H

#include "record/image.h"
#include "record/interpreter/frame.h"

struct
    javascript { /* functions that the executable exports; a v8::Local is passed as one word, 0: empty */
    void *(*isolate)(void);
    bool (*in_context)(void *isolate);
    void (*scope_begin)(void *scope, void *isolate);
    void (*scope_end)(void *scope);
    uintptr_t (*trace)(void *isolate, int most, int options);
    int (*count)(uintptr_t trace);
    uintptr_t (*frame)(uintptr_t trace, void *isolate, uint32_t index);
    uint64_t (*location)(
        uintptr_t frame); /* line and column, from 0 on; NULL: the next two are there */
    int (*line)(uintptr_t frame), (*column)(uintptr_t frame);
    int (*script_id)(uintptr_t frame);
    uintptr_t (*script)(uintptr_t frame), (*function)(uintptr_t frame);
    int (*write)(uintptr_t string, void *isolate, char *bytes, int most, int *units, int options);
};

/* Is the module V8, of a version whose API is known? */
bool javascript_find(struct javascript *, const struct image *module);
/* As python_frames; 0 outside of enter and leave. */
uint32_t javascript_frames(const struct javascript *, void **counters, uint32_t most);
void javascript_enter(void);
void javascript_leave(void);

/* Whether one of the frames is the program's own: a script that is none of Node's. */
bool javascript_is_own(void *const *pcs, uint32_t n);
/* Whether one of them is that function of that script. */
bool javascript_runs(void *const *pcs, uint32_t n, const char *script, const char *function);

#endif
