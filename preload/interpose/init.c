/* The recorder's beginning and end in a process. */
#include <elf.h>

#include "golang/golang.h"
#include "interpose/carried.h"
#include "interpose/lua.h"
#include "interpose/node.h"
#include "interpose/real.h"
#include "record/sys.h"
#include "track/process.h"

/* Neither is everywhere: musl has no on_exit, and passes nothing to constructors. */
extern int on_exit(void (*)(int, void *), void *) __attribute__((weak));
extern const char *gnu_get_libc_version(void) __attribute__((weak));

/* glibc runs this after our destructor, and it alone tells what main returned. */
SYS_COLD static void init_status(int status, void *unused) {
    (void)unused;
    process_exiting(status, true);
}

struct init_facts { /* what the kernel said of the program, without a call into libc */
    const ElfW(Phdr) * headers;
    size_t header_count;
    bool secure; /* it has more rights than who started it: the recorder stays inert */
};

static struct init_facts init_look(char **envp) {
    struct init_facts facts = {0};
    while (*envp)
        envp++;
    for (const ElfW(auxv_t) *a = (const void *)(envp + 1); a->a_type != AT_NULL; a++) {
        if (a->a_type == AT_PHDR) facts.headers = (const void *)a->a_un.a_val;
        if (a->a_type == AT_PHNUM) facts.header_count = a->a_un.a_val;
        if (a->a_type == AT_SECURE) facts.secure = a->a_un.a_val != 0;
    }
    return facts;
}

static void init_golang(const struct init_facts *facts) {
    struct golang_start start = {facts->headers, facts->header_count, 0};
    for (size_t i = 0; facts->headers && i < facts->header_count; i++)
        if (facts->headers[i].p_type == PT_PHDR)
            start.bias = (uintptr_t)facts->headers - facts->headers[i].p_vaddr;
    golang_start(&start);
}

__attribute__((constructor)) static void init(int argc, char **argv, char **envp) {
    /* The small variables share a page: a write as the first access is one page fault, a read
     * before it two. */
    __atomic_store_n(&process_active, false, __ATOMIC_RELAXED);
    const bool glibc = gnu_get_libc_version != NULL;
    if (!glibc) argc = 0, argv = NULL, envp = environ;
    const struct init_facts facts = init_look(envp);
    real_init(facts.headers, facts.header_count);
    if (facts.secure) return;
    process_init(argc, argv, envp, real_library_path());
    if (!process_active) return;
    carried_init(real_program_map(), facts.headers, facts.header_count, real_recorder_map());
    node_init(real_program_map());
    lua_init(real_program_map());
    if (on_exit) on_exit(init_status, NULL);
    init_golang(&facts);
}

__attribute__((destructor)) static void fini(void) {
    process_end();
}
