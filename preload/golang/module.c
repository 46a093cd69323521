/* The runtime's own description of the program, struct moduledata (runtime/symtab.go). */
#include "golang/engine.h"
#include "golang/words.h"

/* Words of the structure that are the same in every release. */
enum {
    WORD_TABLE = 0,
    WORD_NAMES = 1,
    WORD_UNITS = 4,
    WORD_FILES = 7,
    WORD_FIRST = 20,
    WORD_LAST = 21,
    WORD_TEXT = 22,
    WORD_TEXT_END = 23,
    WORDS = 48
};

static bool is_module(const uint64_t *m, const struct pclntab *t) {
    return m[WORD_TABLE] == (uintptr_t)t->base && m[WORD_NAMES] == (uintptr_t)t->names &&
           m[WORD_UNITS] > m[WORD_NAMES] && m[WORD_FILES] > m[WORD_UNITS] &&
           m[WORD_FILES] < (uintptr_t)t->functions;
}

static const uint64_t *find(const struct pclntab *t, const struct program *program) {
    for (size_t i = 0; i < program->count; i++) {
        const struct program_segment *s = &program->segments[i];
        if (!s->writable) continue;
        for (uintptr_t at = (s->start + 7) & ~(uintptr_t)7; at + 8 * WORDS <= s->end; at += 8)
            if (is_module((const uint64_t *)at, t)) return (const uint64_t *)at;
    }
    return NULL;
}

bool module_find(struct pclntab *t, const struct program *program) {
    const uint64_t *m = find(t, program);
    if (!m) return words_refuse("the runtime's module data is not there");
    const uint64_t text = m[WORD_TEXT], end = m[WORD_TEXT_END];
    const struct program_segment *code = program_segment_of(program, text, 1);
    const uint32_t last = words_32(t->functions + 8 * t->count);
    if (m[WORD_FIRST] != text + words_32(t->functions) || m[WORD_LAST] != text + last || !code ||
        !code->executable || end <= text || end > code->end || last > end - text)
        return words_refuse("the runtime's module data and its table of functions disagree");
    const struct release *r = release_of_program();
    const uint64_t types = m[r->types], types_end = m[r->etypes];
    const struct program_segment *data = program_segment_of(program, types, 1);
    if (!data || data->executable || types_end <= types || types_end > data->end)
        return words_refuse("the runtime's module data gives no type descriptors");
    const uint64_t functions = m[r->data];
    const struct program_segment *d = program_segment_of(program, functions, 1);
    if (!d || d->executable)
        return words_refuse("the runtime's module data gives no functions' data");
    t->data = functions;
    t->data_end =
        functions < (uintptr_t)t->base && (uintptr_t)t->base < d->end ? (uintptr_t)t->base : d->end;
    t->text = text;
    golang_program.pclntab = (uintptr_t)t->base;
    golang_program.text = text;
    golang_program.etext = end;
    golang_program.types = types;
    golang_program.etypes = types_end;
    return true;
}
