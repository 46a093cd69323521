/*
 * The image that carries the recorder into a static program: an ELF shared object that needs nobody, laid out and relocated
 * here for the place that it gets in the other process.
 */
#ifndef HTTPLEAK_BLOB_H
#define HTTPLEAK_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ours, from blob_bytes.S. */
extern const uint8_t blob_bytes[] __attribute__((visibility("hidden")));
extern const uint64_t blob_bytes_size __attribute__((visibility("hidden")));

enum { BLOB_SEGMENTS = 8, BLOB_PAGE = 4096 };

struct blob {
    const uint8_t *file; /* borrowed */
    size_t file_size;
    size_t size;    /* of its memory, whole pages */
    uint64_t entry; /* from its start, as all offsets here */
    struct blob_segment {
        uint64_t at, size;           /* in memory, whole pages */
        uint64_t file_at, file_size; /* in the file */
        uint64_t bytes_at;           /* where the file's bytes go in memory */
        int protection;              /* PROT_* */
    } segments[BLOB_SEGMENTS];
    size_t segment_count;
    uint64_t relocations, relocation_count; /* Elf64_Rela, in memory */
};

/*
 * Understands an image; false with why (static text) for anything but an x86-64 shared object whose segments lie apart, whose
 * relocations are all relative, and in which nothing is thread-local, undefined, or both writable and executable.
 */
bool blob_read(struct blob *, const void *file, size_t size, const char **why);

/* Its memory (blob->size bytes, zeroed) as it has to be at `address`. Of an image that blob_read has taken. */
void blob_fill(const struct blob *, uint8_t *memory, uint64_t address);

#endif
