/* Lines of bytecode: HotSpot's compressed tables (share/code/compressedStream.hpp, UNSIGNED5). */
#include "record/interpreter/java.h"

#define NUMBER_BYTES 5u
#define NUMBER_SHIFT 6u
#define NUMBER_MORE 192u   /* a byte from here on is not the last */
#define NO_ZEROS_SINCE 20u /* JDK 20: zero bytes stand for nothing, so every byte is one more */
#define PAIR_ESCAPE 0xffu
#define PAIRS_MOST 65536u

bool java_number(const struct memory *memory, uint32_t version, uintptr_t *at, uint32_t *out) {
    const uint32_t less = version >= NO_ZEROS_SINCE ? 1 : 0;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < NUMBER_BYTES; i++) {
        uint8_t byte;
        if (!memory_read(memory, *at, &byte, 1) || byte < less) return false;
        *at += 1;
        sum += (byte - less) << NUMBER_SHIFT * i;
        if (byte < NUMBER_MORE) break;
    }
    *out = sum;
    return true;
}

static bool signed_number(const struct memory *memory, uint32_t version, uintptr_t *at,
                          int32_t *out) {
    uint32_t value;
    if (!java_number(memory, version, at, &value)) return false;
    *out = (int32_t)(value >> 1 ^ -(value & 1));
    return true;
}

uint32_t java_line(const struct memory *memory, uint32_t version, uintptr_t at, uint32_t code_size,
                   uint32_t bci) {
    uint32_t place = 0, line = 0, best_place = 0, best_line = 0;
    for (uint32_t i = 0; i < PAIRS_MOST; i++) {
        uint8_t byte;
        if (!memory_read(memory, at++, &byte, 1)) return 0;
        if (byte == 0) return best_line;
        if (byte == PAIR_ESCAPE) {
            int32_t places, lines;
            if (!signed_number(memory, version, &at, &places) ||
                !signed_number(memory, version, &at, &lines))
                return 0;
            place += (uint32_t)places;
            line += (uint32_t)lines;
        } else {
            place += byte >> 3;
            line += byte & 7u;
        }
        if (place >= code_size || line > UINT16_MAX) return 0; /* no table of this method's */
        if (place == bci) return line;
        if (place < bci && place >= best_place) best_place = place, best_line = line;
    }
    return 0;
}
