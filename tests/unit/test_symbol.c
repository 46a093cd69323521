/*
 * Symbols: this very test program is what gets named, with its lines, its inlined functions and its
 * build id.
 */
#include <check.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "httpleak/trace.h"
#include "symbol/demangle.h"
#include "symbol/symbol.h"
#include "tests/unit/suite.h"

static struct {
    uintptr_t base;
    uint8_t build_id[TRACE_BUILD_ID_MAX];
    size_t build_id_size;
    char path[4096];
} self;

static void self_build_id(const struct dl_phdr_info *info, const ElfW(Phdr) * header) {
    const char *p = (const char *)(info->dlpi_addr + header->p_vaddr), *end = p + header->p_memsz;
    while (p + sizeof(ElfW(Nhdr)) < end) {
        ElfW(Nhdr) note;
        memcpy(&note, p, sizeof note);
        const char *name = p + sizeof note, *bits = name + ((note.n_namesz + 3) & ~3u);
        if (note.n_type == NT_GNU_BUILD_ID && strncmp(name, "GNU", 4) == 0 &&
            note.n_descsz <= sizeof self.build_id)
            memcpy(self.build_id, bits, self.build_id_size = note.n_descsz);
        p = bits + ((note.n_descsz + 3) & ~3u);
    }
}

static int self_find(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size, (void)data;
    self.base = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_NOTE) self_build_id(info, &info->dlpi_phdr[i]);
    return 1; /* the first one is the program */
}

static struct symbol_module self_module(void) {
    if (!self.path[0]) {
        ssize_t n = readlink("/proc/self/exe", self.path, sizeof self.path - 1);
        ck_assert_int_gt(n, 0);
        dl_iterate_phdr(self_find, NULL);
    }
    return (struct symbol_module){self.path, self.build_id, self.build_id_size, TRACE_MODULE_MAIN};
}

/* Three functions, the middle one inlined; each says which line its call is in. */
static volatile int sink;
static int inner_line, outer_line;
static __attribute__((noinline, noclone)) uintptr_t symbol_leaf(void) {
    sink++;
    return (uintptr_t)__builtin_return_address(0);
}
static inline __attribute__((always_inline)) uintptr_t symbol_inner(void) {
    inner_line = __LINE__ + 1;
    uintptr_t pc = symbol_leaf();
    sink++;
    return pc;
}
static __attribute__((noinline, noclone)) uintptr_t symbol_outer(void) {
    outer_line = __LINE__ + 1;
    uintptr_t pc = symbol_inner();
    sink++;
    return pc;
}

START_TEST(names_lines_and_inlined_frames) {
    struct symbol_module module = self_module();
    struct symbolizer *s = symbolizer_new(NULL);
    const struct symbol_address stack[] = {
        {.module = &module, .address = symbol_outer() - self.base}};
    const struct symbol_frame *frames = NULL;
    ck_assert_uint_eq(symbolizer_resolve(s, stack, 1, &frames), 2);
    ck_assert_str_eq(frames[0].function, "symbol_inner");
    ck_assert_str_eq(frames[1].function, "symbol_outer");
    ck_assert_int_eq(frames[0].line, inner_line);
    ck_assert_int_eq(frames[1].line, outer_line);
    ck_assert(frames[0].inlined && !frames[1].inlined);
    ck_assert_ptr_nonnull(strstr(frames[0].file, "tests/unit/test_symbol.c"));
    ck_assert_int_eq(frames[0].file[0], '/');
    ck_assert_str_eq(frames[0].file, frames[1].file);
    ck_assert_str_eq(frames[1].language, "c");
    ck_assert_str_eq(frames[1].module, self.path);
    ck_assert_uint_eq(frames[1].offset, stack[0].address);
    ck_assert_uint_eq(strlen(frames[1].build_id), 2 * self.build_id_size);
    ck_assert(frames[1].user && frames[1].kind == SYMBOL_USER);
    ck_assert_ptr_null(frames[1].hint);
    symbolizer_free(s);
}
END_TEST

START_TEST(a_return_address_belongs_to_the_call) {
    struct symbol_module module = self_module();
    struct symbolizer *s = symbolizer_new(NULL);
    /* The first byte of a function: as a return address it belongs to whatever stands before it. */
    uint64_t entry = (uintptr_t)symbol_outer - self.base;
    const struct symbol_address stack[] = {{.module = &module, .address = entry, .exact = true},
                                           {.module = &module, .address = entry}};
    const struct symbol_frame *frames = NULL;
    ck_assert_uint_ge(symbolizer_resolve(s, stack, 2, &frames), 2);
    ck_assert_str_eq(frames[0].function, "symbol_outer");
    ck_assert(!frames[1].function || strcmp(frames[1].function, "symbol_outer") != 0);
    symbolizer_free(s);
}
END_TEST

START_TEST(another_build_is_refused) {
    struct symbol_module module = self_module();
    uint8_t other[TRACE_BUILD_ID_MAX];
    memcpy(other, self.build_id, sizeof other);
    other[self.build_id_size - 1] ^= 1;
    module.build_id = other;
    ck_assert_uint_gt(self.build_id_size, 0);
    struct symbolizer *s = symbolizer_new(NULL);
    const struct symbol_address stack[] = {
        {.module = &module, .address = symbol_outer() - self.base}};
    const struct symbol_frame *frames = NULL;
    ck_assert_uint_eq(symbolizer_resolve(s, stack, 1, &frames), 1);
    ck_assert_ptr_null(frames[0].function);
    ck_assert_ptr_null(frames[0].file);
    ck_assert_ptr_nonnull(strstr(frames[0].hint, "build id"));
    ck_assert_uint_eq(frames[0].offset, stack[0].address);
    symbolizer_free(s);
}
END_TEST

/* What a trace may name as a module, and where no name can come from. */
START_TEST(any_path_and_any_address_give_a_frame) {
    char directory[] = "/tmp/httpleak-fifo-XXXXXX", fifo[64];
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(fifo, sizeof fifo, "%s/fifo", directory);
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    const char *const paths[] = {fifo,       "/", "/dev/zero", "/etc/passwd", "/nowhere/at/all",
                                 "relative", "",  "[vdso]"};
    const uint64_t addresses[] = {0, 1, 4096, UINT32_MAX, INT64_MAX, UINT64_MAX};
    struct symbolizer *s = symbolizer_new(NULL);
    const struct symbol_frame *frames = NULL;
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        for (size_t a = 0; a < sizeof addresses / sizeof *addresses; a++) {
            struct symbol_module module = {.path = paths[p]};
            const struct symbol_address stack[] = {{.module = &module, .address = addresses[a]}};
            ck_assert_uint_eq(symbolizer_resolve(s, stack, 1, &frames), 1);
            ck_assert_ptr_null(frames[0].function);
            ck_assert_ptr_nonnull(frames[0].hint);
            ck_assert_str_eq(frames[0].module, paths[p]);
        }
    }
    struct symbol_module module = self_module();
    for (size_t a = 0; a < sizeof addresses / sizeof *addresses; a++) {
        const struct symbol_address stack[] = {{.module = &module, .address = addresses[a]}};
        ck_assert_uint_ge(symbolizer_resolve(s, stack, 1, &frames), 1);
        ck_assert_uint_eq(frames[0].offset, addresses[a]);
    }
    const struct symbol_address nowhere[] = {{.module = NULL, .address = 0x1234}};
    ck_assert_uint_eq(symbolizer_resolve(s, nowhere, 1, &frames), 1);
    ck_assert_str_eq(frames[0].module, "");
    ck_assert_uint_eq(symbolizer_resolve(s, nowhere, 0, &frames), 0);
    symbolizer_free(s);
    unlink(fifo);
    rmdir(directory);
}
END_TEST

START_TEST(a_stripped_library_gives_exported_names) {
    /*
     * libc's own file: whether or not its debug information is installed, connect is in its dynamic
     * symbols.
     */
    struct symbolizer *s = symbolizer_new(NULL);
    Dl_info info;
    struct link_map *map = NULL;
    ck_assert_int_ne(dladdr1((void *)(uintptr_t)getpid, &info, (void **)&map, RTLD_DL_LINKMAP), 0);
    struct symbol_module module = {.path = map->l_name};
    const struct symbol_address stack[] = {
        {.module = &module, .address = (uintptr_t)info.dli_saddr - map->l_addr + 2}};
    const struct symbol_frame *frames = NULL;
    ck_assert_uint_ge(symbolizer_resolve(s, stack, 1, &frames), 1);
    ck_assert_ptr_nonnull(frames[0].function);
    ck_assert_ptr_nonnull(strstr(frames[0].function, "getpid"));
    ck_assert_int_eq(frames[0].kind, SYMBOL_SYSTEM);
    ck_assert(!frames[0].user);
    symbolizer_free(s);
}
END_TEST

START_TEST(a_source_root_moves_files) {
    char root[] = "/tmp/httpleak-root-XXXXXX", directory[64], file[128];
    ck_assert_ptr_nonnull(mkdtemp(root));
    snprintf(directory, sizeof directory, "%s/unit", root);
    snprintf(file, sizeof file, "%s/test_symbol.c", directory);
    ck_assert_int_eq(mkdir(directory, 0700), 0);
    FILE *out = fopen(file, "w");
    ck_assert_ptr_nonnull(out);
    fclose(out);
    struct symbol_module module = self_module();
    const struct symbol_options options = {.source_root = root};
    struct symbolizer *s = symbolizer_new(&options);
    const struct symbol_address stack[] = {
        {.module = &module, .address = symbol_outer() - self.base}};
    const struct symbol_frame *frames = NULL;
    ck_assert_uint_eq(symbolizer_resolve(s, stack, 1, &frames), 2);
    ck_assert_str_eq(frames[0].file, file);
    symbolizer_free(s);
    unlink(file);
    rmdir(directory);
    rmdir(root);
}
END_TEST

START_TEST(offline_unless_asked) {
    setenv("DEBUGINFOD_URLS", "http://127.0.0.1:1", 1);
    const struct symbol_options ask = {.debuginfod = true};
    symbolizer_free(symbolizer_new(&ask));
    ck_assert_ptr_nonnull(getenv("DEBUGINFOD_URLS"));
    symbolizer_free(symbolizer_new(NULL));
    ck_assert_ptr_null(getenv("DEBUGINFOD_URLS"));
}
END_TEST

START_TEST(sources_of_others_in_the_users_module) {
    ck_assert(symbol_source_is_library("/rustc/59807616e/library/std/src/net/tcp.rs"));
    ck_assert(symbol_source_is_library("/home/u/.cargo/registry/src/index/hyper-1.0/src/lib.rs"));
    ck_assert(!symbol_source_is_library("/home/u/work/rustc/src/main.rs"));
    ck_assert(!symbol_source_is_library("src/main.c"));
}
END_TEST

START_TEST(kinds_of_modules) {
    static const struct {
        const char *path;
        uint32_t flags;
        enum symbol_kind kind;
    } table[] = {
        {"/lib/x86_64-linux-gnu/libc.so.6", 0, SYMBOL_SYSTEM},
        {"/lib64/ld-linux-x86-64.so.2", 0, SYMBOL_SYSTEM},
        {"/lib/libc-2.31.so", 0, SYMBOL_SYSTEM},
        {"/lib/libpthread-2.31.so", 0, SYMBOL_SYSTEM},
        {"linux-vdso.so.1", 0, SYMBOL_SYSTEM},
        {"[vdso]", 0, SYMBOL_SYSTEM},
        {"", TRACE_MODULE_VDSO, SYMBOL_SYSTEM},
        {"/usr/lib/libssl.so.1.1", 0, SYMBOL_CLIENT},
        {"/usr/lib/libcurl-gnutls.so.4.8.0", 0, SYMBOL_CLIENT},
        {"/usr/lib/libcurl.so.4", 0, SYMBOL_CLIENT},
        {"/usr/lib/libnghttp2.so.14", 0, SYMBOL_CLIENT},
        {"/usr/bin/python3.11", TRACE_MODULE_MAIN, SYMBOL_INTERPRETER},
        {"/usr/lib/libpython3.11.so.1.0", 0, SYMBOL_INTERPRETER},
        {"/usr/lib/python3.11/lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so", 0,
         SYMBOL_INTERPRETER},
        {"/usr/bin/perl", TRACE_MODULE_MAIN, SYMBOL_INTERPRETER},
        {"/opt/build/libhttpleak.so", 0, SYMBOL_RECORDER},
        {"/opt/renamed.so", TRACE_MODULE_RECORDER, SYMBOL_RECORDER},
        {"/home/me/pythonish/app", TRACE_MODULE_MAIN, SYMBOL_USER},
        {"/home/me/libcats.so", 0, SYMBOL_USER},
        {"/usr/bin/curl", TRACE_MODULE_MAIN, SYMBOL_USER},
        {"/home/me/venv/site-packages/mine.cpython-311-x86_64-linux-gnu.so", 0, SYMBOL_USER},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        ck_assert_msg(symbol_module_kind(table[i].path, table[i].flags) == table[i].kind, "%s",
                      table[i].path);
    ck_assert_int_eq(symbol_module_kind(NULL, 0), SYMBOL_USER);
    ck_assert_str_eq(symbol_base_name("/a/b.so"), "b.so");
    ck_assert_str_eq(symbol_base_name("b.so"), "b.so");
    ck_assert_str_eq(symbol_base_name(NULL), "");
}
END_TEST

START_TEST(where_a_stack_starts) {
    struct symbol_frame frames[4] = {
        {.module = "libc", .kind = SYMBOL_SYSTEM},
        {.module = "libssl", .kind = SYMBOL_CLIENT},
        {.module = "python3", .kind = SYMBOL_INTERPRETER},
        {.module = "app", .kind = SYMBOL_USER},
    };
    ck_assert_uint_eq(symbol_first_user(frames, 4), 3);
    ck_assert_uint_eq(symbol_first_user(frames, 3), 2);
    ck_assert_uint_eq(symbol_first_user(frames, 2), 0);
    ck_assert_uint_eq(symbol_first_user(frames, 0), 0);
}
END_TEST

START_TEST(demangled_names) {
    static const char *const table[][2] = {
        {"main", "main"},
        {"read_all.constprop.0", "read_all"},
        {"read_all.isra.0.cold", "read_all"},
        {"connect@@GLIBC_2.2.5", "connect"},
        {"_ZN3net6Client3getERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE",
         "net::Client::get"},
        {"_ZNK3net6Client4sizeEv", "net::Client::size"},
        {"_ZN3netclEi", "net::operator()"},
        {"_ZN12_GLOBAL__N_13getEi", "(anonymous namespace)::get"},
        {"_ZN7reqwest6client3get17h0123456789abcdefE", "reqwest::client::get"},
        {"_ZN3net3getEi.part.0", "net::get"},
        {"_Znotmangled", "_Znotmangled"},
        {"_Z", "_Z"},
        {".hidden", ".hidden"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char *name = demangle_symbol(table[i][0]);
        ck_assert_str_eq(name, table[i][1]);
        free(name);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("symbol");
    TCase *tests = tcase_create("symbol");
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, names_lines_and_inlined_frames);
    tcase_add_test(tests, a_return_address_belongs_to_the_call);
    tcase_add_test(tests, another_build_is_refused);
    tcase_add_test(tests, any_path_and_any_address_give_a_frame);
    tcase_add_test(tests, a_stripped_library_gives_exported_names);
    tcase_add_test(tests, a_source_root_moves_files);
    tcase_add_test(tests, offline_unless_asked);
    tcase_add_test(tests, kinds_of_modules);
    tcase_add_test(tests, sources_of_others_in_the_users_module);
    tcase_add_test(tests, where_a_stack_starts);
    tcase_add_test(tests, demangled_names);
    return suite_run(suite);
}
