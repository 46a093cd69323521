/*
 * Frames of interpreted code, named by the recorder itself and carried as program counters that no processor has.
 *
 * A frame (language, file, function, line) always gets the same counter, so stacks of them are hashed, compared and kept like
 * native ones, also before there is a trace. They live in a bounded pool of private memory, made with the first one.
 * Everything here is lock-free and signal safe.
 */
#ifndef INTERPRETER_FRAME_H
#define INTERPRETER_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "httpleak/trace.h"

#define FRAME_TEXT_MAX                                                                             \
    TRACE_STRING_MAX /* bytes of a file's or function's name; what is longer is cut */

struct frame_text { /* UTF-8 as a rule; any byte may occur */
    const char *bytes;
    size_t size;
};

/* The two upper bytes of an address that no x86-64 processor accepts. */
#define FRAME_TAG UINT64_C(0x7e57)
static inline bool frame_is(const void *pc) {
    return (uintptr_t)pc >> 48 == FRAME_TAG;
}

/* The counter that stands for a frame; NULL when the pool is full (counted as lost) or cannot be had. */
void *frame_counter(enum trace_language language, struct frame_text file,
                    struct frame_text function, uint32_t line);
/* Whether a counter (frame_is) stands for these names, whatever its line. Cheap. */
bool frame_has_names(const void *pc, struct frame_text file, struct frame_text function);
/* What a counter (frame_is) stands for. */
struct frame_names {
    enum trace_language language;
    struct frame_text file, function;
};
struct frame_names frame_names(const void *pc);
/* As the trace has it; interns the names there. */
struct trace_frame frame_for_trace(const void *pc);
/* Ids that were told before belong to another trace: a new one begins. */
void frame_reset(void);

#endif
