/*
 * Memory for code near the program's own, and the writing into its text. For one thread, at start-up, before the code that is
 * written to can run.
 */
#ifndef PATCH_ROOM_H
#define PATCH_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that are written until it is sealed, executed from then on; never both. */
struct patch_room {
    uint8_t *start; /* NULL: none */
    size_t size, used;
};
/* All of it can be reached from all of [low, high), and back, with 32-bit distances. False: there is no place. */
bool patch_room_open(struct patch_room *, uintptr_t low, uintptr_t high, size_t size);
bool patch_room_seal(struct patch_room *);
void patch_room_close(struct patch_room *);

/* jmp to `to`, five bytes; false: too far. */
bool patch_put_jump(uint8_t *at, uintptr_t place, uintptr_t to);

struct patch_write {
    uint8_t *at;
    uintptr_t to; /* where the jump that is written there leads */
};
/*
 * Writes all the jumps or none; the pages are writable only meanwhile, and not executable then. NULL, or why none was written.
 * What is there becomes readable and executable, whatever it was.
 */
const char *patch_write_all(const struct patch_write *, size_t count);

#endif
