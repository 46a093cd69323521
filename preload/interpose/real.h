/*
 * The real functions behind the interposed names: one table, filled when a name is first called.
 *
 * REAL(name)(...) may be used at any moment, from any thread, from signal handlers, after fork, and
 * before the recorder's own constructor or even relocations: names are looked up in the hash tables
 * of the loaded modules, without a lock, without libc.
 */
#ifndef INTERPOSE_REAL_H
#define INTERPOSE_REAL_H

#include <link.h>
#include <stdbool.h>

#include "interpose/prototypes.h"

#define HTTPLEAK_EXPORT __attribute__((visibility("default")))

enum real_id {
#define NAME(symbol, group, nr) REAL_ID_##symbol,
#include "interpose/names.def"
#undef NAME
    REAL_ID_COUNT
};

#define REAL_FIELD_fd(symbol) __typeof__(symbol) *symbol##_;
#define REAL_FIELD_io(symbol) REAL_FIELD_fd(symbol)
#define REAL_FIELD_wait(symbol) REAL_FIELD_fd(symbol)
#define REAL_FIELD_stdio(symbol) REAL_FIELD_fd(symbol)
#define REAL_FIELD_thread(symbol) REAL_FIELD_fd(symbol)
#define REAL_FIELD_process(symbol) REAL_FIELD_fd(symbol)
#define REAL_FIELD_library(symbol) REAL_FIELD_fd(symbol)
#define REAL_FIELD_openssl(symbol)
#define REAL_FIELD_gnutls(symbol)
#define REAL_FIELD_curl(symbol)
struct real_table {
#define NAME(symbol, group, nr) REAL_FIELD_##group(symbol)
#include "interpose/names.def"
#undef NAME
};
extern struct real_table real __attribute__((visibility("hidden")));

#define REAL(symbol)                                                                               \
    (__builtin_expect(real.symbol##_ != 0, 1)                                                      \
         ? real.symbol##_                                                                          \
         : (__typeof__(symbol) *)real_resolve(REAL_ID_##symbol))

#define IS_BOUND(symbol) __builtin_expect(real.symbol##_ != 0, 1)

/* Finds the next definition of the name after the recorder and remembers it. Never NULL: what is
 * nowhere fails with -1. */
void *real_resolve(enum real_id);
/* From the constructor, with the program's own headers: learns which modules the program started
 * with. */
void real_init(const ElfW(Phdr) *, size_t count);
/* The loader's records of the program and of the recorder; NULL: not known, or before real_init. */
const struct link_map *real_program_map(void);
const struct link_map *real_recorder_map(void);
/* Path of the recorder itself, as the loader knows it; "" when unknown. */
const char *real_library_path(void);

#endif
