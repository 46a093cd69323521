/* What of Lua is patched, and what happens there. */
#include "interpose/lua.h"

#include <string.h>

#include "patch/function.h"
#include "record/image.h"
#include "record/interpreter/lua.h"
#include "record/text.h"

#define WITH_CONTINUATIONS 502u /* lua_pcallk instead of lua_pcall */

enum { RESUME, CALL, FUNCTIONS };
static struct patch_function functions[FUNCTIONS];

/* lua_resume(state, arguments), then (state, from, arguments), then with a place for the number of results. */
typedef int resume(void *, uintptr_t, uintptr_t, uintptr_t);
static int lua_resume_here(void *state, uintptr_t a, uintptr_t b, uintptr_t c) {
    const void *const frame = __builtin_frame_address(0);
    lua_enter(state, frame);
    const int r = ((resume *)functions[RESUME].real)(state, a, b, c);
    lua_leave(frame);
    return r;
}

/*
 * A protected call: always comes back, unless it has a continuation, for then a coroutine that yields leaves it behind. But what runs
 * as a coroutine has been resumed before.
 */
typedef int call(void *, int, int, int, intptr_t, uintptr_t);
static int lua_call_here(void *state, int arguments, int results, int handler, intptr_t context,
                         uintptr_t continuation) {
    call *const real = (call *)functions[CALL].real;
    const void *const frame = __builtin_frame_address(0);
    if (lua_runs(state, frame) || continuation)
        return real(state, arguments, results, handler, context, continuation);
    lua_enter(state, frame);
    const int r = real(state, arguments, results, handler, context, continuation);
    lua_leave(frame);
    return r;
}

typedef int call_5_1(void *, int, int, int);
static int lua_call_5_1(void *state, int arguments, int results, int handler) {
    call_5_1 *const real = (call_5_1 *)functions[CALL].real;
    const void *const frame = __builtin_frame_address(0);
    if (lua_runs(state, frame)) return real(state, arguments, results, handler);
    lua_enter(state, frame);
    const int r = real(state, arguments, results, handler);
    lua_leave(frame);
    return r;
}

static unsigned find_in(struct image *image, const struct link_map *module) {
    struct lua lua;
    image_read(image, module->l_addr, module->l_ld);
    return image->symbols ? lua_find(&lua, image) : 0;
}

void lua_init(const struct link_map *program) {
    struct image image;
    size_t failed;
    if (!program) return;
    unsigned version = find_in(&image, program);
    for (const struct link_map *m = program->l_next; m && !version; m = m->l_next)
        if (m->l_name && strncmp(text_base_name(m->l_name), "liblua", 6) == 0)
            version = find_in(&image, m);
    if (!version) return;
    const bool later = version >= WITH_CONTINUATIONS;
    void *resumes = image_find_sized(&image, "lua_resume", &functions[RESUME].size);
    void *calls =
        image_find_sized(&image, later ? "lua_pcallk" : "lua_pcall", &functions[CALL].size);
    if (!resumes || !calls) return;
    functions[RESUME].at = (uintptr_t)resumes;
    functions[RESUME].to = (uintptr_t)lua_resume_here;
    functions[CALL].at = (uintptr_t)calls;
    functions[CALL].to = later ? (uintptr_t)lua_call_here : (uintptr_t)lua_call_5_1;
    patch_functions(functions, FUNCTIONS, &failed); /* or Lua's own frames are what is seen */
}
