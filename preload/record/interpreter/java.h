/*
 * The Java stack of the calling thread, HotSpot of JDK 8 to 28 on x86-64.
 *
 * Nothing of the JVM's is called but GetEnv, which looks at the thread's own storage: no transition of the thread's state, so no
 * safepoint is waited for, and a thread in any state may be asked. Where everything lies is what libjvm.so exports for its own
 * serviceability agent (gHotSpotVMStructs): frame anchors, code cache, debug information of compiled code, methods and their
 * tables of lines. A thread's frames change only by that thread while it is outside of Java code, where our wrappers are called;
 * they keep their methods and their compiled code. Objects of the Java heap are never looked at. Nothing is believed: every
 * pointer is checked (memory.h), every name by its tag in the constant pool, every place in the code by that code's size.
 */
#ifndef INTERPRETER_JAVA_H
#define INTERPRETER_JAVA_H

#include "record/image.h"
#include "record/interpreter/frame.h"
#include "record/interpreter/memory.h"

#define JAVA_NOWHERE UINT32_MAX /* of an offset: this version has no such field */

struct java_layout { /* offsets and sizes; of what is static, addresses (0: not there) */
    uint32_t thread_anchor, thread_os, thread_stack_base, thread_stack_size, thread_bytes;
    uint32_t os_pthread, os_thread_id;
    uint32_t anchor_sp, anchor_fp, anchor_pc, wrapper_anchor;
    uint32_t array_length, array_data; /* of a GrowableArray */
    uint32_t heap_memory, heap_segments, heap_log2, space_low, space_high;
    uint32_t block_used, block_bytes;
    uint32_t stubs_start, stubs_limit;
    uint32_t blob_name, blob_frame_size, blob_code, blob_code_offset; /* one of the last two */
    uint32_t blob_mutable, blob_mutable_size, blob_relocation_size;   /* from JDK 25 on */
    uint32_t compiled_method, compiled_number, compiled_original_pc;
    uint32_t compiled_immutable; /* from JDK 23 on, where it holds places and scopes */
    uint32_t compiled_places, compiled_places_end, compiled_scopes, compiled_scopes_offset;
    uint32_t compiled_metadata;
    uint32_t place_offset, place_scope, place_bytes; /* PcDesc */
    uint32_t method_const;
    uint32_t const_pool, const_flags, const_code_size, const_name, const_bytes;
    uint32_t pool_tags, pool_holder, pool_length, pool_source, pool_bytes;
    uint32_t class_name, class_source; /* class_source or pool_source */
    uint32_t symbol_length, symbol_bytes;
    uintptr_t heap, heaps, interpreter, call_stub_return;
};

struct java {
    uintptr_t start, end; /* libjvm.so */
    const uint8_t *structs;
    struct java_layout layout;
    const uint8_t *
        jdk; /* its number, where it says so; else HotSpot's is the same (JDK 8's calls itself 25) */
    const int32_t *hotspot;
    int32_t (*created)(void **vms, int32_t most,
                       int32_t *count); /* JNI_GetCreatedJavaVMs: reads only */
};

/* java_layout.c: is the module HotSpot, of a version whose tables say all that is needed? */
bool java_find(struct java *, const struct image *module, uintptr_t start, uintptr_t end);
/* As python_frames. Threads that the JVM does not know, and its own, have none. */
uint32_t java_frames(const struct java *, void **counters, uint32_t most);
/* Whether pc lies in libjvm.so or in code that it made. */
bool java_holds(const struct java *, uintptr_t pc);

/* ---- the parts ---- */

struct java_walk {
    const struct java *java;
    struct memory memory;
    uint32_t version; /* of the JDK */
    void **counters;
    uint32_t count, most;
};

static inline void java_add(struct java_walk *w, void *counter) {
    if (counter && w->count < w->most) w->counters[w->count++] = counter;
}

static inline bool java_word(const struct java_walk *w, uintptr_t at, uintptr_t *out) {
    return at % 8 == 0 && memory_read(&w->memory, at, out, sizeof *out);
}
static inline bool java_int(const struct java_walk *w, uintptr_t at, int32_t *out) {
    return memory_read(&w->memory, at, out, sizeof *out);
}

struct java_blob { /* a piece of code that the JVM made */
    uintptr_t at, code;
    uint32_t frame_size; /* bytes */
    bool compiled;       /* of a method */
};
/* java_code.c: whether pc lies in the code cache; the piece that it lies in. */
bool java_code_holds(const struct java_walk *, uintptr_t pc);
bool java_blob_find(const struct java_walk *, uintptr_t pc, struct java_blob *);
/* The frames of a compiled method that was called from at pc, inlined ones first. sp: its frame, where pc lies too if the
 * interpreter shall go on with it. */
void java_blob_frames(struct java_walk *, const struct java_blob *, uintptr_t pc, uintptr_t sp);

/* java_method.c: the frame's counter; NULL: it is none to be shown, or has no name. bci < 0: none, as in native methods. */
void *java_method_frame(const struct java_walk *, uintptr_t method, int32_t bci);
/* The place of bcp in its bytecode; -1: it lies elsewhere, or there is no such method. */
int32_t java_method_place(const struct java_walk *, uintptr_t method, uintptr_t bcp);

/* java_line.c, pure but for reading: a number of up to five bytes at *at, which moves on (share/utilities/unsigned5.hpp). */
bool java_number(const struct memory *, uint32_t version, uintptr_t *at, uint32_t *out);
/* The line of the bytecode at bci by the table at `at`; 0: none. code_size bounds it. */
uint32_t java_line(const struct memory *, uint32_t version, uintptr_t at, uint32_t code_size,
                   uint32_t bci);

#endif
