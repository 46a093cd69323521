/* Wrappers of writing to streams over sockets: what the program gives is what the framing sees,
 * buffered or not. */
#include <string.h>

#include "interpose/stream.h"

/* taken: bytes of it that libc took, by result_. */
#define WRITE_STREAM(iov, count, taken, call)                                                      \
    ({                                                                                             \
        struct flow_write hook_;                                                                   \
        io_write_before(&hook_, fd, iov, count, NULL);                                             \
        const __typeof__(call) result_ = (call);                                                   \
        io_write_after(&hook_, iov, count, taken);                                                 \
        result_;                                                                                   \
    })

/* ---- blocks, strings and bytes ---- */

#define WRITE_BLOCK(name)                                                                          \
    HTTPLEAK_EXPORT size_t name(const void *buffer, size_t size, size_t n, FILE *stream) {         \
        const int fd = stream_fd(stream);                                                          \
        if (fd < 0) return IO_WRITE_ELSEWHERE(REAL(name)(buffer, size, n, stream));                \
        const struct iovec iov = {(void *)buffer, size * n};                                       \
        const size_t put = WRITE_STREAM(&iov, 1, result_ ? (ssize_t)result_ : -1,                  \
                                        REAL(name)(buffer, 1, size * n, stream));                  \
        return put == size * n ? size ? n : 0 : put / size;                                        \
    }
WRITE_BLOCK(fwrite)
WRITE_BLOCK(fwrite_unlocked)

#define WRITE_STRING(name)                                                                         \
    HTTPLEAK_EXPORT int name(const char *text, FILE *stream) {                                     \
        const int fd = stream_fd(stream);                                                          \
        if (fd < 0) return IO_WRITE_ELSEWHERE(REAL(name)(text, stream));                           \
        const struct iovec iov = {(void *)text, strlen(text)};                                     \
        return WRITE_STREAM(&iov, 1, result_ == EOF ? -1 : (ssize_t)iov.iov_len,                   \
                            REAL(name)(text, stream));                                             \
    }
WRITE_STRING(fputs)
WRITE_STRING(fputs_unlocked)

HTTPLEAK_EXPORT int puts(const char *text) {
    const int fd = stream_fd(stdout);
    if (fd < 0) return IO_WRITE_ELSEWHERE(REAL(puts)(text));
    const struct iovec iov[2] = {{(void *)text, strlen(text)}, {(void *)"\n", 1}};
    return WRITE_STREAM(iov, 2, result_ == EOF ? -1 : (ssize_t)iov[0].iov_len + 1,
                        REAL(puts)(text));
}

#define WRITE_BYTE(name, stream, ...)                                                              \
    {                                                                                              \
        const int fd = stream_fd(stream);                                                          \
        if (fd < 0) return IO_WRITE_ELSEWHERE(REAL(name)(__VA_ARGS__));                            \
        unsigned char byte = (unsigned char)c;                                                     \
        const struct iovec iov = {&byte, 1};                                                       \
        return WRITE_STREAM(&iov, 1, result_ == EOF ? -1 : 1, REAL(name)(__VA_ARGS__));            \
    }

HTTPLEAK_EXPORT int fputc(int c, FILE *stream) WRITE_BYTE(fputc, stream, c, stream) HTTPLEAK_EXPORT
    int fputc_unlocked(int c, FILE *stream)
        WRITE_BYTE(fputc_unlocked, stream, c, stream) HTTPLEAK_EXPORT int putc(int c, FILE *stream)
            WRITE_BYTE(putc, stream, c, stream) HTTPLEAK_EXPORT
    int putc_unlocked(int c, FILE *stream)
        WRITE_BYTE(putc_unlocked, stream, c, stream) HTTPLEAK_EXPORT int putchar(int c)
            WRITE_BYTE(putchar, stdout, c) HTTPLEAK_EXPORT int putchar_unlocked(int c)
                WRITE_BYTE(putchar_unlocked, stdout, c)
/* ---- formatted: a copy is formatted for the framing; what is longer than this goes by unseen ----
 */

#define FORMAT_MAX 4096

                    struct formatted {
    struct flow_write hook;
    struct iovec iov;
    bool whole;
    char text[FORMAT_MAX];
};

static void format_before(struct formatted *f, int fd, const char *format, va_list arguments) {
    va_list copy;
    const int saved = errno;
    va_copy(copy, arguments);
    const int n = !stack_has_room() ? -1 : vsnprintf(f->text, sizeof f->text, format, copy);
    va_end(copy);
    errno = saved;
    f->whole = n >= 0 && n < FORMAT_MAX;
    f->iov = (struct iovec){f->text, f->whole ? (size_t)n : 0};
    io_write_before(&f->hook, fd, &f->iov, f->whole, NULL);
}

static int format_after(struct formatted *f, int fd, int result) {
    io_write_after(&f->hook, &f->iov, f->whole, f->whole ? result : -1);
    if (!f->whole) io_write_unseen(fd, result);
    return result;
}

#define WRITE_FORMATTED(format, arguments, call)                                                   \
    ({                                                                                             \
        struct formatted formatted_;                                                               \
        format_before(&formatted_, fd, format, arguments);                                         \
        format_after(&formatted_, fd, call);                                                       \
    })
#define PRINT(fd_of, format, arguments, call)                                                      \
    {                                                                                              \
        const int fd = fd_of;                                                                      \
        if (fd < 0) return IO_WRITE_ELSEWHERE(call);                                               \
        return WRITE_FORMATTED(format, arguments, call);                                           \
    }
#define PRINT_VARIADIC(name, last, ...)                                                            \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, last);                                                                 \
        const int r = print_##name(__VA_ARGS__, arguments);                                        \
        va_end(arguments);                                                                         \
        return r;                                                                                  \
    }

static int print_stream(FILE *stream, const char *format, va_list arguments)
    PRINT(stream_fd(stream), format, arguments,
          REAL(vfprintf)(stream, format,
                         arguments)) static int print_stream_checked(FILE *stream, int flag,
                                                                     const char *format,
                                                                     va_list arguments)
        PRINT(stream_fd(stream), format, arguments,
              REAL(__vfprintf_chk)(stream, flag, format,
                                   arguments)) static int print_out(const char *format,
                                                                    va_list arguments)
            PRINT(stream_fd(stdout), format, arguments,
                  REAL(vprintf)(format, arguments)) static int print_out_checked(int flag,
                                                                                 const char *format,
                                                                                 va_list arguments)
                PRINT(stream_fd(stdout), format, arguments,
                      REAL(__vprintf_chk)(flag, format,
                                          arguments)) static int print_fd(int to,
                                                                          const char *format,
                                                                          va_list arguments)
                    PRINT(fd_is_ours(to) ? to : -1, format, arguments,
                          REAL(vdprintf)(to, format,
                                         arguments)) static int print_fd_checked(int to, int flag,
                                                                                 const char *format,
                                                                                 va_list arguments)
                        PRINT(fd_is_ours(to) ? to : -1, format, arguments,
                              REAL(__vdprintf_chk)(to, flag, format, arguments))

                            HTTPLEAK_EXPORT
    int vfprintf(FILE *stream, const char *format, va_list arguments) {
    return print_stream(stream, format, arguments);
}
HTTPLEAK_EXPORT int __vfprintf_chk(FILE *stream, int flag, const char *format, va_list arguments) {
    return print_stream_checked(stream, flag, format, arguments);
}
HTTPLEAK_EXPORT int vprintf(const char *format, va_list arguments) {
    return print_out(format, arguments);
}
HTTPLEAK_EXPORT int __vprintf_chk(int flag, const char *format, va_list arguments) {
    return print_out_checked(flag, format, arguments);
}
HTTPLEAK_EXPORT int vdprintf(int to, const char *format, va_list arguments) {
    return print_fd(to, format, arguments);
}
HTTPLEAK_EXPORT int __vdprintf_chk(int to, int flag, const char *format, va_list arguments) {
    return print_fd_checked(to, flag, format, arguments);
}
HTTPLEAK_EXPORT int fprintf(FILE *stream, const char *format, ...)
    PRINT_VARIADIC(stream, format, stream, format) HTTPLEAK_EXPORT
    int __fprintf_chk(FILE *stream, int flag, const char *format, ...)
        PRINT_VARIADIC(stream_checked, format, stream, flag, format) HTTPLEAK_EXPORT
    int printf(const char *format, ...) PRINT_VARIADIC(out, format, format) HTTPLEAK_EXPORT
    int __printf_chk(int flag, const char *format, ...)
        PRINT_VARIADIC(out_checked, format, flag, format) HTTPLEAK_EXPORT
    int dprintf(int to, const char *format, ...)
        PRINT_VARIADIC(fd, format, to, format) HTTPLEAK_EXPORT
    int __dprintf_chk(int to, int flag, const char *format, ...)
        PRINT_VARIADIC(fd_checked, format, to, flag, format)

/* ---- flush: the bytes were told when they were given; now they may block ---- */

#define FLUSH(name)                                                                                \
    HTTPLEAK_EXPORT int name(FILE *stream) {                                                       \
        const int fd = stream ? stream_fd(stream) : -1;                                            \
        struct connection *c = fd >= 0 && worker_waits() ? connection_of_fd(fd) : NULL;            \
        if (!c) return IO_WRITE_ELSEWHERE(REAL(name)(stream));                                     \
        worker_wait_begin(TRACE_WAIT_WRITE, c->id, NULL, clock_coarse());                          \
        const int r = REAL(name)(stream);                                                          \
        worker_wait_end();                                                                         \
        return r;                                                                                  \
    }
            FLUSH(fflush) FLUSH(fflush_unlocked)
