/* What the recorder answers to a program that carries the annotations of include/httpleak/client.h. */
#ifndef TRACK_ANNOTATE_H
#define TRACK_ANNOTATE_H

#include "httpleak/client.h"

/* True if these are the second and third argument of syscall(SYS_getpid, ...) that ask for the recorder; *answer is filled. */
bool annotate_asked(long question, const struct httpleak_client **answer);

#endif
