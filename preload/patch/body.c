/* Reading a function's code, and choosing places for jumps in it. */
#include "patch/body.h"

static bool bit(const uint64_t *bits, size_t at) {
    return bits[at / 64] >> at % 64 & 1;
}

static void set(uint64_t *bits, size_t at) {
    bits[at / 64] |= UINT64_C(1) << at % 64;
}

const char *patch_body_read(struct patch_body *body, const uint8_t *code, size_t size) {
    if (size == 0 || size > PATCH_BODY_MOST) return "its size is not plausible";
    body->code = code;
    body->size = size;
    body->tail = false;
    for (size_t i = 0; i <= (size - 1) / 64; i++)
        body->starts[i] = body->targets[i] = 0;
    struct instruction i;
    for (size_t at = 0; at < size; at += i.length) {
        if (!instruction_decode(code + at, size - at, &i)) return "an instruction is not known";
        set(body->starts, at);
        if (!i.direct) continue;
        const int64_t target = (int64_t)at + i.target;
        if (target >= 0 && (uint64_t)target < size)
            set(body->targets, (size_t)target);
        else if (i.kind != INSTRUCTION_CALL)
            body->tail = true;
    }
    return NULL;
}

bool patch_body_at(const struct patch_body *body, size_t offset, struct instruction *i) {
    return offset < body->size && bit(body->starts, offset) &&
           instruction_decode(body->code + offset, body->size - offset, i);
}

long patch_body_before(const struct patch_body *body, size_t offset) {
    if (offset == 0 || offset > body->size) return -1;
    for (size_t at = offset - 1;; at--) {
        if (bit(body->starts, at)) {
            struct instruction i;
            const bool ends = patch_body_at(body, at, &i) && at + i.length == offset;
            return ends ? (long)at : -1;
        }
        if (at == 0) return -1;
    }
}

long patch_body_return(const struct patch_body *body, size_t offset) {
    for (; offset < body->size; offset++) {
        struct instruction i;
        const uint8_t first = body->code[offset];
        if (!bit(body->starts, offset) || (first < 0xc2 && first != 0x66)) continue;
        if (patch_body_at(body, offset, &i) && i.kind == INSTRUCTION_RETURN) return (long)offset;
    }
    return -1;
}

/* Whether it may stand anywhere: it neither goes nor looks to a place that is told from its own, save by a distance that fits. */
static bool movable(const struct instruction *i, const uint8_t *code) {
    (void)code;
    return !i->direct && (i->kind == INSTRUCTION_PLAIN);
}

/* The jump's own bytes are all that changes: behind them what was there stays right for whoever jumps to it. */
static bool jumped_into(const struct patch_body *body, size_t offset) {
    for (size_t at = offset + 1; at < offset + PATCH_JUMP && at < body->size; at++)
        if (bit(body->targets, at)) return true;
    return false;
}

/* A jump or call that leads to somewhere else than the function's first byte, where the patch will be. */
static bool leads_on(const struct instruction *i, size_t offset) {
    return (i->kind == INSTRUCTION_BRANCH || i->kind == INSTRUCTION_CALL ||
            i->kind == INSTRUCTION_JUMP) &&
           i->direct && (int64_t)offset + i->target != 0;
}

static const char *site_from(const struct patch_body *body, size_t offset, size_t least,
                             bool branches, struct patch_site *site) {
    size_t length = 0;
    struct instruction i = {0};
    while (length < least) {
        if (!patch_body_at(body, offset + length, &i)) return "no instruction begins there";
        if (!movable(&i, body->code + offset + length) &&
            !(branches && leads_on(&i, offset + length)))
            return "an instruction there cannot be moved";
        length += i.length;
    }
    if (jumped_into(body, offset)) return "something jumps into it";
    *site = (struct patch_site){body->code + offset, (uint8_t)length, i.length};
    return NULL;
}

const char *patch_site_from(const struct patch_body *body, size_t offset, size_t least,
                            struct patch_site *site) {
    return site_from(body, offset, least, false, site);
}

const char *patch_site_begin(const struct patch_body *body, struct patch_site *site) {
    return site_from(body, 0, PATCH_JUMP, true, site);
}

const char *patch_site_return(const struct patch_body *body, size_t offset,
                              struct patch_site *site) {
    struct instruction i;
    if (!patch_body_at(body, offset, &i) || i.kind != INSTRUCTION_RETURN)
        return "no return is there";
    const uint8_t last = i.length;
    size_t start = offset;
    while (offset + last - start < PATCH_JUMP) {
        const long before = patch_body_before(body, start);
        if (before < 0 || !patch_body_at(body, (size_t)before, &i) ||
            !movable(&i, body->code + before))
            return "an instruction before the return cannot be moved";
        start = (size_t)before;
    }
    if (jumped_into(body, start)) return "something jumps into the end";
    *site = (struct patch_site){body->code + start, (uint8_t)(offset + last - start), last};
    return NULL;
}

static void put32(uint8_t *to, int64_t value) {
    for (int b = 0; b < 4; b++)
        to[b] = (uint8_t)(value >> 8 * b);
}

/* One instruction that looks at a place by its distance, if at all. */
static bool copy(const uint8_t *from, const struct instruction *i, uint8_t *to) {
    for (size_t b = 0; b < i->length; b++)
        to[b] = from[b];
    if (i->relative == 0) return true;
    int32_t old = 0;
    for (int b = 3; b >= 0; b--)
        old = (int32_t)((uint32_t)old << 8 | from[i->relative + b]);
    const int64_t moved = old + (int64_t)((uintptr_t)from - (uintptr_t)to);
    if (moved != (int32_t)moved) return false;
    put32(to + i->relative, moved);
    return true;
}

bool patch_site_copy(const struct patch_site *site, size_t n, uint8_t *to) {
    struct instruction i;
    for (size_t at = 0; at < n; at += i.length)
        if (!instruction_decode(site->at + at, n - at, &i) || !copy(site->at + at, &i, to + at))
            return false;
    return true;
}

/* jcc with a 32-bit distance: 0f 8x; the condition is in the low half of both forms' opcodes. (loop and jrcxz have no such form.) */
static size_t put_branch(const uint8_t *from, const struct instruction *i, uint8_t *to) {
    const uint8_t opcode = from[0] == 0x0f ? from[1] : from[0];
    if ((from[0] != 0x0f || (opcode & 0xf0) != 0x80) && (opcode & 0xf0) != 0x70) return 0;
    const int64_t distance = i->target + (int64_t)((uintptr_t)from - (uintptr_t)to) - 6;
    if (distance != (int32_t)distance) return 0;
    to[0] = 0x0f;
    to[1] = (uint8_t)(0x80 | (opcode & 0x0f));
    put32(to + 2, distance);
    return 6;
}

/* jmp with a 32-bit distance: a function that is but another one, with an argument more. */
static size_t put_jump(const uint8_t *from, const struct instruction *i, uint8_t *to) {
    const int64_t distance = i->target + (int64_t)((uintptr_t)from - (uintptr_t)to) - 5;
    if (distance != (int32_t)distance) return 0;
    to[0] = 0xe9;
    put32(to + 1, distance);
    return 5;
}

/*
 * call: what is called returns to where it would have returned to, behind the patch, so that no unwinder ever meets a frame of
 * ours. push 5(%rip); jmp target; the return address.
 */
static size_t put_call(const uint8_t *from, const struct instruction *i, uint8_t *to) {
    static const uint8_t push[7] = {0xff, 0x35, 5, 0, 0, 0, 0xe9};
    const int64_t distance = i->target + (int64_t)((uintptr_t)from - (uintptr_t)to) - 11;
    if (from[0] != 0xe8 || distance != (int32_t)distance) return 0;
    for (size_t b = 0; b < sizeof push; b++)
        to[b] = push[b];
    put32(to + sizeof push, distance);
    for (size_t b = 0; b < 8; b++)
        to[11 + b] = (uint8_t)((uintptr_t)(from + i->length) >> 8 * b);
    return 19;
}

static size_t move(const uint8_t *from, const struct instruction *i, uint8_t *to) {
    if (i->kind == INSTRUCTION_BRANCH) return put_branch(from, i, to);
    if (i->kind == INSTRUCTION_CALL) return put_call(from, i, to);
    if (i->kind == INSTRUCTION_JUMP) return put_jump(from, i, to);
    return copy(from, i, to) ? i->length : 0;
}

size_t patch_site_move(const struct patch_site *site, uint8_t *to) {
    struct instruction i;
    size_t made = 0;
    for (size_t at = 0; at < site->length; at += i.length) {
        const uint8_t *from = site->at + at;
        if (!instruction_decode(from, site->length - at, &i)) return 0;
        const size_t n = move(from, &i, to + made);
        if (n == 0) return 0;
        made += n;
    }
    return made;
}
