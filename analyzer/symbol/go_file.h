/*
 * An ELF file of a Go program as bytes by address: what the Go tables are read from, each access checked.
 *
 * The file is not trusted: every offset, size and address in it may be anything. Nothing is copied; the bytes stay the caller's.
 */
#ifndef HTTPLEAK_GO_FILE_H
#define HTTPLEAK_GO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GO_SEGMENTS_MAX = 32 };

struct go_segment {
    uint64_t address, offset, size; /* bytes that the file has of it */
    uint32_t flags;                 /* PF_* */
};

struct go_file {
    const uint8_t *bytes;
    size_t size;
    struct go_segment segments[GO_SEGMENTS_MAX]; /* PT_LOAD */
    size_t segment_count;
    uint64_t rela, rela_count; /* offset in the file and number of dynamic relocations, 0: none */
    const uint8_t *symbols;    /* the dynamic ones, NULL: none */
    uint64_t symbols_size;     /* at most */
};

/* false: no x86-64 ELF file, or none that could be a program. */
bool go_file_open(struct go_file *file, const uint8_t *bytes, size_t size);

/* The bytes at an address of the file and how many follow in its segment; NULL when there are none. */
const uint8_t *go_file_at(const struct go_file *file, uint64_t address, uint64_t *left);

/*
 * `count` words from an address on, as they are once the program is relocated to its own addresses (a position independent
 * file has them in its relocations). false: they are not all in the file.
 */
bool go_file_words(const struct go_file *file, uint64_t address, uint64_t *words, size_t count);

/* Section headers are there. */
bool go_file_has_sections(const struct go_file *file);
/* The address of the first section with one of these names; false: none. */
bool go_file_section(const struct go_file *file, const char *const *names, size_t count,
                     uint64_t *address);

/*
 * The next address after `after` (0: from the start) whose word, relocated, is `value`: in writable segments. 0: none.
 */
uint64_t go_file_find_word(const struct go_file *file, uint64_t value, uint64_t after);

/* Reads that need no alignment. Pure. */
static inline uint32_t go_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t go_u64(const uint8_t *p) {
    return go_u32(p) | (uint64_t)go_u32(p + 4) << 32;
}

#endif
