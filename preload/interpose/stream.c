/* Streams over connections: the program sees their bytes through libc's buffer, and so do we. */
#include "interpose/stream.h"

bool stream_seen;

int stream_lookup(FILE *stream) {
    const int saved = errno;
    const int fd = fileno(stream);
    errno = saved;
    return fd >= 0 && fd_is_ours(fd) ? fd : -1;
}

/* ---- ungetc: the bytes come again ---- */

#define PUSHED 32
static struct pushed {
    FILE *stream;
    uint32_t bytes;
} pushed[PUSHED];
static uint32_t pushed_any;

static struct pushed *pushed_find(FILE *stream) {
    if (pushed_any == 0) return NULL;
    for (int i = 0; i < PUSHED; i++)
        if (__atomic_load_n(&pushed[i].stream, __ATOMIC_ACQUIRE) == stream) return &pushed[i];
    return NULL;
}

/* The caller is alone with the stream, as with any two calls on it. */
void stream_pushed_back(FILE *stream) {
    struct pushed *known = pushed_find(stream);
    if (known) {
        known->bytes++;
        return;
    }
    for (int i = 0; i < PUSHED; i++) {
        FILE *none = NULL;
        if (!__atomic_compare_exchange_n(&pushed[i].stream, &none, stream, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED))
            continue;
        pushed[i].bytes = 1;
        pushed_any = 1;
        return;
    }
}

static size_t pushed_skip(FILE *stream, size_t got) {
    struct pushed *p = pushed_find(stream);
    if (!p) return 0;
    const size_t skip = p->bytes < got ? p->bytes : got;
    p->bytes -= (uint32_t)skip;
    if (p->bytes == 0) __atomic_store_n(&p->stream, NULL, __ATOMIC_RELEASE);
    return skip;
}

/* ---- reads ---- */

void stream_read_after(struct io_read *hook, FILE *stream, int fd, const void *bytes, size_t got,
                       size_t wanted) {
    const int error = errno;
    const size_t skip = pushed_skip(stream, got);
    const struct iovec iov = {(char *)bytes + skip, got - skip};
    const bool short_of = got < wanted;
    const bool ended = short_of && feof(stream), failed = short_of && !ended && ferror(stream);
    if (got > skip || !(ended || failed)) {
        errno = error;
        io_read_after(hook, fd, &iov, 1, (ssize_t)(got - skip), got == skip ? 0 : wanted);
        if (ended || failed) io_read_before(hook, fd, 0);
    }
    if (ended || failed) {
        errno = error;
        io_read_after(hook, fd, &iov, 0, ended ? 0 : -1, 1);
    }
    errno = error;
}

void stream_closing(FILE *stream) {
    const int fd = stream_lookup(stream);
    struct pushed *p = pushed_find(stream);
    if (p) __atomic_store_n(&p->stream, NULL, __ATOMIC_RELEASE);
    if (fd >= 0) connection_fd_closing(fd, false);
}
