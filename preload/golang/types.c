/* Go's type descriptors (internal/abi/type.go): structs by name, and where their fields are. */
#include "golang/engine.h"
#include "golang/words.h"

/* abi.Type, 48 bytes; then abi.StructType, abi.PtrType; abi.StructField */
enum {
    TYPE_FLAGS = 20,
    TYPE_ALIGN = 21,
    TYPE_FIELD_ALIGN = 22,
    TYPE_KIND = 23,
    TYPE_NAME = 40,
    TYPE_SIZE = 48
};
enum { STRUCT_PATH = 48, STRUCT_FIELDS = 56, STRUCT_SIZE = 80, POINTER_TO = 48 };
enum { FIELD_NAME = 0, FIELD_TYPE = 8, FIELD_OFFSET = 16, FIELD_SIZE = 24 };
enum { MAP_TYPE_MORE = 80 }; /* an abi.MapType is at most so much larger than an abi.Type */
enum { KIND_MASK = 31, KIND_POINTER = 22, KIND_STRUCT = 25, FLAG_UNCOMMON = 1, FLAG_STAR = 2 };

static bool inside(uint64_t at, uint64_t size) {
    return at >= golang_program.types && at < golang_program.etypes &&
           size <= golang_program.etypes - at;
}

/* A name: flags, its length, its bytes. Longer than 16383: not one that anybody looks for. */
static const char *name_at(uint64_t at, size_t *length) {
    if (!inside(at, 3)) return NULL;
    const uint8_t *b = (const uint8_t *)at;
    size_t head = 2;
    *length = b[1];
    if (b[1] & 128) {
        if (b[2] & 128) return NULL;
        *length = (b[1] & 127u) | (size_t)b[2] << 7;
        head = 3;
    }
    return inside(at + head, *length) ? (const char *)b + head : NULL;
}

static bool name_is(uint64_t at, const char *name) {
    size_t length;
    const char *s = name_at(at, &length);
    return s && length == words_length(name) && words_equal(s, name, length);
}

const char *golang_type_name(uint64_t type, size_t *length) {
    *length = 0;
    if (!inside(type, TYPE_SIZE)) return NULL;
    const char *s =
        name_at(golang_program.types + words_32((const void *)(type + TYPE_NAME)), length);
    if (s && *length && (((const uint8_t *)type)[TYPE_FLAGS] & FLAG_STAR)) s++, --*length;
    return s;
}

bool golang_itab_points_to(uint64_t itab, uint64_t struct_type) {
    const uint64_t type = golang_itab_type(itab);
    return type && struct_type && inside(type, POINTER_TO + 8) &&
           (((const uint8_t *)type)[TYPE_KIND] & KIND_MASK) == KIND_POINTER &&
           words_64((const void *)(type + POINTER_TO)) == struct_type;
}

/* ---- the structs that we know ---- */

enum type_id {
#define GOLANG_TYPE(id, path, name) TYPE_##id,
#define GOLANG_OFFSET(id, type, field, need, ...)
#include "golang/offsets.def"
#undef GOLANG_TYPE
#undef GOLANG_OFFSET
    TYPES
};

static const struct {
    char path[40], name[40];
} known_types[] = {
#define GOLANG_TYPE(id, path, name) {path, name},
#define GOLANG_OFFSET(id, type, field, need, ...)
#include "golang/offsets.def"
#undef GOLANG_TYPE
#undef GOLANG_OFFSET
};

#define RELEASES (GOLANG_LAST_MINOR - GOLANG_FIRST_MINOR + 1)

static const struct {
    int16_t offsets[RELEASES];
    uint8_t type, need;
    char field[24];
} known_offsets[] = {
#define GOLANG_TYPE(id, path, name)
#define GOLANG_OFFSET(id, type, field, need, ...)                                                  \
    {{__VA_ARGS__}, TYPE_##type, GOLANG_##need, field},
#include "golang/offsets.def"
#undef GOLANG_TYPE
#undef GOLANG_OFFSET
};
enum { OFFSETS = sizeof known_offsets / sizeof *known_offsets };
_Static_assert(sizeof(struct golang_offsets) == (OFFSETS + 1) * sizeof(int32_t), "a field each");

static bool is_struct(const uint8_t *p) {
    return (p[TYPE_KIND] & KIND_MASK) == KIND_STRUCT && p[TYPE_ALIGN] == 8 &&
           p[TYPE_FIELD_ALIGN] == 8;
}

/* The package's path: the struct's own where it has fields that are not exported, else that of the named type behind it. */
static bool path_is(uint64_t type, const char *path) {
    const uint64_t own = words_64((const void *)(type + STRUCT_PATH));
    if (own) return name_is(own, path);
    return (((const uint8_t *)type)[TYPE_FLAGS] & FLAG_UNCOMMON) && inside(type, STRUCT_SIZE + 4) &&
           name_is(golang_program.types + words_32((const void *)(type + STRUCT_SIZE)), path);
}

/* Descriptors have different sizes: every aligned place may be the beginning of one. */
static void structs_find(uint64_t *types) {
    size_t left = TYPES;
    for (uint64_t at = (golang_program.types + 7) & ~UINT64_C(7); left && inside(at, STRUCT_SIZE);
         at += 8) {
        if (!is_struct((const uint8_t *)at)) continue;
        size_t length;
        const char *name = golang_type_name(at, &length);
        if (!name) continue;
        for (size_t i = 0; i < TYPES; i++)
            if (!types[i] && known_types[i].name[length < 40 ? length : 39] == 0 &&
                words_equal(name, known_types[i].name, length) &&
                words_length(known_types[i].name) == length && path_is(at, known_types[i].path)) {
                types[i] = at;
                left--;
                break;
            }
    }
}

/* The description of a field; 0: the struct has no such field, or is damaged. */
static uint64_t field_of(uint64_t type, const char *name) {
    const uint64_t fields = words_64((const void *)(type + STRUCT_FIELDS));
    const uint64_t count = words_64((const void *)(type + STRUCT_FIELDS + 8));
    if (count > 4096 || !inside(fields, count * FIELD_SIZE)) return 0;
    for (uint64_t at = fields; at < fields + count * FIELD_SIZE; at += FIELD_SIZE)
        if (name_is(words_64((const void *)(at + FIELD_NAME)), name)) return at;
    return 0;
}

/* -1: none. */
static int64_t field_offset(uint64_t type, const char *name) {
    const uint64_t field = field_of(type, name);
    const uint64_t offset = field ? words_64((const void *)(field + FIELD_OFFSET)) : UINT64_MAX;
    return offset < 32768 ? (int64_t)offset : -1;
}

/* The form of maps, by the type of the responses' Header. A program without that makes no responses. */
static bool header_read(void) {
    if (!golang_type.response) return true;
    const uint64_t field = field_of(golang_type.response, "Header");
    const uint64_t type = field ? words_64((const void *)(field + FIELD_TYPE)) : 0;
    return map_read(inside(type, TYPE_SIZE + MAP_TYPE_MORE) ? type : 0);
}

bool types_read(void) {
    uint64_t *types = (uint64_t *)&golang_type;
    int32_t *offsets = (int32_t *)&golang_offset;
    for (size_t i = 0; i < TYPES; i++)
        types[i] = 0;
    structs_find(types);
    for (size_t i = 0; i < OFFSETS; i++) {
        const int32_t table = known_offsets[i].offsets[golang_program.minor - GOLANG_FIRST_MINOR];
        const uint64_t type = types[known_offsets[i].type];
        offsets[i] = table;
        if (type && field_offset(type, known_offsets[i].field) != table)
            return words_refuse(known_types[known_offsets[i].type].name, ".",
                                known_offsets[i].field, " is not where it is in this release");
        if (table < 0 && known_offsets[i].need == GOLANG_REQUIRED)
            return words_refuse(known_types[known_offsets[i].type].name, ".",
                                known_offsets[i].field, " is not in this release");
    }
    return header_read();
}

/* A struct's field, abi.StructField: its type has the kind, and its name's first byte says that it is embedded. */
enum { KIND_INTERFACE = 20, FLAG_EMBEDDED = 8 };

bool golang_embedded(uint64_t itab, uint64_t data, uint64_t words[2]) {
    const uint64_t type = golang_itab_type(itab);
    if (!data || !type || !inside(type, POINTER_TO + 8) ||
        (((const uint8_t *)type)[TYPE_KIND] & KIND_MASK) != KIND_POINTER)
        return false;
    const uint64_t target = words_64((const void *)(type + POINTER_TO));
    if (!inside(target, STRUCT_SIZE) || !is_struct((const uint8_t *)target)) return false;
    const uint64_t fields = words_64((const void *)(target + STRUCT_FIELDS));
    const uint64_t count = words_64((const void *)(target + STRUCT_FIELDS + 8));
    if (count > 64 || !inside(fields, count * FIELD_SIZE)) return false;
    for (uint64_t at = fields; at < fields + count * FIELD_SIZE; at += FIELD_SIZE) {
        const uint64_t name = words_64((const void *)(at + FIELD_NAME));
        const uint64_t of = words_64((const void *)(at + FIELD_TYPE));
        if (!inside(of, TYPE_SIZE) || !name_is(name, "Conn") ||
            !(*(const uint8_t *)name & FLAG_EMBEDDED) ||
            (((const uint8_t *)of)[TYPE_KIND] & KIND_MASK) != KIND_INTERFACE)
            continue;
        const uint64_t offset = words_64((const void *)(at + FIELD_OFFSET));
        words[0] = golang_word(data, (int32_t)offset);
        words[1] = golang_word(data, (int32_t)offset + 8);
        return words[0] != 0 && words[1] != 0;
    }
    return false;
}
