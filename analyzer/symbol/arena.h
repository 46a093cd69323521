/* Memory that is handed out in small pieces and given back all at once: what lives as long as the symbolizer. */
#ifndef HTTPLEAK_ARENA_H
#define HTTPLEAK_ARENA_H

#include <stddef.h>

struct arena_chunk;
struct arena {
    struct arena_chunk *chunks;
    size_t used; /* of the newest chunk */
};

/* Zeroed, aligned for any object; NULL when out of memory. A zeroed struct arena is an empty one. */
void *arena_alloc(struct arena *arena, size_t size);
char *arena_string(struct arena *arena, const char *string);
void arena_free(struct arena *arena);

#endif
