/* Go executables: how to tell one, its release, its segments. */
#include "golang/engine.h"
#include "golang/words.h"
#include "record/sys.h"

#define BUILD_INFO "\xff Go buildinf:" /* debug/buildinfo; aligned to 16 */
#define BUILD_INFO_SIZE 14
#define BUILD_INFO_INLINE                                                                          \
    2 /* of the flags, byte 15: the version follows at 32, its length before it */
#define BUILD_INFO_VERSION 32

/* The linker's note with the build id, "Go" (cmd/link/internal/ld/elf.go). */
static bool has_note(const Elf64_Phdr *p, uintptr_t bias) {
    const uint8_t *at = (const uint8_t *)(bias + p->p_vaddr);
    uint64_t left = p->p_filesz;
    while (left >= 16) {
        const uint64_t name = words_32(at), text = words_32(at + 4);
        const uint64_t size = 12 + ((name + 3) & ~UINT64_C(3)) + ((text + 3) & ~UINT64_C(3));
        if (size > left) return false;
        if (name == 4 && words_32(at + 8) == 4 && words_equal((const char *)at + 12, "Go\0", 4))
            return true;
        at += size;
        left -= size;
    }
    return false;
}

static bool is_build_info(uintptr_t at) {
    return words_equal((const char *)at, BUILD_INFO, BUILD_INFO_SIZE);
}

/* A program linked with -buildid= has no note; Go's own linker puts the build information first in some segment of data. */
__attribute__((cold)) bool program_is_go(const struct golang_start *start) {
    for (size_t i = 0; i < start->header_count; i++) {
        const Elf64_Phdr *p = &start->headers[i];
        if (p->p_type == PT_NOTE && has_note(p, start->bias)) return true;
    }
    for (size_t i = 0; i < start->header_count; i++) {
        const Elf64_Phdr *p = &start->headers[i];
        if (p->p_type == PT_LOAD && (p->p_flags & PF_W) && p->p_filesz >= 64 &&
            p->p_vaddr % 16 == 0 && is_build_info(start->bias + p->p_vaddr))
            return true;
    }
    return false;
}

const struct program_segment *program_segment_of(const struct program *program, uintptr_t start,
                                                 size_t size) {
    for (size_t i = 0; i < program->count; i++) {
        const struct program_segment *s = &program->segments[i];
        if (start >= s->start && start < s->end && size <= s->end - start) return s;
    }
    return NULL;
}

/* Pages behind the end of a file that was cut would kill whoever reads them. */
static bool segments_read(struct program *program, const struct golang_start *start) {
    program->count = 0;
    program->bias = start->bias;
    for (size_t i = 0; i < start->header_count; i++) {
        const Elf64_Phdr *p = &start->headers[i];
        if (p->p_type != PT_LOAD || p->p_filesz < 16) continue;
        if (program->count == PROGRAM_SEGMENTS)
            return words_refuse("the executable has too many segments");
        const uintptr_t at = start->bias + p->p_vaddr;
        if (!sys_is_readable(at + p->p_filesz - 8))
            return words_refuse("the executable file is cut short");
        program->segments[program->count++] =
            (struct program_segment){at, at + p->p_filesz, p->p_flags & PF_W, p->p_flags & PF_X};
    }
    return true;
}

static uintptr_t find_build_info(const struct program *program, bool writable) {
    for (size_t i = 0; i < program->count; i++) {
        const struct program_segment *s = &program->segments[i];
        if (s->executable || s->writable != writable) continue;
        for (uintptr_t at = (s->start + 15) & ~(uintptr_t)15; at + 64 <= s->end; at += 16)
            if (words_64((const void *)at) == words_64(BUILD_INFO) && is_build_info(at)) return at;
    }
    return 0;
}

/* "go1.22.12", "go1.27rc1 X:..." to 22 and 27; 0: none. */
static uint32_t minor_of(const char *version) {
    if (!words_equal(version, "go1.", 4)) return 0;
    uint32_t minor = 0;
    const char *at = version + 4;
    while (*at >= '0' && *at <= '9' && minor < 1000)
        minor = minor * 10 + (uint32_t)(*at++ - '0');
    return minor;
}

static bool version_read(const struct program *program) {
    uintptr_t info = find_build_info(program, true);
    if (!info) info = find_build_info(program, false);
    if (!info) return words_refuse("the executable's build information is not there");
    const uint8_t *b = (const uint8_t *)info;
    const size_t length = b[BUILD_INFO_VERSION];
    if (!(b[15] & BUILD_INFO_INLINE) || length >= 128 ||
        !program_segment_of(program, info, BUILD_INFO_VERSION + 1 + length))
        return words_refuse("a release of Go before 1.18, or damaged build information");
    for (size_t i = 0; i < length && i < sizeof golang_program.version - 1; i++) {
        const char c = (char)b[BUILD_INFO_VERSION + 1 + i];
        golang_program.version[i] = c > ' ' && c < 127 ? c : '_';
        if (c == ' ') { /* experiments follow */
            golang_program.version[i] = 0;
            break;
        }
    }
    golang_program.minor = minor_of(golang_program.version);
    return true;
}

bool program_read(struct program *program, const struct golang_start *start) {
    return segments_read(program, start) && version_read(program);
}
