/* Ruby's frames, by its own functions for profilers. */
#include "record/interpreter/ruby.h"

#include "record/interpreter/memory.h"

/* struct RString: flags, class, then what include/ruby/internal/core/rstring.h says of each version */
#define TYPE_MASK 0x1fu
#define TYPE_STRING 5u
#define NOT_EMBEDDED (1u << 13)
#define LENGTH_SHIFT 14u /* of an embedded one, before 3.2 */
#define LENGTH 16u
#define POINTER 24u
#define EMBEDDED_OLD 16u
#define EMBEDDED 24u
#define BATCH 64u

static uintptr_t word(uintptr_t at) {
    uintptr_t value;
    return memcpy(&value, (const void *)at, sizeof value), value;
}

/* A String's bytes, which end with a NUL behind them. nil and the like are no pointers (their low bits say so). */
static bool text_of(const struct ruby *ruby, const struct memory *m, uintptr_t string,
                    struct frame_text *out) {
    if (string < 4096 || string % 8 != 0 || !memory_can_read(m, string, 32)) return false;
    const uintptr_t flags = word(string);
    if ((flags & TYPE_MASK) != TYPE_STRING) return false;
    uintptr_t at, size;
    if (flags & NOT_EMBEDDED) {
        size = word(string + LENGTH);
        at = word(string + POINTER);
    } else if (ruby->length_first) {
        size = word(string + LENGTH);
        at = string + EMBEDDED;
    } else {
        size = flags >> LENGTH_SHIFT & 0x1f;
        at = string + EMBEDDED_OLD;
    }
    if (size > 1u << 20 || !memory_can_read(m, at, size + 1)) return false;
    *out = (struct frame_text){(const char *)at, size};
    return out->bytes[size] == 0;
}

static void *function(const struct image *module, const char *name) {
    return image_find(module, name, image_hash(name));
}

bool ruby_find(struct ruby *ruby, const struct image *module) {
    const int *version = image_find_data(module, "ruby_api_version");
    if (!version) return false;
    void *frames = function(module, "rb_profile_frames");
    void *path = function(module, "rb_profile_frame_path");
    void *label = function(module, "rb_profile_frame_label");
    void *is_thread = function(module, "ruby_native_thread_p");
    void *collecting = function(module, "rb_during_gc");
    if (!frames || !path || !label || !is_thread || !collecting) return false;
    const int number = version[0] * 100 + version[1];
    if (number < 205 || number > 304) return false;
    *ruby = (struct ruby){.length_first = number >= 302};
    memcpy(&ruby->frames, &frames, sizeof frames);
    memcpy(&ruby->path, &path, sizeof path);
    memcpy(&ruby->label, &label, sizeof label);
    memcpy(&ruby->is_thread, &is_thread, sizeof is_thread);
    memcpy(&ruby->collecting, &collecting, sizeof collecting);
    return true;
}

uint32_t ruby_frames(const struct ruby *ruby, void **counters, uint32_t most) {
    uintptr_t frames[BATCH];
    int lines[BATCH];
    uint32_t count = 0;
    if (!ruby->is_thread() || ruby->collecting()) return 0;
    const struct memory m = memory_begin();
    const int n = ruby->frames(0, (int)BATCH, frames, lines);
    for (int i = 0; i < n && i < (int)BATCH && count < most; i++) {
        struct frame_text file, name;
        /* Functions written in C have no file, what stands below the main program has no line. */
        if (lines[i] <= 0 || !text_of(ruby, &m, ruby->path(frames[i]), &file) ||
            !text_of(ruby, &m, ruby->label(frames[i]), &name))
            continue;
        void *pc =
            frame_counter(TRACE_LANGUAGE_RUBY, file, name, lines[i] > 0 ? (uint32_t)lines[i] : 0);
        if (pc) counters[count++] = pc;
    }
    return count;
}
