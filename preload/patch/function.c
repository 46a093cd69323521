/* Leading C functions elsewhere: a jump at their beginning, and their first instructions somewhere near. */
#include "patch/function.h"

#include "patch/body.h"
#include "patch/room.h"
#include "record/sys.h"

#define FUNCTIONS_MOST 64u
#define PIECE 64u /* jmp *0(rip), the address; then the displaced instructions and the jump back */
_Static_assert(14 + PATCH_MOVED_MOST + PATCH_JUMP <= PIECE, "a piece has room for its site");

struct scratch {
    struct patch_site sites[FUNCTIONS_MOST];
    struct patch_write writes[FUNCTIONS_MOST];
    struct patch_room room;
    struct patch_body body;
};

/* jmp *0(%rip), and the address behind it */
static size_t put_far_jump(uint8_t *at, uintptr_t to) {
    static const uint8_t jump[6] = {0xff, 0x25};
    for (size_t b = 0; b < sizeof jump; b++)
        at[b] = jump[b];
    for (size_t b = 0; b < 8; b++)
        at[sizeof jump + b] = (uint8_t)(to >> 8 * b);
    return sizeof jump + 8;
}

static const char *put_piece(struct scratch *s, size_t i, struct patch_function *f) {
    const struct patch_site *site = &s->sites[i];
    uint8_t *at = s->room.start + s->room.used;
    s->room.used += PIECE;
    s->writes[i] = (struct patch_write){(uint8_t *)f->at, (uintptr_t)at};
    at += put_far_jump(at, f->to);
    f->real = (uintptr_t)at;
    const size_t moved = patch_site_move(site, at);
    if (moved == 0) return "its first instructions cannot be moved that far";
    at += moved;
    return patch_put_jump(at, (uintptr_t)at, f->at + site->length) ? NULL : "it is too far away";
}

static const char *prepare(struct scratch *s, struct patch_function *f, size_t count,
                           size_t *failed) {
    uintptr_t low = UINTPTR_MAX, high = 0;
    const char *why;
    for (size_t i = 0; i < count; i++) {
        *failed = i;
        for (size_t k = 0; k < i; k++)
            if (f[k].at == f[i].at) return "it is listed twice";
        if ((why = patch_body_read(&s->body, (const uint8_t *)f[i].at, f[i].size))) return why;
        if ((why = patch_site_begin(&s->body, &s->sites[i]))) return why;
        if (f[i].at < low) low = f[i].at;
        if (f[i].at + f[i].size > high) high = f[i].at + f[i].size;
    }
    if (!patch_room_open(&s->room, low, high, count * PIECE))
        return "no room for code near the program's";
    for (size_t i = 0; i < count; i++) {
        *failed = i;
        if ((why = put_piece(s, i, &f[i]))) return why;
    }
    return patch_room_seal(&s->room) ? patch_write_all(s->writes, count)
                                     : "new code may not be executed here";
}

const char *patch_functions(struct patch_function *functions, size_t count, size_t *failed) {
    *failed = 0;
    if (count == 0) return NULL;
    if (count > FUNCTIONS_MOST) return "too many functions";
    struct scratch *s = sys_memory(sizeof *s);
    if (!s) return "no memory";
    const char *why = prepare(s, functions, count, failed);
    if (why) {
        patch_room_close(&s->room);
        for (size_t i = 0; i < count; i++)
            functions[i].real = 0;
    }
    sys_memory_free(s, sizeof *s);
    return why;
}
