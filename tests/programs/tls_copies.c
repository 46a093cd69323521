/*
 * A program that knows no TLS: tls_copies URL PLUGIN... loads the plugins with local scope, fetches
 * URL once with each, in turn, closes the first and fetches once more with the others.
 */
#include <dlfcn.h>

#include "raw.h"

#define PLUGINS 8

int main(int argc, char **argv) {
    void *plugins[PLUGINS];
    if (argc < 3 || argc - 2 > PLUGINS) return 2;
    const int count = argc - 2;
    for (int i = 0; i < count; i++) {
        plugins[i] = dlopen(argv[2 + i], RTLD_NOW | RTLD_LOCAL);
        if (!plugins[i]) raw_die(dlerror());
    }
    for (int round = 0; round < 2; round++) {
        for (int i = round; i < count; i++) {
            void (*fetch)(const char *) = (void (*)(const char *))dlsym(plugins[i], "fetch");
            if (!fetch) raw_die("fetch");
            fetch(argv[1]);
        }
        if (round == 0) dlclose(plugins[0]);
    }
    return 0;
}
