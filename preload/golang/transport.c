/* From a net.Conn to its socket, and what errors mean. */
#include "golang/probe.h"

#define LAYERS_MOST 6
#define FD_CLOSED 1u /* internal/poll/fd_mutex.go, mutexClosed */

/*
 * tls.Conn has its transport in front, TCPConn and UnixConn are a pointer to a netFD. A program's own type mostly embeds the
 * net.Conn that it wraps, as its first field.
 */
struct probe_transport probe_transport_of(uint64_t itab, uint64_t data) {
    static uint64_t last_tcp, last_tls;
    struct probe_transport t = {.key = data, .fd = -1};
    for (int layer = 0; layer < LAYERS_MOST && itab && data; layer++) {
        const bool tcp = golang_itab_is(itab, golang_type.tcp_conn, &last_tcp);
        if (!tcp && golang_itab_is(itab, golang_type.tls_conn, &last_tls)) {
            itab = golang_word(data, golang_offset.tls_conn);
            data = golang_word(data, golang_offset.tls_conn + 8);
            continue;
        }
        if (!tcp && !golang_itab_points_to(itab, golang_type.unix_conn)) {
            uint64_t inner[2];
            if (!golang_embedded(itab, data, inner)) break;
            itab = inner[0];
            data = inner[1];
            continue;
        }
        const uint64_t fd = golang_word(data, 0);
        if (!fd) break;
        const uint64_t poll = fd + (uint64_t)golang_offset.netfd_pfd;
        t.key = fd;
        t.socket = true;
        t.fd = (int)golang_word(poll, golang_offset.fd_sysfd);
        t.closed = golang_word(poll, golang_offset.fd_fdmu) & FD_CLOSED;
        return t;
    }
    if (data) t.key = data;
    return t;
}

static bool is_error_string(uint64_t itab) {
    return golang_itab_points_to(itab, golang_type.error_string);
}

static bool text_is(struct managed_text text, const char *word) {
    size_t n = 0;
    for (; n < text.size && word[n]; n++)
        if (text.bytes[n] != word[n]) return false;
    return n == text.size && !word[n];
}

/* io.EOF is one value: once seen, its address tells. */
bool probe_is_eof(uint64_t itab, uint64_t data) {
    static uint64_t eof;
    const uint64_t known = __atomic_load_n(&eof, __ATOMIC_RELAXED);
    if (!data) return false;
    if (known) return data == known;
    if (!is_error_string(itab) || !text_is(probe_text(data), "EOF")) return false;
    __atomic_store_n(&eof, data, __ATOMIC_RELAXED);
    return true;
}

/*
 * io.ErrUnexpectedEOF, a net.OpError (reset...), and HTTP/2's word for what the server did: RST_STREAM, GOAWAY, a broken protocol.
 * Everything else is a context's end, a time-out or a close.
 */
bool probe_is_network(uint64_t itab, uint64_t data) {
    size_t n;
    const char *name = golang_type_name(golang_itab_type(itab), &n);
    const struct managed_text type = {name, name ? n : 0};
    if (is_error_string(itab)) return text_is(probe_text(data), "unexpected EOF");
    return text_is(type, "*net.OpError") || text_is(type, "http.http2StreamError") ||
           text_is(type, "http.http2GoAwayError") || text_is(type, "http.http2ConnectionError") ||
           text_is(type, "http2.StreamError") || text_is(type, "http2.GoAwayError") ||
           text_is(type, "http2.ConnectionError");
}
