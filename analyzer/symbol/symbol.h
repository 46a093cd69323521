/*
 * Names for addresses: function, file, line and inlined frames, found offline with elfutils libdw.
 *
 * Addresses come from a trace and are not trusted: any value, any module path and any build id may
 * be passed. Nothing here ever uses the network unless symbol_options.debuginfod is set. Every
 * string and array that is handed out lives as long as the symbolizer. Not thread safe.
 */
#ifndef HTTPLEAK_SYMBOL_H
#define HTTPLEAK_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbolizer;

struct symbol_options {
    /* ask the servers in DEBUGINFOD_URLS for debug information that is not on this machine */
    bool debuginfod;
    /* map source files to their longest ending that exists below it; NULL: leave them */
    const char *source_root;
};

/* Whose code a module is. A report's stack starts at the first USER frame, else INTERPRETER. */
enum symbol_kind {
    SYMBOL_USER,        /* the program's own code, and any library not in the table of kind.c */
    SYMBOL_INTERPRETER, /* python3, perl, ruby, php, node, java...: runs the user's code */
    SYMBOL_CLIENT,      /* TLS and HTTP client libraries */
    SYMBOL_SYSTEM,      /* libc, the loader, the language runtimes, the vDSO */
    SYMBOL_RECORDER,    /* libhttpleak.so */
};

/* A module as the trace has it (struct trace_module); need not outlive the call. */
struct symbol_module {
    const char *path;
    const uint8_t *build_id;
    size_t build_id_size; /* 0: none known; then the file at `path` is believed */
    uint32_t flags;       /* TRACE_MODULE_* */
};

/* One frame of a stack as the trace has it. */
struct symbol_address {
    const struct symbol_module *module; /* NULL: in no known module */
    uint64_t address;                   /* in the module's file, else the pc itself */
    bool exact; /* the instruction itself; else a return address, and pc - 1 is looked up */
};

struct symbol_frame {
    const char *module;   /* path as in the trace, never NULL; "" when in no known module */
    const char *build_id; /* lower-case hex, "" if none */
    uint64_t offset;      /* the address in the module's file as the trace has it (not minus 1) */
    const char *function; /* demangled; NULL if unknown */
    const char *file;     /* NULL if unknown */
    int line;             /* 0 if unknown */
    const char *language; /* "c", "c++", "rust"...; "native" if unknown; never NULL */
    bool inlined;         /* inlined into the frame that follows */
    bool user;            /* kind == SYMBOL_USER */
    enum symbol_kind kind;
    const char *hint; /* why there is no name (the file has changed since...); NULL if there is */
};

/* NULL only when out of memory. `options` may be NULL; its strings must outlive the symbolizer. */
struct symbolizer *symbolizer_new(const struct symbol_options *options);
void symbolizer_free(struct symbolizer *symbolizer);

/*
 * Names a whole stack, innermost frame first, inlined functions expanded in place; an address that
 * cannot be named still gives one frame with module and offset. Returns the number of frames in
 * *out (0 only for count 0).
 */
size_t symbolizer_resolve(struct symbolizer *symbolizer, const struct symbol_address *stack,
                          size_t count, const struct symbol_frame **out);

/*
 * Index of the frame where the report's stack starts: the first USER one, else the first
 * INTERPRETER one, else 0. Pure.
 */
size_t symbol_first_user(const struct symbol_frame *frames, size_t count);

/* Classifies a module by its path alone (soname patterns, one table) and its trace flags. Pure. */
enum symbol_kind symbol_module_kind(const char *path, uint32_t flags);

/* Base name of a path: what a fingerprint uses. Pure; never NULL. */
const char *symbol_base_name(const char *path);

#endif
