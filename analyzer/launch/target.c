/*
 * Commands looked up and their files examined, scripts followed to their interpreter, libraries to
 * their end.
 */
#include "launch/target.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "launch/elf_file.h"

static const char *target_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* As execvp(3) looks: a name with a slash as it is, any other one in PATH. errno says why not. */
static char *target_find(const char *command) {
    struct stat st;
    if (strchr(command, '/')) {
        if (stat(command, &st) != 0) return NULL;
        if (!S_ISREG(st.st_mode)) return errno = EACCES, NULL;
        return access(command, X_OK) == 0 ? strdup(command) : NULL;
    }
    const char *path = getenv("PATH");
    int error = ENOENT;
    if (!path) path = "/bin:/usr/bin";
    if (!*command) return errno = ENOENT, NULL;
    for (;; path++) {
        size_t n = strcspn(path, ":");
        char *file = NULL;
        if (asprintf(&file, "%.*s%s%s", (int)n, path, n ? "/" : "", command) < 0) return NULL;
        if (stat(file, &st) == 0 && S_ISREG(st.st_mode)) {
            if (access(file, X_OK) == 0) return file;
            error = EACCES;
        }
        free(file);
        path += n;
        if (!*path) break;
    }
    errno = error;
    return NULL;
}

/*
 * The interpreter of a "#!" line, with env(1) and its options looked through; NULL if this is no
 * script.
 */
static char *target_shebang(const char *path) {
    char line[512];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, line, sizeof line - 1) : -1;
    if (fd >= 0) close(fd);
    if (n < 3 || line[0] != '#' || line[1] != '!') return NULL;
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    char *rest = NULL, *word = strtok_r(line + 2, " \t\r", &rest);
    if (!word) return NULL;
    if (strcmp(target_base(word), "env") != 0) return target_find(word);
    while ((word = strtok_r(NULL, " \t\r", &rest)) && (*word == '-' || strchr(word, '='))) {
    }
    return word ? target_find(word) : NULL;
}

/*
 * The kernel sets AT_SECURE when the ids change or capabilities are gained; nothing of that on a
 * nosuid mount.
 */
static bool target_privileged(const char *path) {
    struct stat st;
    struct statvfs fs;
    if (stat(path, &st) != 0 || (statvfs(path, &fs) == 0 && fs.f_flag & ST_NOSUID)) return false;
    if (st.st_mode & S_ISUID && st.st_uid != getuid()) return true;
    if (st.st_mode & S_ISGID && st.st_mode & S_IXGRP && st.st_gid != getgid()) return true;
    return getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0;
}

static enum target_runtime target_runtime_of(const char *path, const struct go_program *go) {
    static const struct {
        const char *pattern;
        enum target_runtime runtime;
    } table[] = {
        {"python*", TARGET_PYTHON}, {"pypy*", TARGET_PYTHON},    {"node", TARGET_NODE},
        {"nodejs", TARGET_NODE},    {"deno", TARGET_NODE},       {"bun", TARGET_NODE},
        {"java", TARGET_JAVA},      {"perl*", TARGET_SCRIPTING}, {"ruby*", TARGET_SCRIPTING},
        {"php*", TARGET_SCRIPTING}, {"lua*", TARGET_SCRIPTING},  {"*sh", TARGET_SHELL},
    };
    if (go->go) return TARGET_GO;
    char *real = realpath(path, NULL);
    enum target_runtime found = TARGET_NATIVE;
    for (size_t i = 0; i < sizeof table / sizeof *table && found == TARGET_NATIVE; i++)
        if (fnmatch(table[i].pattern, target_base(path), 0) == 0 ||
            (real && fnmatch(table[i].pattern, target_base(real), 0) == 0))
            found = table[i].runtime;
    free(real);
    return found;
}

static char *target_library_in(const char *directories, const char *name) {
    for (const char *p = directories; p && *p; p += *p == ':') {
        size_t n = strcspn(p, ":");
        char *path = NULL;
        if (asprintf(&path, "%.*s/%s", (int)n, p, name) < 0) return NULL;
        if (access(path, R_OK) == 0) return path;
        free(path);
        p += n;
    }
    return NULL;
}

/* The directories of /etc/ld.so.conf and the built-in ones, separated by colons. */
static char *target_system_directories(void) {
    char *text = NULL, line[1024];
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    glob_t files = {0};
    if (!out) return NULL;
    glob("/etc/ld.so.conf", 0, NULL, &files);
    glob("/etc/ld.so.conf.d/*.conf", files.gl_pathc ? GLOB_APPEND : 0, NULL, &files);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        FILE *in = fopen(files.gl_pathv[i], "re");
        while (in && fgets(line, sizeof line, in))
            if (line[0] == '/') fprintf(out, "%.*s:", (int)strcspn(line, " \t\r\n#"), line);
        if (in) fclose(in);
    }
    globfree(&files);
    fputs("/lib64:/usr/lib64:/lib:/usr/lib", out);
    fclose(out);
    return text;
}

/* Breadth first over DT_NEEDED, as the loader does. */
static void target_libraries(struct target *t, const struct elf_file *program) {
    const size_t limit = sizeof t->needed / sizeof *t->needed;
    char *system = target_system_directories();
    const struct elf_file *current = program;
    struct elf_file library = {0};
    for (size_t next = 0;; next++) {
        for (size_t i = 0; i < current->needed_count && t->needed_count < limit; i++) {
            const char *name = target_base(current->needed[i]);
            bool known = false;
            for (size_t k = 0; k < t->needed_count && !known; k++)
                known = strcmp(t->needed[k], name) == 0;
            if (!known) t->needed[t->needed_count++] = strdup(name);
        }
        char *search = current->search ? strdup(current->search) : NULL;
        elf_file_free(&library);
        current = &library;
        if (next >= t->needed_count) {
            free(search);
            break;
        }
        char *path = target_library_in(search ? search : program->search, t->needed[next]);
        if (!path) path = target_library_in(getenv("LD_LIBRARY_PATH"), t->needed[next]);
        if (!path) path = target_library_in(system, t->needed[next]);
        if (path)
            elf_file_read(&library, path);
        else if (t->missing_count < sizeof t->missing / sizeof *t->missing)
            t->missing[t->missing_count++] = t->needed[next];
        free(path);
        free(search);
    }
    free(system);
}

void target_inspect(struct target *t, const char *command) {
    *t = (struct target){0};
    t->path = target_find(command);
    t->error = t->path ? 0 : errno ? errno : ENOENT;
    if (!t->path) return;
    /* Linux follows a script to a script five times at most. */
    for (int i = 0; i < 5; i++) {
        errno = ENOENT;
        char *interpreter = target_shebang(t->path);
        if (!interpreter) break;
        if (t->script)
            free(t->path);
        else
            t->script = t->path;
        t->path = interpreter;
    }
    struct elf_file elf;
    /* the loader takes a program's $ORIGIN from /proc/self/exe: behind all links */
    char *real = realpath(t->path, NULL);
    elf_file_read(&elf, real ? real : t->path);
    free(real);
    t->loader = elf.loader ? strdup(elf.loader) : NULL;
    t->musl = elf.loader && strstr(elf.loader, "ld-musl");
    if (elf.valid && !elf.other_machine && (elf.go || !elf.loader))
        go_program_read(&t->go, t->path, false);
    t->runtime = target_runtime_of(t->path, &t->go);
    t->privileged = target_privileged(t->path);
    if (!elf.valid)
        t->reach = TARGET_NO_ELF;
    else if (elf.other_machine)
        t->reach = TARGET_OTHER_MACHINE;
    else if (!elf.loader)
        t->reach = TARGET_STATIC;
    else if (t->privileged)
        t->reach = TARGET_PRIVILEGED;
    target_libraries(t, &elf);
    elf_file_free(&elf);
    if (t->go.go && go_program_refused(&t->go))
        snprintf(t->blind, sizeof t->blind, "%s: %s", *t->go.version ? t->go.version : "Go",
                 go_program_refused(&t->go));
}

void target_free(struct target *t) {
    for (size_t i = 0; i < t->needed_count; i++)
        free(t->needed[i]);
    free(t->path);
    free(t->script);
    free(t->loader);
    *t = (struct target){0};
}

const char *target_blind(const struct target *target) {
    switch (target->reach) {
    case TARGET_STATIC:
        if (target_launched(target)) break;
        if (target->go.packed)
            return "packed by UPX, so that it is not known what is in it; unpack it (upx -d)";
        if (target->runtime == TARGET_GO && !target->go.client) break;
        if (target->runtime == TARGET_GO && go_program_refused(&target->go)) return target->blind;
        return "static executable, which LD_PRELOAD does not reach";
    case TARGET_PRIVILEGED:
        return "setuid, setgid or capabilities, for which the loader drops LD_PRELOAD";
    case TARGET_OTHER_MACHINE:
        return "executable for another machine or word size than the recorder";
    case TARGET_REACHED: /* a Go program that is not followed says so itself, in its trace */
    case TARGET_NO_ELF: break;
    }
    return NULL;
}

bool target_launched(const struct target *target) {
#if defined __x86_64__
    return target->reach == TARGET_STATIC && target->runtime == TARGET_GO && target->go.client &&
           !target->privileged && !go_program_refused(&target->go);
#else
    return false;
#endif
}

const char *target_needs(const struct target *t, const char *pattern) {
    for (size_t i = 0; i < t->needed_count; i++)
        if (fnmatch(pattern, t->needed[i], 0) == 0) return t->needed[i];
    return NULL;
}

bool target_carries_openssl(const struct target *t) {
    static const char *const names[] = {"SSL_read", "SSL_write", "SSL_do_handshake", "SSL_free",
                                        NULL};
    return t->reach == TARGET_REACHED && !t->go.go && elf_file_has_functions(t->path, names);
}
