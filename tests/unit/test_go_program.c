/* Go programs told by their file: by note or by build information, which Go, what is in them; and files that only begin so. */
#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch/go_program.h"
#include "launch/target.h"
#include "tests/unit/suite.h"

/* A static program: headers, note, function table and names in one segment, the data with the build information in another. */
enum { NOTE = 512, TABLE = 600, NAMES = 640, DATA = 1024, SIZE = 1200 };
static struct {
    Elf64_Ehdr elf;
    Elf64_Phdr headers[3];
    uint8_t rest[SIZE - sizeof(Elf64_Ehdr) - 3 * sizeof(Elf64_Phdr)];
} file;
static char path[] = "/tmp/httpleak-go-XXXXXX";

static uint8_t *at(size_t offset) {
    return (uint8_t *)&file + offset;
}

static void put(size_t offset, const char *text) {
    memcpy(at(offset), text, strlen(text) + 1);
}

static void make(const char *version) {
    const Elf64_Nhdr note = {4, 8, 4};
    memset(&file, 0, sizeof file);
    memcpy(file.elf.e_ident, ELFMAG, SELFMAG);
    file.elf.e_ident[EI_CLASS] = ELFCLASS64;
    file.elf.e_ident[EI_DATA] = ELFDATA2LSB;
    file.elf.e_ident[EI_VERSION] = EV_CURRENT;
    file.elf.e_type = ET_EXEC;
    file.elf.e_version = EV_CURRENT;
    file.elf.e_machine = EM_X86_64;
    file.elf.e_ehsize = sizeof file.elf;
    file.elf.e_phoff = sizeof file.elf;
    file.elf.e_phentsize = sizeof(Elf64_Phdr);
    file.elf.e_phnum = 3;
    file.headers[0] = (Elf64_Phdr){PT_NOTE, PF_R, NOTE, NOTE, NOTE, 24, 24, 4};
    file.headers[1] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0, 0x400000, 0, DATA, DATA, 4096};
    file.headers[2] = (Elf64_Phdr){PT_LOAD, PF_R | PF_W, DATA, 0x500400, 0, SIZE - DATA, 4096, 16};
    memcpy(at(NOTE), &note, sizeof note);
    memcpy(at(NOTE) + sizeof note, "Go\0", 4);
    memcpy(at(TABLE), "\xf1\xff\xff\xff\0\0\1\10", 8);
    put(NAMES, "net/http.(*persistConn).readLoop");
    memcpy(at(DATA), "\xff Go buildinf:\10\2", 16);
    *at(DATA + 32) = (uint8_t)strlen(version);
    put(DATA + 33, version);
}

static struct go_program look(size_t size) {
    struct go_program p;
    FILE *out = fopen(path, "w");
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(&file, 1, size, out), size);
    fclose(out);
    go_program_read(&p, path, true);
    return p;
}

static void make_path(void) {
    const int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    fchmod(fd, 0700);
    close(fd);
}
static void remove_path(void) {
    unlink(path);
    memcpy(path + strlen(path) - 6, "XXXXXX", 6);
}

START_TEST(one_that_is_followed) {
    make("go1.22.12");
    const struct go_program p = look(SIZE);
    ck_assert(p.go && p.table && p.client && !p.packed && !p.other_http2);
    ck_assert_str_eq(p.version, "go1.22.12");
    ck_assert_uint_eq(p.minor, 22);
    ck_assert_ptr_null(go_program_refused(&p));
    struct target t;
    target_inspect(&t, path);
    ck_assert_int_eq(t.runtime, TARGET_GO);
    ck_assert_int_eq(t.reach, TARGET_STATIC);
    ck_assert(target_launched(&t));
    ck_assert_ptr_null(target_blind(&t));
    target_free(&t);
}
END_TEST

/* Runs as it is, with one sentence. */
static void refused(const char *why) {
    const struct go_program p = look(SIZE);
    struct target t;
    ck_assert(p.go);
    ck_assert_ptr_nonnull(go_program_refused(&p));
    ck_assert_msg(strstr(go_program_refused(&p), why) != NULL, "%s", go_program_refused(&p));
    target_inspect(&t, path);
    ck_assert(!target_launched(&t));
    ck_assert_ptr_nonnull(target_blind(&t));
    ck_assert_ptr_nonnull(strstr(target_blind(&t), why));
    target_free(&t);
}

START_TEST(releases) {
    static const char *const followed[] = {"go1.19", "go1.20.3", "go1.27rc1",
                                           "go1.23.4 X:aliastypeparams"};
    for (size_t i = 0; i < sizeof followed / sizeof *followed; i++) {
        make(followed[i]);
        const struct go_program p = look(SIZE);
        ck_assert_msg(go_program_refused(&p) == NULL, "%s: %s", followed[i],
                      go_program_refused(&p));
    }
    make("go1.18.10");
    refused("before 1.19");
    make("go1.28");
    refused("after 1.27");
    make("devel +abc");
    refused("not known");
    make("go2.0");
    refused("not known");
    make("");
    refused("not known");
    make("go1.22.12");
    *at(TABLE) = 0;
    refused("table of functions");
}
END_TEST

START_TEST(without_a_client_there_is_nothing_to_say) {
    struct target t;
    make("go1.28");
    *at(NAMES) = 'm';
    const struct go_program p = look(SIZE);
    ck_assert(p.go && !p.client);
    target_inspect(&t, path);
    ck_assert(!target_launched(&t));
    ck_assert_ptr_null(target_blind(&t));
    target_free(&t);
}
END_TEST

START_TEST(told_by_one_thing_or_the_other) {
    make("go1.22.12");
    file.headers[0].p_type = PT_NULL;
    ck_assert(look(SIZE).go);
    make("go1.22.12");
    *at(DATA) = 0;
    ck_assert(look(SIZE).go);
    ck_assert_str_eq(look(SIZE).version, "");
    file.headers[0].p_type = PT_NULL;
    ck_assert(!look(SIZE).go);
    make("go1.22.12");
    put(NAMES + 40, "golang.org/x/net/http2.(*ClientConn).RoundTrip");
    ck_assert(look(SIZE).other_http2);
}
END_TEST

START_TEST(packed_ones) {
    struct target t;
    make("go1.22.12");
    memcpy(at(300), "UPX!", 4);
    file.headers[0].p_type = PT_NULL;
    *at(DATA) = 0;
    const struct go_program p = look(SIZE);
    ck_assert(p.packed && !p.go);
    target_inspect(&t, path);
    ck_assert(!target_launched(&t));
    ck_assert_ptr_nonnull(strstr(target_blind(&t), "UPX"));
    target_free(&t);
}
END_TEST

START_TEST(damaged_ones) {
    for (size_t n = 0; n < SIZE; n += 3) {
        make("go1.22.12");
        look(n);
    }
    for (size_t i = 0; i < DATA + 48; i++) {
        make("go1.22.12");
        *at(i) = 0xff;
        const struct go_program p = look(SIZE);
        ck_assert_uint_lt(strlen(p.version), sizeof p.version);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("go_program");
    TCase *tests = tcase_create("go_program");
    tcase_add_checked_fixture(tests, make_path, remove_path);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, one_that_is_followed);
    tcase_add_test(tests, releases);
    tcase_add_test(tests, without_a_client_there_is_nothing_to_say);
    tcase_add_test(tests, told_by_one_thing_or_the_other);
    tcase_add_test(tests, packed_ones);
    tcase_add_test(tests, damaged_ones);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
