/* Recognizing Go's statically linked programs by their first bytes. For handover.c. */
#ifndef TRACK_HANDOVER_PROGRAM_H
#define TRACK_HANDOVER_PROGRAM_H

#include <stdbool.h>

#define HANDOVER_VERSION 32

/*
 * Whether the open file is a statically linked x86-64 program made by Go's linker, and which Go's ("" if that cannot be found).
 * The file may be anything. Uses 2 KiB of stack.
 */
bool handover_is_static_go(int fd, char version[HANDOVER_VERSION]);

/* Whether Go's HTTP client is in it: its name is in the program's table of functions. Reads all of the file. */
bool handover_has_client(int fd);

#endif
