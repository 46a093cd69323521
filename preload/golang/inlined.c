/*
 * Calls that a hook would miss, since the compiler has put the function's code where it is called: each function's table of what was
 * inlined into it (runtime/symtabinl.go). A profile makes the compiler bold (PGO).
 */
#include "golang/engine.h"
#include "golang/words.h"

/* struct _func: its name, how many tables by program counter it has */
enum { RECORD_NAME = 4, RECORD_PC_TABLES = 28 };
/* internal/abi: PCDATA_InlTreeIndex, FUNCDATA_InlTree */
enum { PC_TABLE_INLINE = 2, DATA_INLINE = 3 };
enum { ENTRIES_MOST = 1 << 16 };

struct form { /* of an entry: Go 1.19's has two fields more */
    size_t size, name;
};

static struct form form_of_program(void) {
    return golang_program.minor < 20 ? (struct form){20, 12} : (struct form){16, 4};
}

struct sieve {
    uint64_t bits[64];
    const uint32_t *names; /* offsets of names, 0: none */
    size_t count;
};

static bool passes(const struct sieve *s, uint32_t name) {
    return s->bits[name / 64 % 64] >> name % 64 & 1;
}

static long index_of(const struct sieve *s, uint32_t name) {
    for (size_t i = 0; name && i < s->count; i++)
        if (s->names[i] == name) return (long)i;
    return -1;
}

/* Quick, and mostly the end of it: whether one of the names' offsets is anywhere in the functions' data, as whatever. */
static bool may_be_inlined(const struct pclntab *t, const struct sieve *s) {
    for (uintptr_t at = (t->data + 3) & ~(uintptr_t)3; at + 4 <= t->data_end; at += 4) {
        const uint32_t word = words_32((const void *)at);
        if (passes(s, word) && index_of(s, word) >= 0) return true;
    }
    return false;
}

/* How many entries the function's table has: the largest index that its code refers to, and one. */
static size_t entries_of(const struct pclntab *t, uint32_t table) {
    const struct pclntab_function f = {.stack = table};
    struct pclntab_depths d = pclntab_depths_of(t, &f); /* of the same form */
    int32_t most = -1;
    while (pclntab_depth_next(&d))
        if (d.depth > most) most = d.depth;
    return most >= ENTRIES_MOST ? 0 : (size_t)(most + 1);
}

/* The runtime's own use of a function of another package (time.stopTimer in its scavenger) is none of the program's. */
static bool is_runtime(const struct pclntab *t, uint32_t name) {
    static const char package[] = "runtime.";
    return name < t->names_size - sizeof package &&
           words_equal(t->names + name, package, sizeof package - 1);
}

static long inlined_into(const struct pclntab *t, const struct sieve *s, const uint8_t *record) {
    const uint64_t room = t->functions_size - (size_t)(record - t->functions) - t->record_size;
    const uint64_t pc_tables = words_32(record + RECORD_PC_TABLES),
                   data = record[t->record_size - 1];
    if (pc_tables <= PC_TABLE_INLINE || data <= DATA_INLINE || 4 * (pc_tables + data) > room)
        return -1;
    const uint8_t *tables = record + t->record_size;
    const uint32_t table = words_32(tables + 4 * PC_TABLE_INLINE);
    const uint32_t tree = words_32(tables + 4 * (pc_tables + DATA_INLINE));
    if (table == 0 || table >= t->pc_data_size || tree == UINT32_MAX) return -1;
    const struct form form = form_of_program();
    const size_t count = entries_of(t, table);
    if (tree > t->data_end - t->data || count * form.size > t->data_end - t->data - tree) return -1;
    const bool internal = is_runtime(t, words_32(record + RECORD_NAME));
    for (size_t i = 0; i < count; i++) {
        const long found =
            index_of(s, words_32((const void *)(t->data + tree + i * form.size + form.name)));
        if (found >= 0 && (!internal || is_runtime(t, s->names[found]))) return found;
    }
    return -1;
}

long pclntab_inlined(const struct pclntab *t, const uint32_t *names, size_t count) {
    struct sieve s = {.names = names, .count = count};
    for (size_t i = 0; i < count; i++)
        if (names[i]) s.bits[names[i] / 64 % 64] |= UINT64_C(1) << names[i] % 64;
    if (!may_be_inlined(t, &s)) return -1;
    for (size_t i = 0; i < t->count; i++) {
        const uint8_t *record = pclntab_record(t, i);
        if (!record || pclntab_is_wrapper(t, record)) continue;
        const long found = inlined_into(t, &s, record);
        if (found >= 0) return found;
    }
    return -1;
}
