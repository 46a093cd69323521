/*
 * Names for addresses: function, file, line and inlined frames, found offline: in Go programs by the table that these carry,
 * stripped or not, else with elfutils libdw.
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
struct arena;

struct symbol_options {
    /* ask the servers in DEBUGINFOD_URLS for debug information that is not on this machine */
    bool debuginfod;
    /* map source files to their longest ending that exists below it; NULL: leave them */
    const char *source_root;
};

/*
 * Whose code a module is. A report's stack starts at the first USER frame; else at the first one in the
 * language of an interpreter, else INTERPRETER.
 */
enum symbol_kind {
    SYMBOL_USER,        /* the program's own code, and any library not in the table of kind.c */
    SYMBOL_INTERPRETER, /* python3, perl, ruby, php, node, java...: runs the user's code */
    SYMBOL_CLIENT,      /* TLS and HTTP client libraries */
    SYMBOL_SYSTEM, /* libc, the loader, the language runtimes, the vDSO; in Go programs, Go's library */
    SYMBOL_RECORDER, /* libhttpleak.so */
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
    /* interpreted code, which the recorder has named: then only these count */
    uint32_t language; /* enum trace_language; 0: native */
    uint32_t line;     /* 0: unknown */
    /* as the interpreter calls it: a path, "<string>", "node:net"...; of Java below the source root, without a line the class */
    const char *file;
    const char *function; /* of Java with its class */
};

struct symbol_frame {
    const char *module;   /* path as in the trace, never NULL; "" when in no known module; of
                             interpreted code its file */
    const char *build_id; /* lower-case hex, "" if none */
    uint64_t offset;      /* the address in the module's file as the trace has it (not minus 1) */
    const char *function; /* demangled; NULL if unknown */
    const char *file;     /* NULL if unknown */
    int line;             /* 0 if unknown */
    const char *language; /* "c", "c++", "rust"...; "native" if unknown; never NULL */
    bool interpreted;     /* named by the recorder, in the language of an interpreter */
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
 * interpreted one, else the first INTERPRETER one, else 0. Pure.
 */
size_t symbol_first_user(const struct symbol_frame *frames, size_t count);

/* Source that was compiled into the user's module and is not the user's: Rust's own library, crates of a registry. Pure. */
bool symbol_source_is_library(const char *file);

/* Classifies a module by its path alone (soname patterns, one table) and its trace flags. Pure. */
enum symbol_kind symbol_module_kind(const char *path, uint32_t flags);

/* script.c: what stands for the module of interpreted code: its file, of Java its class. In the arena, or the address's own. */
const char *symbol_script_module(struct arena *arena, const struct symbol_address *address);
/*
 * The same for interpreted code, by that module: what came with the interpreter and what a package manager installed is a
 * library (SYMBOL_CLIENT). Pure.
 */
enum symbol_kind symbol_script_kind(uint32_t language, const char *module);
/*
 * A program that was installed as a package has none of its code in places of the user's, but for the few lines
 * that start it: then the outermost package's frames are the user's. Changes kinds in place.
 */
void symbol_find_program(struct symbol_frame *frames, size_t count);
/* What makes an interpreter (base name of its module) name the code that it runs, as a sentence; NULL: nothing known. Pure. */
const char *symbol_switches(const char *interpreter);
/* "python"; NULL for native code and for numbers that stand for nothing. Pure. */
const char *symbol_language_name(uint32_t language);

/* Base name of a path: what a fingerprint uses. Pure; never NULL. */
const char *symbol_base_name(const char *path);

#endif
