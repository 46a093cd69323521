/*
 * The Lua stack of the calling thread, Lua 5.1 to 5.4, by lua_getstack and lua_getinfo, as debuggers call them: for what is asked
 * here they push nothing and allocate nothing.
 *
 * Nothing tells which of its coroutines a thread runs: so the functions through which C goes into Lua are patched in place
 * (interpose/lua.c), and say it here. Without that there are no frames. LuaJIT is none of these.
 */
#ifndef INTERPRETER_LUA_H
#define INTERPRETER_LUA_H

#include "record/image.h"
#include "record/interpreter/frame.h"

struct lua {
    uint16_t line, short_source;                             /* struct lua_Debug */
    int (*stack)(void *state, int level, void *debug);       /* lua_getstack */
    int (*info)(void *state, const char *what, void *debug); /* lua_getinfo */
};

/* Is the module Lua, of a version that is known? Its number as in LUA_VERSION_NUM, 0: no. */
unsigned lua_find(struct lua *, const struct image *module);
/* As python_frames. Only in a thread whose native stack leads through Lua. */
uint32_t lua_frames(const struct lua *, void **counters, uint32_t most);

/*
 * What runs from lua_enter to lua_leave: a coroutine, or what a program calls first. `frame` is the address of the caller's own frame,
 * the same for both: by it those are known that a longjmp left behind, since they lie deeper than whoever comes next.
 */
void lua_enter(void *state, const void *frame);
void lua_leave(const void *frame);
/* Whether it is the innermost of the calling thread's. */
bool lua_runs(const void *state, const void *frame);

#endif
