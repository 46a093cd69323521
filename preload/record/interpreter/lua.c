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
#define RUNNING_MOST 16u /* within each other; of more than that the outer ones are forgotten */
#define TYPE_AT 8u       /* of any collectable object; that of a state: */
#define TYPE_THREAD 8u
#define LEVELS_MOST 1024u
#define NAME_MOST 256u

struct running {
    void *state;
    uintptr_t frame;
};
static __thread struct running running[RUNNING_MOST] __attribute__((tls_model("initial-exec")));
static __thread uint32_t depth __attribute__((tls_model("initial-exec")));

static void depth_set(uint32_t value) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* for a handler that takes a stack in between */
    __atomic_store_n(&depth, value, __ATOMIC_RELAXED);
}

/* The stack grows down: what is not above the frame is over. */
static void forget_below(uintptr_t frame) {
    uint32_t left = depth;
    while (left > 0 && running[left - 1].frame <= frame)
        left--;
    if (left != depth) depth_set(left);
}

void lua_enter(void *state, const void *frame) {
    forget_below((uintptr_t)frame);
    if (depth == RUNNING_MOST) {
        memmove(running, running + 1, sizeof running - sizeof *running);
        depth_set(RUNNING_MOST - 1);
    }
    running[depth] = (struct running){state, (uintptr_t)frame};
    depth_set(depth + 1);
}

void lua_leave(const void *frame) {
    forget_below((uintptr_t)frame);
}

bool lua_runs(const void *state, const void *frame) {
    forget_below((uintptr_t)frame);
    return depth > 0 && running[depth - 1].state == state;
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

/* A state that was left by a longjmp, and freed since, must not be asked. */
static bool is_state(const struct memory *memory, const void *state) {
    uint8_t type;
    return memory_read(memory, (uintptr_t)state + TYPE_AT, &type, sizeof type) &&
           type == TYPE_THREAD;
}

/* Each coroutine's, then those of who resumed it. */
uint32_t lua_frames(const struct lua *lua, void **counters, uint32_t most) {
    const struct memory memory = memory_begin();
    const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uint32_t count = 0;
    for (uint32_t i = depth; i-- > 0 && count < most;) {
        void *const state = running[i].state;
        bool again = false; /* a state that is called into once more has all of it on one stack */
        for (uint32_t inner = depth; --inner > i;)
            again = again || running[inner].state == state;
        if (again || running[i].frame <= here || !is_state(&memory, state)) continue;
        count += coroutine_frames(lua, state, counters + count, most - count);
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
