/*
 * One module's file as libdw sees it: found by path and build id, asked for the frames of one
 * address.
 */
#ifndef HTTPLEAK_IMAGE_H
#define HTTPLEAK_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbol/symbol.h"

struct image;

struct image_frame {
    char *function;       /* malloc'ed or NULL */
    char *file;           /* malloc'ed, absolute where the compiler said so, or NULL */
    const char *language; /* static; NULL if unknown */
    int line;
    bool library; /* its language's standard library, though in the user's module */
};

enum { IMAGE_FRAMES_MAX = 32 }; /* deepest chain of inlined calls that is shown for one address */

/*
 * Opens the file of a module, or the debug file of the same build id. Never fails: an image that
 * could not be opened names nothing and has a hint. NULL only when out of memory.
 */
struct image *image_open(const struct symbol_module *module, bool debuginfod);
void image_close(struct image *image);

/* Why there are no names (a static string), NULL if there may be some. */
const char *image_hint(const struct image *image);

/*
 * The frames at an address of the file, innermost inlined one first, by the table that Go programs
 * carry, else by DWARF, else by symbols; the caller frees their strings. Returns how many, 0 if nothing is known of that address.
 */
size_t image_lookup(struct image *image, uint64_t address,
                    struct image_frame frames[IMAGE_FRAMES_MAX]);

#endif
