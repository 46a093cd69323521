/* Go's releases: numbers of the runtime that no descriptor tells. */
#include "golang/engine.h"

/* tests/integration/test_golang_table.py compares these with the sources of every toolchain. */
static const struct release releases[] = {
    /* 19 */ {.wrapper = 21, .types = 35, .etypes = 36, .data = 38},
    /* 20 */ {.wrapper = 21, .types = 37, .etypes = 38, .data = 40},
    /* 21 */ {.wrapper = 21, .types = 37, .etypes = 38, .data = 40},
    /* 22 */ {.wrapper = 22, .types = 37, .etypes = 38, .data = 40},
    /* 23 */ {.wrapper = 22, .types = 37, .etypes = 38, .data = 40},
    /* 24 */ {.wrapper = 22, .types = 37, .etypes = 38, .data = 40},
    /* 25 */ {.wrapper = 23, .types = 37, .etypes = 38, .data = 40},
    /* 26 */ {.wrapper = 23, .types = 37, .etypes = 38, .data = 40},
    /* 27 */ {.wrapper = 23, .types = 37, .etypes = 39, .data = 43},
};
_Static_assert(sizeof releases / sizeof *releases == GOLANG_LAST_MINOR - GOLANG_FIRST_MINOR + 1,
               "a row each");

const struct release *release_of_program(void) {
    const uint32_t minor = golang_program.minor;
    const bool known = minor >= GOLANG_FIRST_MINOR && minor <= GOLANG_LAST_MINOR;
    return &releases[(known ? minor : GOLANG_LAST_MINOR) - GOLANG_FIRST_MINOR];
}
