/*
 * The function table that every Go program carries (.gopclntab), stripped or not: addresses to functions, files, lines and
 * inlined calls. Layouts of Go 1.18 to 1.27 (runtime/symtab.go, cmd/link/internal/ld/pcln.go).
 *
 * The file is not trusted: damaged tables name less, or nothing. Not thread safe.
 */
#ifndef HTTPLEAK_GO_TABLE_H
#define HTTPLEAK_GO_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbol/image.h"

struct go_table;

/* The table of a program's file, which must outlive it; NULL: it has none that is known. */
struct go_table *go_table_open(const uint8_t *bytes, size_t size);
void go_table_close(struct go_table *table);

/*
 * The frames at an address of the file, innermost inlined one first; the caller frees their strings. 0: no Go function is there.
 */
size_t go_table_lookup(const struct go_table *table, uint64_t address,
                       struct image_frame frames[IMAGE_FRAMES_MAX]);

/* A function's name as people write it, malloc'ed: type arguments become "[...]". */
char *go_name_readable(const char *name);
/* true for functions of the standard library (and of golang.org/x/net): "net/http.(*Client).do". Pure. */
bool go_name_is_library(const char *name);

#endif
