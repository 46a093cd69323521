/* Finding the recorder and handing it to a command through the environment. */
#include "launch/library.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *library_find(char *error, size_t size) {
    static const char *const places[] = {LIBRARY_NAME, "../lib/httpleak/" LIBRARY_NAME, "../lib/" LIBRARY_NAME};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) {
        snprintf(error, size, "cannot read /proc/self/exe, so the recorder cannot be found beside this program: %m");
        return NULL;
    }
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s/%s", self, places[i]) < 0) break;
        char *found = access(path, R_OK) == 0 ? realpath(path, NULL) : NULL;
        free(path);
        if (found) return found;
    }
    snprintf(error, size, "the recorder %s is neither in %s nor in ../lib/httpleak or ../lib from there", LIBRARY_NAME, self);
    return NULL;
}

char *library_trace_option(void) {
    const char *options = getenv("HTTPLEAK_OPTIONS");
    char *found = NULL;
    for (const char *p = options; p && *p; p += strcspn(p, ":"), p += *p == ':') {
        if (strncmp(p, "trace=", 6) != 0) continue;
        free(found);
        found = strndup(p + 6, strcspn(p + 6, ":"));
    }
    return found;
}

/* Whether a key stands in HTTPLEAK_OPTIONS. */
static bool library_option_named(const char *options, const char *key) {
    size_t length = strlen(key);
    for (const char *p = options; p && *p; p += strcspn(p, ":"), p += *p == ':')
        if (strncmp(p, key, length) == 0 && p[length] == '=') return true;
    return false;
}

static bool library_export_options(const char *directory, char *error, size_t size) {
    const char *given = getenv("HTTPLEAK_OPTIONS");
    bool named = library_option_named(given, "trace");
    if (!named && strchr(directory, ':')) {
        snprintf(error, size, "directory for traces '%s': a path without ':' was expected", directory);
        return false;
    }
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out) return snprintf(error, size, "out of memory"), false;
    fputs(given ? given : "", out);
    const char *separator = given && *given ? ":" : "";
    if (!named) {
        fprintf(out, "%strace=", separator);
        for (const char *p = directory; *p; p++) fprintf(out, *p == '%' ? "%%%%" : "%c", *p); /* % starts a template's field */
        fputs("/httpleak.%e.%p.trace", out);
        separator = ":";
    }
    /* The report says it all; each process saying it too would be noise in the command's output. */
    if (!library_option_named(given, "summary")) fprintf(out, "%ssummary=0", separator);
    bool ok = fclose(out) == 0 && setenv("HTTPLEAK_OPTIONS", text, 1) == 0;
    if (!ok) snprintf(error, size, "out of memory");
    free(text);
    return ok;
}

bool library_export(const char *library, const char *directory, char *error, size_t size) {
    char *link = NULL, *preload = NULL;
    const char *path = library;
    if (strpbrk(library, " \t\n:")) {
        if (strpbrk(directory, " \t\n:") || asprintf(&link, "%s/%s", directory, LIBRARY_NAME) < 0 ||
            (unlink(link), symlink(library, link)) != 0) {
            snprintf(error, size, "cannot preload '%s': its path has a space or colon, and so has '%s'", library, directory);
            free(link);
            return false;
        }
        path = link;
    }
    const char *others = getenv("LD_PRELOAD");
    bool ok = asprintf(&preload, "%s%s%s", path, others && *others ? ":" : "", others ? others : "") >= 0 &&
              setenv("LD_PRELOAD", preload, 1) == 0;
    free(preload);
    free(link);
    if (!ok) snprintf(error, size, "out of memory");
    return ok && library_export_options(directory, error, size);
}
