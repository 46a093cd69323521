/* Memory and order of a connection's streams. */
#include "track/stream_table.h"

#include <string.h>

#include "record/sys.h"

static void *block_new(struct streams *t, size_t size) {
    if (t->block_count == STREAM_BLOCKS) return NULL;
    void *memory = sys_memory(size);
    if (!memory) return NULL;
    t->blocks[t->block_count].memory = memory;
    t->blocks[t->block_count++].size = size;
    return memory;
}

/*
 * For the tables of header fields; both directions ask, each from its own half: the lock of the streams is held by whoever feeds.
 */
static void *memory_more(void *ctx, size_t size) {
    struct streams *t = ctx;
    if (size > sizeof t->spare - t->spare_used) return block_new(t, size);
    t->spare_used += size;
    return t->spare + t->spare_used - size;
}

struct streams *stream_table_new(unsigned preface) {
    struct streams *t = sys_memory(sizeof *t);
    if (!t) return NULL;
    t->chunks[0] = t->first;
    t->first_window = HTTP2_WINDOW_FIRST;
    t->window = HTTP2_WINDOW_FIRST;
    if (http2_begin(&t->sent, HTTP2_SENT, preface, memory_more, t) &&
        http2_begin(&t->received, HTTP2_RECEIVED, 0, memory_more, t))
        return t;
    stream_table_free(t);
    return NULL;
}

void stream_table_free(struct streams *t) {
    for (unsigned i = 0; i < t->block_count; i++)
        sys_memory_free(t->blocks[i].memory, t->blocks[i].size);
    sys_memory_free(t, sizeof *t);
}

static uint16_t *bucket_of(struct streams *t, uint32_t id) {
    return &t->buckets[(id >> 1) % STREAM_BUCKETS];
}

struct stream *stream_find(const struct streams *t, uint32_t id) {
    struct stream *s = stream_at(t, t->buckets[(id >> 1) % STREAM_BUCKETS]);
    while (s && s->id != id)
        s = stream_at(t, s->chain);
    return s;
}

static struct stream *stream_place(struct streams *t) {
    struct stream *s = stream_at(t, t->spare_stream);
    if (s) {
        t->spare_stream = s->chain;
        return s;
    }
    if (t->used == STREAM_CHUNK * STREAM_CHUNKS) return NULL;
    struct stream **chunk = &t->chunks[t->used / STREAM_CHUNK];
    if (!*chunk) *chunk = block_new(t, STREAM_CHUNK * sizeof **chunk);
    if (!*chunk) return NULL;
    s = &(*chunk)[t->used % STREAM_CHUNK];
    s->place = ++t->used;
    return s;
}

struct stream *stream_new(struct streams *t, uint32_t id) {
    struct stream *s = stream_place(t);
    if (!s) return NULL;
    const uint16_t place = s->place;
    uint16_t *bucket = bucket_of(t, id);
    memset(s, 0, sizeof *s);
    s->id = id;
    s->place = place;
    s->chain = *bucket;
    *bucket = place;
    s->older = t->newest;
    if (t->newest)
        stream_at(t, t->newest)->newer = place;
    else
        t->oldest = place;
    t->newest = place;
    return s;
}

void stream_free(struct streams *t, struct stream *s) {
    uint16_t *at = bucket_of(t, s->id);
    while (*at && *at != s->place)
        at = &stream_at(t, *at)->chain;
    if (*at) *at = s->chain;
    if (s->older)
        stream_at(t, s->older)->newer = s->newer;
    else
        t->oldest = s->newer;
    if (s->newer)
        stream_at(t, s->newer)->older = s->older;
    else
        t->newest = s->older;
    s->id = 0;
    s->chain = t->spare_stream;
    t->spare_stream = s->place;
}

void stream_cancelled(struct streams *t, uint32_t id) {
    t->cancelled[t->cancelled_count++ % STREAM_CANCELLED] = id;
}

bool stream_is_excused(const struct streams *t, uint32_t id) {
    if ((id & 1) == 0) return id <= t->promised_id;
    if (id > t->newest_id) return false;
    if (t->cancelled_count > STREAM_CANCELLED)
        return true; /* those of long ago are not known any more */
    for (uint32_t i = 0; i < t->cancelled_count; i++)
        if (t->cancelled[i] == id) return true;
    return false;
}
