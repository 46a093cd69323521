/* Directories of traces. */
#include "launch/traces.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "launch/library.h"

struct traces_item {
    char *path;
    struct timespec changed;
};

static int traces_compare(const void *left, const void *right) {
    const struct traces_item *a = left, *b = right;
    if (a->changed.tv_sec != b->changed.tv_sec)
        return a->changed.tv_sec < b->changed.tv_sec ? -1 : 1;
    if (a->changed.tv_nsec != b->changed.tv_nsec)
        return a->changed.tv_nsec < b->changed.tv_nsec ? -1 : 1;
    return strcmp(a->path, b->path);
}

/*
 * Turns paths (each malloc'ed) into a list by age; what is no regular file, or has gone, is left
 * out.
 */
static void traces_sort(char **paths, size_t count, struct traces_list *list) {
    struct traces_item *items = calloc(count + 1, sizeof *items);
    *list = (struct traces_list){calloc(count + 1, sizeof *list->paths), 0};
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        if (items && list->paths && lstat(paths[i], &st) == 0 && S_ISREG(st.st_mode))
            items[n++] = (struct traces_item){paths[i], st.st_mtim};
        else
            free(paths[i]);
    }
    if (n) qsort(items, n, sizeof *items, traces_compare);
    for (size_t i = 0; i < n; i++)
        list->paths[list->count++] = items[i].path;
    free(items);
}

static int traces_wanted(const struct dirent *entry) {
    return fnmatch("httpleak.*.trace", entry->d_name, 0) == 0 ||
           fnmatch("httpleak.*.trace.[0-9]*", entry->d_name, 0) == 0;
}

bool traces_in_directory(const char *directory, struct traces_list *list) {
    struct dirent **entries = NULL;
    *list = (struct traces_list){0};
    int count = scandir(directory, &entries, traces_wanted, NULL);
    if (count < 0) return false;
    char **paths = calloc((size_t)count + 1, sizeof *paths);
    size_t n = 0;
    for (int i = 0; i < count; i++) {
        if (paths && asprintf(&paths[n], "%s/%s", directory, entries[i]->d_name) >= 0) n++;
        free(entries[i]);
    }
    free(entries);
    if (paths) traces_sort(paths, n, list);
    free(paths);
    return true;
}

void traces_of_template(const char *template, struct traces_list *list) {
    *list = (struct traces_list){0};
    char *pattern = calloc(2, strlen(template) + 2), *out = pattern;
    if (!pattern) return;
    for (const char *p = template; *p; p++) {
        if (*p == '%' && p[1]) {
            *out++ = *++p == '%' ? '%' : '*';
            continue;
        }
        if (strchr("*?[\\", *p)) *out++ = '\\';
        *out++ = *p;
    }
    *out++ = '*'; /* the suffix of a second trace with the same name */
    *out = '\0';
    glob_t found = {0};
    if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0) {
        char **paths = calloc(found.gl_pathc + 1, sizeof *paths);
        size_t n = 0;
        for (size_t i = 0; paths && i < found.gl_pathc; i++)
            if ((paths[n] = strdup(found.gl_pathv[i]))) n++;
        if (paths) traces_sort(paths, n, list);
        free(paths);
    }
    globfree(&found);
    free(pattern);
}

void traces_free(struct traces_list *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    *list = (struct traces_list){0};
}

/*
 * A full disk must not kill the program under test: on copy-on-write and network file systems a
 * block that was written once is no promise that the next store finds room.
 */
static bool traces_copy_on_write(const char *directory) {
    static const uint32_t types[] = {
        BTRFS_SUPER_MAGIC, NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC,
        CIFS_SUPER_MAGIC,  SMB2_SUPER_MAGIC, FUSE_SUPER_MAGIC,
        V9FS_MAGIC,        CEPH_SUPER_MAGIC, 0x2fc12fc1 /* ZFS */,
    };
    struct statfs fs;
    if (statfs(directory, &fs) != 0) return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((uint32_t)fs.f_type == types[i]) return true;
    return false;
}

static char *traces_temporary(char *error, size_t size) {
    const char *base = getenv("TMPDIR");
    if (!base || base[0] != '/') base = "/tmp";
    if (traces_copy_on_write(base) && access("/dev/shm", W_OK | X_OK) == 0) base = "/dev/shm";
    char *path = NULL;
    if (asprintf(&path, "%s/httpleak-run.XXXXXX", base) < 0) return NULL;
    if (mkdtemp(path)) return path; /* mode 0700 */
    snprintf(error, size,
             "cannot make a directory for traces in '%s': %m (TMPDIR or -o names another place)",
             base);
    free(path);
    return NULL;
}

static char *traces_output(const char *output, char *error, size_t size) {
    if (mkdir(output, 0777) != 0 && errno != EEXIST) {
        snprintf(error, size, "cannot make the directory '%s': %m", output);
        return NULL;
    }
    char *path = realpath(output, NULL);
    struct stat st;
    if (!path || stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        snprintf(error, size, "'%s' is no directory for traces: %s", output,
                 path ? "a directory was expected" : strerror(errno));
        free(path);
        return NULL;
    }
    if (access(path, W_OK | X_OK) != 0) {
        snprintf(error, size, "cannot write traces into '%s': %m", output);
        free(path);
        return NULL;
    }
    return path;
}

static bool traces_place_list(const struct traces_place *place, struct traces_list *list) {
    if (!place->template) return traces_in_directory(place->directory, list);
    traces_of_template(place->template, list);
    return true;
}

bool traces_place_open(struct traces_place *place, const char *output, char *error, size_t size) {
    *place = (struct traces_place){.temporary = !output, .template = library_option("trace")};
    snprintf(error, size, "out of memory");
    place->directory = output ? traces_output(output, error, size) : traces_temporary(error, size);
    if (!place->directory) return false;
    if (traces_place_list(place, &place->before)) return true;
    snprintf(error, size, "cannot read the directory '%s': %m", place->directory);
    return false;
}

bool traces_place_new(const struct traces_place *place, struct traces_list *list) {
    if (!traces_place_list(place, list)) return false;
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        bool old = false;
        for (size_t k = 0; k < place->before.count && !old; k++)
            old = strcmp(place->before.paths[k], list->paths[i]) == 0;
        if (old)
            free(list->paths[i]);
        else
            list->paths[kept++] = list->paths[i];
    }
    list->count = kept;
    return true;
}

void traces_place_close(struct traces_place *place) {
    traces_free(&place->before);
    DIR *directory = place->temporary && place->directory ? opendir(place->directory) : NULL;
    for (struct dirent *e; directory && (e = readdir(directory));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(directory), e->d_name, 0);
    if (directory) {
        closedir(directory);
        rmdir(place->directory);
    }
    free(place->directory);
    free(place->template);
    *place = (struct traces_place){0};
}
