/* Walks the calling thread's Python frames. */
#include "record/interpreter/python.h"

#include <pthread.h>

/* Bytes that are looked at of a code object and a frame: no more than the smallest of them have. */
#define CODE_HEAD 192u
#define CODE_HEAD_OLD 128u /* up to 3.10 */
#define FRAME_HEAD 72u
#define FRAME_HEAD_OLD 112u
#define OBJECT_TYPE 8u
#define BYTES_SIZE 16u
#define BYTES_HEAD 32u
#define TABLE_MOST 65536u
#define COMPARED_MOST 256u /* lines that are compared with the interpreter's own answer */
#define OWNED_BY_GENERATOR 1
#define OWNED_BY_C 3 /* a frame that stands for a call from C */
#define KNOWN 4096u
#define INDEX_BITS 24u

/* Who disagreed with its interpreter is not believed any more. */
static bool wrong;
static uint32_t compared;

/* Frames seen before: a hash of code and place over the low bits of the counter. */
static uint64_t known[KNOWN];

static uint64_t word(const uint8_t *bytes, unsigned offset) {
    uint64_t value;
    return memcpy(&value, bytes + offset, sizeof value), value;
}

static int32_t number(const uint8_t *bytes, unsigned offset) {
    int32_t value;
    return memcpy(&value, bytes + offset, sizeof value), value;
}

struct walk {
    const struct python *python;
    struct memory memory;
};

struct table {
    const uint8_t *bytes;
    size_t size;
};

static bool read_table(const struct walk *w, uintptr_t object, struct table *out) {
    if (object % 8 != 0 || !memory_can_read(&w->memory, object, BYTES_HEAD)) return false;
    const uint8_t *bytes = (const uint8_t *)object;
    const uint64_t size = word(bytes, BYTES_SIZE);
    if (word(bytes, OBJECT_TYPE) != w->python->bytes_type || size > TABLE_MOST) return false;
    *out = (struct table){bytes + BYTES_HEAD, size};
    return size == 0 || memory_can_read(&w->memory, object + BYTES_HEAD, size);
}

static uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * UINT64_C(0xff51afd7ed558ccd);
    return hash ^ hash >> 32;
}

/*
 * Code objects come and go, and another one may lie at the same address: the beginning and the end of its table of lines are
 * part of what a frame is known by, and its names are compared.
 */
static uint64_t hash_of(uintptr_t code, int first_line, int place, const struct table *table) {
    uint64_t hash =
        mix(code ^ table->size << 48, (uint64_t)(uint32_t)first_line << 32 | (uint32_t)place);
    if (table->size < 32) {
        for (size_t i = 0; i < table->size; i++)
            hash = mix(hash, table->bytes[i]);
        return hash;
    }
    const uint8_t *end = table->bytes + table->size - 16;
    return mix(hash, word(table->bytes, 0) * 3 + word(table->bytes, 8) * 5 +
                         word(table->bytes, 16) * 7 + word(end, 0) * 11 + word(end, 8) * 13);
}

static void *counter_of(const struct walk *w, uintptr_t code_at, const uint8_t *code, int place) {
    const struct python *python = w->python;
    const struct python_layout *l = &python->layout;
    char file_buffer[FRAME_TEXT_MAX], name_buffer[FRAME_TEXT_MAX];
    struct frame_text file, name;
    struct table table;
    if (!python_text(python, &w->memory, word(code, l->code_file), file_buffer, &file) ||
        !python_text(python, &w->memory, word(code, l->code_name), name_buffer, &name) ||
        !read_table(w, word(code, l->code_table), &table))
        return NULL;
    const int first_line = number(code, l->code_line);
    const uint64_t hash = hash_of(code_at, first_line, place, &table);
    uint64_t *entry = &known[hash % KNOWN];
    const uint64_t seen = __atomic_load_n(entry, __ATOMIC_RELAXED);
    if (seen && seen >> INDEX_BITS == hash >> INDEX_BITS) {
        void *pc = (void *)(uintptr_t)(FRAME_TAG << 48 | (seen & ((1u << INDEX_BITS) - 1)));
        if (frame_has_names(pc, file, name)) return pc;
    }
    const uint32_t line = python_line(l->version, table.bytes, table.size, first_line, place);
    if (__atomic_load_n(&compared, __ATOMIC_RELAXED) < COMPARED_MOST) {
        const int told = python->line_of((void *)code_at, place);
        if (line != (told > 0 ? (uint32_t)told : 0)) {
            __atomic_store_n(&wrong, true, __ATOMIC_RELAXED);
            return NULL;
        }
        __atomic_fetch_add(&compared, 1, __ATOMIC_RELAXED);
    }
    void *pc = frame_counter(TRACE_LANGUAGE_PYTHON, file, name, line);
    const uint64_t index = (uintptr_t)pc & UINT64_C(0xffffffffffff);
    if (pc && index < 1u << INDEX_BITS)
        __atomic_store_n(entry, (hash >> INDEX_BITS) << INDEX_BITS | index, __ATOMIC_RELAXED);
    return pc;
}

/* The frame's place in its code, in bytes; false: it has not begun, or is none to be shown. */
static bool place_of(const struct python_layout *l, const uint8_t *frame, uintptr_t code_at,
                     const uint8_t *code, int *place) {
    if (!l->code_instructions) {
        const int32_t index = number(frame, l->frame_instruction);
        if (index < -1 || index > INT32_MAX / 4) return false;
        *place = index < 0 ? -1 : index * l->instruction_size;
        return true;
    }
    const uint64_t start = code_at + l->code_instructions;
    const uint64_t at = word(frame, l->frame_instruction);
    const int64_t distance = (int64_t)(at - start);
    if (distance < -2 || distance > INT32_MAX / 4 || distance % 2 != 0) return false;
    *place = (int)distance;
    return frame[l->frame_owner] == OWNED_BY_GENERATOR ||
           distance / 2 >= number(code, l->code_first_traceable);
}

/* false: nothing that lies behind it can be believed either. */
static bool walk_frame(const struct walk *w, uintptr_t *frame_at, void **counter) {
    const struct python_layout *l = &w->python->layout;
    const bool old = !l->code_instructions;
    int place;
    *counter = NULL;
    if (*frame_at % 8 != 0 ||
        !memory_can_read(&w->memory, *frame_at, old ? FRAME_HEAD_OLD : FRAME_HEAD))
        return false;
    const uint8_t *frame = (const uint8_t *)*frame_at;
    if (old && word(frame, OBJECT_TYPE) != w->python->frame_type) return false;
    *frame_at = word(frame, l->frame_previous);
    if (l->frame_owner && frame[l->frame_owner] >= OWNED_BY_C)
        return frame[l->frame_owner] == OWNED_BY_C;
    const uintptr_t code_at = word(frame, l->frame_code);
    if (code_at % 8 != 0 || !memory_can_read(&w->memory, code_at, old ? CODE_HEAD_OLD : CODE_HEAD))
        return false;
    const uint8_t *code = (const uint8_t *)code_at;
    if (word(code, OBJECT_TYPE) != w->python->code_type) return false;
    if (place_of(l, frame, code_at, code, &place)) *counter = counter_of(w, code_at, code, place);
    return true;
}

uint32_t python_frames(const struct python *python, void **counters, uint32_t most) {
    const struct python_layout *l = &python->layout;
    uint32_t count = 0;
    uint64_t at, thread;
    if (__atomic_load_n(&wrong, __ATOMIC_RELAXED)) return 0;
    const uintptr_t state = (uintptr_t)python->thread_state();
    if (state == 0) return 0;
    const struct walk w = {python, memory_begin()};
    /* A state that another thread goes on with (embedders may hand them around) changes under our eyes. */
    if (!memory_read(&w.memory, state + l->thread_id, &thread, sizeof thread) ||
        thread != (uint64_t)pthread_self())
        return 0;
    if (!memory_read(&w.memory, state + l->thread_frame, &at, sizeof at)) return 0;
    if (l->by_cframe && !memory_read(&w.memory, at + l->cframe_frame, &at, sizeof at)) return 0;
    for (uint32_t steps = 0; at && count < most && steps < 4 * TRACE_STACK_DEPTH_MAX; steps++) {
        void *counter;
        if (!walk_frame(&w, &at, &counter)) return 0;
        if (counter) counters[count++] = counter;
    }
    return __atomic_load_n(&wrong, __ATOMIC_RELAXED) ? 0 : count;
}
