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
    void *next;
    uint8_t type;
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

static struct state outer = {NULL,
                             8,
                             {{"resume", "C", "=[C]", -1},
                              {NULL, "Lua", "=(command line)", 7},
                              {NULL, "main", "@/app/main.lua", 9}}};
static struct state inner = {
    NULL, 8, {{"fetch", "Lua", "@/app/a.lua", 3}, {"f", "Lua", "return 1", 1}}};

/* A frame of somebody further out, by so many steps. */
#define ABOVE(steps) ((const char *)__builtin_frame_address(0) + 64 * (steps))

START_TEST(coroutines_are_followed_by_who_resumed_them) {
    void *pcs[8];
    ck_assert_uint_eq(lua_frames(&lua, pcs, 8), 0);
    lua_enter(&outer, ABOVE(3));
    ck_assert(lua_runs(&outer, ABOVE(0)));
    lua_enter(&inner, ABOVE(2));
    lua_enter(&inner, ABOVE(1));
    ck_assert(lua_runs(&inner, ABOVE(0)) && !lua_runs(&outer, ABOVE(0)));
    ck_assert_uint_eq(lua_frames(&lua, pcs, 8), 4);
    ck_assert_ptr_eq(pcs[0], frame("/app/a.lua", "fetch", 3));
    ck_assert_ptr_eq(pcs[1], frame("[string \"x\"]", "f", 1));
    ck_assert_ptr_eq(pcs[2], frame("(command line)", "<anonymous>", 7));
    ck_assert_ptr_eq(pcs[3], frame("/app/main.lua", "main chunk", 9));
    ck_assert_uint_eq(lua_frames(&lua, pcs, 3), 3);
    lua_leave(ABOVE(1));
    lua_leave(ABOVE(2));
    ck_assert_uint_eq(lua_frames(&lua, pcs, 8), 2);
    lua_leave(ABOVE(3));
    ck_assert_uint_eq(lua_frames(&lua, pcs, 8), 0);
    ck_assert(!lua_runs(&outer, ABOVE(0)));
}
END_TEST

START_TEST(what_a_longjmp_left_behind_is_over) {
    static struct state freed = {NULL, 0, {{"gone", "Lua", "@/app/gone.lua", 1}}};
    void *pcs[8];
    lua_enter(&outer, ABOVE(5));
    lua_enter(&inner, ABOVE(2)); /* never leaves */
    ck_assert(lua_runs(&outer, ABOVE(2)));
    lua_enter(&inner, ABOVE(2));
    lua_enter(&freed, ABOVE(1));
    lua_leave(ABOVE(4)); /* further out than both */
    ck_assert_uint_eq(lua_frames(&lua, pcs, 8), 2);
    lua_enter(&freed, ABOVE(3));
    lua_enter((void *)(uintptr_t)0x1000, ABOVE(2)); /* no memory any more */
    ck_assert_uint_eq(lua_frames(&lua, pcs, 8), 2);
    lua_leave(ABOVE(5));
    ck_assert_uint_eq(lua_frames(&lua, pcs, 8), 0);
}
END_TEST

START_TEST(of_many_the_innermost_are_kept) {
    static struct state many[40];
    void *pcs[80];
    for (unsigned i = 0; i < 40; i++) {
        many[i] = inner;
        lua_enter(&many[i], ABOVE(50 - i));
    }
    ck_assert(lua_runs(&many[39], ABOVE(0)));
    ck_assert_uint_eq(lua_frames(&lua, pcs, 80), 32);
    for (unsigned i = 40; i-- > 0;)
        lua_leave(ABOVE(50 - i));
    ck_assert_uint_eq(lua_frames(&lua, pcs, 80), 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("Lua's stacks");
    TCase *tests = tcase_create("stacks");
    tcase_add_test(tests, coroutines_are_followed_by_who_resumed_them);
    tcase_add_test(tests, what_a_longjmp_left_behind_is_over);
    tcase_add_test(tests, of_many_the_innermost_are_kept);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
