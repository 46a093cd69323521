/*
 * The table of modules: filled by whoever knows what is loaded (the loader's list in module.c; the kernel's word for a program
 * that is followed from inside), searched by everybody. No libc; everything but the renewals is lock-free and signal safe.
 */
#ifndef RECORD_MODULE_TABLE_H
#define RECORD_MODULE_TABLE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct module_image { /* one object, as it is mapped */
    const char *name; /* its path; not looked at for the executable */
    const Elf64_Phdr *headers;
    size_t header_count;
    uintptr_t bias;
    uint32_t flags; /* TRACE_MODULE_* */
};

/* The module that holds pc (0: none known) and its load bias. */
uint32_t module_lookup(uintptr_t pc, uint64_t *base);

/* The executable, for programs that are followed from inside. The headers stay where they are. */
void module_main_set(const Elf64_Phdr *headers, size_t count, uintptr_t bias);
/* Puts it into the table if it is not there; never waits. Needs an open trace. The same for any module. */
void module_main_add(void);
void module_add(const struct module_image *);

/* ---- renewals, one at a time ---- */

struct module_renewal {
    struct module_range *ranges;
    uint32_t count;
    uint64_t now;
};
/* False: another thread renews now. */
bool module_renewal_begin(struct module_renewal *, uint32_t tid);
/* Takes over what is known already. */
void module_renewal_keep(struct module_renewal *);
/* False: no room for more. */
bool module_renewal_add(struct module_renewal *, const struct module_image *);
/* Publishes. What was known and was not added is marked as unloaded. */
void module_renewal_end(struct module_renewal *);
/* The thread that renews now, 0: none. */
uint32_t module_renewer(void);

/* Forgets everything (new trace). */
void module_table_reset(void);

#endif
