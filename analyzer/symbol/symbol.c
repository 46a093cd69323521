/* The symbolizer: modules and addresses seen so far, and their frames. */
#include "symbol/symbol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "httpleak/trace.h"
#include "model/arena.h"
#include "symbol/image.h"

struct symbol_entry { /* a module */
    struct symbol_entry *next;
    const char *path;
    const char *build_id;
    enum symbol_kind kind;
    struct image *image; /* opened at the first lookup: most modules of a process are in no stack */
};

struct symbol_names { /* the frames of one address */
    struct symbol_names *next;
    const struct symbol_entry *module;
    uint64_t address;
    bool exact;
    size_t count;
    struct symbol_frame frames[];
};

enum { SYMBOL_BUCKETS = 1024 };

struct symbolizer {
    struct symbol_options options;
    struct arena arena;
    struct symbol_entry *modules;
    struct symbol_names *names[SYMBOL_BUCKETS];
};

struct symbolizer *symbolizer_new(const struct symbol_options *options) {
    struct symbolizer *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    if (options) s->options = *options;
    /*
     * libdw asks these servers on its own as soon as the variable is there; offline is the default
     * here.
     */
    if (!s->options.debuginfod) unsetenv("DEBUGINFOD_URLS");
    return s;
}

void symbolizer_free(struct symbolizer *s) {
    if (!s) return;
    for (struct symbol_entry *m = s->modules; m; m = m->next)
        image_close(m->image);
    arena_free(&s->arena);
    free(s);
}

static struct symbol_entry *symbolizer_module(struct symbolizer *s,
                                              const struct symbol_module *module) {
    const char *path = module && module->path ? module->path : "";
    char build_id[2 * TRACE_BUILD_ID_MAX + 1] = "";
    size_t size = module && module->build_id_size <= TRACE_BUILD_ID_MAX ? module->build_id_size : 0;
    for (size_t i = 0; i < size; i++)
        snprintf(build_id + 2 * i, 3, "%02x", module->build_id[i]);
    for (struct symbol_entry *m = s->modules; m; m = m->next)
        if (strcmp(m->path, path) == 0 && strcmp(m->build_id, build_id) == 0) return m;
    struct symbol_entry *m = arena_alloc(&s->arena, sizeof *m);
    m->path = arena_copy(&s->arena, path);
    m->build_id = arena_copy(&s->arena, build_id);
    m->kind = symbol_module_kind(path, module ? module->flags : 0);
    m->next = s->modules;
    s->modules = m;
    return m;
}

/*
 * The longest end of a source file's path that exists below the source root, else the path as it
 * is.
 */
static const char *symbolizer_source(struct symbolizer *s, const char *file) {
    const char *root = s->options.source_root;
    for (const char *tail = file; root && tail; tail = strchr(tail, '/')) {
        while (*tail == '/')
            tail++;
        char *path = NULL;
        if (strstr(tail, "../") || asprintf(&path, "%s/%s", root, tail) < 0) continue;
        const char *kept = access(path, F_OK) == 0 ? arena_copy(&s->arena, path) : NULL;
        free(path);
        if (kept) return kept;
    }
    return arena_copy(&s->arena, file);
}

static struct symbol_names *symbolizer_lookup(struct symbolizer *s, struct symbol_entry *module,
                                              const struct symbol_module *given, uint64_t address,
                                              bool exact) {
    if (!module->image && given && given->path)
        module->image = image_open(given, s->options.debuginfod);
    struct image_frame found[IMAGE_FRAMES_MAX];
    /*
     * A return address may be the first byte of the next line, or of the next function after a call
     * that never returns.
     */
    size_t count = module->image ? image_lookup(module->image,
                                                exact || !address ? address : address - 1, found)
                                 : 0;
    size_t frames = count ? count : 1;
    struct symbol_names *names =
        arena_alloc(&s->arena, sizeof *names + frames * sizeof *names->frames);
    for (size_t i = 0; i < frames; i++) {
        struct symbol_frame *f = &names->frames[i];
        f->module = module->path;
        f->build_id = module->build_id;
        f->offset = address;
        f->kind = module->kind;
        f->user = module->kind == SYMBOL_USER;
        f->inlined = i + 1 < frames;
        f->language = "native";
        if (!count) {
            f->hint = module->image ? image_hint(module->image) : "in no known module";
            if (!f->hint) f->hint = "no symbols";
            continue;
        }
        if (found[i].function) f->function = arena_copy(&s->arena, found[i].function);
        if (found[i].file) f->file = symbolizer_source(s, found[i].file);
        f->line = found[i].line > 0 ? found[i].line : 0;
        if ((found[i].library || (f->file && symbol_source_is_library(f->file))) &&
            f->kind == SYMBOL_USER) {
            f->kind = SYMBOL_SYSTEM;
            f->user = false;
        }
        if (found[i].language) f->language = found[i].language;
    }
    for (size_t i = 0; i < count; i++) {
        free(found[i].function);
        free(found[i].file);
    }
    names->module = module;
    names->address = address;
    names->exact = exact;
    names->count = frames;
    return names;
}

/* Interpreted code has its name already. */
static struct symbol_names *symbolizer_script(struct symbolizer *s,
                                              const struct symbol_address *a) {
    struct symbol_names *names = arena_alloc(&s->arena, sizeof *names + sizeof *names->frames);
    struct symbol_frame *f = names->frames;
    const char *file = a->file && a->file[0] ? a->file : "<unknown>";
    f->module = symbol_script_module(&s->arena, a);
    f->build_id = "";
    if (a->language != TRACE_LANGUAGE_JAVA || a->line) f->file = symbolizer_source(s, file);
    f->line = a->line <= INT32_MAX ? (int)a->line : 0;
    if (a->function && a->function[0]) f->function = arena_copy(&s->arena, a->function);
    f->language = symbol_language_name(a->language);
    if (!f->language) f->language = "native";
    f->kind = symbol_script_kind(a->language, f->module);
    f->user = f->kind == SYMBOL_USER;
    f->interpreted = true;
    names->count = 1;
    return names;
}

static struct symbol_names *symbolizer_names(struct symbolizer *s, const struct symbol_address *a) {
    if (a->language) return symbolizer_script(s, a);
    struct symbol_entry *module = symbolizer_module(s, a->module);
    uint64_t hash = (a->address ^ (uintptr_t)module) * 0x9e3779b97f4a7c15u;
    struct symbol_names **bucket = &s->names[(hash >> 32) % SYMBOL_BUCKETS];
    for (struct symbol_names *n = *bucket; n; n = n->next)
        if (n->module == module && n->address == a->address && n->exact == a->exact) return n;
    struct symbol_names *names = symbolizer_lookup(s, module, a->module, a->address, a->exact);
    names->next = *bucket;
    *bucket = names;
    return names;
}

size_t symbolizer_resolve(struct symbolizer *s, const struct symbol_address *stack, size_t count,
                          const struct symbol_frame **out) {
    size_t total = 0, n = 0;
    *out = NULL;
    if (count == 0) return 0;
    const struct symbol_names **names = arena_alloc(&s->arena, count * sizeof(void *));
    for (size_t i = 0; i < count; i++) {
        names[i] = symbolizer_names(s, &stack[i]);
        total += names[i]->count;
    }
    struct symbol_frame *frames = arena_alloc(&s->arena, total * sizeof *frames);
    for (size_t i = 0; i < count; i++) {
        memcpy(frames + n, names[i]->frames, names[i]->count * sizeof *frames);
        n += names[i]->count;
    }
    symbol_find_program(frames, total);
    *out = frames;
    return total;
}
