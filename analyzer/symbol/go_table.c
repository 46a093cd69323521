/* Looking addresses up in a Go program's function table. */
#include "symbol/go_table.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "symbol/go_file.h"

#define GO_MAGIC_118 0xfffffff0u /* Go 1.18, 1.19 */
#define GO_MAGIC_120 0xfffffff1u
#define GO_HEADER_SIZE 72u
#define GO_INLINE_INDEX 2u /* PCDATA_InlTreeIndex */
#define GO_INLINE_TREE 3u  /* FUNCDATA_InlTree */
#define GO_NAME_MAX 4096u
#define GO_MODULE_WORDS 48u /* of runtime.moduledata, from its start */
enum {
    GO_WORD_NAMES = 1,
    GO_WORD_UNITS = 4,
    GO_WORD_FILES = 7,
    GO_WORD_MIN = 20,
    GO_WORD_TEXT = 22
};

struct go_part { /* of the table, within it */
    const uint8_t *at;
    uint64_t size;
};

struct go_table {
    struct go_file file;
    uint64_t address; /* of the table */
    struct go_part names, units, files, values, functions;
    uint64_t function_count;
    bool before_120;
    uint64_t text;   /* where offsets of functions count from */
    uint64_t gofunc; /* where offsets of inline trees count from; 0: not known */
};

struct go_function {
    uint64_t entry, size;
    const uint8_t *raw; /* struct _func of runtime2.go, `left` bytes from there */
    uint64_t left;
    uint32_t head; /* its size without the two arrays behind it */
};

/* ---- opening ---- */

static bool table_part(const uint8_t *table, uint64_t size, uint64_t from, uint64_t to,
                       struct go_part *part) {
    if (from < GO_HEADER_SIZE || from > to || to > size) return false;
    *part = (struct go_part){table + from, to - from};
    return true;
}

/* The header's offsets, checked: names, compilation units, files, values, functions, in this order. */
static bool table_parse(struct go_table *table, uint64_t address) {
    uint64_t size = 0;
    const uint8_t *at = go_file_at(&table->file, address, &size);
    if (!at || size < GO_HEADER_SIZE || at[4] || at[5] || at[6] != 1 || at[7] != 8) return false;
    if (go_u32(at) != GO_MAGIC_118 && go_u32(at) != GO_MAGIC_120) return false;
    uint64_t offsets[6];
    for (size_t i = 0; i < 5; i++)
        offsets[i] = go_u64(at + 32 + 8 * i);
    offsets[5] = size;
    struct go_part *const parts[] = {&table->names, &table->units, &table->files, &table->values,
                                     &table->functions};
    for (size_t i = 0; i < 5; i++)
        if (!table_part(at, size, offsets[i], offsets[i + 1], parts[i])) return false;
    table->function_count = go_u64(at + 8);
    table->before_120 = go_u32(at) == GO_MAGIC_118;
    table->address = address;
    /* pairs of (entry, record), and one more entry: the end */
    return table->function_count > 0 && table->functions.size >= 4 &&
           table->function_count <= (table->functions.size - 4) / 8;
}

/*
 * go:func.* is the base of inline trees. Its place in moduledata depends on the release; it is believed where the text sections'
 * map, {first, count, count}, stands where that release has it: one section, at offset 0, from the start of the text.
 */
static uint64_t module_gofunc(const struct go_table *table, const uint64_t *words) {
    static const struct {
        uint8_t gofunc, sections;
    } places[] = {{38, 39}, {40, 41}, {40, 42}, {43, 45}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const uint64_t *map = &words[places[i].sections];
        uint64_t section[3], left = 0;
        if (map[1] != 1 || map[2] != 1 || !go_file_words(&table->file, map[0], section, 3))
            continue;
        if (section[0] != 0 || section[2] != table->text) continue;
        if (go_file_at(&table->file, words[places[i].gofunc], &left))
            return words[places[i].gofunc];
    }
    return 0;
}

/* runtime.firstmoduledata: the one place that points at the table and at its parts. It says where the text starts. */
static bool table_find_module(struct go_table *table) {
    uint64_t words[GO_MODULE_WORDS], left = 0;
    const uint8_t *start = go_file_at(&table->file, table->address, &left);
    for (uint64_t at = 0; (at = go_file_find_word(&table->file, table->address, at)) != 0;) {
        if (!go_file_words(&table->file, at, words, GO_MODULE_WORDS)) continue;
        if (words[GO_WORD_NAMES] - table->address != (uint64_t)(table->names.at - start) ||
            words[GO_WORD_UNITS] - table->address != (uint64_t)(table->units.at - start) ||
            words[GO_WORD_FILES] - table->address != (uint64_t)(table->files.at - start) ||
            words[GO_WORD_MIN] - words[GO_WORD_TEXT] != go_u32(table->functions.at))
            continue;
        table->text = words[GO_WORD_TEXT];
        table->gofunc = module_gofunc(table, words);
        return true;
    }
    return false;
}

static bool table_try(struct go_table *table, uint64_t address) {
    return table_parse(table, address) && table_find_module(table);
}

/*
 * Section headers may have been stripped, and the C linker puts the table of a position independent program into .data.rel.ro:
 * then it is where its magic and all that follows from it are right.
 */
static bool table_find(struct go_table *table) {
    static const char *const names[] = {".gopclntab", ".data.rel.ro.gopclntab"};
    static const char *const signs[] = {".go.buildinfo", ".note.go.buildid"};
    uint64_t address = 0;
    const struct go_file *file = &table->file;
    if (go_file_section(file, names, 2, &address) && table_try(table, address)) return true;
    if (go_file_has_sections(file) && !go_file_section(file, signs, 2, &address)) return false;
    for (size_t i = 0; i < file->segment_count; i++) {
        const struct go_segment *segment = &file->segments[i];
        if (segment->flags & PF_X) continue;
        for (uint64_t at = -segment->address & 7; at + GO_HEADER_SIZE <= segment->size; at += 8) {
            uint32_t magic = go_u32(file->bytes + segment->offset + at);
            if (magic != GO_MAGIC_118 && magic != GO_MAGIC_120) continue;
            if (table_try(table, segment->address + at)) return true;
        }
    }
    return false;
}

struct go_table *go_table_open(const uint8_t *bytes, size_t size) {
    struct go_table *table = calloc(1, sizeof *table);
    if (table && go_file_open(&table->file, bytes, size) && table_find(table)) return table;
    free(table);
    return NULL;
}

void go_table_close(struct go_table *table) {
    free(table);
}

/* ---- values by address ---- */

static bool read_varint(const uint8_t **at, const uint8_t *end, uint32_t *value) {
    *value = 0;
    for (unsigned shift = 0; *at < end && shift < 35; shift += 7) {
        uint8_t byte = *(*at)++;
        if (shift < 32) *value |= (uint32_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return true;
    }
    return false;
}

/* Pairs of (change of value, length of code), from value -1 at the entry on; -1: nothing is known (runtime.pcvalue). */
static int32_t value_at(const struct go_table *table, const struct go_function *function,
                        uint32_t offset, uint64_t target) {
    if (offset == 0 || offset >= table->values.size) return -1;
    const uint8_t *at = table->values.at + offset, *end = table->values.at + table->values.size;
    uint32_t value = UINT32_MAX, change, length;
    uint64_t pc = function->entry;
    for (bool first = true; pc - function->entry <= function->size; first = false) {
        if (!read_varint(&at, end, &change) || (change == 0 && !first)) return -1;
        if (!read_varint(&at, end, &length)) return -1;
        value += change & 1 ? ~(change >> 1) : change >> 1;
        pc += length;
        if (target < pc) return (int32_t)value;
    }
    return -1;
}

static char *text_at(const struct go_part *part, uint64_t offset) {
    if (offset >= part->size) return NULL;
    uint64_t most = part->size - offset < GO_NAME_MAX ? part->size - offset : GO_NAME_MAX;
    const uint8_t *text = part->at + offset;
    return memchr(text, 0, most) && text[0] ? strdup((const char *)text) : NULL;
}

/* ---- functions ---- */

static uint32_t function_field(const struct go_function *function, size_t offset) {
    return offset + 4 <= function->left ? go_u32(function->raw + offset) : 0;
}

/* Field offsets of _func; startLine came with Go 1.20, in front of the last four bytes. */
enum { FUNC_NAME = 4, FUNC_FILE = 20, FUNC_LINE = 24, FUNC_VALUES = 28, FUNC_UNIT = 32 };

static bool function_find(const struct go_table *table, uint64_t address,
                          struct go_function *function) {
    const uint8_t *pairs = table->functions.at;
    uint64_t low = 0, high = table->function_count, offset = address - table->text;
    if (address < table->text || offset < go_u32(pairs) || offset >= go_u32(pairs + 8 * high))
        return false;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (go_u32(pairs + 8 * middle) <= offset)
            low = middle;
        else
            high = middle;
    }
    uint64_t record = go_u32(pairs + 8 * low + 4);
    function->head = table->before_120 ? 40 : 44;
    function->entry = table->text + go_u32(pairs + 8 * low);
    function->size = table->text + go_u32(pairs + 8 * (low + 1)) - function->entry;
    if (record > table->functions.size || table->functions.size - record < function->head)
        return false;
    function->raw = pairs + record;
    function->left = table->functions.size - record;
    return go_u32(function->raw) == go_u32(pairs + 8 * low);
}

/* The function's inline tree, and how many of its records the file has; NULL: nothing is inlined there, or it is not found. */
static const uint8_t *inline_tree(const struct go_table *table, const struct go_function *function,
                                  uint64_t *left) {
    uint64_t values = function_field(function, FUNC_VALUES);
    uint8_t trees = function->raw[function->head - 1];
    uint64_t at = function->head + 4 * values + 4 * GO_INLINE_TREE;
    if (!table->gofunc || trees <= GO_INLINE_TREE || at + 4 > function->left) return NULL;
    uint32_t offset = function_field(function, at);
    if (offset == UINT32_MAX) return NULL;
    const uint8_t *tree = go_file_at(&table->file, table->gofunc + offset, left);
    *left /= table->before_120 ? 20 : 16;
    return tree;
}

static void place_at(const struct go_table *table, const struct go_function *function, uint64_t pc,
                     struct image_frame *frame) {
    *frame = (struct image_frame){0};
    int32_t file = value_at(table, function, function_field(function, FUNC_FILE), pc);
    int32_t line = value_at(table, function, function_field(function, FUNC_LINE), pc);
    uint64_t unit = (uint64_t)function_field(function, FUNC_UNIT) + (uint32_t)file;
    if (file < 0 || line < 0 || unit >= table->units.size / 4) return;
    uint32_t offset = go_u32(table->units.at + 4 * unit);
    frame->file = offset == UINT32_MAX ? NULL : text_at(&table->files, offset);
    frame->line = frame->file ? line : 0;
}

static void frame_name(const struct go_table *table, uint32_t offset, struct image_frame *frame) {
    char *name = text_at(&table->names, offset);
    if (name) {
        frame->function = go_name_readable(name);
        frame->library = go_name_is_library(name);
    }
    /* what the compiler made up (wrappers of methods) is nobody's code */
    if (frame->file && strcmp(frame->file, "<autogenerated>") == 0) frame->library = true;
    frame->language = "go";
    free(name);
}

size_t go_table_lookup(const struct go_table *table, uint64_t address,
                       struct image_frame frames[IMAGE_FRAMES_MAX]) {
    struct go_function function;
    if (!function_find(table, address, &function)) return 0;
    uint64_t tree_left = 0, pc = address;
    const uint8_t *tree = inline_tree(table, &function, &tree_left);
    uint32_t values = function_field(&function, FUNC_VALUES);
    uint32_t index_table = values > GO_INLINE_INDEX
                               ? function_field(&function, function.head + 4 * GO_INLINE_INDEX)
                               : 0;
    size_t n = 0;
    for (; n < IMAGE_FRAMES_MAX - 1; n++) {
        int32_t index = value_at(table, &function, index_table, pc);
        /* the line is that of a function which is not known: the one around it is named alone */
        if (index >= 0 && (!tree || (uint32_t)index >= tree_left)) break;
        place_at(table, &function, pc, &frames[n]);
        if (index < 0) break;
        const uint8_t *call = tree + (size_t)index * (table->before_120 ? 20 : 16);
        frame_name(table, go_u32(call + (table->before_120 ? 12 : 4)), &frames[n]);
        uint32_t parent = go_u32(call + (table->before_120 ? 16 : 8));
        if (parent >= function.size) parent = 0;
        pc = function.entry + parent;
    }
    frame_name(table, function_field(&function, FUNC_NAME), &frames[n]);
    return frames[n].function || frames[n].file ? n + 1 : n;
}
