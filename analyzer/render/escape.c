/* Escaping: valid UTF-8 everywhere, no control character on a terminal. */
#include "render/escape.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "render/render.h"

/* Length of the UTF-8 sequence at s and its code point; 0: it is none (RFC 3629: no overlong form, no surrogate). */
static size_t utf8_decode(const unsigned char *s, uint32_t *point) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] >= 0xf8 || (s[0] >= 0x80 && s[0] < 0xc0)) return 0;
    *point = length == 1 ? s[0] : s[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0; /* the terminator, too */
        *point = *point << 6 | (s[i] & 0x3f);
    }
    if (*point < least[length] || *point > 0x10ffff || (*point >= 0xd800 && *point <= 0xdfff))
        return 0;
    return length;
}

static bool is_unsafe(uint32_t point) {
    return point < 0x20 || (point >= 0x7f && point < 0xa0) ||
           (point >= 0x200b && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

char *escape_text(const char *text, bool terminal) {
    static const char hex[] = "0123456789abcdef";
    char *out = malloc(strlen(text) * 4 + 1), *at = out;
    if (!out) return NULL;
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        uint32_t point = 0;
        size_t length = utf8_decode(s, &point);
        bool keep = length != 0 && !(terminal && is_unsafe(point));
        if (length == 0) length = 1;
        for (size_t i = 0; i < length; i++, s++) {
            if (keep) {
                *at++ = (char)*s;
                continue;
            }
            memcpy(at, (char[]){'\\', 'x', hex[*s >> 4], hex[*s & 15]}, 4);
            at += 4;
        }
    }
    *at = 0;
    return out;
}

char *render_escape(const char *text) {
    return escape_text(text, true);
}
