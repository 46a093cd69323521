/*
 * Names in Go programs: real ones, built here by each Go that is there, print their own stacks as their runtime sees them, and
 * the symbolizer must say the same of the same addresses. Then the same files, damaged in every way.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "httpleak/trace.h"
#include "symbol/go_table.h"
#include "symbol/symbol.h"
#include "tests/unit/suite.h"

#define SOURCE "tests/programs/go/symbols/main.go"

struct toolchain {
    char version[16], path[512];
};
static struct toolchain toolchains[16];
static size_t toolchain_count;
static char directory[64];

static void find_toolchains(void) {
    FILE *list = popen(".ci/go list 2>/dev/null", "r");
    struct toolchain *t = toolchains;
    while (list && toolchain_count < 16 && fscanf(list, "%15s %511s", t->version, t->path) == 2)
        t = &toolchains[++toolchain_count];
    if (list) pclose(list);
}

/* The program of one toolchain and kind of build, in `path`; false: cannot be built here. */
static bool build(const struct toolchain *go, const char *kind, char *path, size_t size) {
    char command[2048];
    snprintf(path, size, "%s/program", directory);
    snprintf(command, sizeof command,
             "env $(.ci/go env) CGO_ENABLED=%d %s build %s -o %s " SOURCE " >%s/log 2>&1",
             strstr(kind, "external") != NULL, go->path, kind, path, directory);
    return system(command) == 0;
}

/* ---- what the runtime says ---- */

struct line {
    uint64_t pc;
    char function[256], file[512];
    int line;
};
static struct line lines[256];

static size_t run(const char *path) {
    size_t n = 0;
    FILE *out = popen(path, "r");
    ck_assert_ptr_nonnull(out);
    while (n < 256 && fscanf(out, "%lx\t%255[^\t]\t%511[^\t]\t%d\n", &lines[n].pc,
                             lines[n].function, lines[n].file, &lines[n].line) == 4)
        n++;
    ck_assert_int_eq(pclose(out), 0);
    return n;
}

/* Every logical frame of the runtime's is a line; ours expand a return address to several of them. */
static void compare(struct symbolizer *s, const char *path, size_t count) {
    struct symbol_module module = {.path = path};
    for (size_t i = 0; i < count;) {
        const struct symbol_address address = {.module = &module, .address = lines[i].pc};
        const struct symbol_frame *frames = NULL;
        size_t n = symbolizer_resolve(s, &address, 1, &frames);
        ck_assert_uint_le(i + n, count);
        for (size_t k = 0; k < n; k++, i++) {
            ck_assert_ptr_nonnull(frames[k].function);
            ck_assert_str_eq(frames[k].function, lines[i].function);
            ck_assert_ptr_nonnull(frames[k].file);
            ck_assert_str_eq(frames[k].file, lines[i].file);
            ck_assert_int_eq(frames[k].line, lines[i].line);
            ck_assert_str_eq(frames[k].language, "go");
            ck_assert(frames[k].inlined == (k + 1 < n));
            bool library = strncmp(frames[k].function, "runtime.", 8) == 0;
            ck_assert(frames[k].user == !library);
        }
    }
}

static void check_kind(const struct toolchain *go, const char *kind) {
    char path[256];
    if (!build(go, kind, path, sizeof path)) {
        char command[128];
        snprintf(command, sizeof command, "cat %s/log >&2", directory);
        ck_abort_msg("go %s build %s failed (%d)", go->version, kind, system(command));
    }
    size_t count = run(path), inlined = 0;
    ck_assert_uint_gt(count, 20);
    struct symbolizer *s = symbolizer_new(NULL);
    compare(s, path, count);
    /* the last stack starts in a goroutine of its own: closure, two inlined calls, show */
    struct symbol_module module = {.path = path};
    for (size_t i = 0; i < count; i++) {
        const struct symbol_address address = {.module = &module, .address = lines[i].pc};
        const struct symbol_frame *frames = NULL;
        inlined += symbolizer_resolve(s, &address, 1, &frames) > 1;
    }
    if (!strstr(kind, "-N")) ck_assert_uint_gt(inlined, 3);
    symbolizer_free(s);
}

static const char *const kinds[] = {
    "",
    "'-ldflags=-s -w'",
    "-buildmode=pie '-ldflags=-s -w'",
    "-buildmode=pie",
    "-trimpath",
    "'-gcflags=-N -l'",
    "-ldflags=-linkmode=external",
    "-buildmode=pie '-ldflags=-linkmode=external -s -w'",
};

/* One test for each toolchain: all kinds of build with HTTPLEAK_TEST_LONG, else the stripped ones of the oldest and the newest. */
START_TEST(frames_are_those_of_the_runtime) {
    const struct toolchain *go = &toolchains[_i];
    bool all = getenv("HTTPLEAK_TEST_LONG") != NULL;
    bool end = _i == 0 || (size_t)_i + 1 == toolchain_count;
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
        if (all || (end && (kind == 1 || kind == 2))) check_kind(go, kinds[kind]);
}
END_TEST

/* ---- damage ---- */

static uint8_t *load(const char *path, size_t *size) {
    FILE *file = fopen(path, "r");
    struct stat status;
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fstat(fileno(file), &status), 0);
    *size = (size_t)status.st_size;
    uint8_t *bytes = malloc(*size);
    ck_assert_uint_eq(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static size_t look_everywhere(const uint8_t *bytes, size_t size, size_t count) {
    struct go_table *table = go_table_open(bytes, size);
    size_t named = 0;
    for (size_t i = 0; table && i < count; i++) {
        struct image_frame frames[IMAGE_FRAMES_MAX] = {0};
        size_t n = go_table_lookup(table, lines[i].pc - 1, frames);
        ck_assert_uint_le(n, IMAGE_FRAMES_MAX);
        named += n;
        for (size_t k = 0; k < n; k++) {
            free(frames[k].function);
            free(frames[k].file);
        }
    }
    go_table_close(table);
    return named;
}

START_TEST(damaged_files_name_less_and_no_more) {
    char path[256];
    size_t size, part;
    bool position_independent = _i == 1;
    const struct toolchain *go = &toolchains[toolchain_count - 1];
    ck_assert(build(go, position_independent ? kinds[2] : kinds[1], path, sizeof path));
    size_t count = run(path);
    uint8_t *bytes = load(path, &size), *copy = malloc(size);
    ck_assert_uint_eq(look_everywhere(bytes, size, count) >= count, true);
    /* cut off: the copy ends where its memory ends, so that a sanitizer sees one byte too many */
    for (part = 1; part <= 40; part++) {
        size_t cut = size / 40 * part - (part % 2);
        uint8_t *end = malloc(cut);
        memcpy(end, bytes, cut);
        look_everywhere(end, cut, count);
        free(end);
    }
    srand(7);
    struct go_table *table = go_table_open(bytes, size);
    ck_assert_ptr_nonnull(table);
    go_table_close(table);
    /* the header of the table, then everything else, word by word and byte by byte */
    static const uint8_t magic[] = {0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8};
    uint8_t *header = memmem(bytes, size, magic, sizeof magic);
    ck_assert_ptr_nonnull(header);
    for (int round = 0; round < 300; round++) {
        memcpy(copy, bytes, size);
        for (int n = 0; n < 1 + round % 4; n++) {
            size_t at = round % 3 == 0   ? (size_t)(header - bytes) + (size_t)rand() % 72
                        : round % 3 == 1 ? (size_t)rand() % 4096
                                         : (size_t)(header - bytes) +
                                               (size_t)rand() % (size - (size_t)(header - bytes));
            copy[at] = round % 2 ? (uint8_t)rand() : 0xff;
        }
        look_everywhere(copy, size, count);
    }
    /* whole stretches of it */
    for (int round = 0; round < 40; round++) {
        memcpy(copy, bytes, size);
        size_t at =
            (size_t)(header - bytes) + (size_t)rand() % (size - (size_t)(header - bytes)) / 2;
        size_t length = (size - at) / 8;
        for (size_t i = 0; i < length; i++)
            copy[at + i] = (uint8_t)rand();
        look_everywhere(copy, size, count);
    }
    free(copy);
    free(bytes);
}
END_TEST

START_TEST(other_files_have_no_table) {
    size_t size;
    uint8_t *bytes = load("/proc/self/exe", &size);
    ck_assert_ptr_null(go_table_open(bytes, size));
    ck_assert_ptr_null(go_table_open(bytes, 63));
    ck_assert_ptr_null(go_table_open((const uint8_t *)"", 0));
    free(bytes);
}
END_TEST

START_TEST(whose_function_it_is) {
    static const struct {
        const char *name;
        bool library;
    } table[] = {
        {"main.fetch", false},
        {"main.main.func1", false},
        {"main.(*client).fetch", false},
        {"client/fetch.Get", false},
        {"example.com/net/http.Get", false},
        {"github.com/a/b/internal/c.(*T).Do", false},
        {"networks.Get", false},
        {"gopkg.in/yaml%2ev3.Unmarshal", false},
        {"runtime.main", true},
        {"runtime/internal/syscall.Syscall6", true},
        {"internal/poll.(*FD).Read", true},
        {"net.(*conn).Read", true},
        {"net/http.(*Client).do", true},
        {"crypto/tls.(*Conn).Read", true},
        {"time.After", true},
        {"vendor/golang.org/x/net/http2/hpack.Decode", true},
        {"golang.org/x/net/http2.(*Transport).RoundTrip", true},
        {"golang.org/x/netutil.Get", false},
        {"type:.eq.main.key", true},
        {"_cgoexp_123", true},
        {"", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        ck_assert_msg(go_name_is_library(table[i].name) == table[i].library, "%s", table[i].name);
}
END_TEST

START_TEST(how_a_function_is_written) {
    static const char *const table[][2] = {
        {"main.fetch", "main.fetch"},
        {"main.each[...]", "main.each[...]"},
        {"main.each[go.shape.map[string]int_0].func1", "main.each[...].func1"},
        {"main.(*list[go.shape.int]).push", "main.(*list[...]).push"},
        {"]main[", "]main["},
        {"[", "["},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char *name = go_name_readable(table[i][0]);
        ck_assert_str_eq(name, table[i][1]);
        free(name);
    }
}
END_TEST

static void remove_directory(void) {
    static const char *const names[] = {"program", "log"};
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    rmdir(directory);
}

int main(void) {
    const char *place = getenv("TMPDIR");
    find_toolchains();
    snprintf(directory, sizeof directory, "%.40s/httpleak-go-XXXXXX", place ? place : "/tmp");
    if (!mkdtemp(directory)) return 1;
    Suite *suite = suite_create("go_symbol");
    TCase *tests = tcase_create("go_symbol");
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 900); /* the first build of a Go compiles its runtime */
    tcase_add_test(tests, whose_function_it_is);
    tcase_add_test(tests, how_a_function_is_written);
    tcase_add_test(tests, other_files_have_no_table);
    if (toolchain_count) {
        tcase_add_loop_test(tests, frames_are_those_of_the_runtime, 0, (int)toolchain_count);
        tcase_add_loop_test(tests, damaged_files_name_less_and_no_more, 0, 2);
    }
    const int status = suite_run(suite);
    remove_directory();
    return status;
}
