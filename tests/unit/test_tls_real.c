/* The real TLS functions: found with local scope, with several copies, for every kind of caller;
 * forgotten after dlclose. */
#include <check.h>
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interpose/loaded.c"   /* NOLINT: wrappers are in no archive */
#include "interpose/tls_real.c" /* NOLINT: wrappers are in no archive */
#include "tests/unit/suite.h"
#include "tests/unit/trace_place.h"

/* This program carries no TLS library of its own. */
bool carried_find(struct tls_real *real, const struct tls_flavor *flavor, const char *name,
                  uintptr_t caller) {
    (void)real, (void)flavor, (void)name, (void)caller;
    return false;
}
void *carried_original(void *function) {
    return function;
}

/* They are told apart by the address of their own functions; no copy of the same file is loaded
 * twice. */
static const struct tls_flavor openssl = {
    .marker = "SSL_new",
    .getters = {"SSL_get_rbio", "SSL_get_rfd", "no_such_function", "SSL_is_server"}};

static void *loaded_library(const char *name) {
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(handle != NULL, "%s", dlerror());
    return handle;
}

static const char *path_of(void *handle) {
    const struct link_map *map;
    ck_assert_int_eq(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
    return map->l_name;
}

static void copy_file(const char *from, const char *to) {
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    ck_assert_ptr_nonnull(in);
    ck_assert_ptr_nonnull(out);
    static char bytes[1 << 16];
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, in)) > 0;)
        ck_assert_uint_eq(fwrite(bytes, 1, n, out), n);
    fclose(in);
    ck_assert_int_eq(fclose(out), 0);
}

/* A shared object made of text, linked with what the flags say. */
static void make_library(const char *name, const char *source, const char *flags) {
    char command[2048];
    FILE *f = fopen("source.c", "w");
    ck_assert_ptr_nonnull(f);
    fputs(source, f);
    fclose(f);
    snprintf(command, sizeof command, "${CC:-gcc} -shared -fPIC -O1 -o %s source.c %s", name,
             flags);
    ck_assert_msg(system(command) == 0, "%s", command);
}

static void *found_by(const void *caller, const char *name) {
    struct tls_real real;
    return tls_real_find(&real, &openssl, name, caller) ? real.function : NULL;
}

static const char SSL_read_name[] = "SSL_read", SSL_free_name[] = "SSL_free",
                  marker_name[] = "SSL_new";

/* The test itself stands where the recorder stands: somebody else calls. */
static const void *somebody(void) {
    return (const char *)dlsym(RTLD_DEFAULT, "getenv") + 4;
}

START_TEST(nothing_is_found_where_nothing_is) {
    ck_assert_ptr_null(found_by(somebody(), "SSL_no_such_function"));
    ck_assert_ptr_null(found_by(somebody(), SSL_read_name));
}
END_TEST

START_TEST(a_library_with_local_scope_is_found) {
    void *handle = loaded_library("libssl.so.3");
    ck_assert_ptr_null(dlsym(RTLD_DEFAULT, "SSL_read"));
    struct tls_real real, again;
    ck_assert(tls_real_find(&real, &openssl, SSL_read_name, somebody()));
    ck_assert_ptr_eq(real.function, dlsym(handle, "SSL_read"));
    ck_assert(!real.from_library);
    ck_assert_ptr_nonnull(real.module);
    ck_assert_ptr_eq(real.module->getters[1], dlsym(handle, "SSL_get_rfd"));
    ck_assert_ptr_null(real.module->getters[2]);
    ck_assert_ptr_eq(real.module->getters[3], dlsym(handle, "SSL_is_server"));
    ck_assert(tls_real_find(&again, &openssl, SSL_free_name, somebody()));
    ck_assert_ptr_eq(again.function, dlsym(handle, "SSL_free"));
    ck_assert_ptr_eq(again.module, real.module);
}
END_TEST

START_TEST(the_library_itself_is_known_as_caller) {
    void *handle = loaded_library("libssl.so.3");
    struct tls_real real;
    ck_assert(
        tls_real_find(&real, &openssl, SSL_read_name, (char *)dlsym(handle, "SSL_connect") + 16));
    ck_assert_ptr_eq(real.function, dlsym(handle, "SSL_read"));
    ck_assert(real.from_library);
    /* A jump out of the library leaves our own return address. */
    ck_assert(tls_real_find(&real, &openssl, SSL_free_name, (const void *)found_by));
    ck_assert(real.from_library);
}
END_TEST

#define USER                                                                                       \
    "void *SSL_new(void *); int SSL_read(void *, void *, int); void SSL_free(void *);"             \
    "int user(void) { void *s = SSL_new(0); int r = SSL_read(s, 0, 0); SSL_free(s); return r; }"

/* Two copies at once, the second under a name of its own, each with a user that is linked to it,
 * loaded in either order. */
static void two_copies(const char *first, const char *second, const char *binding) {
    void *libssl = loaded_library("libssl.so.3");
    char flags[256];
    make_library("libother.so",
                 "int SSL_read(void *a, void *b, int c) { return !a + !b + c; }"
                 "void SSL_free(void *a) { (void)a; } void *SSL_new(void *a) { return a; }",
                 "-Wl,-soname,libother.so");
    snprintf(flags, sizeof flags, "-Wl,-z,%s -L. -lother -Wl,-rpath,'$ORIGIN'", binding);
    make_library("uses_other.so", USER, flags);
    snprintf(flags, sizeof flags, "-Wl,-z,%s -l:libssl.so.3", binding);
    make_library("uses_system.so", USER, flags);
    void *users[2];
    const int mode = strcmp(binding, "now") == 0 ? RTLD_NOW : RTLD_LAZY;
    const char *const names[2] = {first, second};
    for (int i = 0; i < 2; i++) {
        users[i] = dlopen(names[i], mode | RTLD_LOCAL);
        ck_assert_msg(users[i] != NULL, "%s", dlerror());
    }
    void *other = loaded_library("./libother.so");
    for (int i = 0; i < 2; i++) {
        void *right = strstr(names[i], "other") ? other : libssl;
        const void *caller = (char *)dlsym(users[i], "user") + 1;
        ck_assert_ptr_eq(found_by(caller, SSL_read_name), dlsym(right, "SSL_read"));
        ck_assert_ptr_eq(found_by(caller, SSL_free_name), dlsym(right, "SSL_free"));
        ck_assert_ptr_eq(found_by(caller, SSL_read_name),
                         dlsym(right, "SSL_read")); /* remembered */
    }
    /* Each library is its own. */
    ck_assert_ptr_eq(found_by((char *)dlsym(other, "SSL_new") + 1, SSL_read_name),
                     dlsym(other, "SSL_read"));
    ck_assert_ptr_eq(found_by((char *)dlsym(libssl, "SSL_new") + 1, SSL_read_name),
                     dlsym(libssl, "SSL_read"));
}

START_TEST(each_caller_gets_the_copy_it_is_bound_to) {
    two_copies("./uses_system.so", "./uses_other.so", "now");
}
END_TEST

START_TEST(the_order_of_loading_does_not_matter) {
    two_copies("./uses_other.so", "./uses_system.so", "now");
}
END_TEST

START_TEST(a_caller_bound_lazily_gets_what_it_needs) {
    two_copies("./uses_other.so", "./uses_system.so", "lazy");
}
END_TEST

START_TEST(two_files_of_the_same_library_are_two) {
    void *first = loaded_library("libssl.so.3");
    copy_file(path_of(first), "libssl-copy.so");
    void *second = loaded_library("./libssl-copy.so");
    ck_assert_ptr_ne(dlsym(first, "SSL_read"), dlsym(second, "SSL_read"));
    struct tls_real real;
    ck_assert(
        tls_real_find(&real, &openssl, SSL_read_name, (char *)dlsym(second, "SSL_connect") + 1));
    ck_assert_ptr_eq(real.function, dlsym(second, "SSL_read"));
    ck_assert_ptr_eq(real.module->getters[1], dlsym(second, "SSL_get_rfd"));
    ck_assert(real.from_library);
    ck_assert(
        tls_real_find(&real, &openssl, SSL_read_name, (char *)dlsym(first, "SSL_connect") + 1));
    ck_assert_ptr_eq(real.function, dlsym(first, "SSL_read"));
    ck_assert_ptr_eq(real.module->getters[1], dlsym(first, "SSL_get_rfd"));
}
END_TEST

/* Another preload that wraps SSL_read stands between the program and the library, as it would
 * without us. */
START_TEST(another_preload_comes_first) {
    void *handle = loaded_library("libssl.so.3");
    make_library("shim.so",
                 "int SSL_read(void *a, void *b, int c) { return !a + !b + c; } int shim(void) { "
                 "return 1; }",
                 "");
    void *shim = loaded_library("./shim.so");
    ck_assert_ptr_eq(found_by(somebody(), SSL_read_name), dlsym(shim, "SSL_read"));
    ck_assert_ptr_eq(found_by((char *)dlsym(shim, "shim") + 1, SSL_read_name),
                     dlsym(handle, "SSL_read"));
    ck_assert_ptr_eq(found_by(somebody(), SSL_free_name), dlsym(handle, "SSL_free"));
}
END_TEST

START_TEST(after_dlclose_it_is_looked_for_anew) {
    make_library("one.so",
                 "int SSL_read(void *a, void *b, int c) { return !a + !b + c; } void *SSL_new(void "
                 "*a) { return a; }",
                 "");
    copy_file("one.so", "two.so");
    void *one = loaded_library("./one.so");
    ck_assert_ptr_eq(found_by(somebody(), SSL_read_name), dlsym(one, "SSL_read"));
    ck_assert_int_eq(dlclose(one), 0);
    tls_real_flush();
    ck_assert_ptr_null(found_by(somebody(), SSL_read_name));
    void *two = loaded_library("./two.so");
    ck_assert_ptr_eq(found_by(somebody(), SSL_read_name), dlsym(two, "SSL_read"));
    for (int i = 0; i < 40; i++) { /* more than there are records of libraries */
        ck_assert_int_eq(dlclose(two), 0);
        tls_real_flush();
        two = loaded_library(i % 2 ? "./two.so" : "./one.so");
        struct tls_real real;
        ck_assert(tls_real_find(&real, &openssl, SSL_read_name, somebody()));
        ck_assert_ptr_eq(real.function, dlsym(two, "SSL_read"));
        ck_assert_ptr_nonnull(real.module);
    }
}
END_TEST

static void *expected_read, *expected_new;
static void look_up(unsigned thread) {
    for (unsigned i = 0; i < 30000; i++) { /* many call sites, so that they drive each other out */
        const char *caller = (const char *)somebody() + (i * 7 + thread * 13) % 4000;
        void *function = found_by(caller, i % 2 ? SSL_read_name : marker_name);
        if (function != (i % 2 ? expected_read : expected_new)) _exit(1);
    }
}

START_TEST(threads_see_whole_entries) {
    void *handle = loaded_library("libssl.so.3");
    expected_read = dlsym(handle, "SSL_read");
    expected_new = dlsym(handle, "SSL_new");
    trace_place_threads(2, look_up);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tls_real");
    TCase *tests = tcase_create("tls_real");
    tcase_add_checked_fixture(tests, trace_place_enter, trace_place_leave);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, nothing_is_found_where_nothing_is);
    tcase_add_test(tests, a_library_with_local_scope_is_found);
    tcase_add_test(tests, the_library_itself_is_known_as_caller);
    tcase_add_test(tests, each_caller_gets_the_copy_it_is_bound_to);
    tcase_add_test(tests, the_order_of_loading_does_not_matter);
    tcase_add_test(tests, a_caller_bound_lazily_gets_what_it_needs);
    tcase_add_test(tests, two_files_of_the_same_library_are_two);
    tcase_add_test(tests, another_preload_comes_first);
    tcase_add_test(tests, after_dlclose_it_is_looked_for_anew);
    tcase_add_test(tests, threads_see_whole_entries);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
