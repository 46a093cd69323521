/* Strings from a hostile network, made safe for where they go. */
#ifndef HTTPLEAK_ESCAPE_H
#define HTTPLEAK_ESCAPE_H

#include <stdbool.h>

/*
 * A copy in valid UTF-8: bytes that are none become the four characters \xNN. With `terminal` the same is done to control
 * characters (C0, DEL, C1) and to those that turn the direction of writing. malloc'ed; NULL when out of memory.
 */
char *escape_text(const char *text, bool terminal);

#endif
