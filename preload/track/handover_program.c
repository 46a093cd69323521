/* ELF headers, Go's note and Go's build information, read from a file that may be anything. */
#include "track/handover_program.h"

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "record/sys.h"

#define HEADERS_MOST 16u
/* Go's linker puts the information at the start of the data; a C linker puts other things there as well. */
#define SEARCH_MOST (64u << 10)
#define CHUNK ((size_t)256 << 10)

static bool read_at(int fd, uint64_t at, void *to, size_t n) {
    return at < INT64_MAX && sys_call(SYS_pread64, fd, to, n, at) == (long)n;
}

/* Note 4 of owner "Go": the build id, in every program of Go's. */
static bool has_go_note(int fd, const Elf64_Phdr *segment) {
    uint8_t notes[512];
    const size_t size = segment->p_filesz < sizeof notes ? segment->p_filesz : sizeof notes;
    if (!read_at(fd, segment->p_offset, notes, size)) return false;
    for (size_t at = 0; size - at >= sizeof(Elf64_Nhdr);) {
        Elf64_Nhdr n;
        memcpy(&n, notes + at, sizeof n);
        const uint64_t length =
            sizeof n + (((uint64_t)n.n_namesz + 3) & ~3ull) + (((uint64_t)n.n_descsz + 3) & ~3ull);
        if (n.n_type == 4 && n.n_namesz == 4 && size - at >= sizeof n + 4 &&
            memcmp(notes + at + sizeof n, "Go\0", 4) == 0)
            return true;
        if (length > size - at) break;
        at += length;
    }
    return false;
}

static const char build_info[] = "\xff Go buildinf:";

/* A program linked with -buildid= has no note; Go's own linker puts the build information first in the data. */
static bool begins_with_build_info(int fd, const Elf64_Phdr *data) {
    char bytes[sizeof build_info - 1];
    return read_at(fd, data->p_offset, bytes, sizeof bytes) &&
           memcmp(bytes, build_info, sizeof bytes) == 0;
}

/* From Go 1.18 on: magic, pointer size, flags (2: strings inline), padding to 32, then a length and the version. */
static void read_version(int fd, const Elf64_Phdr *data, char version[HANDOVER_VERSION]) {
    uint8_t bytes[512];
    const uint64_t start =
        data->p_offset & ~UINT64_C(15); /* addresses and offsets are equal within pages */
    const uint64_t end = data->p_filesz < SEARCH_MOST ? data->p_filesz : SEARCH_MOST;
    for (uint64_t at = 0; at + sizeof bytes <= end; at += sizeof bytes) {
        if (!read_at(fd, start + at, bytes, sizeof bytes)) return;
        for (size_t i = 0; i < sizeof bytes; i += 16) {
            uint8_t found[64];
            if (memcmp(bytes + i, build_info, sizeof build_info - 1) != 0) continue;
            if (!read_at(fd, start + at + i, found, sizeof found)) return;
            const size_t n = found[32];
            if (!(found[15] & 2) || n >= HANDOVER_VERSION || n > sizeof found - 33) return;
            for (size_t k = 0; k < n; k++)
                if (found[33 + k] < ' ' || found[33 + k] > '~') return;
            memcpy(version, found + 33, n);
            version[n] = 0;
            return;
        }
    }
}

bool handover_is_static_go(int fd, char version[HANDOVER_VERSION]) {
    struct {
        Elf64_Ehdr elf;
        Elf64_Phdr headers[HEADERS_MOST];
    } file;
    const Elf64_Phdr *note = NULL, *data = NULL;
    version[0] = 0;
    if (!read_at(fd, 0, &file.elf, sizeof file.elf) ||
        memcmp(file.elf.e_ident, ELFMAG, SELFMAG) != 0 ||
        file.elf.e_ident[EI_CLASS] != ELFCLASS64 || file.elf.e_machine != EM_X86_64 ||
        (file.elf.e_type != ET_EXEC && file.elf.e_type != ET_DYN) ||
        file.elf.e_phentsize != sizeof(Elf64_Phdr) || file.elf.e_phnum > HEADERS_MOST ||
        !read_at(fd, file.elf.e_phoff, file.headers, file.elf.e_phnum * sizeof(Elf64_Phdr)))
        return false;
    for (unsigned i = 0; i < file.elf.e_phnum; i++) {
        const Elf64_Phdr *p = &file.headers[i];
        if (p->p_type == PT_INTERP) return false;
        if (p->p_type == PT_NOTE && (!note || !has_go_note(fd, note))) note = p;
        if (p->p_type == PT_LOAD && (p->p_flags & PF_W) && !data) data = p;
    }
    if (!(note && has_go_note(fd, note)) && !(data && begins_with_build_info(fd, data)))
        return false;
    if (data) read_version(fd, data, version);
    return true;
}

bool handover_has_client(int fd) {
    static const char name[] = "net/http.(*persistConn).readLoop";
    const size_t keep = sizeof name - 2;
    size_t kept = 0;
    bool found = false;
    char *room = sys_memory(keep + CHUNK);
    long n;
    for (uint64_t at = 0; room && !found; at += (uint64_t)n) {
        n = sys_call(SYS_pread64, fd, room + kept, CHUNK, at);
        if (n <= 0) break;
        const size_t filled = kept + (size_t)n;
        found = memmem(room, filled, name, sizeof name - 1) != NULL;
        kept = filled < keep ? filled : keep;
        memmove(room, room + filled - kept, kept);
    }
    sys_memory_free(room, keep + CHUNK);
    return found;
}
