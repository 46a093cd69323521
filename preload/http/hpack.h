/*
 * Header fields of HTTP/2 (HPACK, RFC 7541), by nghttp2's inflater in memory that the caller gives: one struct is one direction
 * of one connection.
 *
 * It knows no heap and may run in a signal handler; the first use of all in a process prepares a table, once. The dynamic table
 * follows what the encoder says of its size (RFC 7541 6.3), whatever SETTINGS allowed: a size beyond HPACK_TABLE_MAX is an error.
 */
#ifndef HTTP_HPACK_H
#define HTTP_HPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HPACK_TABLE_MAX 65536u
#define HPACK_CHUNK 32768u /* what is asked for at once, unless one thing needs more */
#define HPACK_PIECE                                                                                \
    65536u /* the most that one thing may need: twice a header field's value, and a little */
#define HPACK_CLASSES 24u

/* Memory for size bytes, aligned to 16, zeroed or not; NULL: there is none. It lives as long as the struct. */
typedef void *hpack_more(void *ctx, size_t size);
/* A header field; gone when this returns. */
typedef void hpack_field(void *ctx, const char *name, size_t name_len, const char *value,
                         size_t value_len);

struct hpack {
    void *inflater;     /* NULL: dead */
    void *functions[5]; /* a nghttp2_mem */
    hpack_more *more;
    void *more_ctx;
    uint8_t *at, *end;          /* rest of the newest chunk */
    void *spare[HPACK_CLASSES]; /* pieces that came back, by size */
};

/* false: no memory, or the table is being prepared by another thread that does not get on. */
bool hpack_begin(struct hpack *, hpack_more *, void *ctx);
/*
 * The next n bytes of a header block, last: it ends with them. false: no reading of RFC 7541 explains them, or there is no
 * memory; then the struct is dead, and false is all it ever says.
 */
bool hpack_feed(struct hpack *, const uint8_t *bytes, size_t n, bool last, hpack_field *,
                void *ctx);

#endif
