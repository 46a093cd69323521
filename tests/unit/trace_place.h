/*
 * A directory of its own for a test that makes real traces, and standard error caught in a file
 * there.
 */
#ifndef TESTS_UNIT_TRACE_PLACE_H
#define TESTS_UNIT_TRACE_PLACE_H

/*
 * Fixture pair for Check (each test runs in a process of its own): enters a fresh directory, leaves
 * and removes it.
 */
void trace_place_enter(void);
void trace_place_leave(void);
/* Its absolute path. */
extern char trace_place[];

/*
 * Parses options ("trace=" is not added), prepares and opens a trace; fails the test if that does
 * not work.
 */
void trace_place_open(const char *options_text);
/* Everything said on standard error since the start of the test. */
const char *trace_place_said(void);
/* Runs body(n) in count threads at once and waits for all. */
void trace_place_threads(unsigned count, void (*body)(unsigned n));

#endif
