/*
 * The C library's memory and string functions in our own code, for objects that run where libc may not be called (inside a Go
 * program's goroutines). The Makefile renames the calls in those objects, the compiler's own ones included: nobody includes this.
 * No SSE, no thread-local, no IFUNC; meant for the short pieces that a recorder moves.
 */
#ifndef RECORD_MEMORY_H
#define RECORD_MEMORY_H

#include <stddef.h>

void *own_memcpy(void *to, const void *from, size_t n);
void *own_memmove(void *to, const void *from, size_t n);
void *own_memset(void *to, int byte, size_t n);
int own_memcmp(const void *a, const void *b, size_t n);
void *own_memchr(const void *s, int byte, size_t n);
void *own_memrchr(const void *s, int byte, size_t n);
size_t own_strlen(const char *s);
size_t own_strnlen(const char *s, size_t n);
char *own_strchr(const char *s, int c);
char *own_strrchr(const char *s, int c);
int own_strcmp(const char *a, const char *b);
int own_strncmp(const char *a, const char *b, size_t n);

#endif
