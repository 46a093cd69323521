/* x86-64 instruction lengths by table. */
#include "patch/decode.h"

/*
 * One letter an opcode:  . nothing follows   m ModRM   M ModRM, imm8   Z ModRM, imm16/32   b imm8   z imm16/32   v imm16/32/64
 * w imm16   e imm16, imm8   o address of 64 bits   j rel8   J rel32   F ModRM, and an immediate for /0 and /1   p prefix   r REX
 * C VEX or EVEX   E two-byte opcode   3 4 three-byte opcodes   x none
 */
static const char one_byte[257] = "mmmmbzxxmmmmbzxE"
                                  "mmmmbzxxmmmmbzxx"
                                  "mmmmbzpxmmmmbzpx"
                                  "mmmmbzpxmmmmbzpx"
                                  "rrrrrrrrrrrrrrrr"
                                  "................"
                                  "xxCmppppzZbM...."
                                  "jjjjjjjjjjjjjjjj"
                                  "MZxMmmmmmmmmmmmm"
                                  "..........x....."
                                  "oooo....bz......"
                                  "bbbbbbbbvvvvvvvv"
                                  "MMw.CCMZe.w..bx."
                                  "mmmmxxx.mmmmmmmm"
                                  "jjjjbbbbJJxj...."
                                  "p.pp..FF......mm";
static const char two_byte[257] = "mmmmx.....x.xm.x"
                                  "mmmmmmmmmmmmmmmm"
                                  "mmmmxxxxmmmmmmmm"
                                  "......x.3x4xxxxx"
                                  "mmmmmmmmmmmmmmmm"
                                  "mmmmmmmmmmmmmmmm"
                                  "mmmmmmmmmmmmmmmm"
                                  "MMMMmmm.mmxxmmmm"
                                  "JJJJJJJJJJJJJJJJ"
                                  "mmmmmmmmmmmmmmmm"
                                  "...mMmxx...mMmmm"
                                  "mmmmmmmmmmMmmmmm"
                                  "mmMmMMMm........"
                                  "mmmmmmmmmmmmmmmm"
                                  "mmmmmmmmmmmmmmmm"
                                  "mmmmmmmmmmmmmmmm";

struct cursor {
    const uint8_t *code;
    size_t room, at;
    bool cut;
};

static uint8_t next(struct cursor *c) {
    if (c->at >= c->room) {
        c->cut = true;
        return 0;
    }
    return c->code[c->at++];
}

static void skip(struct cursor *c, size_t n) {
    if (c->room - c->at < n)
        c->cut = true;
    else
        c->at += n;
}

/* The ModRM byte with SIB and displacement; returns it. */
static uint8_t operand(struct cursor *c, struct instruction *i) {
    const uint8_t modrm = next(c), mod = modrm >> 6, rm = modrm & 7;
    if (mod == 3) return modrm;
    if (rm == 4) {
        const uint8_t sib = next(c);
        if (mod == 0 && (sib & 7) == 5) skip(c, 4);
    } else if (mod == 0 && rm == 5) {
        i->relative = (uint8_t)c->at;
        skip(c, 4);
    }
    if (mod == 1) skip(c, 1);
    if (mod == 2) skip(c, 4);
    return modrm;
}

static int64_t distance(const uint8_t *p, size_t size) {
    if (size == 1) return (int8_t)p[0];
    return (int32_t)(p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
}

static void relative(struct cursor *c, size_t size, struct instruction *i) {
    const size_t from = c->at;
    skip(c, size);
    if (c->cut) return;
    i->direct = true;
    i->target = (int64_t)c->at + distance(c->code + from, size);
}

struct prefixes {
    bool narrow; /* 66: immediates of 16 bits */
    bool wide;   /* REX.W */
};

/* What follows an opcode of that letter; the ModRM byte, or 0. False: no such instruction. */
static bool operands(struct cursor *c, char letter, struct prefixes p, uint8_t opcode,
                     uint8_t *modrm, struct instruction *i) {
    const size_t z = p.narrow && !p.wide ? 2 : 4;
    *modrm = 0;
    switch (letter) {
    case '.': return true;
    case 'm': *modrm = operand(c, i); return true;
    case 'M':
        *modrm = operand(c, i);
        skip(c, 1);
        return true;
    case 'Z':
        *modrm = operand(c, i);
        skip(c, z);
        return true;
    case 'F':
        *modrm = operand(c, i);
        if ((*modrm >> 3 & 7) < 2) skip(c, opcode & 1 ? z : 1);
        return true;
    case 'b': skip(c, 1); return true;
    case 'z': skip(c, z); return true;
    case 'v': skip(c, p.wide ? 8 : z); return true;
    case 'w': skip(c, 2); return true;
    case 'e': skip(c, 3); return true;
    case 'o': skip(c, 8); return true;
    case 'j': relative(c, 1, i); return true;
    case 'J': relative(c, 4, i); return true;
    default: return false;
    }
}

/* After C4, C5 or 62: the rest of the prefix, opcode, operands. */
static bool vector(struct cursor *c, uint8_t prefix, struct instruction *i) {
    uint8_t map = 1, modrm;
    if (prefix == 0x62) {
        map = next(c) & 7;
        skip(c, 2);
    } else if (prefix == 0xc4) {
        map = next(c) & 31;
        skip(c, 1);
    } else {
        skip(c, 1);
    }
    const uint8_t opcode = next(c);
    if (map == 0 || map == 4 || map > 6 || (prefix != 0x62 && map > 3)) return false;
    char letter = map == 3 ? 'M' : 'm';
    if (map == 1) letter = two_byte[opcode];
    if (letter != 'm' && letter != 'M' && letter != '.') return false;
    return operands(c, letter, (struct prefixes){0}, opcode, &modrm, i);
}

static enum instruction_kind kind_of(uint8_t opcode, uint8_t modrm) {
    switch (opcode) {
    case 0xc2:
    case 0xc3:
    case 0xca:
    case 0xcb:
    case 0xcf: return INSTRUCTION_RETURN;
    case 0xcc:
    case 0xf4: return INSTRUCTION_STOP;
    case 0xe8: return INSTRUCTION_CALL;
    case 0xe9:
    case 0xeb: return INSTRUCTION_JUMP;
    case 0xe0:
    case 0xe1:
    case 0xe2:
    case 0xe3: return INSTRUCTION_BRANCH;
    case 0xff:
        if ((modrm >> 3 & 7) == 2 || (modrm >> 3 & 7) == 3) return INSTRUCTION_CALL;
        if ((modrm >> 3 & 7) == 4 || (modrm >> 3 & 7) == 5) return INSTRUCTION_INDIRECT;
        return INSTRUCTION_PLAIN;
    default: return opcode >> 4 == 7 ? INSTRUCTION_BRANCH : INSTRUCTION_PLAIN;
    }
}

static bool decode(struct cursor *c, struct instruction *i) {
    struct prefixes p = {0};
    uint8_t opcode, modrm;
    char letter;
    while (letter = one_byte[opcode = next(c)], letter == 'p' && !c->cut)
        if (opcode == 0x66) p.narrow = true;
    if (letter == 'r') { /* the last one before the opcode */
        p.wide = opcode & 8;
        letter = one_byte[opcode = next(c)];
        if (letter == 'r' || letter == 'p' || letter == 'C') return false;
    }
    if (letter == 'C') return vector(c, opcode, i);
    if (letter != 'E') {
        if (!operands(c, letter, p, opcode, &modrm, i)) return false;
        i->kind = kind_of(opcode, modrm);
        if (opcode == 0x8f && (modrm >> 3 & 7) != 0) return false; /* AMD's XOP */
        return !(opcode == 0xc7 && (modrm >> 3 & 7) != 0);         /* XBEGIN */
    }
    letter = two_byte[opcode = next(c)];
    if (letter == '3' || letter == '4') {
        next(c);
        return operands(c, letter == '3' ? 'm' : 'M', p, 0, &modrm, i);
    }
    if (!operands(c, letter, p, opcode, &modrm, i)) return false;
    if (opcode >> 4 == 8) i->kind = INSTRUCTION_BRANCH;
    if (opcode == 0x0b || opcode == 0xb9 || opcode == 0xff) i->kind = INSTRUCTION_STOP;
    return true;
}

bool instruction_decode(const uint8_t *code, size_t room, struct instruction *i) {
    struct cursor c = {code, room > 15 ? 15 : room, 0, false};
    i->length = 0, i->relative = 0, i->direct = false, i->kind = INSTRUCTION_PLAIN, i->target = 0;
    if (!decode(&c, i) || c.cut) return false;
    i->length = (uint8_t)c.at;
    return true;
}
