/*
 * What a compiler and the recorder expect of libc, for general registers only: short and plain, since none of it is hot. The
 * empty statements keep the compiler from taking a loop for what it is, and calling the function that the loop is in.
 */
#include "alone/alone.h"

#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>

#define PLAIN_LOOP() __asm__ volatile("")

struct alone_stack alone_stack;

unsigned long getauxval(unsigned long type) {
    for (const Elf64_auxv_t *a = alone_stack.auxv; a && a->a_type != AT_NULL; a++)
        if (a->a_type == type) return a->a_un.a_val;
    return 0;
}

/* rep movsb and stosb are what the processor does best without vector registers. */
void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t n) {
    unsigned char *t = to;
    const unsigned char *f = from;
    if ((uintptr_t)to - (uintptr_t)from >= n) return memcpy(to, from, n);
    while (n--) {
        PLAIN_LOOP();
        t[n] = f[n];
    }
    return to;
}

void *memset(void *to, int byte, size_t n) {
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(byte) : "memory");
    return to;
}

int memcmp(const void *left, const void *right, size_t n) {
    const unsigned char *a = left, *b = right;
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return 0;
}

/* clang's word for a comparison whose order does not matter. */
int bcmp(const void *left, const void *right, size_t n);
int bcmp(const void *left, const void *right, size_t n) {
    return memcmp(left, right, n);
}

void *memchr(const void *bytes, int byte, size_t n) {
    const unsigned char *s = bytes;
    for (size_t i = 0; i < n; i++)
        if (s[i] == (unsigned char)byte) return (void *)(uintptr_t)(s + i);
    return NULL;
}

size_t strnlen(const char *s, size_t most) {
    size_t n = 0;
    for (; n < most && s[n]; n++)
        PLAIN_LOOP();
    return n;
}

size_t strlen(const char *s) {
    size_t n = 0;
    for (; s[n]; n++)
        PLAIN_LOOP();
    return n;
}

int strncmp(const char *a, const char *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const unsigned char x = (unsigned char)a[i], y = (unsigned char)b[i];
        if (x != y) return x < y ? -1 : 1;
        if (x == 0) break;
    }
    return 0;
}

int strcmp(const char *a, const char *b) {
    return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *s, int c) {
    for (;; s++) {
        if (*s == (char)c) return (char *)(uintptr_t)s;
        if (!*s) return NULL;
    }
}

char *strrchr(const char *s, int c) {
    const char *last = NULL;
    for (;; s++) {
        if (*s == (char)c) last = s;
        if (!*s) return (char *)(uintptr_t)last;
    }
}

void *memmem(const void *bytes, size_t n, const void *part, size_t part_n) {
    const char *s = bytes;
    for (size_t i = 0; part_n <= n && i <= n - part_n; i++)
        if (memcmp(s + i, part, part_n) == 0) return (void *)(uintptr_t)(s + i);
    return NULL;
}
