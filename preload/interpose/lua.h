/*
 * Lua does not say which coroutine a thread runs: so the functions through which C goes into Lua are patched in place, and tell it
 * (record/interpreter/lua.h).
 */
#ifndef INTERPOSE_LUA_H
#define INTERPOSE_LUA_H

#include <link.h>

/* From the constructor, while there is one thread. Lua is looked for in the executable, or in liblua if it needs that. */
void lua_init(const struct link_map *program);

#endif
