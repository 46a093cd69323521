/* Demangling with the C++ runtime's own demangler, loaded only when a mangled name turns up. */
#include "symbol/demangle.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef char *demangle_function(const char *, char *, size_t *, int *);

/*
 * The analyzer is C: a machine without libstdc++ has no C++ program to report on, and then names
 * stay as they are.
 */
static demangle_function *demangle_runtime(void) {
    static demangle_function *function;
    static bool tried;
    if (!tried) {
        tried = true;
        void *library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_LOCAL);
        if (library) function = (demangle_function *)(uintptr_t)dlsym(library, "__cxa_demangle");
    }
    return function;
}

/*
 * "ns::f(int) const" -> "ns::f"; the parentheses of "(anonymous namespace)::f" and "operator()" are
 * part of the name.
 */
static void demangle_cut_parameters(char *name) {
    char *close = strrchr(name, ')');
    if (!close) return;
    /*
     * Only qualifiers may follow the parameter list; anything else (a lambda's "}::operator") means
     * there is none.
     */
    for (const char *p = close + 1; *p; p++)
        if (!strchr(" abcdefghijklmnopqrstuvwxyz&[].0123456789", *p)) return;
    int depth = 0;
    for (char *p = close; p >= name; p--) {
        if (*p == ')') depth++;
        if (*p == '(' && --depth == 0) {
            static const char call_operator[] = "operator";
            size_t before = (size_t)(p - name), n = sizeof call_operator - 1;
            if (before == 0 || (before >= n && memcmp(p - n, call_operator, n) == 0)) return;
            if (strncmp(p, "(anonymous namespace)", 21) == 0) return;
            *p = '\0';
            return;
        }
    }
}

/*
 * Legacy Rust names are valid C++ names with a hash at their end, "::h" and 16 digits, which
 * changes with every build.
 */
static void demangle_cut_rust_hash(char *name) {
    size_t length = strlen(name);
    if (length <= 19 || strncmp(name + length - 19, "::h", 3) != 0) return;
    if (strspn(name + length - 16, "0123456789abcdef") == 16) name[length - 19] = '\0';
}

/* GCC and Clang append ".isra.0", ".llvm.123"... to clones; the linker's view has "@VERSION". */
static void demangle_cut_suffix(char *name) {
    static const char *const suffixes[] = {".constprop.", ".isra.",      ".part.", ".cold",
                                           ".lto_priv.",  ".localalias", ".llvm.", ".clone."};
    char *at = strchr(name, '@');
    if (at && at != name) *at = '\0';
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char *p = strstr(name, suffixes[i]);
        if (p && p != name) *p = '\0';
    }
}

char *demangle_symbol(const char *symbol) {
    char *plain = strdup(symbol);
    if (!plain) return NULL;
    demangle_cut_suffix(plain);
    /* The demangler recurses; nobody wrote a name of that length. */
    if (strncmp(plain, "_Z", 2) != 0 || strlen(plain) > 4096) return plain;
    demangle_function *function = demangle_runtime();
    int status = -1;
    char *readable = function ? function(plain, NULL, NULL, &status) : NULL;
    if (!readable || status != 0) return plain;
    free(plain);
    demangle_cut_parameters(readable);
    demangle_cut_rust_hash(readable);
    return readable;
}
