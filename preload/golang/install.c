/* From rows of hooks.def to jumps in the program's text: every check first, then all of them at once. */
#include "golang/engine.h"
#include "golang/words.h"
#include "patch/body.h"
#include "patch/room.h"
#include "record/sys.h"

#define SITES_MOST 384u

/* stub.S */
extern const uint8_t golang_stub[], golang_stub_end[];
#define STUB_SIZE ((size_t)((uintptr_t)golang_stub_end - (uintptr_t)golang_stub))
enum stub_hole { HOLE_G_M, HOLE_M_CURG, HOLE_M_G0, HOLE_G_SCHED_SP, HOLE_G_M_AGAIN, HOLE_PROBE };
extern const uint32_t golang_stub_holes[];

/* Texts in place and no pointers: nothing here needs relocation. */
static const struct {
    char name[96];
    uint8_t site, need, first, last;
} rows[] = {
#define GOLANG_HOOK(id, name, site, probe, first, last, need)                                      \
    {name, GOLANG_##site, GOLANG_##need, first, last},
#include "golang/hooks.def"
#undef GOLANG_HOOK
    {"", 0, 0, 0, 0}};
enum { ROWS = sizeof rows / sizeof *rows }; /* the last one is none */

static void probes_fill(golang_probe **probes) {
    (void)probes;
#define GOLANG_HOOK(id, name, site, probe, first, last, need) *probes++ = probe;
#include "golang/hooks.def"
#undef GOLANG_HOOK
}

uint8_t golang_hook_sites[GOLANG_HOOKS + 1];

struct site {
    struct patch_site where;
    size_t row;
};

struct install { /* scratch memory, given back in the end */
    const struct pclntab *table;
    golang_probe *probes[GOLANG_HOOKS + 1];
    const char *names[GOLANG_HOOKS + 1];
    struct pclntab_function functions[GOLANG_HOOKS + 1];
    uint8_t found[GOLANG_HOOKS + 1];
    struct site sites[SITES_MOST];
    struct patch_write writes[SITES_MOST];
    size_t count;
    struct patch_room room;
    struct patch_body body;
};

static bool refuse(size_t row, const char *why) {
    return words_refuse(rows[row].name, ": ", why);
}

static bool add(struct install *in, size_t row, const struct patch_site *where, const char *why) {
    if (why) return refuse(row, why);
    if (in->count == SITES_MOST || golang_hook_sites[row] == UINT8_MAX)
        return refuse(row, "too many places");
    for (size_t i = 0; i < in->count; i++) {
        const struct patch_site *other = &in->sites[i].where;
        if (where->at < other->at + other->length && other->at < where->at + where->length)
            return refuse(row, "its places lie too close to each other");
    }
    in->sites[in->count++] = (struct site){*where, row};
    golang_hook_sites[row]++;
    return true;
}

/* ---- where ---- */

/* push rbp (since 1.21); sub rsp, n; add rsp, -128 */
static bool makes_frame(const uint8_t *code) {
    if (code[0] == 0x55) return true;
    return code[0] == 0x48 && (code[1] == 0x81 || code[1] == 0x83) &&
           (code[2] == 0xec || code[2] == 0xc4);
}

/*
 * Behind the check of the stack's size, since the function begins anew after the stack has grown: at the instruction that makes
 * the frame, where the first range of stack depths ends. A function without a frame checks nothing.
 */
static bool entry(struct install *in, size_t row) {
    const struct pclntab_function *f = &in->functions[row];
    struct pclntab_depths d = pclntab_depths_of(in->table, f);
    if (!pclntab_depth_next(&d) || d.depth != 0)
        return refuse(row, "its stack depths are not known");
    long at = 0;
    const uint32_t until = d.until;
    if (pclntab_depth_next(&d)) {
        at = patch_body_before(&in->body, until);
        if (at < 0 || !makes_frame(in->body.code + at))
            return refuse(row, "it does not begin as functions do");
    }
    struct patch_site site;
    const char *why = patch_site_from(&in->body, (size_t)at, PATCH_JUMP, &site);
    return add(in, row, &site, why);
}

/* At every return the frame is gone, and the stack pointer at the address that it returns to. */
static bool returns(struct install *in, size_t row) {
    if (in->body.tail) return refuse(row, "it also ends in a jump");
    struct pclntab_depths d = pclntab_depths_of(in->table, &in->functions[row]);
    long at = patch_body_return(&in->body, 0);
    if (at < 0) return refuse(row, "it does not return");
    for (; at >= 0; at = patch_body_return(&in->body, (size_t)at + 1)) {
        while (d.until <= (size_t)at)
            if (!pclntab_depth_next(&d)) return refuse(row, "its stack depths are not known");
        if (d.depth != 0) return refuse(row, "it does not end as functions do");
        struct patch_site site;
        const char *why = patch_site_return(&in->body, (size_t)at, &site);
        if (!add(in, row, &site, why)) return false;
    }
    return true;
}

static bool is_in_release(size_t row) {
    return golang_program.minor >= rows[row].first && golang_program.minor <= rows[row].last;
}

static bool choose(struct install *in, const struct program *program) {
    const uint8_t *read = NULL;
    for (size_t row = 0; row + 1 < ROWS; row++) {
        if (!is_in_release(row)) continue;
        const struct pclntab_function *f = &in->functions[row];
        if (in->found[row] == 0) {
            if (rows[row].need == GOLANG_REQUIRED) return refuse(row, "this function is not there");
            continue;
        }
        if (in->found[row] > 1) return refuse(row, "several functions have this name");
        const struct program_segment *code =
            program_segment_of(program, f->entry, f->end - f->entry);
        if (!code || !code->executable || f->end > golang_program.etext)
            return refuse(row, "it is not in the text");
        if (read != (const uint8_t *)f->entry) {
            read = (const uint8_t *)f->entry;
            const char *why = patch_body_read(&in->body, read, f->end - f->entry);
            if (why) return refuse(row, why);
        }
        if (!(rows[row].site == GOLANG_ENTRY ? entry : returns)(in, row)) return false;
    }
    return true;
}

/* Whoever has the function's code inlined does not come by. */
static bool calls_come_by(const struct install *in) {
    uint32_t names[ROWS] = {0};
    for (size_t row = 0; row + 1 < ROWS; row++)
        if (is_in_release(row) && rows[row].need != GOLANG_EXTRA)
            names[row] = in->functions[row].name;
    const long inlined = pclntab_inlined(in->table, names, ROWS);
    return inlined < 0 || refuse((size_t)inlined, "the compiler has inlined it somewhere");
}

/* ---- the stubs ---- */

static void put(uint8_t *to, uint64_t value, size_t size) {
    for (size_t b = 0; b < size; b++)
        to[b] = (uint8_t)(value >> 8 * b);
}

static uint8_t *put_call(uint8_t *to, golang_probe *probe) {
    const size_t size = STUB_SIZE;
    for (size_t b = 0; b < size; b++)
        to[b] = golang_stub[b];
    const struct golang_offsets *o = &golang_offset;
    put(to + golang_stub_holes[HOLE_G_M], (uint32_t)o->g_m, 4);
    put(to + golang_stub_holes[HOLE_M_CURG], (uint32_t)o->m_curg, 4);
    put(to + golang_stub_holes[HOLE_M_G0], (uint32_t)o->m_g0, 4);
    put(to + golang_stub_holes[HOLE_G_SCHED_SP], (uint32_t)(o->g_sched + o->gobuf_sp), 4);
    put(to + golang_stub_holes[HOLE_G_M_AGAIN], (uint32_t)o->g_m, 4);
    put(to + golang_stub_holes[HOLE_PROBE], (uintptr_t)probe, 8);
    return to + size;
}

#define STUB_MOST(site) (STUB_SIZE + (site)->where.length + PATCH_JUMP + 16)

/* An entry's instructions come after the probe, then the way back; a return's before it, then the return itself. */
static bool put_stub(struct install *in, const struct site *s, struct patch_write *write) {
    uint8_t *at = in->room.start + in->room.used;
    golang_probe *probe = in->probes[s->row];
    write->at = (uint8_t *)s->where.at;
    write->to = (uintptr_t)at;
    if (rows[s->row].site == GOLANG_ENTRY) {
        at = put_call(at, probe);
        if (!patch_site_copy(&s->where, s->where.length, at)) return false;
        at += s->where.length;
        if (!patch_put_jump(at, (uintptr_t)at, (uintptr_t)s->where.at + s->where.length))
            return false;
        at += PATCH_JUMP;
    } else {
        const size_t before = s->where.length - s->where.last;
        if (!patch_site_copy(&s->where, before, at)) return false;
        at = put_call(at + before, probe);
        for (size_t b = 0; b < s->where.last; b++)
            *at++ = s->where.at[before + b];
    }
    in->room.used = (size_t)(at - in->room.start + 15) & ~(size_t)15;
    return true;
}

static bool place(struct install *in) {
    size_t size = 0;
    for (size_t i = 0; i < in->count; i++)
        size += STUB_MOST(&in->sites[i]);
    if (!patch_room_open(&in->room, golang_program.text, golang_program.etext, size))
        return words_refuse("no room for code near the program's");
    for (size_t i = 0; i < in->count; i++)
        if (!put_stub(in, &in->sites[i], &in->writes[i]))
            return words_refuse("the room for code is too far away");
    if (!patch_room_seal(&in->room)) return words_refuse("new code may not be executed here");
    if (!golang_prepare())
        return golang_program.blind_reason[0] ? false : words_refuse("no memory");
    const char *why = patch_write_all(in->writes, in->count);
    return why ? words_refuse(why) : true;
}

bool install_hooks(const struct pclntab *table, const struct program *program) {
    struct install *in = sys_memory(sizeof *in);
    if (!in) return words_refuse("no memory");
    in->table = table;
    probes_fill(in->probes);
    for (size_t row = 0; row + 1 < ROWS; row++)
        in->names[row] = rows[row].name;
    for (size_t row = 0; row < ROWS; row++)
        golang_hook_sites[row] = 0;
    const bool good = pclntab_functions(table, in->names, ROWS - 1, in->functions, in->found) &&
                      choose(in, program) && calls_come_by(in) && place(in);
    if (good) {
        golang_program.stubs = (uintptr_t)in->room.start;
        golang_program.stubs_size = in->room.size;
    } else {
        patch_room_close(&in->room);
        for (size_t row = 0; row < ROWS; row++)
            golang_hook_sites[row] = 0;
    }
    sys_memory_free(in, sizeof *in);
    return good;
}
