/*
 * Go's maps from outside: fields of an http.Header, a map[string][]string. The runtime's two forms of map (buckets until 1.23,
 * groups since 1.24) say in the map type's descriptor how their parts lie; anything else is refused.
 *
 * A map is only looked at where the program's own code reads it next or has just made it, so that nobody writes to it.
 */
#include "golang/engine.h"
#include "golang/probe.h"
#include "golang/words.h"

enum { SLOTS = 8 }; /* of a bucket (runtime/map.go), of a group (internal/runtime/maps) */
enum { KEY_SIZE = 16, ELEMENT_SIZE = 24 }; /* a string, a slice */
enum { PARTS_MOST = 1024 };                /* of a header that is looked through */
enum {
    MAP_KIND = 23,
    MAP_SIZES = 80,
    KIND_MAP = 21
}; /* abi.Type, then Key, Elem, Bucket or Group, Hasher */

/* runtime/map.go */
enum { SAME_SIZE_GROW = 8 }; /* hmap.flags */
enum { TOPHASH_LEAST = 5 };  /* less: empty, or moved to the new buckets */

static struct {
    uint16_t size, keys, key_stride, elements, element_stride;
    bool groups;
} form;

/* Until 1.23: sizes of key, element, bucket in 1, 1 and 2 bytes. Keys, then elements, then the bucket that follows. */
static bool is_buckets(uint64_t type) {
    const uint32_t sizes = words_32((const void *)(type + MAP_SIZES));
    const uint32_t bucket = SLOTS + SLOTS * (KEY_SIZE + ELEMENT_SIZE) + 8;
    if (sizes != (KEY_SIZE | ELEMENT_SIZE << 8 | bucket << 16)) return false;
    form.size = (uint16_t)bucket;
    form.keys = SLOTS;
    form.key_stride = KEY_SIZE;
    form.elements = SLOTS + SLOTS * KEY_SIZE;
    form.element_stride = ELEMENT_SIZE;
    form.groups = false;
    return true;
}

static bool fits(uint64_t first, uint64_t stride, uint64_t size) {
    return first >= SLOTS && stride >= size && stride <= KEY_SIZE + ELEMENT_SIZE &&
           first + (SLOTS - 1) * stride + size <= form.size;
}

/* Since 1.24: the group's size, then a slot's and the element's place in it; since 1.27: where keys and elements begin, and their strides. */
static bool is_groups(uint64_t type) {
    const uint64_t *sizes = (const uint64_t *)(type + MAP_SIZES);
    const bool strides = golang_program.minor >= 27;
    const uint64_t keys = strides ? sizes[1] : SLOTS, key_stride = strides ? sizes[2] : sizes[1],
                   elements = strides ? sizes[3] : SLOTS + sizes[2],
                   element_stride = strides ? sizes[4] : sizes[1];
    if (sizes[0] != SLOTS + SLOTS * (KEY_SIZE + ELEMENT_SIZE)) return false;
    form.size = (uint16_t)sizes[0];
    if (!fits(keys, key_stride, KEY_SIZE) || !fits(elements, element_stride, ELEMENT_SIZE))
        return false;
    form.keys = (uint16_t)keys;
    form.key_stride = (uint16_t)key_stride;
    form.elements = (uint16_t)elements;
    form.element_stride = (uint16_t)element_stride;
    form.groups = true;
    return true;
}

bool map_read(uint64_t type) {
    const bool known = type && (*(const uint8_t *)(type + MAP_KIND) & 31) == KIND_MAP &&
                       (is_buckets(type) || (golang_offset.map_directory >= 0 && is_groups(type)));
    return known || words_refuse("http.Header is no map of a known form");
}

/* ---- looking for a field ---- */

/* The key's value in a bucket or group: the first string of the slice; false: it is not there. */
static bool find_in(uint64_t part, struct managed_text name, struct managed_text *value) {
    for (unsigned i = 0; i < SLOTS; i++) {
        const uint8_t control = ((const uint8_t *)part)[i];
        if (form.groups ? control & 0x80 : control < TOPHASH_LEAST) continue;
        const struct managed_text key =
            probe_text(part + form.keys + (uint64_t)i * form.key_stride);
        if (key.size != name.size || !words_equal(key.bytes, name.bytes, name.size)) continue;
        const uint64_t *slice =
            (const uint64_t *)(part + form.elements + (uint64_t)i * form.element_stride);
        if (slice[1] == 0) return false;
        *value = probe_text(slice[0]);
        return true;
    }
    return false;
}

static bool find_in_buckets(uint64_t buckets, unsigned log, struct managed_text name,
                            struct managed_text *value, unsigned *patience) {
    for (uint64_t i = 0; buckets && i < UINT64_C(1) << log; i++)
        for (uint64_t part = buckets + i * form.size; part;
             part = words_64((const void *)(part + form.size - 8u))) {
            if (*patience == 0) return false;
            --*patience;
            if (find_in(part, name, value)) return true;
        }
    return false;
}

static bool find_in_hmap(uint64_t map, struct managed_text name, struct managed_text *value) {
    unsigned patience = PARTS_MOST;
    const uint8_t log = (uint8_t)golang_word(map, golang_offset.hmap_log);
    const bool same = (uint8_t)golang_word(map, golang_offset.hmap_flags) & SAME_SIZE_GROW;
    if (log > 16) return false;
    return find_in_buckets(golang_word(map, golang_offset.hmap_buckets), log, name, value,
                           &patience) ||
           find_in_buckets(golang_word(map, golang_offset.hmap_old), log && !same ? log - 1u : log,
                           name, value, &patience);
}

/* Map: one group, or a directory of tables (several places may lead to one). Table: its groups, one more than lengthMask. */
static bool find_in_swiss(uint64_t map, struct managed_text name, struct managed_text *value) {
    unsigned patience = PARTS_MOST;
    const uint64_t directory = golang_word(map, golang_offset.map_directory),
                   length = golang_word(map, golang_offset.map_directory_length);
    uint64_t before = 0;
    if (!directory) return false;
    if (length == 0) return find_in(directory, name, value);
    for (uint64_t i = 0; i < length && patience; i++) {
        const uint64_t table = words_64((const void *)(directory + 8 * i));
        if (table == before) continue;
        before = table;
        const uint64_t groups = golang_word(table, golang_offset.table_groups),
                       last = golang_word(table, golang_offset.table_groups + 8);
        for (uint64_t g = 0; g <= last; g++) {
            if (patience == 0) return false;
            patience--;
            if (find_in(groups + g * form.size, name, value)) return true;
        }
    }
    return false;
}

bool probe_field(uint64_t header, const char *name, struct managed_text *value) {
    const struct managed_text key = {name, words_length(name)};
    if (!form.size || !header || golang_word(header, 0) == 0)
        return false; /* both begin with how many there are */
    return form.groups ? find_in_swiss(header, key, value) : find_in_hmap(header, key, value);
}

/* ---- what fields mean ---- */

/* Whether it begins with the word, which is in lower case. Its last letter is compared first: mostly that is enough. */
static bool begins(struct managed_text text, struct managed_text word) {
    if (text.size < word.size) return false;
    for (size_t n = word.size; n-- > 0;) {
        const char c = text.bytes[n];
        if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != word.bytes[n]) return false;
    }
    return true;
}

enum managed_media probe_media(uint64_t header) {
    static const char events[] = "text/event-stream", grpc[] = "application/grpc";
    const size_t length = sizeof events - 1;
    struct managed_text type;
    if (!probe_field(header, "Content-Type", &type)) return MANAGED_MEDIA_PLAIN;
    if (begins(type, (struct managed_text){events, length}) &&
        (type.size == length || type.bytes[length] == ';' || type.bytes[length] == ' ' ||
         type.bytes[length] == '\t'))
        return MANAGED_MEDIA_EVENTS;
    return begins(type, (struct managed_text){grpc, sizeof grpc - 1}) ? MANAGED_MEDIA_GRPC
                                                                      : MANAGED_MEDIA_PLAIN;
}
