/*
 * A static program that takes itself for Go's (it has the note of Go's linker), so that the launcher stops it at its exec:
 * `static_guest MODE [ARGUMENT]` prints what it finds, so that two runs can be compared.
 */
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((section(".note.go.buildid"), used, aligned(4))) static const struct {
    Elf64_Nhdr header;
    char name[4];
    char id[8];
} note = {{4, 8, 4}, "Go\0", "guest"};

/* Its build information, and the beginning of a function table that is not there. */
__attribute__((used, aligned(16))) static struct {
    char magic[14], pointer_size, flags, unused[16], length, version[31];
} build_info = {"\xff Go buildinf:", 8, 2, "", 9, "go1.22.12"};
__attribute__((used, aligned(8))) static const unsigned char table[8] = {0xf1, 0xff, 0xff, 0xff,
                                                                         0,    0,    1,    8};

/* By this a program is known to have Go's HTTP client in it. */
__attribute__((used)) static const char client[] = "net/http.(*persistConn).readLoop";

extern char _start[];

static void state_signals(void) {
    sigset_t mask, pending;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    sigpending(&pending);
    for (int number = 1; number < 65; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) != 0) continue;
        const char *is = action.sa_handler == SIG_IGN   ? "ignored"
                         : action.sa_handler == SIG_DFL ? "default"
                                                        : "handled";
        printf("signal %d %s%s%s\n", number, is, sigismember(&mask, number) ? " blocked" : "",
               sigismember(&pending, number) ? " pending" : "");
    }
}

/* Lines of /proc/self/status that tell of a tracer or of rights. */
static void state_status(void) {
    char line[256];
    FILE *in = fopen("/proc/self/status", "r");
    while (in && fgets(line, sizeof line, in))
        if (strncmp(line, "TracerPid", 9) == 0 || strncmp(line, "Seccomp", 7) == 0 ||
            strncmp(line, "NoNewPrivs", 10) == 0 || strncmp(line, "Cap", 3) == 0)
            fputs(line, stdout);
    if (in) fclose(in);
}

static void state_descriptors(void) {
    for (int fd = 0; fd < 64; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0)
            printf("fd %d mode %o flags %x\n", fd, st.st_mode, fcntl(fd, F_GETFL));
    }
}

/* What is at the program's entry must be what its file says. */
static void state_entry(void) {
    char bytes[16] = "";
    const uintptr_t bias = getauxval(AT_ENTRY) - (uintptr_t)_start;
    const Elf64_Phdr *headers = (const Elf64_Phdr *)getauxval(AT_PHDR);
    const int fd = open("/proc/self/exe", O_RDONLY);
    Elf64_Ehdr elf;
    if (read(fd, &elf, sizeof elf) != (ssize_t)sizeof elf) return;
    for (unsigned i = 0; i < getauxval(AT_PHNUM); i++) {
        const Elf64_Phdr *p = &headers[i];
        if (p->p_type == PT_LOAD && elf.e_entry - p->p_vaddr < p->p_filesz &&
            pread(fd, bytes, sizeof bytes, (off_t)(elf.e_entry - p->p_vaddr + p->p_offset)) > 0)
            printf("entry %s\n",
                   memcmp(bytes, _start, sizeof bytes) == 0 ? "as linked" : "changed");
    }
    close(fd);
    printf("entry bias %d\n", (int)bias);
}

static void state(int argc, char **argv) {
    struct rlimit limit;
    for (int i = 0; i < argc; i++)
        printf("argument %s\n", argv[i]);
    state_signals();
    state_status();
    state_descriptors();
    state_entry();
    getrlimit(RLIMIT_NOFILE, &limit);
    const mode_t mask = umask(0);
    printf("files %lu, umask %o, nice %d\n", (unsigned long)limit.rlim_cur, mask,
           getpriority(PRIO_PROCESS, 0));
}

static void copy(void) {
    char bytes[4096];
    ssize_t n;
    while ((n = read(0, bytes, sizeof bytes)) > 0)
        if (write(1, bytes, (size_t)n) != n) exit(1);
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "state";
    const int argument = argc > 2 ? atoi(argv[2]) : 0;
    if (note.header.n_namesz != 4) return 99;
    if (strcmp(mode, "state") == 0) state(argc, argv);
    if (strcmp(mode, "copy") == 0) copy();
    if (strcmp(mode, "raise") == 0) raise(argument);
    if (strcmp(mode, "parent") == 0) printf("%d %d %d\n", getppid(), getpgrp(), getsid(0));
    if (strcmp(mode, "sleep") == 0) {
        puts("ready");
        fflush(stdout);
        sleep((unsigned)argument);
    }
    fflush(stdout);
    return strcmp(mode, "exit") == 0 ? argument : 0;
}
