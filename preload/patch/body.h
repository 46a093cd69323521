/*
 * The machine code of one function, read to its end: where instructions begin and where its own direct jumps lead. From that, places
 * where a jump to somewhere else can stand: whole instructions, at least five bytes, that work as well at another address, and
 * into whose middle nothing jumps.
 *
 * Reasons for a refusal are constant texts. Nothing is written to the code. For one thread, at start-up.
 */
#ifndef PATCH_BODY_H
#define PATCH_BODY_H

#include "patch/decode.h"

#define PATCH_JUMP 5u                /* jmp with a 32-bit distance */
#define PATCH_BODY_MOST (512u << 10) /* bytes of a function */

struct patch_body { /* 128 KiB: not for a stack */
    const uint8_t *code;
    size_t size;
    bool tail; /* it also leaves by a jump to another function */
    uint64_t starts[PATCH_BODY_MOST / 64], targets[PATCH_BODY_MOST / 64];
};

struct patch_site {
    const uint8_t *at;
    uint8_t length; /* of the instructions to displace */
    uint8_t last;   /* of the last one of them */
};

/* NULL, or why this cannot be read. */
const char *patch_body_read(struct patch_body *, const uint8_t *code, size_t size);
/* The instruction that begins at offset; false: none does. */
bool patch_body_at(const struct patch_body *, size_t offset, struct instruction *);
/* The instruction that ends at offset begins here; -1: none does. */
long patch_body_before(const struct patch_body *, size_t offset);
/* The next return at or after offset; -1: no more. */
long patch_body_return(const struct patch_body *, size_t offset);

/* The site that begins at offset, with at least that many bytes. NULL, or why there is none. */
const char *patch_site_from(const struct patch_body *, size_t offset, size_t least,
                            struct patch_site *);
/* The shortest site whose last instruction is the return at offset. */
const char *patch_site_return(const struct patch_body *, size_t offset, struct patch_site *);

/*
 * The same for the beginning of a C function, whose first instructions may be jumps (`if (!p) return;`, or to the function that
 * does it) and end with a call: these lead to the place that they led to, in a longer form. For patch_site_move only.
 */
const char *patch_site_begin(const struct patch_body *, struct patch_site *);
#define PATCH_MOVED_MOST 40u /* bytes: short jumps among the first five grow, and so does a call */
/* Copies all of such a site; the number of bytes at `to`, 0: out of reach. */
size_t patch_site_move(const struct patch_site *, uint8_t *to);

/* Copies the first n bytes of a site (whole instructions), so that they do at `to` what they do there. False: out of reach. */
bool patch_site_copy(const struct patch_site *, size_t n, uint8_t *to);

#endif
