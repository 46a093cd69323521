/* Code that HotSpot made: which piece of it a return address lies in, and which methods stand there. */
#include "record/interpreter/java.h"
#include "record/interpreter/known.h"

#define HEAPS_MOST 16u
#define HOPS_MOST 65536u
#define SEGMENT_FREE 0xffu
#define WORD 8u
#define INLINED_MOST 64u
#define PLACES_MOST (1u << 20) /* of one method */
#define METHODS_MOST 65536u

/* ---- the code cache (share/memory/heap.cpp) ---- */

static bool heap_holds(const struct java_walk *w, uintptr_t heap, uintptr_t pc, uintptr_t *low) {
    const struct java_layout *l = &w->java->layout;
    uintptr_t high;
    return java_word(w, heap + l->heap_memory + l->space_low, low) &&
           java_word(w, heap + l->heap_memory + l->space_high, &high) && pc >= *low && pc < high;
}

/* The heap that holds pc, 0: none. */
static uintptr_t find_heap(const struct java_walk *w, uintptr_t pc, uintptr_t *low) {
    const struct java_layout *l = &w->java->layout;
    uintptr_t array, data, heap;
    int32_t count;
    if (l->heap) return java_word(w, l->heap, &heap) && heap_holds(w, heap, pc, low) ? heap : 0;
    if (!java_word(w, l->heaps, &array) || !array ||
        !java_int(w, array + l->array_length, &count) ||
        !java_word(w, array + l->array_data, &data))
        return 0;
    for (uint32_t i = 0; i < (uint32_t)count && i < HEAPS_MOST; i++)
        if (java_word(w, data + i * WORD, &heap) && heap_holds(w, heap, pc, low)) return heap;
    return 0;
}

bool java_code_holds(const struct java_walk *w, uintptr_t pc) {
    uintptr_t low;
    return find_heap(w, pc, &low) != 0;
}

/* Each segment says how far back its block begins, in hops of up to 254. */
static uintptr_t find_block(const struct java_walk *w, uintptr_t pc) {
    const struct java_layout *l = &w->java->layout;
    uintptr_t low, segments;
    int32_t log2;
    const uintptr_t heap = find_heap(w, pc, &low);
    if (!heap || !java_word(w, heap + l->heap_segments + l->space_low, &segments) ||
        !java_int(w, heap + l->heap_log2, &log2) || log2 < 3 || log2 > 20)
        return 0;
    uintptr_t index = (pc - low) >> log2;
    for (uint32_t i = 0; i < HOPS_MOST; i++) {
        uint8_t hop;
        if (!memory_read(&w->memory, segments + index, &hop, 1) || hop == SEGMENT_FREE) return 0;
        if (hop == 0) return low + (index << log2);
        if (hop > index) return 0;
        index -= hop;
    }
    return 0;
}

static bool is_named(const struct java_walk *w, uintptr_t blob, const char *name) {
    uintptr_t at;
    char byte;
    if (!java_word(w, blob + w->java->layout.blob_name, &at)) return false;
    do
        if (!memory_read(&w->memory, at++, &byte, 1) || byte != *name) return false;
    while (*name++);
    return true;
}

bool java_blob_find(const struct java_walk *w, uintptr_t pc, struct java_blob *out) {
    const struct java_layout *l = &w->java->layout;
    const uintptr_t block = find_block(w, pc);
    uint8_t used;
    int32_t offset, frame_size;
    if (!block || !memory_read(&w->memory, block + l->block_used, &used, 1) || !used) return false;
    out->at = block + l->block_bytes;
    if (l->blob_code != JAVA_NOWHERE) {
        if (!java_word(w, out->at + l->blob_code, &out->code)) return false;
    } else {
        if (!java_int(w, out->at + l->blob_code_offset, &offset)) return false;
        out->code = out->at + (uint32_t)offset;
    }
    if (pc < out->code || !java_int(w, out->at + l->blob_frame_size, &frame_size) ||
        frame_size < 0 || frame_size > 1 << 20)
        return false;
    out->frame_size = (uint32_t)frame_size * WORD;
    out->compiled = is_named(w, out->at, "nmethod") || is_named(w, out->at, "native nmethod");
    return true;
}

/* ---- debug information of compiled methods (share/code/{pcDesc,scopeDesc,debugInfo}.hpp) ---- */

struct debug_data {
    uintptr_t places, places_end;
    uintptr_t scopes;
    uintptr_t methods; /* 0: not known where */
};

static bool part(const struct java_walk *w, uintptr_t base, uintptr_t at, uintptr_t *out) {
    int32_t offset;
    if (!java_int(w, at, &offset) || offset < 0) return false;
    *out = base + (uint32_t)offset;
    return true;
}

/* JDK 23 took what never changes out of the code cache, JDK 25 the rest. */
static bool read_immutable(const struct java_walk *w, uintptr_t nmethod, struct debug_data *out) {
    const struct java_layout *l = &w->java->layout;
    uintptr_t data;
    if (!java_word(w, nmethod + l->compiled_immutable, &data) || !data ||
        !part(w, data, nmethod + l->compiled_places, &out->places) ||
        !part(w, data, nmethod + l->compiled_scopes_offset, &out->scopes))
        return false;
    out->places_end = out->scopes;
    if (l->blob_mutable == JAVA_NOWHERE || l->blob_relocation_size == JAVA_NOWHERE) return true;
    return java_word(w, nmethod + l->blob_mutable, &data) && data &&
           part(w, data, nmethod + l->blob_relocation_size, &out->methods);
}

static bool read_debug_data(const struct java_walk *w, uintptr_t nmethod, struct debug_data *out) {
    const struct java_layout *l = &w->java->layout;
    *out = (struct debug_data){0};
    if (l->compiled_immutable != JAVA_NOWHERE) return read_immutable(w, nmethod, out);
    if (!part(w, nmethod, nmethod + l->compiled_places, &out->places) ||
        !part(w, nmethod, nmethod + l->compiled_places_end, &out->places_end) ||
        !part(w, nmethod, nmethod + l->compiled_metadata, &out->methods))
        return false;
    return l->compiled_scopes != JAVA_NOWHERE
               ? java_word(w, nmethod + l->compiled_scopes, &out->scopes)
               : part(w, nmethod, nmethod + l->compiled_scopes_offset, &out->scopes);
}

/* Places are sorted by their offset in the code; of a call the one behind it is there. 0: none. */
static uint32_t find_scope(const struct java_walk *w, const struct debug_data *d,
                           uintptr_t distance) {
    const struct java_layout *l = &w->java->layout;
    if (d->places_end <= d->places || distance > INT32_MAX) return 0;
    uintptr_t first = 0, count = (d->places_end - d->places) / l->place_bytes;
    if (count > PLACES_MOST) return 0;
    while (count > 0) {
        const uintptr_t at = d->places + (first + count / 2) * l->place_bytes;
        int32_t offset, scope;
        if (!java_int(w, at + l->place_offset, &offset)) return 0;
        if (offset == (int32_t)distance)
            return java_int(w, at + l->place_scope, &scope) && scope > 0 ? (uint32_t)scope : 0;
        if (offset < (int32_t)distance) {
            first += count / 2 + 1;
            count -= count / 2 + 1;
        } else {
            count /= 2;
        }
    }
    return 0;
}

/*
 * Compilations are numbered, so what a place in one of them stands for is known for good: a value for each of its frames, with
 * the counter's lower bits (0: it is not shown).
 */
#define KNOWN (UINT64_C(1) << 63)
#define KNOWN_LAST (UINT64_C(1) << 62)
#define COUNTER_BITS UINT64_C(0xffffffffffff)

struct compiled {
    uintptr_t at, method;
    int32_t number;
};

static uint64_t frame_hash(const struct compiled *c, uintptr_t pc, uint32_t inlined) {
    uint64_t hash = known_hash(known_hash(c->at, c->method), pc);
    return known_hash(hash, (uint64_t)(uint32_t)c->number << 32 | inlined);
}

static bool add_known(struct java_walk *w, const struct compiled *c, uintptr_t pc) {
    const uint32_t before = w->count;
    for (uint32_t i = 0; i < INLINED_MOST; i++) {
        const uint64_t value = known_find(frame_hash(c, pc, i));
        if (value == 0) break;
        if (value & COUNTER_BITS)
            java_add(w, (void *)(uintptr_t)(FRAME_TAG << 48 | (value & COUNTER_BITS)));
        if (value & KNOWN_LAST) return true;
    }
    w->count = before;
    return false;
}

static void add_scopes(struct java_walk *w, const struct compiled *c, uintptr_t pc,
                       const struct debug_data *d, uint32_t scope) {
    for (uint32_t i = 0; scope != 0 && i < INLINED_MOST; i++) {
        uintptr_t at = d->scopes + scope, method = c->method;
        uint32_t caller, index, bci;
        if (!java_number(&w->memory, w->version, &at, &caller) ||
            !java_number(&w->memory, w->version, &at, &index) ||
            !java_number(&w->memory, w->version, &at, &bci))
            return;
        scope = caller;
        /* The outermost one is the method that was compiled. */
        const bool named =
            scope == 0 || (d->methods && index != 0 && index < METHODS_MOST &&
                           java_word(w, d->methods + (index - 1) * (uintptr_t)WORD, &method));
        void *counter =
            named ? java_method_frame(w, method, bci == 0 ? 0 : (int32_t)(bci - 1)) : NULL;
        java_add(w, counter);
        known_keep(frame_hash(c, pc, i),
                   KNOWN | (scope == 0 ? KNOWN_LAST : 0) | ((uintptr_t)counter & COUNTER_BITS));
    }
}

/* Where it would have gone on, had the JVM not decided meanwhile that the interpreter shall. */
static bool read_original(const struct java_walk *w, const struct java_blob *b, uintptr_t sp,
                          uintptr_t *pc) {
    uintptr_t slot;
    return part(w, sp, b->at + w->java->layout.compiled_original_pc, &slot) && slot != sp &&
           java_word(w, slot, pc) && *pc > b->code;
}

void java_blob_frames(struct java_walk *w, const struct java_blob *b, uintptr_t pc, uintptr_t sp) {
    struct compiled c = {.at = b->at};
    struct debug_data d;
    if (!java_word(w, b->at + w->java->layout.compiled_method, &c.method) ||
        !java_int(w, b->at + w->java->layout.compiled_number, &c.number) || add_known(w, &c, pc))
        return;
    const bool described = read_debug_data(w, b->at, &d);
    uint32_t scope = described ? find_scope(w, &d, pc - b->code) : 0;
    if (scope == 0 && described && read_original(w, b, sp, &pc)) {
        if (add_known(w, &c, pc)) return;
        scope = find_scope(w, &d, pc - b->code);
    }
    if (scope != 0)
        add_scopes(w, &c, pc, &d, scope);
    else
        java_add(w, java_method_frame(w, c.method, -1));
}
