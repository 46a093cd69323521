/* The recorder's beginning and end in a process. */
#include "interpose/real.h"
#include "track/process.h"

/* Neither is everywhere: musl has no on_exit, and passes nothing to constructors. */
extern int on_exit(void (*)(int, void *), void *) __attribute__((weak));
extern const char *gnu_get_libc_version(void) __attribute__((weak));

/* glibc runs this after our destructor, and it alone tells what main returned. */
static void init_status(int status, void *unused) {
    (void)unused;
    process_exiting(status, true);
}

__attribute__((constructor)) static void init(int argc, char **argv, char **envp) {
    /* The small variables share a page: a write as the first access is one page fault, a read before it two. */
    __atomic_store_n(&process_active, false, __ATOMIC_RELAXED);
    real_init();
    if (gnu_get_libc_version)
        process_init(argc, argv, envp, real_library_path());
    else
        process_init(0, NULL, environ, real_library_path());
    if (process_active && on_exit) on_exit(init_status, NULL);
}

__attribute__((destructor)) static void fini(void) {
    process_end();
}
