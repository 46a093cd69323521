/* Interned strings and stacks: read once, checked, kept. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace/file.h"

void trace_heap_free(struct trace_heap_cache *cache) {
    for (size_t i = 0; i < cache->size; i++)
        free(cache->entries[i].data);
    free(cache->entries);
    *cache = (struct trace_heap_cache){0};
}

static struct trace_heap_entry *heap_slot(struct trace_heap_cache *cache, uint32_t id) {
    size_t at = (id * 2654435761u) & (cache->size - 1);
    while (cache->entries[at].id && cache->entries[at].id != id)
        at = (at + 1) & (cache->size - 1);
    return &cache->entries[at];
}

static void *heap_find(struct trace_heap_cache *cache, uint32_t id) {
    return cache->size ? heap_slot(cache, id)->data : NULL;
}

static void *heap_keep(struct trace_file *file, struct trace_heap_cache *cache, uint32_t id,
                       void *data) {
    if (cache->used * 4 >= cache->size * 3) {
        struct trace_heap_cache grown = {.size = cache->size ? cache->size * 2 : 64,
                                         .used = cache->used};
        grown.entries = calloc(grown.size, sizeof *grown.entries);
        if (!grown.entries) {
            trace_file_fail(file, 0, "out of memory");
            free(data);
            return NULL;
        }
        for (size_t i = 0; i < cache->size; i++)
            if (cache->entries[i].id) *heap_slot(&grown, cache->entries[i].id) = cache->entries[i];
        free(cache->entries);
        *cache = grown;
    }
    *heap_slot(cache, id) = (struct trace_heap_entry){id, data};
    cache->used++;
    return data;
}

/* Is there an entry of at least `head` bytes at `id`? In a live trace the heap may have grown since the header was read. */
static bool heap_place(struct trace_file *file, enum trace_region_kind kind, uint32_t id,
                       size_t head, uint64_t *at, uint64_t *room) {
    uint64_t offset = (uint64_t)id * 8;
    uint64_t used = trace_file_used(file, kind);
    const struct trace_region *region = &file->header.regions[kind];
    if (file->live) used = region->size;
    if (offset + head > used)
        return trace_file_fail(file, region->offset + offset,
                               "expected a %s within the %" PRIu64 " bytes in use, found id %u",
                               kind == TRACE_REGION_STRING ? "string" : "stack", used, id);
    *at = region->offset + offset;
    *room = used - offset - head;
    return true;
}

const char *trace_file_string(struct trace_file *file, uint32_t id, uint32_t *length) {
    struct trace_string head;
    uint64_t at = 0, room = 0;
    if (length) *length = 0;
    if (id == 0 || file->failed) return "";
    struct trace_string *found = heap_find(&file->strings, id);
    if (!found) {
        if (!heap_place(file, TRACE_REGION_STRING, id, sizeof head, &at, &room)) return "";
        if (!trace_file_read(file, at, &head, sizeof head)) return "";
        if (head.hash == 0) {
            file->torn++;
            return "";
        }
        if (head.length > TRACE_STRING_MAX || head.length >= room) {
            trace_file_fail(file, at, "expected a string of at most %u bytes, found one of %u",
                            TRACE_STRING_MAX, head.length);
            return "";
        }
        found = calloc(1, sizeof *found + head.length + 1);
        if (!found) {
            trace_file_fail(file, at, "out of memory");
            return "";
        }
        *found = head;
        if (!trace_file_read(file, at + sizeof head, found->bytes, head.length)) {
            free(found);
            return "";
        }
        uint32_t hash = trace_string_hash(found->bytes, head.length);
        if (hash != head.hash) {
            free(found);
            trace_file_fail(file, at, "expected a string with hash %08x, found one with %08x",
                            head.hash, hash);
            return "";
        }
        if (!heap_keep(file, &file->strings, id, found)) return "";
    }
    if (length) *length = found->length;
    return found->bytes;
}

const struct trace_stack *trace_file_stack(struct trace_file *file, uint32_t id) {
    struct trace_stack head;
    uint64_t at = 0, room = 0;
    if (id == 0 || file->failed) return NULL;
    struct trace_stack *found = heap_find(&file->stacks, id);
    if (found) return found;
    if (!heap_place(file, TRACE_REGION_STACK, id, sizeof head, &at, &room)) return NULL;
    if (!trace_file_read(file, at, &head, sizeof head)) return NULL;
    if (head.hash == 0) {
        file->torn++;
        return NULL;
    }
    size_t size = (size_t)head.count * sizeof(struct trace_frame);
    if (head.count == 0 || head.count > TRACE_STACK_DEPTH_MAX || size > room) {
        trace_file_fail(file, at, "expected a stack of 1 to %u frames, found one of %u",
                        TRACE_STACK_DEPTH_MAX, head.count);
        return NULL;
    }
    found = calloc(1, sizeof *found + size);
    if (!found) {
        trace_file_fail(file, at, "out of memory");
        return NULL;
    }
    *found = head;
    if (!trace_file_read(file, at + sizeof head, found->frames, size)) {
        free(found);
        return NULL;
    }
    for (uint32_t i = 0; i < head.count; i++) {
        if (found->frames[i].language <= TRACE_LANGUAGE_LUA) continue;
        trace_file_fail(file, at + sizeof head + i * sizeof(struct trace_frame),
                        "expected a frame of a language from 0 to %u, found %u",
                        TRACE_LANGUAGE_LUA, found->frames[i].language);
        free(found);
        return NULL;
    }
    return heap_keep(file, &file->stacks, id, found);
}
