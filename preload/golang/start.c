/* Following a Go program: the steps from its program headers to patched functions. */
#include "golang/engine.h"
#include "golang/words.h"

struct golang_program golang_program;
struct golang_offsets golang_offset;
struct golang_types golang_type;

/* What every program with net/http's client has, and no other: two, so that none that misses one is taken for harmless. */
static const char witness[] = "net/http.(*persistConn).readLoop",
                  other_witness[] = "net/http.(*persistConn).writeLoop";

static bool known_release(void) {
    const uint32_t minor = golang_program.minor;
    return minor >= GOLANG_FIRST_MINOR && minor <= GOLANG_LAST_MINOR;
}

/* NONE, FOLLOWED, or BLIND with the reason written. */
static enum golang_state follow(const struct golang_start *start) {
    struct program program;
    struct pclntab table;
    golang_program.bias = start->bias;
    if (!program_read(&program, start) || !pclntab_find(&table, &program)) return GOLANG_BLIND;
    if (!pclntab_has(&table, witness) && !pclntab_has(&table, other_witness)) return GOLANG_NONE;
    if (!known_release()) {
        words_refuse("this release is not known, 1.19 to 1.27 are");
        return GOLANG_BLIND;
    }
    const bool good =
        module_find(&table, &program) && types_read() && install_hooks(&table, &program);
    return good ? GOLANG_FOLLOWED : GOLANG_BLIND;
}

__attribute__((cold)) bool golang_start(const struct golang_start *start) {
    if (!program_is_go(start)) return false;
    golang_program.headers = start->headers;
    golang_program.header_count = start->header_count;
    golang_program.state = follow(start);
    if (golang_program.state == GOLANG_BLIND) golang_blind();
    return golang_program.state == GOLANG_FOLLOWED;
}
