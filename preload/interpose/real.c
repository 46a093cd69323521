/* Binds the interposed names to the functions behind them. */
#include "interpose/real.h"

#include <stddef.h>
#include <sys/auxv.h>

#include "record/image.h"
#include "record/sys.h"

struct real_table real;

/* Made right by a relocation; until then nothing that goes through the global offset table works.
 */
static const char relocation_target;
static const char *volatile relocation_probe = &relocation_target;

/* The loader's list of modules: the program, ours, and the last one of those that the program started with. */
static SYS_EARLY struct link_map *program_map;
static SYS_EARLY struct link_map *recorder_map;
static SYS_EARLY struct link_map *last_initial_map;

/* False while the recorder's own relocations are not done: then neither errno nor thread-locals may
 * be touched. */
static bool is_relocated(void) {
    return relocation_probe == &relocation_target;
}

/* ---- names and places; offsets, since pointers would be relocations ---- */

static const char names[] =
#define NAME(symbol, group, nr) #symbol "\0"
#include "interpose/names.def"
#undef NAME
    ;
struct name_lengths {
#define NAME(symbol, group, nr) char symbol##_[sizeof #symbol];
#include "interpose/names.def"
#undef NAME
};
static const uint16_t name_offsets[] = {
#define NAME(symbol, group, nr) offsetof(struct name_lengths, symbol##_),
#include "interpose/names.def"
#undef NAME
};

#define REAL_OFFSET_fd(symbol) offsetof(struct real_table, symbol##_),
#define REAL_OFFSET_io(symbol) REAL_OFFSET_fd(symbol)
#define REAL_OFFSET_wait(symbol) REAL_OFFSET_fd(symbol)
#define REAL_OFFSET_stdio(symbol) REAL_OFFSET_fd(symbol)
#define REAL_OFFSET_thread(symbol) REAL_OFFSET_fd(symbol)
#define REAL_OFFSET_process(symbol) REAL_OFFSET_fd(symbol)
#define REAL_OFFSET_library(symbol) REAL_OFFSET_fd(symbol)
#define REAL_OFFSET_openssl(symbol) UINT16_MAX,
#define REAL_OFFSET_gnutls(symbol) UINT16_MAX,
#define REAL_OFFSET_curl(symbol) UINT16_MAX,
static const uint16_t table_offsets[] = {
#define NAME(symbol, group, nr) REAL_OFFSET_##group(symbol)
#include "interpose/names.def"
#undef NAME
};

static const char *name_of(enum real_id id) {
    return names + name_offsets[id];
}

/* ---- bare system calls: 16 bytes of code for each name, in the order of the table ---- */

#define TEXT(...) #__VA_ARGS__
#define NUMBER(nr) TEXT(nr)
__asm__(".pushsection .text\n"
        ".p2align 4\n"
        ".local real_bare\n"
        "real_bare:\n"
#define NAME(symbol, group, nr) ".p2align 4\n movl $" NUMBER(nr) ", %eax\n jmp real_bare_call\n"
#include "interpose/names.def"
#undef NAME
        ".p2align 4\n"
        ".local real_bare_call\n"
        "real_bare_call:\n"
        "movq %rcx, %r10\n"
        "syscall\n"
        "cmpq $-4095, %rax\n"
        "jb 1f\n"
        "movq $-1, %rax\n"
        "1: ret\n"
        ".popsection\n");
extern const char real_bare[] __attribute__((visibility("hidden")));

/* ---- the list of modules ---- */

/* The recorder's own first byte, told by the linker: where it was loaded. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));

/* Cold: runs at the start, from the pages that the loader has touched. */
__attribute__((cold)) static struct link_map *first_map_of(const ElfW(Phdr) * headers,
                                                           size_t count) {
    uintptr_t base = 0;
    const ElfW(Dyn) *dynamic = NULL;
    for (size_t i = 0; i < count; i++)
        if (headers[i].p_type == PT_PHDR) base = (uintptr_t)headers - headers[i].p_vaddr;
    for (size_t i = 0; i < count; i++)
        if (headers[i].p_type == PT_DYNAMIC) dynamic = (const void *)(base + headers[i].p_vaddr);
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++)
        if (dynamic->d_tag == DT_DEBUG && dynamic->d_un.d_ptr)
            return ((const struct r_debug *)dynamic->d_un.d_ptr)->r_map;
    return NULL;
}

/* Without relocations there is no getauxval: the kernel's own copy of the vector says where the
 * program's headers are. */
static struct link_map *first_map_early(void) {
    ElfW(auxv_t) vector[64];
    const ElfW(Phdr) *headers = NULL;
    size_t count = 0;
    const long fd = sys_call(SYS_open, "/proc/self/auxv", 0x80000 /* O_CLOEXEC */);
    if (fd < 0) return NULL;
    const long bytes = sys_call(SYS_read, fd, vector, sizeof vector);
    sys_call(SYS_close, fd);
    for (long i = 0; i < bytes / (long)sizeof vector[0]; i++) {
        if (vector[i].a_type == AT_PHDR) headers = (const void *)vector[i].a_un.a_val;
        if (vector[i].a_type == AT_PHNUM) count = vector[i].a_un.a_val;
    }
    return headers ? first_map_of(headers, count) : NULL;
}

static struct link_map *first_map(void) {
    if (!is_relocated()) return first_map_early();
    return first_map_of((const void *)getauxval(AT_PHDR), getauxval(AT_PHNUM));
}

__attribute__((cold)) static struct link_map *remember_recorder_map(struct link_map *map) {
    while (map && map->l_addr != (uintptr_t)__ehdr_start)
        map = map->l_next;
    __atomic_store_n(&recorder_map, map, __ATOMIC_RELAXED);
    return map;
}

static struct link_map *find_recorder_map(void) {
    struct link_map *map = __atomic_load_n(&recorder_map, __ATOMIC_RELAXED);
    return map ? map : remember_recorder_map(first_map());
}

__attribute__((cold)) const char *real_library_path(void) {
    const struct link_map *map = find_recorder_map();
    return map && map->l_name ? map->l_name : "";
}

SYS_COLD const struct link_map *real_program_map(void) {
    return program_map;
}

SYS_COLD const struct link_map *real_recorder_map(void) {
    return recorder_map;
}

/*
 * The next definition after ours in load order, as RTLD_NEXT means it. Modules that were loaded
 * later are not looked at: they may be unloaded while we look, and what a program starts with ends
 * with the C library, which has all these names.
 */
static void *find_next(const char *name) {
    const uint32_t hash = image_hash(name);
    const struct link_map *map = find_recorder_map();
    for (map = map ? map->l_next : NULL; map; map = map->l_next) {
        struct image image;
        image_read(&image, map->l_addr, map->l_ld);
        void *found = image_find(&image, name, hash);
        if (found) return found;
        if (map == last_initial_map) break;
    }
    return NULL;
}

void *real_resolve(enum real_id id) {
    void *found = find_next(name_of(id));
    if (!found && is_relocated()) found = dlsym(RTLD_NEXT, name_of(id));
    if (!found) return (void *)(real_bare + (size_t)id * 16);
    if (table_offsets[id] != UINT16_MAX)
        __atomic_store_n((void **)((char *)&real + table_offsets[id]), found, __ATOMIC_RELEASE);
    return found;
}

__attribute__((cold)) void real_init(const ElfW(Phdr) * headers, size_t count) {
    program_map = headers ? first_map_of(headers, count) : first_map();
    struct link_map *map = remember_recorder_map(program_map);
    while (map && map->l_next)
        map = map->l_next;
    last_initial_map = map;
}
