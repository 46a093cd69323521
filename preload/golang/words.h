/* Text without libc, for what also runs in a program that has none: comparisons, and the reason for a refusal. */
#ifndef GOLANG_WORDS_H
#define GOLANG_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t words_length(const char *s) {
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

/* A little endian number at an address of any alignment. */
typedef uint32_t words_any32 __attribute__((aligned(1), may_alias));
typedef uint64_t words_any64 __attribute__((aligned(1), may_alias));
static inline uint32_t words_32(const void *p) {
    return *(const words_any32 *)p;
}
static inline uint64_t words_64(const void *p) {
    return *(const words_any64 *)p;
}

static inline bool words_equal(const char *a, const char *b, size_t n) {
    for (; n >= 8; n -= 8, a += 8, b += 8)
        if (words_64(a) != words_64(b)) return false;
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i]) return false;
    return true;
}

/* words_refuse("one text", "another"...): into golang_program.blind_reason, cut to fit; false. */
#define words_refuse(...) words_refuse_all((const char *const[]){__VA_ARGS__, NULL})
bool words_refuse_all(const char *const *texts); /* the last one is NULL */

#endif
