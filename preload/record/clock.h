/*
 * The clocks, read through the vDSO itself because programs and other preloads interpose
 * clock_gettime.
 */
#ifndef RECORD_CLOCK_H
#define RECORD_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Finds the vDSO's function; before, and without one (gVisor, vdso=0), the system call is used.
 * Called when a trace is made.
 */
void clock_init(void);
/* Before that: where the vDSO is (AT_SYSINFO_EHDR), 0: nowhere. */
void clock_know_vdso(uintptr_t elf);
/* CLOCK_MONOTONIC in ns; about 20 ns. Signal safe, as all here. */
uint64_t clock_now(void);
/* The processor's counter is out of bounds from here (prctl(PR_SET_TSC), seccomp's strict mode): clock_now is coarse too. */
void clock_forgo_counter(void);
/* CLOCK_MONOTONIC_COARSE in ns: 1 to 4 ms behind at most; about 5 ns. */
uint64_t clock_coarse(void);
/*
 * For loops that wait for another thread, which has a few instructions left to do unless the kernel took its processor: gives it the
 * processor (in a sandbox, whose filter may know no such call, it only spins). false: it is most_ns since `since`, a clock_now.
 */
bool clock_wait(uint64_t since, uint64_t most_ns);
/* CLOCK_MONOTONIC and CLOCK_REALTIME in ns, together. */
void clock_first(uint64_t *now, uint64_t *realtime);

#endif
