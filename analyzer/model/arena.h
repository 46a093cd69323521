/* Memory that is given back all at once; running out of it ends the program with one line. */
#ifndef HTTPLEAK_ARENA_H
#define HTTPLEAK_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *head;
};

/* Zeroed memory, aligned for anything. Never NULL. */
void *arena_alloc(struct arena *arena, size_t size);
char *arena_copy(struct arena *arena, const char *text);
char *arena_format(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void arena_free(struct arena *arena);

/* realloc for arrays that grow by doubling: room for one more after `count` elements. Never NULL; free() it. */
void *array_grow(void *array, size_t count, size_t element_size);

#endif
