/* Paths of requests as strings of the trace. Lock-free and signal safe; needs an open trace. */
#ifndef RECORD_PATH_H
#define RECORD_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATH_NAME_MAX 192u /* a path is cut there */

/*
 * The id of a path; last: that of the one before, which the next one often is. From half of the trace's room for strings on new
 * paths are kept as patterns, from three quarters on only if they are known.
 */
uint32_t path_name(uint32_t last, const char *path, size_t n);

#endif
