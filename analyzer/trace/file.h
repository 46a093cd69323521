/* What the files of the reader share: the open trace, its reads, its sticky error. Nobody outside of this room needs it. */
#ifndef HTTPLEAK_TRACE_FILE_H
#define HTTPLEAK_TRACE_FILE_H

#include "trace/reader.h"

struct trace_heap_entry { /* an interned string or stack that was read */
    uint32_t id;          /* 0: free */
    void *data;
};
struct trace_heap_cache {
    struct trace_heap_entry *entries;
    size_t size, used; /* size: a power of two */
};

struct trace_file {
    int fd;
    char *path;
    uint64_t size; /* of the file as it is */
    struct trace_header header;
    bool live;   /* its process may still be writing */
    bool unborn; /* nothing was ever recorded */
    bool failed;
    struct trace_error error;
    uint64_t torn;
    struct trace_heap_cache strings, stacks;
    /* the last block of a slot or table region that was read, for traces that stand still */
    enum trace_region_kind block_kind;
    size_t block_first, block_count;
    uint8_t *block;
};

/* Sets the sticky error (the first one stays). Always false. */
bool trace_file_fail(struct trace_file *file, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Copies [offset, offset + size); what lies beyond the end of the file reads as zeros. false: reading failed (sticky). */
bool trace_file_read(struct trace_file *file, uint64_t offset, void *out, size_t size);

/* Bytes of a slot, table or heap region that may be in use. */
uint64_t trace_file_used(const struct trace_file *file, enum trace_region_kind kind);

void trace_heap_free(struct trace_heap_cache *cache);

#endif
