/* Finding the recorder and handing it to a command through the environment. */
#include "launch/library.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *library_find(char *error, size_t size) {
    static const char *const places[] = {LIBRARY_NAME, "../lib/httpleak/" LIBRARY_NAME,
                                         "../lib/" LIBRARY_NAME};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) {
        snprintf(
            error, size,
            "cannot read /proc/self/exe, so the recorder cannot be found beside this program: %m");
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
    snprintf(error, size,
             "the recorder %s is neither in %s nor in ../lib/httpleak or ../lib from there",
             LIBRARY_NAME, self);
    return NULL;
}

/*
 * A pair of HTTPLEAK_OPTIONS ends at the next ':' outside of the quotes that its value opens with.
 */
static size_t library_pair_length(const char *pair) {
    size_t n = strcspn(pair, ":=");
    const char *close = NULL;
    if (pair[n] == '=' && (pair[n + 1] == '\'' || pair[n + 1] == '"'))
        close = strchr(pair + n + 2, pair[n + 1]);
    if (close) n = (size_t)(close - pair);
    return n + strcspn(pair + n, ":");
}

char *library_option(const char *key) {
    const char *options = getenv("HTTPLEAK_OPTIONS");
    size_t length = strlen(key), n;
    char *found = NULL;
    for (const char *p = options; p && *p; p += n, p += *p == ':') {
        n = library_pair_length(p);
        if (strncmp(p, key, length) != 0 || p[length] != '=') continue;
        const char *value = p + length + 1, *end = p + n;
        if (end - value >= 2 && (*value == '"' || *value == '\'') && end[-1] == *value)
            value++, end--;
        free(found);
        found = strndup(value, (size_t)(end - value));
    }
    return found;
}

static bool library_option_named(const char *key) {
    char *value = library_option(key);
    free(value);
    return value != NULL;
}

/* Writes trace=TEMPLATE for a directory; false: its path cannot be written there. */
static bool library_put_trace(FILE *out, const char *directory) {
    const char *quote = strpbrk(directory, ":'\"") == NULL ? ""
                        : strchr(directory, '"')           ? "'"
                                                           : "\"";
    if (*quote && strchr(directory, *quote)) return false;
    fprintf(out, "trace=%s", quote);
    for (const char *p = directory; *p; p++)
        fprintf(out, *p == '%' ? "%%%%" : "%c", *p); /* % starts a template's field */
    fprintf(out, "/httpleak.%%e.%%p.trace%s", quote);
    return true;
}

static bool library_export_options(const char *directory, char *error, size_t size) {
    const char *given = getenv("HTTPLEAK_OPTIONS");
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out) return snprintf(error, size, "out of memory"), false;
    fputs(given ? given : "", out);
    const char *separator = given && *given ? ":" : "";
    bool ok = true;
    if (!library_option_named("trace")) {
        fputs(separator, out);
        ok = library_put_trace(out, directory);
        separator = ":";
        if (!ok)
            snprintf(error, size,
                     "directory for traces '%s': a path without both kinds of quotes was expected",
                     directory);
    }
    /* The report says it all; each process saying it too would be noise in the command's output. */
    if (!library_option_named("summary")) fprintf(out, "%ssummary=0", separator);
    bool written = fclose(out) == 0 && (!ok || setenv("HTTPLEAK_OPTIONS", text, 1) == 0);
    if (!written) snprintf(error, size, "out of memory");
    free(text);
    return ok && written;
}

bool library_export(const char *library, const char *directory, char *error, size_t size) {
    char *link = NULL, *preload = NULL;
    const char *path = library;
    if (strpbrk(library, " \t\n:")) {
        if (strpbrk(directory, " \t\n:") || asprintf(&link, "%s/%s", directory, LIBRARY_NAME) < 0 ||
            (unlink(link), symlink(library, link)) != 0) {
            snprintf(error, size,
                     "cannot preload '%s': its path has a space or colon, and so has '%s'", library,
                     directory);
            free(link);
            return false;
        }
        path = link;
    }
    const char *others = getenv("LD_PRELOAD");
    bool ok = asprintf(&preload, "%s%s%s", path, others && *others ? ":" : "",
                       others ? others : "") >= 0 &&
              setenv("LD_PRELOAD", preload, 1) == 0;
    free(preload);
    free(link);
    if (!ok) snprintf(error, size, "out of memory");
    return ok && library_export_options(directory, error, size);
}
