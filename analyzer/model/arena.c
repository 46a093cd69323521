/* Memory that is given back all at once. */
#include "model/arena.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 65536u

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};

static void out_of_memory(void) {
    fputs("httpleak: out of memory\n", stderr);
    exit(2);
}

void *arena_alloc(struct arena *arena, size_t size) {
    struct arena_block *block = arena->head;
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!block || block->size - block->used < size) {
        size_t room = size > BLOCK_SIZE / 4 ? size : BLOCK_SIZE;
        struct arena_block *fresh = calloc(1, sizeof *fresh + room);
        if (!fresh) out_of_memory();
        fresh->size = room;
        if (block &&
            room == size) { /* a large one: what is left of the current block stays in use */
            fresh->used = size;
            fresh->next = block->next;
            block->next = fresh;
            return fresh->bytes;
        }
        fresh->next = block;
        arena->head = block = fresh;
    }
    void *out = block->bytes + block->used;
    block->used += size;
    return out;
}

char *arena_copy(struct arena *arena, const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(arena_alloc(arena, size), text, size);
}

char *arena_format(struct arena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *out = arena_alloc(arena, n < 0 ? 1 : (size_t)n + 1);
    if (n < 0) return out;
    va_start(args, format);
    vsnprintf(out, (size_t)n + 1, format, args);
    va_end(args);
    return out;
}

void arena_free(struct arena *arena) {
    while (arena->head) {
        struct arena_block *block = arena->head;
        arena->head = block->next;
        free(block);
    }
}

void *array_grow(void *array, size_t count, size_t element_size) {
    if (count & (count - 1)) return array; /* room up to the next power of two is there already */
    void *grown = reallocarray(array, count ? count * 2 : 1, element_size);
    if (!grown) out_of_memory();
    return grown;
}
