/*
 * Lengths of x86-64 instructions, and what of them depends on where they stand: enough to move a few of them elsewhere. From the
 * opcode maps of the Intel manual, volume 2, appendix A; VEX and EVEX included. Pure functions: any thread, any signal handler.
 */
#ifndef PATCH_DECODE_H
#define PATCH_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum instruction_kind {
    INSTRUCTION_PLAIN,
    INSTRUCTION_BRANCH,   /* conditional jump to target */
    INSTRUCTION_JUMP,     /* unconditional jump to target */
    INSTRUCTION_CALL,     /* direct call of target, or an indirect one */
    INSTRUCTION_INDIRECT, /* jump by register or memory */
    INSTRUCTION_RETURN,
    INSTRUCTION_STOP, /* ud2, int3, hlt: nothing behind it is reached from here */
};

struct instruction {
    uint8_t length;
    uint8_t
        relative; /* offset of a 32-bit distance from the instruction's end (RIP-relative operand); 0: none */
    bool direct; /* target is known: BRANCH, JUMP and direct CALL */
    enum instruction_kind kind;
    int64_t target; /* from the instruction's first byte */
};

/* False: no instruction, or one that does not end within the room. */
bool instruction_decode(const uint8_t *code, size_t room, struct instruction *);

#endif
