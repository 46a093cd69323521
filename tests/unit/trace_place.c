/* A directory of its own for a test that makes real traces. */
#include "trace_place.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record/clock.h"
#include "record/intern.h"
#include "record/options.h"
#include "record/trace.h"

char trace_place[512];
static char before[400];

void trace_place_enter(void) {
    char name[] = "trace-test.XXXXXX";
    ck_assert_ptr_nonnull(getcwd(before, sizeof before));
    ck_assert_ptr_nonnull(mkdtemp(name));
    ck_assert_int_eq(chdir(name), 0);
    ck_assert_ptr_nonnull(getcwd(trace_place, sizeof trace_place));
    /*
     * Appended to, as a log is: the recorder writes to nothing else that standard error was changed
     * to.
     */
    const int fd = open("said", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(dup2(fd, 2), 2);
    close(fd);
    clock_know_vdso(getauxval(AT_SYSINFO_EHDR));
    clock_init();
    module_use_loader();
}

void trace_place_leave(void) {
    ck_assert_int_eq(chdir(trace_place), 0);
    DIR *d = opendir(".");
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (S_ISDIR(st.st_mode)) chmod(e->d_name, 0700);
        unlinkat(dirfd(d), e->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
    }
    closedir(d);
    ck_assert_int_eq(chdir(before), 0);
    rmdir(trace_place);
}

void trace_place_open(const char *options_text) {
    static char *argv[] = {(char *)"program", (char *)"argument", NULL};
    options_parse(options_text, "program");
    trace_prepare(2, argv);
    ck_assert_msg(trace_open(), "no trace: %s", trace_place_said());
    ck_assert_ptr_nonnull(trace);
}

const char *trace_place_said(void) {
    static char text[8192];
    char path[600];
    snprintf(path, sizeof path, "%s/said", trace_place);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

struct runner {
    pthread_t thread;
    pthread_barrier_t *barrier;
    void (*body)(unsigned);
    unsigned n;
};

static void *run(void *data) {
    struct runner *r = data;
    pthread_barrier_wait(r->barrier);
    r->body(r->n);
    return NULL;
}

void trace_place_threads(unsigned count, void (*body)(unsigned n)) {
    struct runner runners[16];
    pthread_barrier_t barrier;
    ck_assert_uint_le(count, 16);
    pthread_barrier_init(&barrier, NULL, count);
    for (unsigned i = 0; i < count; i++) {
        runners[i] = (struct runner){0, &barrier, body, i};
        ck_assert_int_eq(pthread_create(&runners[i].thread, NULL, run, &runners[i]), 0);
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(runners[i].thread, NULL);
    pthread_barrier_destroy(&barrier);
}
