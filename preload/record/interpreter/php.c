/* Walks PHP's frames. */
#include "record/interpreter/php.h"

#include "record/interpreter/memory.h"

/* struct _zend_execute_data */
#define FRAME_OPLINE 0u
#define FRAME_FUNCTION 24u
#define FRAME_PREVIOUS 48u
#define FRAME_SIZE 56u
#define OPLINE_LINE 24u
/* struct _zend_op_array, its part that is common to all functions */
#define FUNCTION_TYPE 0u
#define FUNCTION_NAME 8u
#define FUNCTION_CLASS 16u
#define FUNCTION_COMMON 56u
#define TYPE_INTERNAL 1u /* what is odd is no user's code (ZEND_USER_CODE) */
#define CLASS_NAME 8u
/* struct _zend_string */
#define STRING_SIZE 16u
#define STRING_BYTES 24u
/* Where the two places that differ are looked for. */
#define GLOBALS_SEARCHED 1024u
#define ARRAY_SEARCHED 256u
#define FAILURES_MOST 8u
#define INTERNAL_MOST 64u /* internal functions above the innermost user's */

/* The offset in executor_globals over the offset in op_array; 0: not found yet. */
static uint64_t places;
static uint32_t failures;

static bool load(const struct memory *m, uintptr_t at, uintptr_t *out) {
    return at % 8 == 0 && memory_read(m, at, out, sizeof *out);
}

static bool text_of(const struct memory *m, uintptr_t string, struct frame_text *out) {
    uintptr_t size;
    if (!string || !load(m, string + STRING_SIZE, &size) || size > 1u << 20) return false;
    if (!memory_can_read(m, string + STRING_BYTES, size + 1)) return false;
    *out = (struct frame_text){(const char *)string + STRING_BYTES, size};
    return out->bytes[size] == 0;
}

struct php_frame {
    uintptr_t previous, function; /* function 0: nothing to be shown */
    uint32_t line;
};

static bool read_frame(const struct memory *m, uintptr_t at, struct php_frame *out) {
    uintptr_t opline, function;
    *out = (struct php_frame){0};
    if (at % 8 != 0 || !memory_can_read(m, at, FRAME_SIZE)) return false;
    if (!load(m, at + FRAME_PREVIOUS, &out->previous) || !load(m, at + FRAME_OPLINE, &opline) ||
        !load(m, at + FRAME_FUNCTION, &function))
        return false;
    if (!function) return true;
    if (function % 8 != 0 || !memory_can_read(m, function, FUNCTION_COMMON)) return false;
    if (*(const uint8_t *)(function + FUNCTION_TYPE) & TYPE_INTERNAL) return true;
    if (!opline || !memory_read(m, opline + OPLINE_LINE, &out->line, sizeof out->line)) return true;
    out->function = function;
    return true;
}

/* The innermost frame of the user's, from `at` on. */
static bool first_user(const struct memory *m, uintptr_t at, struct php_frame *out) {
    for (unsigned i = 0; at && i < INTERNAL_MOST; i++, at = out->previous) {
        if (!read_frame(m, at, out)) return false;
        if (out->function) return true;
    }
    return false;
}

/* The place in the function where the string is whose characters the engine calls the file's name; 0: none. */
static uint32_t file_place(const struct memory *m, uintptr_t function, const char *name) {
    uintptr_t string;
    for (uint32_t at = FUNCTION_COMMON; at < ARRAY_SEARCHED; at += 8)
        if (load(m, function + at, &string) && string + STRING_BYTES == (uintptr_t)name) return at;
    return 0;
}

static uint64_t find_places(const struct php *php, const struct memory *m) {
    const char *name = php->filename();
    if (!name || *name == '[') return 0; /* "[no active file]" */
    const uint32_t line = php->lineno();
    for (uint32_t at = 8; at < GLOBALS_SEARCHED; at += 8) {
        uintptr_t frame_at;
        struct php_frame frame;
        if (!load(m, php->globals + at, &frame_at)) break;
        if (!frame_at || !first_user(m, frame_at, &frame) || frame.line != line) continue;
        const uint32_t file = file_place(m, frame.function, name);
        if (file) return (uint64_t)at << 32 | file;
    }
    __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
    return 0;
}

/* "Class::method", "function", "{main}" as PHP's own backtraces say. */
static struct frame_text name_of(const struct memory *m, uintptr_t function,
                                 char buffer[FRAME_TEXT_MAX]) {
    static const char main_name[] = "{main}";
    uintptr_t string = 0, class = 0, class_string = 0;
    struct frame_text name, scope;
    if (!load(m, function + FUNCTION_NAME, &string) || !text_of(m, string, &name))
        return (struct frame_text){main_name, sizeof main_name - 1};
    if (!load(m, function + FUNCTION_CLASS, &class) || !class ||
        !load(m, class + CLASS_NAME, &class_string) || !text_of(m, class_string, &scope) ||
        scope.size + 2 + name.size > FRAME_TEXT_MAX)
        return name;
    memcpy(buffer, scope.bytes, scope.size);
    memcpy(buffer + scope.size, "::", 2);
    memcpy(buffer + scope.size + 2, name.bytes, name.size);
    return (struct frame_text){buffer, scope.size + 2 + name.size};
}

bool php_find(struct php *php, const struct image *module) {
    const uintptr_t globals = (uintptr_t)image_find_data(module, "executor_globals");
    if (!globals) return false;
    void *filename =
        image_find(module, "zend_get_executed_filename", image_hash("zend_get_executed_filename"));
    void *lineno =
        image_find(module, "zend_get_executed_lineno", image_hash("zend_get_executed_lineno"));
    *php = (struct php){.globals = globals};
    memcpy(&php->filename, &filename, sizeof filename);
    memcpy(&php->lineno, &lineno, sizeof lineno);
    return filename && lineno;
}

uint32_t php_frames(const struct php *php, void **counters, uint32_t most) {
    const struct memory m = memory_begin();
    uint64_t where = __atomic_load_n(&places, __ATOMIC_RELAXED);
    if (!where) {
        if (__atomic_load_n(&failures, __ATOMIC_RELAXED) >= FAILURES_MOST) return 0;
        where = find_places(php, &m);
        if (!where) return 0;
        __atomic_store_n(&places, where, __ATOMIC_RELAXED);
    }
    uintptr_t at;
    uint32_t count = 0;
    if (!load(&m, php->globals + (where >> 32), &at)) return 0;
    for (unsigned i = 0; at && count < most && i < 4 * TRACE_STACK_DEPTH_MAX; i++) {
        char buffer[FRAME_TEXT_MAX];
        struct php_frame frame;
        struct frame_text file;
        uintptr_t string;
        if (!read_frame(&m, at, &frame)) return 0;
        at = frame.previous;
        if (!frame.function) continue;
        if (!load(&m, frame.function + (uint32_t)where, &string) || !text_of(&m, string, &file))
            return 0;
        void *pc = frame_counter(TRACE_LANGUAGE_PHP, file, name_of(&m, frame.function, buffer),
                                 frame.line);
        if (pc) counters[count++] = pc;
    }
    return count;
}
