/* The TLS library that an executable carries: found by its names, patched to reach our wrappers, all of it or nothing. */
#include "interpose/carried.h"

#include <stddef.h>
#include <string.h>

#include "interpose/openssl.h"
#include "interpose/symtab.h"
#include "patch/function.h"
#include "record/image.h"
#include "record/sys.h"
#include "record/text.h"

/* Names of the table's group openssl that are a TLS object's; the BIO_ ones are everybody's in libcrypto, and hot there. */
#define CARRIED_fd(symbol)
#define CARRIED_io(symbol)
#define CARRIED_wait(symbol)
#define CARRIED_stdio(symbol)
#define CARRIED_thread(symbol)
#define CARRIED_process(symbol)
#define CARRIED_library(symbol)
#define CARRIED_gnutls(symbol)
#define CARRIED_curl(symbol)
#define CARRIED_openssl(symbol) #symbol "\0"
static const char names[] =
#define NAME(symbol, group, nr) CARRIED_##group(symbol)
#include "interpose/names.def"
#undef NAME
    ;

/* Without these nothing is followed, so nothing is patched. */
static const char required[] = "SSL_read\0SSL_write\0SSL_do_handshake\0SSL_free\0";

/* Smaller programs hold no TLS library: libssl and libcrypto are 3 MB, BoringSSL's part of a program 1 MB. */
#define TEXT_LEAST (1u << 20)
#define FUNCTIONS 32u

static struct {
    struct tls_module module; /* start is 0: the executable carries none, or it was not patched */
    const char *names[FUNCTIONS];
    struct patch_function functions[FUNCTIONS];
    unsigned count;
    uintptr_t first, end; /* of the code that the functions lie in: the library itself */
} carried;

static const char *next_name(const char *name) {
    return name + strlen(name) + 1;
}

/* The life of objects is followed in libraries only: one function less that has to be patched, and a runtime's collector frees
 * them when it likes. */
static bool is_wanted(const char *name) {
    return strncmp(name, "SSL_", 4) == 0 && strcmp(name, "SSL_new") != 0 &&
           strcmp(name, "SSL_up_ref") != 0;
}

/* ---- where its functions are ---- */

struct source { /* of the executable's symbols: those that it exports, else its .symtab */
    struct image exported;
    struct symtab symtab;
};

static void *lookup(const struct source *source, const char *name, size_t *size) {
    void *found = image_find_sized(&source->exported, name, size);
    return found ? found : symtab_find(&source->symtab, name, size);
}

static bool needs_libssl(const struct image *image, const ElfW(Dyn) * dynamic) {
    for (const ElfW(Dyn) *d = dynamic; d && d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_NEEDED &&
            strncmp(text_base_name(image->strings + d->d_un.d_val), "libssl.", 7) == 0)
            return true;
    return false;
}

/* Whether the program may have a TLS library that it does not export. */
static bool is_big_enough(const ElfW(Phdr) * headers, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (headers[i].p_type == PT_LOAD && (headers[i].p_flags & PF_X) &&
            headers[i].p_memsz >= TEXT_LEAST)
            return true;
    return false;
}

static bool find_functions(const struct source *source, const struct link_map *library) {
    struct image own;
    image_read(&own, library->l_addr, library->l_ld);
    size_t size = 0;
    for (const char *name = required; *name; name = next_name(name))
        if (!lookup(source, name, &size)) return false;
    carried.count = 0;
    for (const char *name = names; *name; name = next_name(name)) {
        void *address = is_wanted(name) ? lookup(source, name, &size) : NULL;
        const void *hook = address ? image_find(&own, name, image_hash(name)) : NULL;
        if (!address || !hook || address == hook) continue;
        if (carried.count == FUNCTIONS) return false;
        carried.names[carried.count] = name;
        carried.functions[carried.count++] =
            (struct patch_function){.at = (uintptr_t)address, .size = size, .to = (uintptr_t)hook};
    }
    return true;
}

static void describe_module(const struct source *source, const struct link_map *program,
                            const ElfW(Phdr) * headers, size_t count) {
    struct tls_module *m = &carried.module;
    m->library = openssl.library;
    m->flavor = &openssl;
    size_t size = 0;
    for (int i = 0; i < TLS_GETTERS && openssl.getters[i]; i++)
        m->getters[i] = lookup(source, openssl.getters[i], &size);
    uintptr_t start = UINTPTR_MAX;
    for (size_t i = 0; i < count; i++) {
        if (headers[i].p_type != PT_LOAD) continue;
        const uintptr_t from = program->l_addr + headers[i].p_vaddr;
        if (from < start) start = from;
        if (from + headers[i].p_memsz > m->end) m->end = from + headers[i].p_memsz;
    }
    m->start = start;
}

/*
 * The library's functions lie together, as the linker got them. Its callers in the same module must be told from itself: Node
 * writes from inside a callback of SSL_read, on the same object, and that is a call of its own.
 */
#define LIBRARY_MOST (1u << 20)
static void find_library(void) {
    carried.first = UINTPTR_MAX;
    for (unsigned i = 0; i < carried.count; i++) {
        const struct patch_function *f = &carried.functions[i];
        if (f->at < carried.first) carried.first = f->at;
        if (f->at + f->size > carried.end) carried.end = f->at + f->size;
    }
    if (carried.end - carried.first > LIBRARY_MOST) carried.end = carried.first;
}

SYS_COLD void carried_init(const struct link_map *program, const ElfW(Phdr) * headers, size_t count,
                           const struct link_map *library) {
    struct source source = {0};
    if (!program || !library || !headers) return;
    image_read(&source.exported, program->l_addr, program->l_ld);
    if (!source.exported.symbols || !source.exported.strings) return;
    size_t size = 0;
    const bool exports = image_find_sized(&source.exported, "SSL_read", &size) != NULL;
    if (!exports &&
        (!is_big_enough(headers, count) || needs_libssl(&source.exported, program->l_ld) ||
         !symtab_open(&source.symtab, program->l_addr, "SSL_")))
        return;
    size_t failed = 0;
    if (find_functions(&source, library) &&
        !patch_functions(carried.functions, carried.count, &failed))
        find_library(), describe_module(&source, program, headers, count);
    symtab_close(&source.symtab);
}

/* ---- what is called ---- */

bool carried_find(struct tls_real *real, const struct tls_flavor *flavor, const char *name,
                  uintptr_t caller) {
    const struct tls_module *m = &carried.module;
    if (flavor != m->flavor || caller < m->start || caller >= m->end) return false;
    for (unsigned i = 0; i < carried.count; i++)
        if (strcmp(carried.names[i], name) == 0) {
            *real = (struct tls_real){(void *)carried.functions[i].real, m,
                                      caller >= carried.first && caller < carried.end, true};
            return true;
        }
    return false;
}

void *carried_original(void *function) {
    for (unsigned i = 0; carried.module.start && i < carried.count; i++)
        if (carried.functions[i].at == (uintptr_t)function)
            return (void *)carried.functions[i].real;
    return function;
}
