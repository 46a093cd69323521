/* Names and lines of Java methods (share/oops/{method,constMethod,constantPool,symbol}.hpp). */
#include <string.h>

#include "record/interpreter/java.h"
#include "record/interpreter/known.h"

#define TAG_TEXT 1u    /* JVM_CONSTANT_Utf8 (Java Virtual Machine Specification, table 4.4-A) */
#define ARRAY_BYTES 4u /* Array<u1>: its length, then these */
#define HAS_LINES 1u

struct method {
    uintptr_t constants, pool, holder, code;
    uint32_t code_size;
    uint16_t name;
    bool has_lines;
};

static bool short_at(const struct java_walk *w, uintptr_t at, uint16_t *out) {
    return memory_read(&w->memory, at, out, sizeof *out);
}

static bool read_method(const struct java_walk *w, uintptr_t at, struct method *out) {
    const struct java_layout *l = &w->java->layout;
    uint16_t size;
    uint8_t flags;
    if (!java_word(w, at + l->method_const, &out->constants) || !out->constants ||
        !java_word(w, out->constants + l->const_pool, &out->pool) ||
        !short_at(w, out->constants + l->const_code_size, &size) ||
        !short_at(w, out->constants + l->const_name, &out->name) ||
        !memory_read(&w->memory, out->constants + l->const_flags, &flags, 1) ||
        !java_word(w, out->pool + l->pool_holder, &out->holder))
        return false;
    out->code = out->constants + l->const_bytes;
    out->code_size = size;
    out->has_lines = flags & HAS_LINES;
    return true;
}

static bool read_symbol(const struct java_walk *w, uintptr_t symbol, struct frame_text *out) {
    const struct java_layout *l = &w->java->layout;
    uint16_t size;
    if (!symbol || symbol % 8 != 0 || !short_at(w, symbol + l->symbol_length, &size) || !size ||
        !memory_can_read(&w->memory, symbol + l->symbol_bytes, size))
        return false;
    *out = (struct frame_text){(const char *)symbol + l->symbol_bytes, size};
    return true;
}

/* The text at an index of the pool, whose tag must say that it is one. */
static bool read_constant(const struct java_walk *w, uintptr_t pool, uint16_t index,
                          struct frame_text *out) {
    const struct java_layout *l = &w->java->layout;
    uintptr_t tags, symbol;
    int32_t length;
    uint8_t tag;
    return index != 0 && java_int(w, pool + l->pool_length, &length) && index < length &&
           java_word(w, pool + l->pool_tags, &tags) &&
           memory_read(&w->memory, tags + ARRAY_BYTES + index, &tag, 1) && tag == TAG_TEXT &&
           java_word(w, pool + l->pool_bytes + (uintptr_t)index * 8, &symbol) &&
           read_symbol(w, symbol, out);
}

static bool read_source(const struct java_walk *w, const struct method *m, struct frame_text *out) {
    const struct java_layout *l = &w->java->layout;
    const uintptr_t at =
        l->pool_source != JAVA_NOWHERE ? m->pool + l->pool_source : m->holder + l->class_source;
    uint16_t index;
    return short_at(w, at, &index) && read_constant(w, m->pool, index, out);
}

static bool contains(struct frame_text text, const char *part) {
    return memmem(text.bytes, text.size, part, strlen(part)) != NULL;
}

/*
 * Classes that the JVM's own stack traces leave out: what it makes for lambdas and method handles. Their names have an address or
 * a number in them, and the code of the lambda itself stands in a method of the program's class.
 */
static bool is_hidden(struct frame_text class) {
    static const char form[] = "java/lang/invoke/LambdaForm$";
    return (class.size >= sizeof form && memcmp(class.bytes, form, sizeof form - 1) == 0) ||
           contains(class, "$$Lambda") || contains(class, "+0x") || contains(class, "/0x");
}

struct buffer {
    char bytes[FRAME_TEXT_MAX];
    size_t size;
};

static void add(struct buffer *b, struct frame_text text, char slash) {
    for (size_t i = 0; i < text.size && b->size < sizeof b->bytes; i++)
        b->bytes[b->size++] = text.bytes[i] == '/' ? slash : text.bytes[i];
}

static struct frame_text text_of(const struct buffer *b) {
    return (struct frame_text){b->bytes, b->size};
}

/* "com/example/Main.java" of com.example.Main: the directories are the package's. */
static void add_source(struct buffer *b, struct frame_text class, struct frame_text source) {
    while (class.size > 0 && class.bytes[class.size - 1] != '/')
        class.size--;
    add(b, class, '/');
    add(b, source, '/');
}

static uint32_t line_of(const struct java_walk *w, const struct method *m, int32_t bci) {
    if (!m->has_lines || bci < 0 || (uint32_t)bci >= m->code_size) return 0;
    return java_line(&w->memory, w->version, m->code + m->code_size, m->code_size, (uint32_t)bci);
}

/* What is never to be shown is known, too. */
#define KNOWN_HIDDEN UINT64_C(1)

static void *make_frame(const struct java_walk *w, const struct method *m, struct frame_text class,
                        struct frame_text name, int32_t bci) {
    struct buffer function, file;
    struct frame_text source;
    function.size = file.size = 0;
    add(&function, class, '.');
    add(&function, (struct frame_text){".", 1}, '.');
    add(&function, name, '/');
    const uint32_t line = line_of(w, m, bci);
    if (line && read_source(w, m, &source))
        add_source(&file, class, source);
    else
        add(&file, class, '.');
    return frame_counter(TRACE_LANGUAGE_JAVA, text_of(&file), text_of(&function), line);
}

void *java_method_frame(const struct java_walk *w, uintptr_t at, int32_t bci) {
    struct method m;
    struct frame_text name, class;
    uintptr_t symbol;
    if (!read_method(w, at, &m) || !read_constant(w, m.pool, m.name, &name) ||
        !java_word(w, m.holder + w->java->layout.class_name, &symbol) ||
        !read_symbol(w, symbol, &class))
        return NULL;
    /* Methods come and go, and another one may lie at the same address: its names are part of what it is known by. */
    const uint64_t hash = known_bytes(
        known_bytes(known_hash(known_hash(m.constants, m.pool), (uint32_t)bci), name), class);
    const uint64_t known = known_find(hash);
    if (known) return known == KNOWN_HIDDEN ? NULL : (void *)(uintptr_t)known;
    const bool hidden = is_hidden(class);
    void *pc = hidden ? NULL : make_frame(w, &m, class, name, bci);
    if (pc || hidden) known_keep(hash, hidden ? KNOWN_HIDDEN : (uint64_t)(uintptr_t)pc);
    return pc;
}

int32_t java_method_place(const struct java_walk *w, uintptr_t method, uintptr_t bcp) {
    struct method m;
    if (!read_method(w, method, &m) || bcp < m.code || bcp - m.code >= m.code_size) return -1;
    return (int32_t)(bcp - m.code);
}
