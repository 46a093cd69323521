/*
 * Interned strings, stacks, hosts and sites: the same thing always gets the same id while there is room; id 0 means none.
 *
 * All are lock-free and may be called from any thread and from signal handlers. They need an open trace (they return 0 without).
 */
#ifndef RECORD_INTERN_H
#define RECORD_INTERN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "record/trace.h"

uint32_t intern_string(const char *s, size_t n); /* longer than TRACE_STRING_MAX: cut there */
/* The id it has already, 0: none. Takes no room. */
uint32_t intern_string_find(const char *s, size_t n);
/* Whether id stands for these bytes: cheaper than interning what mostly comes again. */
static inline int intern_string_is(uint32_t id, const char *s, size_t n) {
    const struct trace_map *t = trace;
    if (!t || id == 0) return 0;
    const struct trace_string *string =
        (const struct trace_string *)(const void *)(t->strings + (uint64_t)id * 8);
    return string->length == n && memcmp(string->bytes, s, n) == 0;
}
/* n program counters, innermost first. The recorder's own innermost frames are left out. */
uint32_t intern_stack(void *const *pcs, uint32_t n);
/* The same without looking for frames of the recorder; inside: from where nothing of libc can be called (modules are those known). */
uint32_t intern_frames(void *const *pcs, uint32_t n);
uint32_t intern_frames_inside(void *const *pcs, uint32_t n);
/* name is an interned string; peer (string id, 0: none) is added to its peers. */
uint32_t intern_host(uint32_t name, uint16_t port, enum trace_scheme, uint32_t peer);
uint32_t intern_site(uint32_t host, uint32_t stack);

static inline struct trace_site *site_at(uint32_t id) {
    struct trace_map *t = trace;
    return t ? &t->sites[id]
             : 0; /* site 0 takes what found no place; readers see it as "unknown" */
}

/*
 * After module_scan when a module was unloaded: stacks that hold addresses of no known module are not found again, since those
 * may mean something else now. (Stacks through the vanished module are not found anyway, unless it comes back to its place.)
 */
void intern_forget_stacks(void);

/* This thread's own stack, as far as it may be used; without this the thread is asked for it each time. */
void stack_of_thread(uintptr_t low, uintptr_t high);
/* From here none are taken: libunwind asks the kernel for things. */
void stack_refuse(void);
/* Whether what takes some KiB may be done here. One comparison on a thread's own stack, one or two system calls elsewhere. */
bool stack_has_room(void);
/* Capture: at most depth (options.stack_depth) return addresses of the caller into pcs; the count. 200 ns when cached. */
uint32_t stack_capture(void **pcs, uint32_t depth);
/* Capture and intern. */
uint32_t stack_here(void);
enum trace_unwinder stack_unwinder(void);
/* dlclose happened: forget cached unwind information. */
void stack_flush(void);

/* Modules: finds the id of the module that holds pc (0: none) and its load bias. Refreshes the table when pc is unknown. */
uint32_t module_of(uintptr_t pc, uint64_t *base);
/* Scan what is loaded now: new modules are added, vanished ones marked. Called at creation and after dlclose. */
void module_scan(void);
/* Who knows what is loaded; NULL: nobody (a static program). missed: pc lies in no module of the table; as module_of. */
struct module_source {
    void (*opened)(void); /* there is a new trace */
    uint32_t (*missed)(uintptr_t pc, uint64_t *base);
};
extern const struct module_source *module_source;
/* From the constructor, where there is a loader. */
void module_use_loader(void);
/* True if pc lies in the recorder itself. */
int module_is_recorder(uintptr_t pc);

#endif
