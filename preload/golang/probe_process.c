/* Probes of the program's end: Go leaves by exit_group, no destructor runs. */
#include "golang/probe.h"

static bool exiting;

static void ends(const struct golang_registers *r, int status) {
    __atomic_store_n(&exiting, true, __ATOMIC_RELAXED);
    managed_exit(status, golang_is_system(r) ? 0 : probe_goid(r));
}

/* os.Exit(code): also where the race detector's library leaves in its own way. */
void probe_os_exit(const struct golang_registers *r) {
    ends(r, (int)r->ax);
}

/* syscall.Exit(code) */
void probe_syscall_exit(const struct golang_registers *r) {
    if (!__atomic_load_n(&exiting, __ATOMIC_RELAXED)) ends(r, (int)r->ax);
}

/* runtime.racefini: main returned under -race; it does not come back. */
void probe_race_end(const struct golang_registers *r) {
    if (!__atomic_load_n(&exiting, __ATOMIC_RELAXED)) ends(r, 0);
}

/* runtime.exit(code), its argument on the stack: main returned with 0; a panic or a fatal error comes here with 2, and is no exit. */
void probe_runtime_exit(const struct golang_registers *r) {
    const int code = (int)*(const uint32_t *)(r->sp + 8);
    if (code == 0 && !__atomic_load_n(&exiting, __ATOMIC_RELAXED)) ends(r, 0);
}

void probe_exec(const struct golang_registers *r) {
    (void)r;
    managed_exec(true);
}

void probe_exec_failed(const struct golang_registers *r) {
    (void)r;
    managed_exec(false);
}
