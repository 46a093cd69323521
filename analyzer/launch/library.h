/* The recorder: where it is, and the environment that puts it into a command. */
#ifndef HTTPLEAK_LIBRARY_H
#define HTTPLEAK_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#define LIBRARY_NAME "libhttpleak.so"

/*
 * The recorder's absolute path: beside this program (a build directory), or in ../lib/httpleak or
 * ../lib from there (an installation). malloc'ed; NULL with one line in `error`.
 */
char *library_find(char *error, size_t size);

/*
 * Puts the recorder into LD_PRELOAD of this process, before what is there, and the trace template
 * `DIR/httpleak.%e.%p.trace` into HTTPLEAK_OPTIONS after what the user wrote, unless the user named
 * a place. The loader splits LD_PRELOAD at spaces and colons; a path with one gets a link below
 * `directory`. False with one line in `error`.
 */
bool library_export(const char *library, const char *directory, char *error, size_t size);

/*
 * What HTTPLEAK_OPTIONS says for a key (the last one counts), without its quotes; malloc'ed; NULL:
 * nothing.
 */
char *library_option(const char *key);

#endif
