/* Python's str objects as UTF-8 (PEP 393: one, two or four bytes a character, right behind the head). */
#include "record/interpreter/python.h"

#define LENGTH 16u /* PyASCIIObject.length, .state: the same in all versions */
#define STATE 32u
#define COMPACT 0x20u
#define ASCII 0x40u
#define KIND(state) ((state) >> 2 & 7)
#define HEAD 40u

/* One character; 0: no room. A byte that was no UTF-8 in a file's name (PEP 383) becomes that byte again. */
static size_t encode(uint32_t c, char *out, size_t room) {
    uint8_t bytes[4];
    size_t n = 0;
    if (c >= 0xdc80 && c <= 0xdcff) {
        bytes[n++] = (uint8_t)c;
    } else if (c < 0x80) {
        bytes[n++] = (uint8_t)c;
    } else {
        if ((c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff) c = 0xfffd;
        const unsigned more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        static const uint8_t heads[] = {0, 0xc0, 0xe0, 0xf0};
        bytes[n++] = (uint8_t)(heads[more] | c >> 6 * more);
        for (unsigned i = more; i-- > 0;)
            bytes[n++] = (uint8_t)(0x80 | (c >> 6 * i & 63));
    }
    if (n > room) return 0;
    memcpy(out, bytes, n);
    return n;
}

static uint32_t character(const uint8_t *data, unsigned kind, size_t i) {
    uint16_t two;
    uint32_t four;
    if (kind == 1) return data[i];
    if (kind == 2) return memcpy(&two, data + 2 * i, 2), two;
    return memcpy(&four, data + 4 * i, 4), four;
}

bool python_text(const struct python *python, const struct memory *memory, uintptr_t object,
                 char buffer[FRAME_TEXT_MAX], struct frame_text *out) {
    if (object % 8 != 0 || !memory_can_read(memory, object, HEAD)) return false;
    const uint64_t *head = (const uint64_t *)object;
    if (head[1] != python->text_type) return false;
    const uint32_t state = (uint32_t)head[STATE / 8];
    const unsigned kind = KIND(state);
    uint64_t length = head[LENGTH / 8];
    if (!(state & COMPACT) || (kind != 1 && kind != 2 && kind != 4)) return false;
    if (length > FRAME_TEXT_MAX) length = FRAME_TEXT_MAX;
    const uintptr_t data =
        object + (state & ASCII ? python->layout.text_ascii : python->layout.text_other);
    if (length && !memory_can_read(memory, data, length * kind)) return false;
    if (state & ASCII) {
        *out = (struct frame_text){(const char *)data, length};
        return true;
    }
    *out = (struct frame_text){buffer, 0};
    for (size_t i = 0; i < length; i++) {
        const size_t n = encode(character((const uint8_t *)data, kind, i), buffer + out->size,
                                FRAME_TEXT_MAX - out->size);
        if (n == 0) break;
        out->size += n;
    }
    return true;
}
