/*
 * C functions of the program itself led elsewhere: what interposition cannot reach, since the program calls them directly. For one
 * thread, at start-up, before they can run.
 */
#ifndef PATCH_FUNCTION_H
#define PATCH_FUNCTION_H

#include <stddef.h>
#include <stdint.h>

struct patch_function {
    uintptr_t at; /* the function */
    size_t
        size; /* of its code, as its symbol says: all of it is read, to see that nothing jumps to where the jump will be */
    uintptr_t to;   /* what is called in its stead, with the same arguments; anywhere in memory */
    uintptr_t real; /* out: calls what was there */
};
/*
 * All of them, or none: NULL, or why not, a constant text, and *failed is the index of the function that it is about (if it is
 * about one). They lie within 2 GB of each other. The code that is made stays for the life of the process. `real` is filled in
 * before the first byte is changed, so `to` may be called at once.
 */
const char *patch_functions(struct patch_function *, size_t count, size_t *failed);

#endif
