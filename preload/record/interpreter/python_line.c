/* Places in Python's code to lines: the three tables of CPython 3.8 to 3.13 (Objects/lnotab_notes.txt, Objects/locations.md). */
#include "record/interpreter/python.h"

/* What is no table of Python's may count beyond an int. */
static int moved(int line, int by) {
    return (int)((uint32_t)line + (uint32_t)by);
}

/* Up to 3.9, co_lnotab: pairs of how far the place and the line move (unsigned, signed). */
static int line_by_steps(const uint8_t *table, size_t size, int line, int place) {
    int at = 0;
    for (size_t i = 0; i + 1 < size; i += 2) {
        at += table[i];
        if (at > place) break;
        line = moved(line, (int8_t)table[i + 1]);
    }
    return line;
}

/* 3.10, co_linetable: pairs of a range's length and how far its line is from the one before; -128: no line at all. */
static int line_by_ranges(const uint8_t *table, size_t size, int line, int place) {
    int end = 0;
    for (size_t i = 0; i + 1 < size; i += 2) {
        const int8_t step = (int8_t)table[i + 1];
        end += table[i];
        if (step != -128) line = moved(line, step);
        if (end > place) return step == -128 ? 0 : line;
    }
    return 0;
}

/* Six bits a byte, the lowest first; bit 6: more follow. The sign is the lowest bit of all. */
static int read_signed(const uint8_t **at, const uint8_t *end) {
    uint32_t value = 0, shift = 0;
    uint8_t byte = 0;
    do {
        if (*at == end) return 0;
        byte = *(*at)++;
        value |= shift < 32 ? (byte & 63u) << shift : 0;
        shift += 6;
    } while (byte & 64);
    return value & 1 ? -(int)(value >> 1) : (int)(value >> 1);
}

/* From 3.11, co_linetable: entries of a head byte (bit 7) and what its kind asks for. */
static int line_by_locations(const uint8_t *table, size_t size, int line, int place) {
    enum { ONE_LINE_0 = 10, ONE_LINE_2 = 12, NO_COLUMNS = 13, LONG = 14, NONE = 15 };
    const uint8_t *at = table, *const end = table + size;
    int covered = 0;
    while (at < end) {
        const unsigned kind = *at >> 3 & 15;
        covered += ((*at++ & 7) + 1) * 2;
        if (kind >= ONE_LINE_0 && kind <= ONE_LINE_2) line = moved(line, (int)kind - ONE_LINE_0);
        if (kind == NO_COLUMNS || kind == LONG) line = moved(line, read_signed(&at, end));
        if (covered > place) return kind == NONE ? 0 : line;
        while (at < end && !(*at & 0x80))
            at++;
    }
    return 0;
}

uint32_t python_line(unsigned version, const uint8_t *table, size_t size, int first_line,
                     int place) {
    int line = first_line;
    if (place >= 0)
        line = version < 0x030a   ? line_by_steps(table, size, first_line, place)
               : version < 0x030b ? line_by_ranges(table, size, first_line, place)
                                  : line_by_locations(table, size, first_line, place);
    return line > 0 ? (uint32_t)line : 0;
}
