/* What the counting probes leave in a shared page, as tests/integration/test_golang_engine.py reads it. */
#ifndef COUNT_H
#define COUNT_H

#include "golang/golang.h"

enum { COUNT_SAID = 2048, COUNT_ROWS = 13 };
struct count_page {
    char said[COUNT_SAID]; /* JSON: how the start went; NUL terminated */
    uint64_t wrong;        /* probes that were given something impossible */
    uint64_t counts[COUNT_ROWS];
};
extern struct count_page *count_page; /* NULL: count nothing */

/* Puts into `said` what golang_start has left. */
void count_say(struct count_page *, long nanoseconds);

#endif
