/*
 * Go programs from inside: what the machine that finds, checks and patches (start.c and below) and the probes (probe_*.c) say to
 * each other.
 *
 * Everything here that may run after golang_start runs inside the program's goroutines, on the stack of m.g0 or on what is left
 * of it (about 800 bytes), in programs where the thread pointer is Go's: no thread-local, no errno, no call into libc, no SSE, no
 * waiting. The same objects are linked into the blob that the launcher maps into static programs.
 */
#ifndef GOLANG_GOLANG_H
#define GOLANG_GOLANG_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GOLANG_FIRST_MINOR 19
#define GOLANG_LAST_MINOR 27

/* ---- what a probe sees ---- */

/*
 * At an ENTRY probe the arguments, at a RETURN probe the results, in Go's order (ABIInternal): ax bx cx di si r8 r9 r10 r11. At
 * both [sp] is the address of the caller's next instruction and bp the caller's frame pointer, which points to the saved frame
 * pointer of its caller; the return address above it is at bp + 8. dx is the closure of a function value (ENTRY only).
 */
struct golang_registers {
    uint64_t ax, bx, cx, di, si, r8, r9, r10, r11, dx;
    uint64_t g; /* the current goroutine, g0 or gsignal included */
    uint64_t sp;
    uint64_t bp;
    uint64_t m; /* g.m, never 0 */
};
/* May not change the registers. Must return. */
typedef void golang_probe(const struct golang_registers *);

enum golang_site { GOLANG_ENTRY, GOLANG_RETURN };
/*
 * REQUIRED: without it nothing is patched. OPTIONAL: the linker may have dropped the function; if it is there it must pass. EXTRA:
 * the same, but where the compiler has inlined it (by a profile) its calls are missed, which costs what the row says and no more.
 */
enum golang_need { GOLANG_OPTIONAL, GOLANG_REQUIRED, GOLANG_EXTRA };

#define GOLANG_HOOK(id, name, site, probe, first, last, need) golang_probe probe;
#include "golang/hooks.def"
#undef GOLANG_HOOK

enum golang_hook_id {
#define GOLANG_HOOK(id, name, site, probe, first, last, need) GOLANG_HOOK_##id,
#include "golang/hooks.def"
#undef GOLANG_HOOK
    GOLANG_HOOKS
};
/* How many places of a hook were patched (a function has several returns); 0: the function is not in this program. */
extern uint8_t golang_hook_sites[GOLANG_HOOKS + 1];

/* ---- struct fields and types: offsets.def ---- */

/* In bytes; -1: this release has no such field (or the type is not in the program). */
struct golang_offsets {
#define GOLANG_TYPE(id, path, name)
#define GOLANG_OFFSET(id, type, field, need, ...) int32_t id;
#include "golang/offsets.def"
#undef GOLANG_TYPE
#undef GOLANG_OFFSET
    int32_t end;
};
extern struct golang_offsets golang_offset;

/* Addresses of the descriptors of struct types; 0: not in the program. */
struct golang_types {
#define GOLANG_TYPE(id, path, name) uint64_t id;
#define GOLANG_OFFSET(id, type, field, need, ...)
#include "golang/offsets.def"
#undef GOLANG_TYPE
#undef GOLANG_OFFSET
    uint64_t end;
};
extern struct golang_types golang_type;

/* The dynamic type (a descriptor's address) behind the first word of a non-empty interface; 0 for nil. */
static inline uint64_t golang_itab_type(uint64_t itab) {
    return itab ? ((const uint64_t *)itab)[1] : 0;
}
/* Whether the interface holds a pointer to that struct type; false for type 0. */
bool golang_itab_points_to(uint64_t itab, uint64_t struct_type);
/* The same, quicker for the one that it was last: itabs are few, and stay where they are. */
static inline bool golang_itab_is(uint64_t itab, uint64_t struct_type, uint64_t *last) {
    if (itab && __atomic_load_n(last, __ATOMIC_RELAXED) == itab) return true;
    if (!golang_itab_points_to(itab, struct_type)) return false;
    __atomic_store_n(last, itab, __ATOMIC_RELAXED);
    return true;
}
/* "*http.gzipReader": not terminated, in the program's memory; NULL when it cannot be told. */
const char *golang_type_name(uint64_t type, size_t *length);
/*
 * Of an interface that holds a pointer to a struct: the two words of the interface that the struct embeds under its own name
 * ("Conn" of net.Conn). False: it does not.
 */
bool golang_embedded(uint64_t itab, uint64_t data, uint64_t words[2]);
/* Field of a struct: the eight bytes at its offset. */
static inline uint64_t golang_word(uint64_t object, int32_t offset) {
    return *(const uint64_t *)(object + (uint64_t)(int64_t)offset);
}
static inline uint64_t golang_goid(uint64_t g) {
    return golang_word(g, golang_offset.g_goid);
}
/* The runtime itself is at work (g0, or gsignal inside a signal handler), no user's goroutine. */
static inline bool golang_is_system(const struct golang_registers *r) {
    return golang_word(r->m, golang_offset.m_curg) != r->g;
}

/* ---- the program ---- */

enum golang_state {              /* as enum trace_go */
                    GOLANG_NONE, /* no Go program, or none that uses net/http's client */
                    GOLANG_FOLLOWED,
                    GOLANG_BLIND, /* it does, and nothing was patched: reason says why */
};

struct golang_program {
    enum golang_state state;
    uint32_t minor;            /* 22 of go1.22.12; 0: unknown */
    char version[32];          /* "go1.22.12" */
    char blind_reason[160];    /* BLIND; NUL terminated, ASCII */
    const Elf64_Phdr *headers; /* the executable's */
    size_t header_count;
    uintptr_t bias;          /* address in memory minus address in the file's headers */
    uintptr_t text, etext;   /* Go's own code, in memory */
    uintptr_t types, etypes; /* type descriptors, in memory */
    uintptr_t pclntab;       /* in memory */
    uintptr_t stubs;         /* our code near the text; 0: none */
    size_t stubs_size;
};
extern struct golang_program golang_program;

struct golang_start { /* the main executable, as the kernel mapped it, relocated */
    const Elf64_Phdr *headers;
    size_t header_count;
    uintptr_t bias;
};
/*
 * Finds, checks and patches; before the program has a second thread and before its Go runtime runs. True: it is followed. Quick
 * for programs that are not Go (nothing but the program headers and one note are looked at). At most some milliseconds else.
 * When the state is BLIND, golang_blind has been called.
 */
bool golang_start(const struct golang_start *);
/* By the probes' side: a Go program with net/http will not be followed, golang_program says why. */
void golang_blind(void);
/* By the probes' side: hooks are about to be placed, tables may be made. False: leave it (blind_reason was set). */
bool golang_prepare(void);

#endif
