/*
 * dl_iterate_phdr for the recorder and for libunwind: the linker leads their calls here (-Wl,--wrap), and it works in a fork
 * child whose loader is locked for ever by a thread of the parent's.
 */
#ifndef RECORD_LOADER_H
#define RECORD_LOADER_H

#include <link.h>

/* Learns where the loader's lock is; before the process has a second thread. Once, some microseconds. */
void loader_find_lock(void);
/* In a fork child, by its only thread. */
void loader_after_fork(void);

#endif
