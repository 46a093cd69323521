/*
 * The Ruby stack, MRI 2.5 to 3.4, through what it exports for profilers: rb_profile_frames and its kin allocate nothing and take no
 * lock; stackprof calls them in signal handlers. Called in a Ruby thread only, and never while the garbage collector runs, which
 * may be moving what they look at.
 */
#ifndef INTERPRETER_RUBY_H
#define INTERPRETER_RUBY_H

#include "record/image.h"
#include "record/interpreter/frame.h"

struct ruby {
    bool length_first; /* from 3.2 a String's length is a field of its own */
    int (*frames)(int start, int most, uintptr_t *frames, int *lines); /* rb_profile_frames */
    uintptr_t (*path)(uintptr_t frame);                                /* rb_profile_frame_path */
    uintptr_t (*label)(uintptr_t frame);                               /* rb_profile_frame_label */
    int (*is_thread)(void);                                            /* ruby_native_thread_p */
    int (*collecting)(void);                                           /* rb_during_gc */
};

bool ruby_find(struct ruby *, const struct image *module);
/* As python_frames. Only in a thread whose native stack leads through Ruby. */
uint32_t ruby_frames(const struct ruby *, void **counters, uint32_t most);

#endif
