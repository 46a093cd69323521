/* Lua's frames, coroutine by coroutine, by its own functions for debuggers. */
#include "record/interpreter/lua.h"

#include <string.h>

#include "record/interpreter/memory.h"

/* struct lua_Debug: its beginning is the same in all versions */
#define DEBUG_NAME 8u
#define DEBUG_WHAT 24u
#define DEBUG_SOURCE 32u
#define DEBUG_SIZE 256u /* more than any has */
#define SHORT_SOURCE 60u
#define RUNNING_MOST 200u /* C calls that Lua allows in each other */
#define LEVELS_MOST 1024u
#define NAME_MOST 256u

static __thread struct lua_running *running __attribute__((tls_model("initial-exec")));

void lua_enter(struct lua_running *self, void *state) {
    *self = (struct lua_running){state, running};
    running = self;
}

void lua_leave(const struct lua_running *self) {
    running = self->below;
}

bool lua_runs(const void *state) {
    return running && running->state == state;
}

static const char *pointer_at(const uint8_t *debug, unsigned offset) {
    const char *value;
    return memcpy(&value, debug + offset, sizeof value), value;
}

static struct frame_text text_of(const char *s, size_t most) {
    return (struct frame_text){s, strnlen(s, most)};
}

/* "@FILE" is a file, "=NAME" has been given a name, all else is the text itself, of which Lua shows its first line. */
static struct frame_text file_of(const struct lua *lua, const uint8_t *debug) {
    const char *source = pointer_at(debug, DEBUG_SOURCE);
    if (source && (*source == '@' || *source == '=')) return text_of(source + 1, FRAME_TEXT_MAX);
    return text_of((const char *)debug + lua->short_source, SHORT_SOURCE);
}

static struct frame_text name_of(const uint8_t *debug) {
    const char *what = pointer_at(debug, DEBUG_WHAT), *name = pointer_at(debug, DEBUG_NAME);
    if (what && strcmp(what, "main") == 0) return text_of("main chunk", NAME_MOST);
    return text_of(name ? name : "<anonymous>", NAME_MOST);
}

static uint32_t coroutine_frames(const struct lua *lua, void *state, void **counters,
                                 uint32_t most) {
    uint64_t storage[DEBUG_SIZE / 8];
    uint8_t *debug = (uint8_t *)storage;
    uint32_t count = 0;
    for (int level = 0; count < most && level < (int)LEVELS_MOST; level++) {
        int32_t line;
        memset(storage, 0, sizeof storage);
        if (!lua->stack(state, level, debug) || !lua->info(state, "nSl", debug)) break;
        memcpy(&line, debug + lua->line, sizeof line);
        if (line <= 0) continue; /* C, and what was replaced by a call in its end */
        void *pc =
            frame_counter(TRACE_LANGUAGE_LUA, file_of(lua, debug), name_of(debug), (uint32_t)line);
        if (pc) counters[count++] = pc;
    }
    return count;
}

/* Each coroutine's, then those of who resumed it. */
uint32_t lua_frames(const struct lua *lua, void **counters, uint32_t most) {
    uint32_t count = 0, i = 0;
    for (const struct lua_running *r = running; r && count < most && i < RUNNING_MOST;
         r = r->below, i++) {
        bool again = false; /* a state that is called into once more has all of it on one stack */
        for (const struct lua_running *inner = running; inner != r; inner = inner->below)
            again = again || inner->state == r->state;
        if (!again) count += coroutine_frames(lua, r->state, counters + count, most - count);
    }
    return count;
}

unsigned lua_find(struct lua *lua, const struct image *module) {
    static const struct {
        char version[8];
        unsigned number;
        uint16_t line, short_source;
    } versions[] = {
        {"Lua 5.1", 501, 40, 56},
        {"Lua 5.2", 502, 40, 56},
        {"Lua 5.3", 503, 40, 56},
        {"Lua 5.4", 504, 48, 68},
    };
    void *stack = image_find(module, "lua_getstack", image_hash("lua_getstack"));
    if (!stack) return 0; /* as a rule */
    void *info = image_find(module, "lua_getinfo", image_hash("lua_getinfo"));
    const char *ident = image_find_data(module, "lua_ident");
    if (!info || !ident) return 0;
    memcpy(&lua->stack, &stack, sizeof stack);
    memcpy(&lua->info, &info, sizeof info);
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        if (!strstr(ident, versions[i].version)) continue;
        lua->line = versions[i].line;
        lua->short_source = versions[i].short_source;
        return versions[i].number;
    }
    return 0;
}
