/* A program with Python inside: embed LIBPYTHON SCRIPT ARGUMENT... loads the library itself and runs the script's text. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

static void *library;

static void *find(const char *name) {
    void *found = dlsym(library, name);
    if (!found) fprintf(stderr, "no %s\n", name), exit(2);
    return found;
}

__attribute__((noinline)) static int run_script(FILE *file, const char *name) {
    int (*run)(FILE *, const char *) = (int (*)(FILE *, const char *))find("PyRun_SimpleFile");
    return run(file, name) ? 1 : 0;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    FILE *file = fopen(argv[2], "r");
    if (!library || !file) return fprintf(stderr, "%s\n", library ? argv[2] : dlerror()), 2;
    void (*initialize)(int) = (void (*)(int))find("Py_InitializeEx");
    void (*set)(int, wchar_t **, int) = (void (*)(int, wchar_t **, int))find("PySys_SetArgvEx");
    wchar_t *(*decode)(const char *, size_t *) =
        (wchar_t * (*)(const char *, size_t *)) find("Py_DecodeLocale");
    wchar_t *arguments[16];
    int count = 0;
    initialize(0);
    for (int i = 2; i < argc && count < 16; i++)
        arguments[count++] = decode(argv[i], NULL);
    set(count, arguments, 0);
    return run_script(file, argv[2]);
}
