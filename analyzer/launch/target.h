/*
 * A command looked at without running it: which file it is, what loads it, which libraries it
 * brings.
 */
#ifndef HTTPLEAK_TARGET_H
#define HTTPLEAK_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "launch/go_program.h"

enum target_runtime {
    TARGET_NATIVE,
    TARGET_GO,
    TARGET_NODE,
    TARGET_JAVA,
    TARGET_PYTHON,
    TARGET_SCRIPTING, /* Perl, Ruby, PHP, Lua */
    TARGET_SHELL
};

/* Why a preloaded library would not reach it. */
enum target_reach {
    TARGET_REACHED,
    TARGET_STATIC,     /* no program interpreter: nothing reads LD_PRELOAD; see target_launched */
    TARGET_PRIVILEGED, /* setuid, setgid or file capabilities: the loader drops LD_PRELOAD */
    TARGET_OTHER_MACHINE, /* 32 bit, or another processor than the recorder's */
    TARGET_NO_ELF,        /* not an executable that the kernel loads itself */
};

struct target {
    int error;    /* errno if the command cannot be found or executed; then nothing below */
    char *path;   /* the executable that the kernel would start: the interpreter, for a script */
    char *script; /* the script that names it, NULL: none */
    char *loader; /* program interpreter, NULL: none */
    bool musl;
    bool privileged; /* setuid, setgid or file capabilities */
    enum target_reach reach;
    enum target_runtime runtime;
    struct go_program go; /* of TARGET_GO, and of static ones */
    char *needed[128];    /* base names of the libraries that it links with, directly or not */
    size_t needed_count;
    char *missing[8]; /* those of them that were not found */
    size_t missing_count;
    char blind[160];
};

/* Never fails but by target.error. */
void target_inspect(struct target *target, const char *command);
void target_free(struct target *target);

/*
 * One sentence for a report: why nothing of it can be seen; NULL when the recorder sees some of it.
 * Of a found target.
 */
const char *target_blind(const struct target *target);

/*
 * A static program into which `run` puts the recorder by itself: Go's, with an HTTP client in it, of a release that is followed,
 * for this machine, without more rights than ours.
 */
bool target_launched(const struct target *target);

/* The needed library whose name matches the pattern; NULL if there is none. */
const char *target_needs(const struct target *target, const char *pattern);

/*
 * The executable itself has OpenSSL or BoringSSL in it, with the names by which the recorder finds them
 * (preload/interpose/carried.c).
 */
bool target_carries_openssl(const struct target *target);

#endif
