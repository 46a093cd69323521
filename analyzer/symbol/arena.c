/* A list of chunks; pieces larger than a chunk get one of their own. */
#include "symbol/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
    _Alignas(max_align_t) char bytes[];
};

enum { ARENA_CHUNK = 64 * 1024 };

void *arena_alloc(struct arena *arena, size_t size) {
    size_t alignment = _Alignof(max_align_t);
    if (size > SIZE_MAX / 2) return NULL;
    size = (size + alignment - 1) / alignment * alignment;
    if (!arena->chunks || arena->chunks->size - arena->used < size) {
        size_t room = size > ARENA_CHUNK ? size : ARENA_CHUNK;
        struct arena_chunk *chunk = calloc(1, sizeof *chunk + room);
        if (!chunk) return NULL;
        chunk->size = room;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
        arena->used = 0;
    }
    void *piece = arena->chunks->bytes + arena->used;
    arena->used += size;
    return piece;
}

char *arena_string(struct arena *arena, const char *string) {
    size_t size = strlen(string) + 1;
    char *copy = arena_alloc(arena, size);
    return copy ? memcpy(copy, string, size) : NULL;
}

void arena_free(struct arena *arena) {
    while (arena->chunks) {
        struct arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        free(chunk);
    }
    arena->used = 0;
}
