/* The pool of interpreted frames: names once, frames once, each found by its hash. */
#include "record/interpreter/frame.h"

#include <string.h>

#include "record/intern.h"
#include "record/sys.h"

#define FRAMES 16384u
#define NAME_BYTES (1u << 20)
#define NAMES_MOST 8192u /* with the table twice as big */
#define PROBES 64u

struct name {          /* at a multiple of 8 in pool.names */
    uint64_t in_trace; /* trace << 32 | string id, once that was asked for */
    uint32_t size, hash;
    char bytes[];
};
struct frame {
    uint32_t file, function; /* offsets / 8 in pool.names; 0: none */
    uint32_t line, language;
};
/* Entries of the tables: half a hash over index or offset; set once, never changed (see intern.c). */
static struct pool {
    uint64_t name_table[2 * NAMES_MOST], frame_table[2 * FRAMES];
    struct frame frames[FRAMES];
    uint64_t names[NAME_BYTES / 8];
    uint32_t frames_used, names_used; /* records; 8 bytes */
} * pool;
static uint32_t trace_number = 1;

static struct name *name_at(uint32_t offset) {
    return (struct name *)(void *)&pool->names[offset];
}

static uint32_t take(uint32_t *used, uint32_t n, uint32_t limit) {
    uint32_t at = __atomic_load_n(used, __ATOMIC_RELAXED);
    do {
        if (n > limit - 1 || at > limit - 1 - n) return 0;
    } while (
        !__atomic_compare_exchange_n(used, &at, at + n, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return at + 1; /* 0 is none */
}

static uint32_t name_make(struct frame_text text, uint32_t hash) {
    const uint32_t words = (uint32_t)((sizeof(struct name) + text.size + 7) / 8);
    const uint32_t offset = take(&pool->names_used, words, NAME_BYTES / 8);
    if (!offset) return 0;
    struct name *name = name_at(offset);
    name->size = (uint32_t)text.size;
    name->hash = hash;
    memcpy(name->bytes, text.bytes, text.size);
    return offset;
}

static bool name_is(uint32_t offset, struct frame_text text) {
    if (offset == 0) return text.size == 0;
    const struct name *name = name_at(offset);
    return name->size == text.size && memcmp(name->bytes, text.bytes, text.size) == 0;
}

static struct frame_text cut(struct frame_text text) {
    if (text.size > FRAME_TEXT_MAX) {
        text.size = FRAME_TEXT_MAX;
        while (text.size > FRAME_TEXT_MAX - 4 && ((uint8_t)text.bytes[text.size] & 0xc0) == 0x80)
            text.size--; /* not in the middle of a character */
    }
    return text;
}

/* Where the entry for a hash may be; the callers differ in what they compare and make. */
struct place {
    uint64_t *table;
    uint32_t mask, at, half, probe;
};

static struct place place_of(uint64_t *table, uint32_t size, uint64_t hash) {
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    return (struct place){table, size - 1, (uint32_t)(hash >> 20) & (size - 1),
                          (uint32_t)(hash >> 32) | 1, 0};
}

/* The next candidate (0: the place is free), or UINT32_MAX when there are no more. */
static uint32_t place_next(struct place *p) {
    for (; p->probe < PROBES; p->probe++, p->at = (p->at + 1) & p->mask) {
        const uint64_t entry = __atomic_load_n(&p->table[p->at], __ATOMIC_ACQUIRE);
        if (entry == 0) return 0;
        if ((uint32_t)(entry >> 32) != p->half) continue;
        p->probe++;
        p->at = (p->at + 1) & p->mask;
        return (uint32_t)entry;
    }
    return UINT32_MAX;
}

/* false: somebody else took the place first; look at it again. */
static bool place_take(struct place *p, uint32_t value) {
    uint64_t none = 0;
    return __atomic_compare_exchange_n(&p->table[p->at], &none, (uint64_t)p->half << 32 | value,
                                       false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static uint32_t name_offset(struct frame_text text) {
    if (text.size == 0) return 0;
    const uint32_t hash = trace_string_hash(text.bytes, (uint32_t)text.size);
    struct place p = place_of(pool->name_table, 2 * NAMES_MOST, hash);
    uint32_t made = 0;
    for (uint32_t found; (found = place_next(&p)) != UINT32_MAX;) {
        if (found && name_is(found, text)) return found;
        if (found) continue;
        if (!made && !(made = name_make(text, hash))) break;
        if (place_take(&p, made)) return made;
    }
    return UINT32_MAX;
}

void *frame_counter(enum trace_language language, struct frame_text file,
                    struct frame_text function, uint32_t line) {
    if (!pool && (sys_is_confined() || !sys_memory_once(&pool, sizeof *pool))) return NULL;
    file = cut(file);
    function = cut(function);
    const struct frame wanted = {name_offset(file), name_offset(function), line,
                                 (uint32_t)language};
    if (wanted.file == UINT32_MAX || wanted.function == UINT32_MAX) {
        if (trace) trace_lose(TRACE_LOST_STRINGS);
        return NULL;
    }
    const uint64_t hash =
        ((uint64_t)wanted.file << 32 | wanted.function) * UINT64_C(0xff51afd7ed558ccd) ^
        ((uint64_t)line << 8 | (uint64_t)language) * UINT64_C(0xc4ceb9fe1a85ec53);
    struct place p = place_of(pool->frame_table, 2 * FRAMES, hash ^ hash >> 29);
    uint32_t made = 0;
    for (uint32_t found; (found = place_next(&p)) != UINT32_MAX;) {
        if (!found) {
            if (!made && !(made = take(&pool->frames_used, 1, FRAMES))) break;
            pool->frames[made] = wanted;
            if (!place_take(&p, made)) continue;
            found = made;
        }
        if (memcmp(&pool->frames[found], &wanted, sizeof wanted) == 0)
            return (void *)(uintptr_t)(FRAME_TAG << 48 | found);
    }
    if (trace) trace_lose(TRACE_LOST_STRINGS);
    return NULL;
}

static const struct frame *frame_of(const void *pc) {
    const uint64_t index = (uintptr_t)pc & UINT64_C(0xffffffffffff);
    return pool && index < FRAMES ? &pool->frames[index] : NULL;
}

bool frame_has_names(const void *pc, struct frame_text file, struct frame_text function) {
    const struct frame *frame = frame_of(pc);
    return frame && name_is(frame->file, cut(file)) && name_is(frame->function, cut(function));
}

static struct frame_text text_at(uint32_t offset) {
    const struct name *name = offset ? name_at(offset) : NULL;
    return name ? (struct frame_text){name->bytes, name->size} : (struct frame_text){"", 0};
}

struct frame_names frame_names(const void *pc) {
    const struct frame *frame = frame_of(pc);
    if (!frame) return (struct frame_names){TRACE_LANGUAGE_NATIVE, {"", 0}, {"", 0}};
    return (struct frame_names){(enum trace_language)frame->language, text_at(frame->file),
                                text_at(frame->function)};
}

static uint32_t name_in_trace(uint32_t offset) {
    if (offset == 0) return 0;
    struct name *name = name_at(offset);
    const uint32_t number = __atomic_load_n(&trace_number, __ATOMIC_RELAXED);
    const uint64_t known = __atomic_load_n(&name->in_trace, __ATOMIC_RELAXED);
    if (known >> 32 == number) return (uint32_t)known;
    const uint32_t id = intern_string(name->bytes, name->size);
    if (id) __atomic_store_n(&name->in_trace, (uint64_t)number << 32 | id, __ATOMIC_RELAXED);
    return id;
}

struct trace_frame frame_for_trace(const void *pc) {
    const struct frame *frame = frame_of(pc);
    if (!frame) return (struct trace_frame){0};
    return (struct trace_frame){.address =
                                    (uint64_t)frame->line << 32 | name_in_trace(frame->function),
                                .module = name_in_trace(frame->file),
                                .language = frame->language};
}

void frame_reset(void) {
    __atomic_fetch_add(&trace_number, 1, __ATOMIC_RELAXED);
}
