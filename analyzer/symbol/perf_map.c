/* Reads perf maps, and what V8 and the JVM call their functions in them. */
#include "symbol/perf_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "httpleak/trace.h"

#define SIZE_MOST (256L << 20)

struct perf_entry {
    uint64_t start, end;
    size_t order; /* line of the file: code is thrown away and its place used anew */
    char *name;
};
struct perf_map {
    char *text;
    struct perf_entry *entries; /* by start, then by order */
    size_t count;
    uint64_t longest;
};

/* What another user left in /tmp could name our frames as he likes. */
static char *read_text(const char *path, int64_t since) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    char *text = NULL;
    if (fd < 0) return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_uid == geteuid() || st.st_uid == 0) &&
        st.st_size <= SIZE_MOST && st.st_mtime >= since)
        text = malloc((size_t)st.st_size + 1);
    size_t size = 0;
    while (text && size < (size_t)st.st_size) {
        ssize_t n = read(fd, text + size, (size_t)st.st_size - size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        size += (size_t)n;
    }
    if (text) text[size] = 0;
    close(fd);
    return text;
}

static int compare(const void *a, const void *b) {
    const struct perf_entry *x = a, *y = b;
    if (x->start != y->start) return x->start < y->start ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* "START SIZE NAME"; false for any other line. */
static bool read_entry(char *line, struct perf_entry *out) {
    char *at = line, *next;
    errno = 0;
    uint64_t start = strtoull(at, &next, 16);
    if (next == at || *next != ' ') return false;
    at = next + 1;
    uint64_t size = strtoull(at, &next, 16);
    if (next == at || *next != ' ' || size == 0 || errno || start + size < start) return false;
    out->start = start;
    out->end = start + size;
    out->name = next + 1;
    return true;
}

struct perf_map *perf_map_open(const char *path, int64_t since) {
    struct perf_map *map = calloc(1, sizeof *map);
    if (!map) return NULL;
    map->text = read_text(path, since);
    size_t lines = 1;
    for (const char *p = map->text; p && *p; p++)
        lines += *p == '\n';
    map->entries = map->text ? malloc(lines * sizeof *map->entries) : NULL;
    if (!map->entries) {
        perf_map_close(map);
        return NULL;
    }
    for (char *line = map->text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = 0;
        struct perf_entry *entry = &map->entries[map->count];
        if (!read_entry(line, entry)) continue;
        entry->order = map->count++;
        if (entry->end - entry->start > map->longest) map->longest = entry->end - entry->start;
    }
    qsort(map->entries, map->count, sizeof *map->entries, compare);
    return map;
}

void perf_map_close(struct perf_map *map) {
    if (!map) return;
    free(map->entries);
    free(map->text);
    free(map);
}

/* ---- names ---- */

/*
 * V8: "JS:~name /path/file.js:12:5", the mark after the colon says how it was compiled; "LazyCompile:", "Function:" and the like in
 * older ones. Builtins, stubs and bytecode handlers are its own.
 */
static bool parse_javascript(char *name, struct perf_name *out) {
    static const char *const kinds[] = {
        "JS:", "LazyCompile:", "Function:", "Eval:", "InterpretedFunction:", "Script:"};
    size_t kind = 0, count = sizeof kinds / sizeof *kinds;
    while (kind < count && strncmp(name, kinds[kind], strlen(kinds[kind])) != 0)
        kind++;
    if (kind == count) return false;
    name += strlen(kinds[kind]);
    name += strspn(name, "*~^+");
    char *file = strchr(name, ' ');
    if (!file) return false;
    *file++ = 0;
    /* ":LINE:COLUMN" at the end, or ":LINE" alone. */
    unsigned long numbers[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        char *colon = strrchr(file, ':');
        if (!colon || !colon[1] || colon[1 + strspn(colon + 1, "0123456789")]) break;
        numbers[1] = numbers[0];
        numbers[0] = strtoul(colon + 1, NULL, 10);
        *colon = 0;
    }
    if (strncmp(file, "file://", 7) == 0) file += 7;
    if (!*file) return false;
    *out = (struct perf_name){TRACE_LANGUAGE_JAVASCRIPT, name, file, (uint32_t)numbers[0]};
    return true;
}

/* The JVM: "void com.example.Main.fetch(java.lang.String)". What has no parentheses is none of the program's. */
static bool parse_java(char *name, struct perf_name *out) {
    char *parameters = strchr(name, '(');
    if (!parameters || parameters == name || name[strlen(name) - 1] != ')') return false;
    *parameters = 0;
    char *space = strrchr(name, ' ');
    char *function = space ? space + 1 : name;
    char *dot = strrchr(function, '.');
    if (!space || !dot || dot == function || !dot[1]) return false;
    static char class[TRACE_STRING_MAX];
    size_t n =
        (size_t)(dot - function) < sizeof class - 1 ? (size_t)(dot - function) : sizeof class - 1;
    memcpy(class, function, n);
    class[n] = 0;
    *out = (struct perf_name){TRACE_LANGUAGE_JAVA, function, class, 0};
    return true;
}

bool perf_map_parse(char *name, struct perf_name *out) {
    return parse_javascript(name, out) || parse_java(name, out);
}

bool perf_map_find(const struct perf_map *map, uint64_t pc, struct perf_name *out) {
    static char name[4 * TRACE_STRING_MAX];
    size_t low = 0, high = map->count; /* the first entry that starts behind pc */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (map->entries[middle].start <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    const struct perf_entry *found = NULL;
    for (size_t i = low; i-- > 0 && pc - map->entries[i].start < map->longest;)
        if (pc < map->entries[i].end && (!found || map->entries[i].order > found->order))
            found = &map->entries[i];
    if (!found) return false;
    snprintf(name, sizeof name, "%s", found->name);
    return perf_map_parse(name, out);
}
