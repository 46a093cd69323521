/* Where in the source a Perl frame is: its statement, of those that are left in the tree of operations. */
#include "record/interpreter/perl.h"

/* struct op, struct unop, struct cop */
#define OP_NEXT 0u
#define OP_SIBLING 8u /* or the parent, of the last one */
#define OP_TARGET 24u /* what it was, of one that was optimized away */
#define OP_TYPE 32u
#define OP_TYPE_MASK 0x1ffu
#define OP_MORE 0x4000u /* a sibling follows */
#define OP_FLAGS 34u
#define FLAG_KIDS 4u
#define OP_SIZE 40u
#define OP_FIRST 40u
#define STATEMENT_LINE 36u
#define STATEMENT_FILE 48u
#define STATEMENT_SIZE 56u
#define SCOPE_AFTER 5u /* OP_SCOPE - OP_NEXTSTATE */

#define DEPTH_MOST 48u
#define OPERATIONS_MOST 4096u

struct operation {
    uintptr_t next, sibling, first, was;
    uint16_t type;
};

static bool read_operation(const struct memory *m, uintptr_t at, struct operation *out) {
    uint16_t bits;
    uintptr_t first = 0;
    if (at % 8 != 0 || !memory_can_read(m, at, OP_SIZE)) return false;
    memcpy(&bits, (const void *)(at + OP_TYPE), sizeof bits);
    memcpy(&out->next, (const void *)(at + OP_NEXT), sizeof out->next);
    memcpy(&out->sibling, (const void *)(at + OP_SIBLING), sizeof out->sibling);
    memcpy(&out->was, (const void *)(at + OP_TARGET), sizeof out->was);
    if (!(bits & OP_MORE)) out->sibling = 0;
    if (*(const uint8_t *)(at + OP_FLAGS) & FLAG_KIDS && !perl_load(m, at + OP_FIRST, &first))
        return false;
    out->first = first;
    out->type = bits & OP_TYPE_MASK;
    return true;
}

uintptr_t perl_statement(const struct perl *perl, const struct memory *m, uintptr_t statement,
                         uintptr_t operation, bool next) {
    struct level {
        uintptr_t sibling, statement;
    } levels[DEPTH_MOST];
    const unsigned next_state = perl->layout.next_state;
    struct operation op;
    if (!operation || !read_operation(m, statement, &op) || !op.sibling) return statement;
    uintptr_t at = op.sibling, nearest = statement;
    unsigned depth = 0;
    for (unsigned i = 0; i < OPERATIONS_MOST; i++) {
        if (!read_operation(m, at, &op)) return statement;
        if (depth && op.type == 0 && op.was == next_state) nearest = at;
        if (at == operation ||
            (next && op.next == operation && op.type != next_state + SCOPE_AFTER))
            return nearest;
        if (op.first) {
            if (depth == DEPTH_MOST) return statement;
            levels[depth] = (struct level){depth ? op.sibling : 0, nearest};
            depth++;
            at = op.first;
            continue;
        }
        at = depth ? op.sibling : 0;
        while (!at) { /* what comes after the parents */
            if (depth == 0) return statement;
            depth--;
            at = levels[depth].sibling;
            nearest = levels[depth].statement;
        }
    }
    return statement;
}

bool perl_place(const struct perl *perl, const struct memory *m, uintptr_t interpreter,
                uintptr_t statement, struct frame_text *file, uint32_t *line) {
    const unsigned next_state = perl->layout.next_state;
    struct operation op;
    uintptr_t name;
    if (!read_operation(m, statement, &op) || !memory_can_read(m, statement, STATEMENT_SIZE))
        return false;
    const unsigned type = op.type ? op.type : (unsigned)op.was;
    /* The one that stands for what is being compiled is part of the interpreter, and has no type. */
    if (type != next_state && type != next_state + 1 &&
        statement - interpreter >= perl->interpreter_size)
        return false;
    memcpy(line, (const void *)(statement + STATEMENT_LINE), sizeof *line);
    memcpy(&name, (const void *)(statement + STATEMENT_FILE), sizeof name);
    *file = (struct frame_text){"", 0};
    return !name || perl_string(m, name, file);
}
