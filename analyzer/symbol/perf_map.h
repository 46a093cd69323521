/*
 * Names of compiled code that no file has: /tmp/perf-PID.map, which V8, the JVM and other compilers write when asked to
 * (Linux, tools/perf/Documentation/jit-interface.txt: START SIZE NAME, hexadecimal, one a line).
 */
#ifndef HTTPLEAK_PERF_MAP_H
#define HTTPLEAK_PERF_MAP_H

#include <stdbool.h>
#include <stdint.h>

struct perf_map;

struct perf_name {
    uint32_t language;    /* enum trace_language: JAVASCRIPT or JAVA */
    const char *function; /* never NULL; "" for code that has no name */
    const char *file;     /* of JAVA the class; never NULL */
    uint32_t line;        /* where the function begins; 0: not told */
};

/*
 * Reads a map. NULL when there is none, when it is nobody's whom we would believe (another user's file), older than `since`
 * (seconds, CLOCK_REALTIME: left by an earlier process with this pid), or when memory is short.
 */
struct perf_map *perf_map_open(const char *path, int64_t since);
void perf_map_close(struct perf_map *map);

/* The function that pc lies in; the last one written where several do. false: none, or one of the compiler's own. */
bool perf_map_find(const struct perf_map *map, uint64_t pc, struct perf_name *out);

/* One NAME of a map, cut into its parts in place: false for what is no function of the program's language. */
bool perf_map_parse(char *name, struct perf_name *out);

#endif
