/* Which of Lua's states a thread runs, and what is asked of them. */
#include <check.h>
#include <string.h>

#include "record/interpreter/lua.h"
#include "tests/unit/suite.h"

struct level {
    const char *name, *what, *source;
    int line;
};
struct state {
    struct level levels[4]; /* up to one without `what` */
};

static const struct level *asked;

static int give_level(void *state, int level, void *debug) {
    (void)debug;
    asked = &((const struct state *)state)->levels[level];
    return asked->what != NULL;
}

static int give_info(void *state, const char *what, void *debug) {
    uint8_t *at = debug;
    (void)state;
    ck_assert_str_eq(what, "nSl"); /* nothing that is pushed */
    memcpy(at + 8, &asked->name, sizeof asked->name);
    memcpy(at + 24, &asked->what, sizeof asked->what);
    memcpy(at + 32, &asked->source, sizeof asked->source);
    memcpy(at + 48, &asked->line, sizeof asked->line);
    memcpy(at + 68, "[string \"x\"]", 13);
    return 1;
}

static const struct lua lua = {48, 68, give_level, give_info};

static void *frame(const char *file, const char *function, uint32_t line) {
    return frame_counter(TRACE_LANGUAGE_LUA, (struct frame_text){file, strlen(file)},
                         (struct frame_text){function, strlen(function)}, line);
}

static struct state outer = {{{"resume", "C", "=[C]", -1},
                              {NULL, "Lua", "=(command line)", 7},
                              {NULL, "main", "@/app/main.lua", 9}}};
static struct state inner = {{{"fetch", "Lua", "@/app/a.lua", 3}, {"f", "Lua", "return 1", 1}}};

START_TEST(coroutines_are_followed_by_who_resumed_them) {
    struct lua_running first, second, again;
    void *pcs[8];
    ck_assert_uint_eq(lua_frames(&lua, pcs, 8), 0);
    lua_enter(&first, &outer);
    ck_assert(lua_runs(&outer));
    lua_enter(&second, &inner);
    lua_enter(&again, &inner);
    ck_assert(lua_runs(&inner) && !lua_runs(&outer));
    ck_assert_uint_eq(lua_frames(&lua, pcs, 8), 4);
    ck_assert_ptr_eq(pcs[0], frame("/app/a.lua", "fetch", 3));
    ck_assert_ptr_eq(pcs[1], frame("[string \"x\"]", "f", 1));
    ck_assert_ptr_eq(pcs[2], frame("(command line)", "<anonymous>", 7));
    ck_assert_ptr_eq(pcs[3], frame("/app/main.lua", "main chunk", 9));
    ck_assert_uint_eq(lua_frames(&lua, pcs, 3), 3);
    lua_leave(&again);
    lua_leave(&second);
    ck_assert_uint_eq(lua_frames(&lua, pcs, 8), 2);
    lua_leave(&first);
    ck_assert_uint_eq(lua_frames(&lua, pcs, 8), 0);
    ck_assert(!lua_runs(&outer));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("Lua's stacks");
    TCase *tests = tcase_create("stacks");
    tcase_add_test(tests, coroutines_are_followed_by_who_resumed_them);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
