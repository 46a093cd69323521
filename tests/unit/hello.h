/* Makes ClientHellos as a client would send them. */
#ifndef TESTS_UNIT_HELLO_H
#define TESTS_UNIT_HELLO_H

#include <stddef.h>
#include <stdint.h>

struct hello {
    uint8_t bytes[512];
    size_t size, name_end; /* name_end: where the server name is complete */
};

/* One with that server name (NULL: none) and a random made of seed, at bytes 11 to 42. */
struct hello hello_make(const char *name, uint8_t seed);
/* The same, with one protocol offered by ALPN (NULL: none). */
struct hello hello_offering(const char *name, uint8_t seed, const char *protocol);

#endif
