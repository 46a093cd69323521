/* Numbers, addresses and error names as text, without libc. */
#include "record/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

void text_put_n(struct text *t, const char *s, size_t n) {
    if (t->size == 0) {
        t->cut = 1;
        return;
    }
    size_t room = t->size - 1 - t->length;
    if (n > room) n = room, t->cut = 1;
    memcpy(t->bytes + t->length, s, n);
    t->length += n;
    t->bytes[t->length] = 0;
}

void text_put(struct text *t, const char *s) {
    text_put_n(t, s, strlen(s));
}

static void put_number(struct text *t, uint64_t n, unsigned base) {
    char digits[20];
    unsigned at = sizeof digits;
    do
        digits[--at] = "0123456789abcdef"[n % base];
    while (n /= base);
    text_put_n(t, digits + at, sizeof digits - at);
}

void text_put_u64(struct text *t, uint64_t n) {
    put_number(t, n, 10);
}

static void put_v4(struct text *t, const uint8_t *a) {
    for (int i = 0; i < 4; i++) {
        if (i) text_put_n(t, ".", 1);
        put_number(t, a[i], 10);
    }
}

/*
 * RFC 5952 section 4: lower case, no leading zeros, the longest run of two or more zero groups (the
 * first of them) as "::".
 */
static void put_v6(struct text *t, const uint8_t *a) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    unsigned group[8], run = 8, longest = 1;
    if (memcmp(a, mapped, sizeof mapped) == 0) { /* section 5 */
        text_put(t, "::ffff:");
        put_v4(t, a + 12);
        return;
    }
    for (int i = 0; i < 8; i++)
        group[i] = (unsigned)a[2 * i] << 8 | a[2 * i + 1];
    for (unsigned i = 0; i < 8; i++) {
        unsigned n = 0;
        while (i + n < 8 && group[i + n] == 0)
            n++;
        if (n > longest) longest = n, run = i;
        i += n;
    }
    for (unsigned i = 0; i < 8;) {
        if (i == run) {
            text_put_n(t, "::", 2);
            i += longest;
            continue;
        }
        if (i && i != run + longest) text_put_n(t, ":", 1);
        put_number(t, group[i++], 16);
    }
}

/*
 * A path need not be terminated; an abstract name starts with a zero byte and may hold others: all
 * shown as '@', as ss does.
 */
static void put_unix(struct text *t, const char *path, size_t n) {
    if (n && path[0]) {
        text_put_n(t, path, strnlen(path, n));
        return;
    }
    for (size_t i = 0; i < n; i++)
        text_put_n(t, path[i] ? path + i : "@", 1);
}

void text_put_address(struct text *t, const struct sockaddr *address, size_t size) {
    if (!address || size < sizeof address->sa_family) return;
    if (address->sa_family == AF_INET && size >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        put_v4(t, (const uint8_t *)&in.sin_addr);
        text_put_n(t, ":", 1);
        put_number(t, ntohs(in.sin_port), 10);
    } else if (address->sa_family == AF_INET6 &&
               size >= offsetof(struct sockaddr_in6, sin6_scope_id)) {
        struct sockaddr_in6 in = {0};
        memcpy(&in, address, size < sizeof in ? size : sizeof in);
        text_put_n(t, "[", 1);
        put_v6(t, in.sin6_addr.s6_addr);
        if (in.sin6_scope_id) {
            text_put_n(t, "%", 1);
            put_number(t, in.sin6_scope_id, 10);
        }
        text_put_n(t, "]:", 2);
        put_number(t, ntohs(in.sin6_port), 10);
    } else if (address->sa_family == AF_UNIX) {
        const size_t before = offsetof(struct sockaddr_un, sun_path);
        if (size > before) put_unix(t, (const char *)address + before, size - before);
    }
}

uint64_t text_u64(const char *s, const char **end) {
    uint64_t n = 0;
    for (; *s >= '0' && *s <= '9'; s++) {
        const unsigned digit = (unsigned)(*s - '0');
        n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
    }
    if (end) *end = s;
    return n;
}

__attribute__((cold)) const char *text_base_name(const char *path) {
    const char *name = path;
    for (; *path; path++)
        if (*path == '/') name = path + 1;
    return name;
}

void text_put_error(struct text *t, int error) {
    static const struct {
        int number;
        const char *means;
    } errors[] = {
        {EPERM, "operation not permitted"},
        {ENOENT, "no such directory"},
        {EIO, "input/output error"},
        {ENOMEM, "out of memory"},
        {EACCES, "permission denied"},
        {EFAULT, "no space left on device"}, /* what populating a mapping says of a full disk */
        {EBUSY, "device or resource busy"},
        {EEXIST, "the name is taken, and so are its successors"},
        {ENODEV, "this file system cannot be mapped"},
        {ENOTDIR, "not a directory"},
        {EISDIR, "is a directory"},
        {EINVAL, "invalid argument"},
        {ENFILE, "too many open files in the system"},
        {EMFILE, "too many open files"},
        {EFBIG, "file too large"},
        {ENOSPC, "no space left on device"},
        {EROFS, "read-only file system"},
        {ENAMETOOLONG, "file name too long"},
        {ENOSYS, "not supported by this kernel"},
        {ELOOP, "too many levels of symbolic links"},
        {EDQUOT, "disk quota exceeded"},
        {EOVERFLOW, "value too large"},
        {ESTALE, "stale file handle"},
    };
    for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].number == error) {
            text_put(t, errors[i].means);
            return;
        }
    text_put(t, "error ");
    put_number(t, (uint64_t)error, 10);
}
