/* Go's note, build information and table of functions, looked for in a file that may be anything. */
#include "launch/go_program.h"

#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char go_program_lost[] = "its HTTP client is not in its table of functions";

/* Larger ones are no program whose names we want to look for. */
#define GO_FILE_MOST (INT64_C(1) << 30)
#define GO_BUILD_INFO "\xff Go buildinf:"

/*
 * The file goes through a window, read and not mapped: one that somebody cuts short meanwhile is no signal then. What is looked
 * for is shorter than GO_OVERLAP, so it lies whole in one window or the next.
 */
enum { GO_WINDOW = 1 << 20, GO_OVERLAP = 64 };

static bool go_program_read_at(int fd, uint64_t at, void *to, size_t n) {
    return at < (uint64_t)GO_FILE_MOST && pread(fd, to, n, (off_t)at) == (ssize_t)n;
}

static bool go_program_note(int fd, const Elf64_Phdr *p) {
    uint8_t notes[1024];
    const size_t size = p->p_filesz < sizeof notes ? p->p_filesz : sizeof notes;
    if (!go_program_read_at(fd, p->p_offset, notes, size)) return false;
    for (size_t at = 0; size - at >= sizeof(Elf64_Nhdr) + 4;) {
        Elf64_Nhdr n;
        memcpy(&n, notes + at, sizeof n);
        const uint64_t length = sizeof n + (((uint64_t)n.n_namesz + 3) & ~UINT64_C(3)) +
                                (((uint64_t)n.n_descsz + 3) & ~UINT64_C(3));
        if (n.n_type == 4 && n.n_namesz == 4 && memcmp(notes + at + sizeof n, "Go\0", 4) == 0)
            return true;
        if (length > size - at) return false;
        at += length;
    }
    return false;
}

/* debug/buildinfo: from Go 1.18 on the version is inline, its length before it. */
static void go_program_version(struct go_program *p, const uint8_t *info) {
    if (*p->version || !(info[15] & 2) || info[32] >= sizeof p->version ||
        info[32] > GO_OVERLAP - 33)
        return;
    memcpy(p->version, info + 33, info[32]);
    for (char *c = p->version; *c; c++)
        if (*c <= ' ' || *c > '~') *c = '?';
    if (strncmp(p->version, "go1.", 4) == 0) p->minor = (unsigned)strtoul(p->version + 4, NULL, 10);
}

static void go_program_infos(struct go_program *p, const uint8_t *bytes, size_t n) {
    const size_t length = sizeof GO_BUILD_INFO - 1;
    for (const uint8_t *info = bytes; !*p->version; info++) {
        info = memmem(info, n - (size_t)(info - bytes), GO_BUILD_INFO, length);
        if (!info) return;
        const size_t at = (size_t)(info - bytes);
        if (at % 16 == 0 && n - at >= GO_OVERLAP) go_program_version(p, info);
    }
}

/* A window: n bytes of the file, of which GO_OVERLAP come again in the next one unless it is the last. */
static void go_program_window(struct go_program *p, const uint8_t *bytes, size_t n, bool all) {
    static const char client[] = "net/http.(*persistConn).readLoop",
                      other[] = "golang.org/x/net/http2.(*ClientConn).";
    go_program_infos(p, bytes, n);
    p->client = p->client || memmem(bytes, n, client, sizeof client - 1);
    p->other_http2 = p->other_http2 || (all && memmem(bytes, n, other, sizeof other - 1));
    /* runtime.pcHeader: magic, two zero bytes, the instruction size of x86, the pointer size */
    for (size_t at = 0; at + 8 <= n && !p->table; at += 8)
        p->table = (bytes[at] == 0xf0 || bytes[at] == 0xf1) &&
                   memcmp(bytes + at + 1, "\xff\xff\xff\0\0\1\10", 7) == 0;
}

/* Where Go's linker puts the build information, before all of the file is looked at. */
static void go_program_search(struct go_program *p, int fd, uint64_t data, bool all) {
    uint8_t *window = malloc(GO_WINDOW);
    ssize_t n = window ? pread(fd, window, GO_WINDOW / 16, (off_t)data) : -1;
    if (n > 0) go_program_infos(p, window, (size_t)n);
    for (uint64_t at = 0; window && at < (uint64_t)GO_FILE_MOST; at += GO_WINDOW - GO_OVERLAP) {
        n = pread(fd, window, GO_WINDOW, (off_t)at);
        if (n > 0) go_program_window(p, window, (size_t)n, all);
        if (n < GO_WINDOW || (!all && *p->version && p->table && p->client)) break;
    }
    free(window);
}

/* What UPX leaves of a program: its mark behind the program headers. */
static bool go_program_packed(int fd) {
    char bytes[1024];
    const ssize_t n = pread(fd, bytes, sizeof bytes, 0);
    return n > 0 && memmem(bytes, (size_t)n, "UPX!", 4) != NULL;
}

static void go_program_look(struct go_program *p, int fd, bool all) {
    Elf64_Ehdr elf;
    char begin[sizeof GO_BUILD_INFO - 1];
    uint64_t data = 0;
    if (!go_program_read_at(fd, 0, &elf, sizeof elf) || memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 ||
        elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_phentsize != sizeof(Elf64_Phdr))
        return;
    p->packed = go_program_packed(fd);
    for (unsigned i = 0; i < elf.e_phnum; i++) {
        Elf64_Phdr h;
        if (!go_program_read_at(fd, elf.e_phoff + i * sizeof h, &h, sizeof h)) return;
        if (h.p_type == PT_NOTE && go_program_note(fd, &h)) p->go = true;
        if (h.p_type != PT_LOAD || !(h.p_flags & PF_W) || data) continue;
        data = h.p_offset < (uint64_t)GO_FILE_MOST ? h.p_offset : 0;
        /* A program linked with -buildid= has no note. */
        if (go_program_read_at(fd, h.p_offset, begin, sizeof begin) &&
            memcmp(begin, GO_BUILD_INFO, sizeof begin) == 0)
            p->go = true;
    }
    if (p->go) go_program_search(p, fd, data, all);
}

void go_program_read(struct go_program *p, const char *path, bool all) {
    struct stat st;
    *p = (struct go_program){0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) go_program_look(p, fd, all);
    if (fd >= 0) close(fd);
}

const char *go_program_refused(const struct go_program *p) {
    if (p->minor == 0) return "which Go made it is not known";
    if (p->minor < GO_PROGRAM_FIRST_MINOR) return "Go before 1.19 is not followed";
    if (p->minor > GO_PROGRAM_LAST_MINOR) return "Go after 1.27 is not known yet";
    if (!p->table) return "its table of functions is damaged or not there";
    return NULL;
}
