/* Wrappers of streams over sockets: their life, and reading from them. */
#include <string.h>

#include "interpose/stream.h"
#include "record/sys.h"
#include "track/process.h"

/* ---- life ---- */

HTTPLEAK_EXPORT FILE *fdopen(int fd, const char *mode) {
    FILE *stream = REAL(fdopen)(fd, mode);
    if (!stream || stream_seen || !process_active) return stream;
    int type;
    socklen_t size = sizeof type;
    if (sys_call(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0) stream_seen = true;
    return stream;
}

HTTPLEAK_EXPORT int fclose(FILE *stream) {
    if (trace) stream_closing(stream);
    return REAL(fclose)(stream);
}

HTTPLEAK_EXPORT FILE *freopen(const char *path, const char *mode, FILE *stream) {
    if (trace) stream_closing(stream);
    return REAL(freopen)(path, mode, stream);
}

HTTPLEAK_EXPORT FILE *freopen64(const char *path, const char *mode, FILE *stream) {
    if (trace) stream_closing(stream);
    return REAL(freopen64)(path, mode, stream);
}

/* ---- blocks: asked for in bytes, since a partial item is taken from the stream too ---- */

#define READ_BLOCK(stream, buffer, size, n, call)                                                  \
    ({                                                                                             \
        const size_t wanted_ = (size) * (n);                                                       \
        struct io_read hook_;                                                                      \
        io_read_before(&hook_, fd, 0);                                                             \
        const size_t got_ = (call);                                                                \
        stream_read_after(&hook_, stream, fd, buffer, got_, wanted_);                              \
        got_ == wanted_ ? (size) ? (n) : 0 : got_ / (size);                                        \
    })

HTTPLEAK_EXPORT size_t fread(void *buffer, size_t size, size_t n, FILE *stream) {
    const int fd = stream_fd(stream);
    if (fd < 0) return REAL(fread)(buffer, size, n, stream);
    return READ_BLOCK(stream, buffer, size, n, REAL(fread)(buffer, 1, wanted_, stream));
}

HTTPLEAK_EXPORT size_t fread_unlocked(void *buffer, size_t size, size_t n, FILE *stream) {
    const int fd = stream_fd(stream);
    if (fd < 0) return REAL(fread_unlocked)(buffer, size, n, stream);
    return READ_BLOCK(stream, buffer, size, n, REAL(fread_unlocked)(buffer, 1, wanted_, stream));
}

HTTPLEAK_EXPORT size_t __fread_chk(void *buffer, size_t room, size_t size, size_t n, FILE *stream) {
    const int fd = stream_fd(stream);
    if (fd < 0) return REAL(__fread_chk)(buffer, room, size, n, stream);
    return READ_BLOCK(stream, buffer, size, n, REAL(__fread_chk)(buffer, room, 1, wanted_, stream));
}

HTTPLEAK_EXPORT size_t __fread_unlocked_chk(void *buffer, size_t room, size_t size, size_t n,
                                            FILE *stream) {
    const int fd = stream_fd(stream);
    if (fd < 0) return REAL(__fread_unlocked_chk)(buffer, room, size, n, stream);
    return READ_BLOCK(stream, buffer, size, n,
                      REAL(__fread_unlocked_chk)(buffer, room, 1, wanted_, stream));
}

/* ---- lines ---- */

/*
 * fgets does not say how much it stored. A line has no NUL as a rule; where one is followed by the
 * end of a line, the line went on behind it.
 */
static size_t line_length(const char *line, int size) {
    size_t n = strlen(line);
    while (n + 1 < (size_t)size && (n == 0 || line[n - 1] != '\n')) {
        const char *end = memchr(line + n, '\n', (size_t)size - 1 - n);
        if (!end || end[1] != 0) break;
        n = (size_t)(end - line) + 1;
    }
    return n;
}

#define READ_LINE(stream, buffer, size, call)                                                      \
    ({                                                                                             \
        struct io_read hook_;                                                                      \
        io_read_before(&hook_, fd, 0);                                                             \
        char *line_ = (call);                                                                      \
        const size_t got_ = line_ ? line_length(line_, size) : 0;                                  \
        const bool cut_ = got_ > 0 && line_[got_ - 1] == '\n';                                     \
        stream_read_after(&hook_, stream, fd, buffer, got_,                                        \
                          cut_ || (size) < 2 ? got_ : (size_t)(size)-1);                           \
        line_;                                                                                     \
    })

HTTPLEAK_EXPORT char *fgets(char *buffer, int size, FILE *stream) {
    const int fd = stream_fd(stream);
    if (fd < 0) return REAL(fgets)(buffer, size, stream);
    return READ_LINE(stream, buffer, size, REAL(fgets)(buffer, size, stream));
}

HTTPLEAK_EXPORT char *fgets_unlocked(char *buffer, int size, FILE *stream) {
    const int fd = stream_fd(stream);
    if (fd < 0) return REAL(fgets_unlocked)(buffer, size, stream);
    return READ_LINE(stream, buffer, size, REAL(fgets_unlocked)(buffer, size, stream));
}

HTTPLEAK_EXPORT char *__fgets_chk(char *buffer, size_t room, int size, FILE *stream) {
    const int fd = stream_fd(stream);
    if (fd < 0) return REAL(__fgets_chk)(buffer, room, size, stream);
    return READ_LINE(stream, buffer, size, REAL(__fgets_chk)(buffer, room, size, stream));
}

HTTPLEAK_EXPORT char *__fgets_unlocked_chk(char *buffer, size_t room, int size, FILE *stream) {
    const int fd = stream_fd(stream);
    if (fd < 0) return REAL(__fgets_unlocked_chk)(buffer, room, size, stream);
    return READ_LINE(stream, buffer, size, REAL(__fgets_unlocked_chk)(buffer, room, size, stream));
}

/* A record that does not end with its delimiter was cut by the end of the stream. */
#define READ_RECORD(stream, line, delimiter, call)                                                 \
    ({                                                                                             \
        struct io_read hook_;                                                                      \
        io_read_before(&hook_, fd, 0);                                                             \
        const ssize_t result_ = (call);                                                            \
        const size_t got_ = result_ > 0 ? (size_t)result_ : 0;                                     \
        const bool whole_ = got_ > 0 && (*(line))[got_ - 1] == (char)(delimiter);                  \
        stream_read_after(&hook_, stream, fd, *(line), got_, whole_ ? got_ : got_ + 1);            \
        result_;                                                                                   \
    })

HTTPLEAK_EXPORT ssize_t getline(char **line, size_t *room, FILE *stream) {
    const int fd = stream_fd(stream);
    if (fd < 0) return REAL(getline)(line, room, stream);
    return READ_RECORD(stream, line, '\n', REAL(getline)(line, room, stream));
}

HTTPLEAK_EXPORT ssize_t getdelim(char **line, size_t *room, int delimiter, FILE *stream) {
    const int fd = stream_fd(stream);
    if (fd < 0) return REAL(getdelim)(line, room, delimiter, stream);
    return READ_RECORD(stream, line, delimiter, REAL(getdelim)(line, room, delimiter, stream));
}

HTTPLEAK_EXPORT ssize_t __getdelim(char **line, size_t *room, int delimiter, FILE *stream) {
    const int fd = stream_fd(stream);
    if (fd < 0) return REAL(__getdelim)(line, room, delimiter, stream);
    return READ_RECORD(stream, line, delimiter, REAL(__getdelim)(line, room, delimiter, stream));
}

/* ---- single bytes ---- */

#define READ_BYTE(name, stream, ...)                                                               \
    {                                                                                              \
        const int fd = stream_fd(stream);                                                          \
        if (fd < 0) return REAL(name)(__VA_ARGS__);                                                \
        struct io_read hook;                                                                       \
        io_read_before(&hook, fd, 0);                                                              \
        const int c = REAL(name)(__VA_ARGS__);                                                     \
        const char byte = (char)c;                                                                 \
        stream_read_after(&hook, stream, fd, &byte, c != EOF, 1);                                  \
        return c;                                                                                  \
    }

HTTPLEAK_EXPORT int fgetc(FILE *stream) READ_BYTE(fgetc, stream, stream) HTTPLEAK_EXPORT
    int fgetc_unlocked(FILE *stream) READ_BYTE(fgetc_unlocked, stream, stream) HTTPLEAK_EXPORT
    int getc(FILE *stream) READ_BYTE(getc, stream, stream) HTTPLEAK_EXPORT
    int getc_unlocked(FILE *stream) READ_BYTE(getc_unlocked, stream, stream) HTTPLEAK_EXPORT
    int getchar(void) READ_BYTE(getchar, stdin) HTTPLEAK_EXPORT int getchar_unlocked(void)
        READ_BYTE(getchar_unlocked, stdin)

            HTTPLEAK_EXPORT int ungetc(int c, FILE *stream) {
    const int fd = stream_fd(stream);
    const int r = REAL(ungetc)(c, stream);
    if (fd >= 0 && r != EOF) stream_pushed_back(stream);
    return r;
}
