/* Go's table of functions: found by its magic number, read with every offset checked. */
#include "golang/engine.h"
#include "golang/words.h"

#define MAGIC_118 0xfffffff0u /* Go 1.18, 1.19 */
#define MAGIC_120 0xfffffff1u /* Go 1.20 and later */
#define HEADER 72u            /* struct pcHeader */

enum {
    HEADER_COUNT = 8,
    HEADER_NAMES = 32,
    HEADER_UNITS = 40,
    HEADER_PC_DATA = 56,
    HEADER_FUNCTIONS = 64
};
/* struct _func */
enum { RECORD_ENTRY = 0, RECORD_NAME = 4, RECORD_STACK = 16, RECORD_118 = 40, RECORD_120 = 44 };

static bool is_header(const uint8_t *p) {
    const uint32_t magic = words_32(p);
    return (magic == MAGIC_118 || magic == MAGIC_120) && words_32(p + 4) == 0x08010000;
}

/* The tables lie behind the header in this order. */
static bool header_read(struct pclntab *t, const uint8_t *p, uintptr_t end) {
    const uint64_t room = end - (uintptr_t)p;
    const uint64_t count = words_64(p + HEADER_COUNT), names = words_64(p + HEADER_NAMES);
    const uint64_t units = words_64(p + HEADER_UNITS), pc_data = words_64(p + HEADER_PC_DATA);
    const uint64_t functions = words_64(p + HEADER_FUNCTIONS);
    if (names < HEADER || names >= units || units > pc_data || pc_data >= functions ||
        functions >= room || functions > UINT32_MAX || count == 0 ||
        count >= (room - functions) / 8)
        return false;
    t->base = p;
    t->names = (const char *)p + names;
    t->names_size = units - names;
    t->pc_data = p + pc_data;
    t->pc_data_size = functions - pc_data;
    t->functions = p + functions;
    t->functions_size = room - functions;
    t->count = count;
    t->record_size = words_32(p) == MAGIC_118 ? RECORD_118 : RECORD_120;
    t->text = 0;
    return t->names[t->names_size - 1] == 0 && words_32(t->functions) == 0;
}

bool pclntab_find(struct pclntab *t, const struct program *program) {
    bool seen = false;
    for (size_t i = 0; i < program->count; i++) {
        const struct program_segment *s = &program->segments[i];
        if (s->executable) continue;
        for (uintptr_t at = (s->start + 7) & ~(uintptr_t)7; at + HEADER + 8 <= s->end; at += 8) {
            if (!is_header((const uint8_t *)at)) continue;
            seen = true;
            if (header_read(t, (const uint8_t *)at, s->end)) return true;
        }
    }
    return seen ? words_refuse("the table of functions is damaged")
                : words_refuse("no table of functions of a known form");
}

/* ---- names ---- */

enum { NAMES_MOST = 128, NAME_LENGTHS = 128 };

struct wanted { /* names by length, and where each stands among the program's names */
    uint8_t first[NAME_LENGTHS]; /* index + 1 of the first name of that length */
    uint8_t next[NAMES_MOST];
    uint32_t place[NAMES_MOST]; /* 0: not there */
    size_t left;
};

/* The names' table ends with a zero byte. Eight bytes at a time: the lowest bit that is set marks the first zero. */
static size_t name_length(const char *s, const char *end) {
    size_t n = 0;
    for (; end - (s + n) >= 8; n += 8) {
        const uint64_t x = words_64(s + n);
        const uint64_t zero =
            (x - UINT64_C(0x0101010101010101)) & ~x & UINT64_C(0x8080808080808080);
        if (zero) return n + (size_t)__builtin_ctzll(zero) / 8;
    }
    while (s[n])
        n++;
    return n;
}

static void names_find(const struct pclntab *t, const char *const *names, size_t count,
                       struct wanted *w) {
    for (size_t i = 0; i < NAME_LENGTHS; i++)
        w->first[i] = 0;
    w->left = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t length = words_length(names[i]);
        w->place[i] = 0;
        if (length >= NAME_LENGTHS) continue;
        w->next[i] = w->first[length];
        w->first[length] = (uint8_t)(i + 1);
        w->left++;
    }
    const char *const end = t->names + t->names_size;
    size_t length;
    for (const char *s = t->names; s < end && w->left; s += length + 1) {
        length = name_length(s, end);
        if (length >= NAME_LENGTHS || length == 0) continue;
        for (size_t i = w->first[length]; i; i = w->next[i - 1])
            if (w->place[i - 1] == 0 && words_equal(s, names[i - 1], length)) {
                w->place[i - 1] = (uint32_t)(s - t->names);
                w->left--;
            }
    }
}

bool pclntab_has(const struct pclntab *t, const char *name) {
    struct wanted w;
    names_find(t, &name, 1, &w);
    return w.place[0] != 0;
}

/* ---- functions ---- */

const uint8_t *pclntab_record(const struct pclntab *t, size_t i) {
    const uint32_t at = words_32(t->functions + 8 * i + 4);
    return at >= t->functions_size || t->functions_size - at < t->record_size ? NULL
                                                                              : t->functions + at;
}

bool pclntab_is_wrapper(const struct pclntab *t, const uint8_t *record) {
    return record[t->record_size - 4] == release_of_program()->wrapper;
}

static bool take(const struct pclntab *t, const uint8_t *record, size_t i,
                 struct pclntab_function *f) {
    const uint32_t entry = words_32(t->functions + 8 * i);
    const uint32_t end = words_32(t->functions + 8 * i + 8);
    if (words_32(record + RECORD_ENTRY) != entry || end <= entry) return false;
    f->entry = t->text + entry;
    f->end = t->text + end;
    f->stack = words_32(record + RECORD_STACK);
    return f->stack < t->pc_data_size;
}

bool pclntab_functions(const struct pclntab *t, const char *const *names, size_t count,
                       struct pclntab_function *functions, uint8_t *found) {
    struct wanted w;
    uint64_t sieve[16] = {0}; /* name offsets that are wanted, coarsely */
    for (size_t i = 0; i < count; i++)
        found[i] = 0;
    if (count > NAMES_MOST) return false;
    names_find(t, names, count, &w);
    for (size_t i = 0; i < count; i++) {
        functions[i].name = w.place[i];
        if (w.place[i]) sieve[w.place[i] / 64 % 16] |= UINT64_C(1) << w.place[i] % 64;
    }
    for (size_t i = 0; i < t->count; i++) {
        const uint8_t *record = pclntab_record(t, i);
        if (!record) return words_refuse("the table of functions is damaged");
        const uint32_t name = words_32(record + RECORD_NAME);
        if (!(sieve[name / 64 % 16] >> name % 64 & 1)) continue;
        for (size_t k = 0; k < count; k++) {
            if (w.place[k] != name || name == 0 || pclntab_is_wrapper(t, record)) continue;
            if (!take(t, record, i, &functions[k]))
                return words_refuse("the table of functions is damaged");
            found[k]++;
        }
    }
    return true;
}

/* ---- stack depth (runtime/symtab.go, step) ---- */

struct pclntab_depths pclntab_depths_of(const struct pclntab *t, const struct pclntab_function *f) {
    return (struct pclntab_depths){.at = t->pc_data + f->stack,
                                   .end = t->pc_data + t->pc_data_size,
                                   .depth = -1,
                                   .first = true};
}

static bool varint(struct pclntab_depths *d, uint32_t *value) {
    *value = 0;
    for (unsigned shift = 0; shift < 32 && d->at < d->end; shift += 7) {
        const uint8_t byte = *d->at++;
        *value |= (uint32_t)(byte & 127) << shift;
        if (!(byte & 128)) return true;
    }
    return false;
}

bool pclntab_depth_next(struct pclntab_depths *d) {
    uint32_t change, advance;
    if (!varint(d, &change) || (change == 0 && !d->first) || !varint(d, &advance)) return false;
    d->first = false;
    d->depth += (int32_t)(change & 1 ? ~(change >> 1) : change >> 1);
    d->from = d->until;
    d->until += advance;
    return true;
}
