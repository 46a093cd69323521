/* Loads the plugin past all preloads, as PHP does with its extensions, calls it, and unloads it. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    for (int i = 0; i < 2; i++) {
        void *handle = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
        if (!handle) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        void (*fetch)(const char *);
        *(void **)&fetch = dlsym(handle, "plugin_fetch");
        if (!fetch) return 1;
        fetch(argv[2]);
        if (dlclose(handle) != 0) return 1;
    }
    return 0;
}
