/*
 * Maps a Go executable as the kernel would, without running it, and starts the engine on it:
 *
 *   golang_map FILE                     prints how that went
 *   golang_map FILE inlined NAME        says whether that function was inlined into another one
 *   golang_map FILE damage SEED TIMES   does it in a child TIMES times, each with other damage done to what the engine reads
 *
 * After damage the engine may follow the program or refuse it. It may not crash, and what it refuses it must leave as it was.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "count.h"
#include "golang/engine.h"

#define PAGE 4096ul
#define UP(x) (((x) + PAGE - 1) & ~(PAGE - 1))
#define DOWN(x) ((x) & ~(PAGE - 1))

static struct golang_start start;
static const Elf64_Ehdr *file;
static size_t file_size;

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static int protection(const Elf64_Phdr *p) {
    return (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
           (p->p_flags & PF_X ? PROT_EXEC : 0);
}

static const Elf64_Phdr *load(size_t i) {
    const Elf64_Phdr *p = (const Elf64_Phdr *)((const char *)file + file->e_phoff) + i;
    return i < file->e_phnum && p->p_type == PT_LOAD ? p : NULL;
}

/* Room for a position-independent program is found first; others say where they want to be. */
static void map(const char *path) {
    const int fd = open(path, O_RDONLY);
    struct stat s;
    if (fd < 0 || fstat(fd, &s) != 0) fail(path);
    file_size = (size_t)s.st_size;
    file = mmap(NULL, file_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (file == MAP_FAILED) fail("mmap");
    uintptr_t end = 0;
    for (size_t i = 0; i < file->e_phnum; i++)
        if (load(i)) end = load(i)->p_vaddr + load(i)->p_memsz;
    if (file->e_type == ET_DYN) {
        char *room = mmap(NULL, UP(end), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (room == MAP_FAILED) fail("mmap");
        munmap(room, UP(end));
        start.bias = (uintptr_t)room;
    }
    for (size_t i = 0; i < file->e_phnum; i++) {
        const Elf64_Phdr *p = load(i);
        if (!p || p->p_filesz == 0) continue;
        const uintptr_t at = DOWN(start.bias + p->p_vaddr);
        const size_t size = start.bias + p->p_vaddr + p->p_filesz - at;
        if (mmap((void *)at, size, protection(p), MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd,
                 (off_t)DOWN(p->p_offset)) != (void *)at)
            fail("mmap of a segment");
    }
    close(fd);
    start.header_count = file->e_phnum;
    start.headers = (const Elf64_Phdr *)((const char *)file + file->e_phoff);
}

/* As the loader does it, as far as the program itself is concerned. */
static void relocate(void) {
    uint64_t table = 0, size = 0;
    for (size_t i = 0; start.bias && i < start.header_count; i++) {
        if (start.headers[i].p_type != PT_DYNAMIC) continue;
        const Elf64_Dyn *d = (const Elf64_Dyn *)(start.bias + start.headers[i].p_vaddr);
        for (; d->d_tag != DT_NULL; d++) {
            if (d->d_tag == DT_RELA) table = start.bias + d->d_un.d_ptr;
            if (d->d_tag == DT_RELASZ) size = d->d_un.d_val;
        }
    }
    if (!table) return;
    for (const Elf64_Rela *r = (const Elf64_Rela *)table; size >= sizeof *r; r++, size -= sizeof *r)
        if (ELF64_R_TYPE(r->r_info) == R_X86_64_RELATIVE)
            *(uint64_t *)(start.bias + r->r_offset) = start.bias + (uint64_t)r->r_addend;
}

static const Elf64_Phdr *code(void) {
    for (size_t i = 0; i < start.header_count; i++)
        if (load(i) && load(i)->p_flags & PF_X) return load(i);
    fail("no code");
    return NULL;
}

static bool code_is_untouched(void) {
    const Elf64_Phdr *p = code();
    if (p->p_offset + p->p_filesz > file_size) return true; /* nobody can read it */
    return memcmp((const void *)(start.bias + p->p_vaddr), (const char *)file + p->p_offset,
                  p->p_filesz) == 0;
}

static void begin(struct count_page *page) {
    golang_start(&start);
    count_say(page, 0);
    if (golang_program.state != GOLANG_FOLLOWED && !code_is_untouched()) {
        fprintf(stderr, "not followed, but changed: %s\n", page->said);
        _exit(3);
    }
}

/* ---- damage ---- */

static uint64_t random_state;
static uint64_t random_below(uint64_t limit) { /* xorshift64* */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C(0x2545f4914f6cdd1d) % limit;
}

static void put(uintptr_t at, const void *bytes, size_t size) {
    const uintptr_t first = DOWN(at), length = UP(at + size) - first;
    if (mprotect((void *)first, length, PROT_READ | PROT_WRITE) != 0) fail("mprotect");
    memcpy((void *)at, bytes, size);
}

/* Where the engine looks, as a run without damage has found it. */
struct places {
    uintptr_t from[8], to[8];
    size_t count;
};

static void places_add(struct places *places, uintptr_t from, uintptr_t to) {
    places->from[places->count] = from;
    places->to[places->count++] = to;
}

static void places_find(struct places *places) {
    struct program program;
    struct pclntab table;
    if (!program_read(&program, &start) || !pclntab_find(&table, &program) ||
        !module_find(&table, &program))
        fail("a program that the engine does not know");
    const uintptr_t functions = (uintptr_t)table.functions;
    places_add(places, golang_program.pclntab, golang_program.pclntab + 72);
    places_add(places, functions, functions + 8 * table.count);
    places_add(places, functions, functions + 60 * table.count);
    places_add(places, (uintptr_t)table.pc_data, functions);
    places_add(places, (uintptr_t)table.names, (uintptr_t)table.pc_data);
    places_add(places, golang_program.types, golang_program.etypes);
    for (size_t i = 0; i < program.count; i++) /* the module data is among it */
        if (program.segments[i].writable)
            places_add(places, program.segments[i].start, program.segments[i].end);
}

static void damage(const struct places *places) {
    const size_t which = random_below(places->count);
    const uintptr_t from = places->from[which], size = places->to[which] - from - 8;
    for (uint64_t left = UINT64_C(1) << random_below(14); left; left--) {
        static const uint64_t values[] = {0,          1,          127,        128,
                                          0x7fffffff, 0x80000000, UINT32_MAX, UINT64_MAX};
        uint64_t value = random_below(2) ? values[random_below(8)] : random_below(UINT64_MAX);
        const size_t width = (size_t)1 << random_below(4);
        put(from + (random_below(size) & ~(width - 1)), &value, width);
    }
}

static int damage_all(const char *seed, const char *times) {
    struct places places = {0};
    places_find(&places);
    int bad = 0, followed = 0;
    const uint64_t first = strtoull(seed, NULL, 10), count = strtoull(times, NULL, 10);
    for (uint64_t i = first; i < first + count; i++) {
        const pid_t child = fork();
        if (child < 0) fail("fork");
        if (child == 0) {
            static struct count_page page;
            random_state = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
            damage(&places);
            begin(&page);
            _exit(golang_program.state == GOLANG_FOLLOWED);
        }
        int status;
        waitpid(child, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) < 2) {
            followed += WEXITSTATUS(status);
            continue;
        }
        printf("seed %lu: status %#x\n", (unsigned long)i, (unsigned)status);
        bad++;
    }
    printf("%d of %lu followed, %d crashed\n", followed, (unsigned long)count, bad);
    return bad != 0;
}

static void say_inlined(const char *name) {
    struct program program;
    struct pclntab table;
    struct pclntab_function function;
    uint8_t found;
    if (!program_read(&program, &start) || !pclntab_find(&table, &program) ||
        !module_find(&table, &program) || !pclntab_functions(&table, &name, 1, &function, &found))
        fail("a program that the engine does not know");
    printf("found %d, %s\n", found,
           found && pclntab_inlined(&table, &function.name, 1) == 0 ? "inlined" : "not inlined");
}

int main(int argc, char **argv) {
    static struct count_page page;
    if (argc < 2) return 2;
    map(argv[1]);
    relocate();
    if (argc == 5 && strcmp(argv[2], "damage") == 0) return damage_all(argv[3], argv[4]);
    if (argc == 4 && strcmp(argv[2], "inlined") == 0) {
        say_inlined(argv[3]);
        return 0;
    }
    begin(&page);
    puts(page.said);
    return 0;
}
