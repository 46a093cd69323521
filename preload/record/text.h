/* Text put together without libc: no locale, no allocation, signal safe. */
#ifndef RECORD_TEXT_H
#define RECORD_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct
    text { /* a bounded buffer that is always NUL terminated; what does not fit is cut and `cut` says so */
    char *bytes;
    size_t size, length;
    int cut;
};
#define TEXT_ON(array) ((struct text){(array), sizeof(array), 0, 0})

void text_put(struct text *, const char *s);
void text_put_n(struct text *, const char *s, size_t n);
void text_put_u64(struct text *, uint64_t);
/* "a.b.c.d:port", "[v6]:port" (RFC 5952), or the path of a Unix socket ("@name" for abstract ones); family from sockaddr. */
struct sockaddr;
void text_put_address(struct text *, const struct sockaddr *, size_t address_size);
/* Number at s (decimal), stops at the first other byte: *end. Saturates at UINT64_MAX. */
uint64_t text_u64(const char *s, const char **end);
/* What an errno of creating a file means, in a few words. */
void text_put_error(struct text *, int error);
/* The part of a path after its last '/'. */
const char *text_base_name(const char *path);

#endif
