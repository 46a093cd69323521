/* Memory and string functions that need no libc. */
#include "record/memory.h"

#include <stdint.h>

typedef uint64_t __attribute__((may_alias, aligned(1))) word;

void *own_memcpy(void *to, const void *from, size_t n) {
    uint8_t *d = to;
    const uint8_t *s = from;
    for (; n >= 8; n -= 8, d += 8, s += 8)
        *(word *)d = *(const word *)s;
    while (n--)
        *d++ = *s++;
    return to;
}

void *own_memmove(void *to, const void *from, size_t n) {
    if ((uintptr_t)to - (uintptr_t)from >= n) return own_memcpy(to, from, n);
    uint8_t *d = (uint8_t *)to + n;
    const uint8_t *s = (const uint8_t *)from + n;
    while (n--)
        *--d = *--s;
    return to;
}

void *own_memset(void *to, int byte, size_t n) {
    uint8_t *d = to;
    const uint64_t eight = (uint8_t)byte * UINT64_C(0x0101010101010101);
    for (; n >= 8; n -= 8, d += 8)
        *(word *)d = eight;
    while (n--)
        *d++ = (uint8_t)byte;
    return to;
}

int own_memcmp(const void *a, const void *b, size_t n) {
    const uint8_t *x = a, *y = b;
    if (n >= 8) {
        const uint8_t *const last = x + n - 8; /* of which some may be looked at twice */
        for (;; x += 8, y += 8) {
            if (x > last) y -= x - last, x = last;
            if (*(const word *)x != *(const word *)y) break;
            if (x == last) return 0;
        }
        n = 8;
    }
    for (; n; n--, x++, y++)
        if (*x != *y) return *x < *y ? -1 : 1;
    return 0;
}

void *own_memchr(const void *s, int byte, size_t n) {
    for (const uint8_t *p = s; n; n--, p++)
        if (*p == (uint8_t)byte) return (void *)(uintptr_t)p;
    return NULL;
}

void *own_memrchr(const void *s, int byte, size_t n) {
    for (const uint8_t *p = (const uint8_t *)s + n; n; n--)
        if (*--p == (uint8_t)byte) return (void *)(uintptr_t)p;
    return NULL;
}

size_t own_strlen(const char *s) {
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

size_t own_strnlen(const char *s, size_t most) {
    size_t n = 0;
    while (n < most && s[n])
        n++;
    return n;
}

char *own_strchr(const char *s, int c) {
    for (;; s++) {
        if (*s == (char)c) return (char *)(uintptr_t)s;
        if (!*s) return NULL;
    }
}

char *own_strrchr(const char *s, int c) {
    const char *last = NULL;
    for (;; s++) {
        if (*s == (char)c) last = s;
        if (!*s) return (char *)(uintptr_t)last;
    }
}

int own_strcmp(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return (uint8_t)*a - (uint8_t)*b;
}

int own_strncmp(const char *a, const char *b, size_t n) {
    for (; n; n--, a++, b++)
        if (*a != *b || !*a) return (uint8_t)*a - (uint8_t)*b;
    return 0;
}
