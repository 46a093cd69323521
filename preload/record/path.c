/* Paths of requests as strings of the trace: a program that asks for millions of them must not fill it. */
#include "record/path.h"

#include <string.h>

#include "record/intern.h"

#define SEGMENT_MOST 32u /* bytes; a longer segment is an identifier, not a word */

/* A path whose segments with digits, and very long ones, became '*': of those a program has few. */
static size_t path_pattern(const char *path, size_t size, char out[PATH_NAME_MAX]) {
    const char *const last = path + size;
    size_t n = 0;
    while (path < last) {
        const char *end = path + (*path == '/');
        bool varies = false;
        for (; end < last && *end != '/'; end++)
            varies |= *end >= '0' && *end <= '9';
        size_t length = (size_t)(end - path);
        if (*path == '/') out[n++] = '/', path++, length--;
        if (varies || length > SEGMENT_MOST)
            out[n++] = '*';
        else
            memcpy(out + n, path, length), n += length;
        path = end;
    }
    return n;
}

uint32_t path_name(uint32_t last, const char *path, size_t n) {
    const struct trace_region *strings = &trace->header->regions[TRACE_REGION_STRING];
    const uint64_t used = __atomic_load_n(&strings->used, __ATOMIC_RELAXED);
    if (n >= PATH_NAME_MAX) n = PATH_NAME_MAX - 1;
    if (intern_string_is(last, path, n)) return last;
    if (used < strings->size / 2) return intern_string(path, n);
    const uint32_t known = intern_string_find(path, n);
    if (known) return known;
    char pattern[PATH_NAME_MAX];
    const size_t length = path_pattern(path, n, pattern);
    return used < strings->size / 4 * 3 ? intern_string(pattern, length)
                                        : intern_string_find(pattern, length);
}
