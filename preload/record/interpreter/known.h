/*
 * What was found before of frames, by a hash of all that it depends on: one comparison in place of tables and names. Lock-free and
 * signal safe; a value is never torn, since the two words of an entry must agree.
 */
#ifndef INTERPRETER_KNOWN_H
#define INTERPRETER_KNOWN_H

#include "record/interpreter/frame.h"

uint64_t known_hash(uint64_t hash, uint64_t value);
uint64_t known_bytes(uint64_t hash, struct frame_text bytes);
uint64_t known_find(uint64_t hash);             /* 0: nothing */
void known_keep(uint64_t hash, uint64_t value); /* not 0 */

#endif
