/*
 * Fuzzes the ClientHello parser: nothing is read outside, what is found lies inside, and a cut input
 * shows nothing that the whole one does not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "track/client_hello.h"

#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* On a block of its own, so that the address sanitizer sees every byte outside. */
static struct client_hello parse(const uint8_t *data, size_t size, bool *hello,
                                 const uint8_t **start) {
    static uint8_t *block;
    struct client_hello out;
    free(block);
    block = malloc(size ? size : 1);
    if (!block) abort();
    if (size) memcpy(block, data, size);
    *hello = client_hello_parse(block, size, &out);
    if (out.random) HOLDS(out.random >= block && out.random + CLIENT_HELLO_RANDOM <= block + size);
    if (out.name) HOLDS(out.name >= block && out.name + out.name_length <= block + size);
    if (out.name) HOLDS(out.name_length > 0 && out.name_length <= 255 && out.random);
    *start = block;
    return out;
}

static size_t offset(const uint8_t *p, const uint8_t *start) {
    return p ? (size_t)(p - start) + 1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    bool hello, cut_hello;
    const uint8_t *start;
    const struct client_hello whole = parse(data + 1, size - 1, &hello, &start);
    const size_t random = offset(whole.random, start), name = offset(whole.name, start);
    const size_t cut_size = (size - 1) * data[0] / 255;
    const struct client_hello cut = parse(data + 1, cut_size, &cut_hello, &start);
    HOLDS(hello || !cut_hello);
    HOLDS(!cut.random || offset(cut.random, start) == random);
    HOLDS(!cut.name || (offset(cut.name, start) == name && cut.name_length == whole.name_length));
    return 0;
}
