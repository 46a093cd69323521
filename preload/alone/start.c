/* The recorder's beginning in a static program: what the constructor of the library does elsewhere. */
#include "alone/alone.h"

#include <stdbool.h>
#include <string.h>
#include <sys/auxv.h>

#include "golang/golang.h"
#include "record/clock.h"
#include "record/options.h"
#include "record/sys.h"
#include "record/text.h"
#include "record/trace.h"

static void read_stack(uintptr_t *stack) {
    struct alone_stack *s = &alone_stack;
    s->argc = (int)*stack++;
    s->argv = (char **)stack;
    stack += s->argc + 1;
    s->envp = (char **)stack;
    while (*stack++) {
    }
    s->auxv = (const Elf64_auxv_t *)stack;
}

static const char *environment(const char *name) {
    const size_t n = strlen(name);
    for (char **e = alone_stack.envp; *e; e++)
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=') return *e + n + 1;
    return NULL;
}

/* Links resolved, as only= and skip= mean it. */
static const char *program_name(char *buffer, size_t size) {
    const long n = sys_call(SYS_readlink, "/proc/self/exe", buffer, size - 1);
    const char *called = (const char *)getauxval(AT_EXECFN);
    if (n <= 0) return called ? text_base_name(called) : "";
    buffer[n] = 0;
    return text_base_name(buffer);
}

/* A program without net/http needs nothing of us; one that cannot be followed has a trace that says why. */
static struct alone_answer follow(void) {
    const struct golang_start start = alone_program();
    if (!alone_relocate())
        return (struct alone_answer){LAUNCHER_BLIND,
                                     "its relocations are of a kind that is not known"};
    if (golang_start(&start)) return (struct alone_answer){LAUNCHER_STAYS, ""};
    if (golang_program.state == GOLANG_NONE) return (struct alone_answer){LAUNCHER_NOTHING, ""};
    if (golang_program.state == GOLANG_BLIND && !trace)
        return (struct alone_answer){LAUNCHER_BLIND, golang_program.blind_reason};
    return (struct alone_answer){LAUNCHER_UNUSED, ""};
}

struct alone_answer alone_start(uintptr_t *stack) {
    const struct alone_answer none = {LAUNCHER_UNUSED, ""};
    char name[256];
    read_stack(stack);
    /* With a loader it is LD_PRELOAD's. */
    if (getauxval(AT_SECURE) || getauxval(AT_BASE)) return none;
    options_parse(environment("HTTPLEAK_OPTIONS"), program_name(name, sizeof name));
    if (!options.active) return none;
    clock_know_vdso(getauxval(AT_SYSINFO_EHDR));
    trace_prepare(alone_stack.argc, alone_stack.argv);
    return follow();
}
