/* Go's function names: whose code a function is, and how it is written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "symbol/go_table.h"

/*
 * The first elements of the standard library's import paths. Others have a dot in theirs (a host name), are called main, or are
 * modules that somebody named as they liked.
 */
static const char *const go_standard[] = {
    "archive",  "bufio",   "bytes",   "cmp",      "compress", "container", "context", "crypto",
    "database", "debug",   "embed",   "encoding", "errors",   "expvar",    "flag",    "fmt",
    "go",       "hash",    "html",    "image",    "index",    "internal",  "io",      "iter",
    "log",      "maps",    "math",    "mime",     "net",      "os",        "path",    "plugin",
    "reflect",  "regexp",  "runtime", "slices",   "sort",     "strconv",   "strings", "structs",
    "sync",     "syscall", "testing", "text",     "time",     "unicode",   "unique",  "unsafe",
    "vendor",   "weak",    "_cgo",    "type:",    "go:",
};

bool go_name_is_library(const char *name) {
    static const char xnet[] = "golang.org/x/net/";
    size_t n = strcspn(name, "/.");
    if (strncmp(name, xnet, sizeof xnet - 1) == 0) return true;
    if (strncmp(name, "_cgo", 4) == 0 || strncmp(name, "type:", 5) == 0) return true;
    for (size_t i = 0; i < sizeof go_standard / sizeof *go_standard; i++)
        if (strlen(go_standard[i]) == n && memcmp(go_standard[i], name, n) == 0) return true;
    return false;
}

char *go_name_readable(const char *name) {
    const char *open = strchr(name, '['), *close = strrchr(name, ']');
    char *out = NULL;
    if (!open || !close || close < open) return strdup(name);
    return asprintf(&out, "%.*s[...]%s", (int)(open - name), name, close + 1) < 0 ? NULL : out;
}
