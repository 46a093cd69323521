/*
 * Inside the machine that makes a Go program followed: the steps of golang_start. All of it runs once, in the only thread there
 * is. What a step refuses it says with words_refuse. Nothing that is read from the program is trusted: the
 * executable may be damaged.
 */
#ifndef GOLANG_ENGINE_H
#define GOLANG_ENGINE_H

#include "golang/golang.h"

/* ---- program.c: what the program headers lead to ---- */

enum { PROGRAM_SEGMENTS = 16 };
struct program_segment { /* in memory, from the file */
    uintptr_t start, end;
    bool writable, executable;
};
struct program {
    struct program_segment segments[PROGRAM_SEGMENTS];
    size_t count;
    uintptr_t bias;
};
/* Cheap, for all programs: whether the linker left Go's note or build information at the usual places. */
bool program_is_go(const struct golang_start *);
/* Fills the segments and golang_program.version and .minor; false: refused. */
bool program_read(struct program *, const struct golang_start *);
/* The segment that contains all of [start, start + size); NULL: none. */
const struct program_segment *program_segment_of(const struct program *, uintptr_t start,
                                                 size_t size);

/* ---- pclntab.c: the table of functions (runtime/symtab.go, cmd/link/internal/ld/pcln.go) ---- */

struct pclntab {
    const uint8_t *base;      /* the header */
    const char *names;        /* NUL-terminated, one after the other */
    const uint8_t *pc_data;   /* tables of values by program counter */
    const uint8_t *functions; /* entry and record offsets, then the records */
    size_t names_size, pc_data_size, functions_size;
    size_t count;
    size_t record_size; /* of a function's fixed part */
    uintptr_t
        text; /* functions' entries count from here; 0 until the module data is read, as these: */
    uintptr_t data, data_end; /* what the linker calls go:func.*: functions' data count from here */
};
struct pclntab_function {
    uintptr_t entry, end; /* in memory; end: where the next function begins */
    uint32_t stack;       /* offset of its table of stack depths */
    uint32_t name;        /* offset of its name; 0: the program knows no such name */
};
/* False: refused. */
bool pclntab_find(struct pclntab *, const struct program *);
/* Whether a function of that name is there, or is inlined somewhere. */
bool pclntab_has(const struct pclntab *, const char *name);
/*
 * Looks for several functions at once. found[i]: how many there are of names[i], generated wrappers left out, and functions[i] the
 * last of them; if there is none only its name is filled in, which may be that of a function that was inlined wherever it is called.
 * False: the table contradicts itself, refused.
 */
bool pclntab_functions(const struct pclntab *, const char *const *names, size_t count,
                       struct pclntab_function *functions, uint8_t *found);
const uint8_t *pclntab_record(const struct pclntab *, size_t index); /* NULL: damaged */
bool pclntab_is_wrapper(const struct pclntab *, const uint8_t *record);
/* The index of a name (by its offset, 0: none) whose function was inlined into another one, generated wrappers left out; -1: none. */
long pclntab_inlined(const struct pclntab *, const uint32_t *names, size_t count);
/*
 * The depth of the stack by program counter, as the function pushes and pops: from the offset *pc on (0 at first) the depth is
 * *depth, until *until. False: no more, or damaged.
 */
struct pclntab_depths {
    const uint8_t *at, *end;
    uint32_t from, until; /* offsets in the function */
    int32_t depth;
    bool first;
};
struct pclntab_depths pclntab_depths_of(const struct pclntab *, const struct pclntab_function *);
bool pclntab_depth_next(struct pclntab_depths *);

/* ---- module.c: runtime.firstmoduledata ---- */

/* Finds it, checks it against the function table, and fills pclntab->text and the addresses in golang_program. */
bool module_find(struct pclntab *, const struct program *);

/* ---- types.c ---- */

/* Fills golang_type and golang_offset, and looks at the form of maps; false: refused. */
bool types_read(void);

/* ---- map.c ---- */

/* By the descriptor of http.Header, 0: not there; false: refused. */
bool map_read(uint64_t type);

/* ---- install.c ---- */

/* Checks every hook, then places all of them; false: refused, nothing is changed. */
bool install_hooks(const struct pclntab *, const struct program *);

/* ---- release.c: what differs from release to release and is in no descriptor ---- */

struct release {
    uint8_t wrapper; /* the function id of generated code (internal/abi.FuncIDWrapper) */
    uint8_t types, etypes, data; /* words of the module data: types, etypes, gofunc */
};
/* Of golang_program.minor; of the newest one if that is not known. */
const struct release *release_of_program(void);

#endif
