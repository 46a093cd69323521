/*
 * The Perl stack of the calling thread, Perl 5.32, 5.36, 5.40 and 5.42 built with threads, as distributions build it.
 *
 * Read out of the interpreter's own context stack (cop.h), from the interpreter that the thread has under PL_thr_key: no lock, no
 * call that makes a value. Nothing is believed: every page is known to be readable (memory.h), every value and operation has the type that it
 * should, kinds are named as the tables say that Perl exports, and the first stacks are compared, frame by frame, with what
 * Perl_caller_cx answers. Another version, a build without threads or a debugger that has its own frames gives none at all.
 */
#ifndef INTERPRETER_PERL_H
#define INTERPRETER_PERL_H

#include <pthread.h>

#include "record/image.h"
#include "record/interpreter/frame.h"
#include "record/interpreter/memory.h"

struct perl_layout {
    uint8_t version;           /* 5.version */
    uint16_t statement, stack; /* struct interpreter: Icurcop, Icurstackinfo */
    uint16_t next_state;       /* the number of that kind of operation */
    bool names_in_body;        /* of a package: in the hash's body, not behind its buckets */
};

struct perl {
    struct perl_layout layout;
    uint16_t interpreter_size;
    const pthread_key_t *key; /* PL_thr_key: the thread's interpreter */
    const void *(*caller)(void *interpreter, int32_t level, const void **); /* Perl_caller_cx */
};

/* Is the module Perl, of a version and build that is known? */
bool perl_find(struct perl *, const struct image *module);
/* As python_frames. Only in a thread whose native stack leads through Perl. */
uint32_t perl_frames(const struct perl *, void **counters, uint32_t most);

/* perl_text.c: up to FRAME_TEXT_MAX bytes before a NUL; false: it can't be read, or is longer than any name. */
bool perl_string(const struct memory *, uintptr_t at, struct frame_text *out);
/* perl_text.c: a subroutine's whole name, "main::fetch", as caller() says it; false: it is no subroutine. */
bool perl_name(const struct perl *, const struct memory *, uintptr_t sub,
               char buffer[FRAME_TEXT_MAX], struct frame_text *out);
/*
 * perl_line.c: a statement is where control passed last, but those in the middle of conditions were optimized away: the one that the
 * operation belongs to, as warn and caller() find it. `next`: it is the one that comes after the operation sought.
 */
uintptr_t perl_statement(const struct perl *, const struct memory *, uintptr_t statement,
                         uintptr_t operation, bool next);
/* perl_line.c: what a statement of that interpreter's says; false: it is none. */
bool perl_place(const struct perl *, const struct memory *, uintptr_t interpreter,
                uintptr_t statement, struct frame_text *file, uint32_t *line);

static inline bool perl_load(const struct memory *m, uintptr_t at, uintptr_t *out) {
    return at % 8 == 0 && memory_read(m, at, out, sizeof *out);
}

#endif
