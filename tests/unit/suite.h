/* Runs a suite of Check as tests/run wants it. */
#ifndef TESTS_UNIT_SUITE_H
#define TESTS_UNIT_SUITE_H

#include <check.h>

/* Prints TAP; frees the suite. The program's exit status: 0, or 1 where a test failed. */
int suite_run(Suite *suite);

#endif
