/*
 * The Python stack of the calling thread, CPython 3.8 to 3.13, read out of the interpreter's own frames.
 *
 * No lock is taken, the GIL neither, and no reference count is touched: the frames of a thread change only by that thread, and
 * keep their code objects alive. Layouts: CPython's Include/cpython and Include/internal of each version. Nothing is believed:
 * every pointer is checked (memory.h), every object by its type, and the first lines that are found are compared with what the
 * interpreter itself says; a build that is none of these versions gives no frames at all.
 */
#ifndef INTERPRETER_PYTHON_H
#define INTERPRETER_PYTHON_H

#include "record/image.h"
#include "record/interpreter/frame.h"
#include "record/interpreter/memory.h"

struct python_layout {
    uint16_t version;      /* 0x0308 and so on */
    uint16_t thread_frame; /* PyThreadState: the innermost frame, or where to find it */
    uint16_t cframe_frame; /* 3.11, 3.12: in the structure that thread_frame points at */
    bool by_cframe;
    uint16_t thread_id; /* PyThreadState.thread_id: the pthread_t */
    uint16_t frame_code, frame_previous;
    uint16_t frame_instruction; /* up to 3.10 an index (f_lasti), then a pointer into the code */
    uint16_t frame_owner;       /* 0: none */
    uint16_t code_file, code_name, code_line, code_table;
    uint16_t code_instructions; /* where they start; 0: frame_instruction is an index */
    uint16_t code_first_traceable;
    uint16_t instruction_size;       /* of the index */
    uint16_t text_ascii, text_other; /* where the characters of a str start */
};

struct python {
    struct python_layout layout;
    uintptr_t code_type, frame_type, text_type, bytes_type; /* addresses of the type objects */
    void *(*thread_state)(void);           /* PyGILState_GetThisThreadState: takes no lock */
    int (*line_of)(void *code, int place); /* PyCode_Addr2Line: reads only */
};

/* Is the module CPython, of a version that is known? */
bool python_find(struct python *, const struct image *module);
/* Counters (frame.h) of the calling thread's frames, innermost first; how many, 0 when it has none or they can't be read. */
uint32_t python_frames(const struct python *, void **counters, uint32_t most);

/* python_text.c: a str's characters as UTF-8, in place or in `buffer`; false: it is none. */
bool python_text(const struct python *, const struct memory *, uintptr_t object,
                 char buffer[FRAME_TEXT_MAX], struct frame_text *out);
/*
 * python_line.c: the line of the instruction at byte `place` (-1: none yet) by the code's table, as that version writes it;
 * 0: it has none. Pure.
 */
uint32_t python_line(unsigned version, const uint8_t *table, size_t size, int first_line,
                     int place);

#endif
