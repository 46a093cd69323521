/* Names as Perl keeps them: of files, packages and subroutines. */
#include "record/interpreter/perl.h"
#include "record/sys.h"

/* the head of every value (sv.h) */
#define VALUE_BODY 0u
#define VALUE_FLAGS 12u
#define VALUE_UNION 16u /* what it has without a body: a hash's buckets, what a glob stands for */
#define VALUE_SIZE 24u
#define TYPE_MASK 0xffu
#define TYPE_GLOB 9u
#define TYPE_HASH 12u
#define TYPE_CODE 13u
#define TYPE_FORMAT 14u
#define GLOB_HAS_NAME 0x8000u
#define HASH_HAS_NAME 0x2000000u
/* bodies: struct xpvcv, xpvgv, xpvhv with struct xpvhv_aux; struct gp */
#define CODE_PACKAGE 32u
#define CODE_NAME 56u /* a glob, or a name */
#define CODE_FLAGS 92u
#define CODE_NAMED 0x8000u
#define CODE_LEXICAL 0x10000u
#define GLOB_NAME 32u
#define GLOB_PACKAGE 40u
#define STANDS_FOR_GLOB 56u /* under which name the subroutine was made */
#define HASH_MOST 24u       /* the last bucket's number */
#define HASH_MORE 32u
#define MORE_NAME 0u /* or an array of names */
#define MORE_NAMES 28u
/* struct hek */
#define KEY_SIZE 4u
#define KEY_BYTES 8u

#define BUCKETS_MOST (1ul << 32)

bool perl_string(const struct memory *m, uintptr_t at, struct frame_text *out) {
    size_t size = 0;
    while (size <= FRAME_TEXT_MAX) {
        const size_t room = SYS_PAGE - (at + size) % SYS_PAGE;
        if (!memory_can_read(m, at + size, room)) return false;
        const char *start = (const char *)(at + size), *end = memchr(start, 0, room);
        size += end ? (size_t)(end - start) : room;
        *out = (struct frame_text){(const char *)at, size};
        if (end) return true;
    }
    return true; /* and is cut */
}

static bool read_value(const struct memory *m, uintptr_t at, uintptr_t *body, uint32_t *flags) {
    if (at % 8 != 0 || !memory_can_read(m, at, VALUE_SIZE)) return false;
    memcpy(flags, (const void *)(at + VALUE_FLAGS), sizeof *flags);
    return perl_load(m, at + VALUE_BODY, body);
}

static bool read_key(const struct memory *m, uintptr_t key, struct frame_text *out) {
    int32_t size;
    if (!key || key % 4 != 0 || !memory_read(m, key + KEY_SIZE, &size, sizeof size)) return false;
    if (size < 0 || size > 1 << 20 || !memory_can_read(m, key + KEY_BYTES, (size_t)size + 1))
        return false;
    *out = (struct frame_text){(const char *)key + KEY_BYTES, (size_t)size};
    return out->bytes[size] == 0;
}

/* false: wrong. A package that was deleted has no name, and Perl says so by one of its own. */
static bool package_name(const struct perl *perl, const struct memory *m, uintptr_t hash,
                         struct frame_text *out) {
    static const char gone[] = "__ANON__";
    uintptr_t body, more, key;
    uint32_t flags;
    int32_t names;
    *out = (struct frame_text){gone, sizeof gone - 1};
    if (!hash) return true;
    if (!read_value(m, hash, &body, &flags) || (flags & TYPE_MASK) != TYPE_HASH) return false;
    if (!(flags & HASH_HAS_NAME)) return true;
    if (perl->layout.names_in_body) {
        more = body + HASH_MORE;
    } else {
        uintptr_t buckets, last;
        if (!perl_load(m, hash + VALUE_UNION, &buckets) || !perl_load(m, body + HASH_MOST, &last) ||
            last >= BUCKETS_MOST)
            return false;
        more = buckets + (last + 1) * sizeof(uintptr_t);
    }
    if (!perl_load(m, more + MORE_NAME, &key) ||
        !memory_read(m, more + MORE_NAMES, &names, sizeof names))
        return false;
    if (!key) return true;
    if (names && !perl_load(m, key, &key)) return false;
    return !key || read_key(m, key, out);
}

/* A glob's own name and package; the glob under which its subroutine was made, if there is one. */
static bool glob_name(const struct memory *m, uintptr_t glob, uintptr_t *package, uintptr_t *name) {
    uintptr_t body, stands_for, made = 0;
    uint32_t flags;
    if (!read_value(m, glob, &body, &flags) || (flags & TYPE_MASK) != TYPE_GLOB ||
        !(flags & GLOB_HAS_NAME))
        return false;
    if (perl_load(m, glob + VALUE_UNION, &stands_for) && stands_for &&
        !perl_load(m, stands_for + STANDS_FOR_GLOB, &made))
        return false;
    if (made && made != glob) {
        if (!read_value(m, made, &body, &flags) || (flags & TYPE_MASK) != TYPE_GLOB ||
            !(flags & GLOB_HAS_NAME))
            return false;
    }
    return perl_load(m, body + GLOB_PACKAGE, package) && perl_load(m, body + GLOB_NAME, name);
}

bool perl_name(const struct perl *perl, const struct memory *m, uintptr_t sub,
               char buffer[FRAME_TEXT_MAX], struct frame_text *out) {
    static const char unknown[] = "(unknown)";
    uintptr_t body, package, key;
    uint32_t flags, code_flags;
    struct frame_text name, scope;
    if (!read_value(m, sub, &body, &flags) ||
        ((flags & TYPE_MASK) != TYPE_CODE && (flags & TYPE_MASK) != TYPE_FORMAT) ||
        !memory_read(m, body + CODE_FLAGS, &code_flags, sizeof code_flags) ||
        !perl_load(m, body + CODE_NAME, &key) || !perl_load(m, body + CODE_PACKAGE, &package))
        return false;
    if (!key) {
        *out = (struct frame_text){unknown, sizeof unknown - 1};
        return true;
    }
    if (!(code_flags & CODE_NAMED) && !glob_name(m, key, &package, &key)) return false;
    if (!read_key(m, key, &name)) return false;
    *out = name;
    if (code_flags & CODE_NAMED && code_flags & CODE_LEXICAL) return true;
    if (!package_name(perl, m, package, &scope)) return false;
    if (scope.size + 2 + name.size > FRAME_TEXT_MAX) return true;
    memcpy(buffer, scope.bytes, scope.size);
    memcpy(buffer + scope.size, "::", 2);
    memcpy(buffer + scope.size + 2, name.bytes, name.size);
    *out = (struct frame_text){buffer, scope.size + 2 + name.size};
    return true;
}
