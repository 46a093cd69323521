/*
 * The words of nghttp2's table of static header fields that .ci/hpack.c took out of the dynamic linker's hands: offsets in
 * hpack_table, each holding the distance from itself to what it means.
 */
#ifndef HTTP_HPACK_TABLE_H
#define HTTP_HPACK_TABLE_H

#include <stdint.h>

extern const uint16_t hpack_table_words[];
extern const unsigned hpack_table_count;
extern char hpack_table[];

#endif
