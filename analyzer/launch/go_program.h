/* What can be told of a Go program by its file, before it runs. */
#ifndef HTTPLEAK_GO_PROGRAM_H
#define HTTPLEAK_GO_PROGRAM_H

#include <stdbool.h>

enum {
    GO_PROGRAM_FIRST_MINOR = 19,
    GO_PROGRAM_LAST_MINOR = 27
}; /* of 1.x, that the recorder follows */

struct go_program {
    bool go;          /* made by Go's linker */
    bool packed;      /* by UPX: nothing else can be told */
    char version[32]; /* "go1.22.12", "" unknown */
    unsigned minor;   /* 22 of it, 0: unknown */
    bool table;       /* its table of functions is where it should be */
    bool client;      /* net/http's client is in it */
    bool other_http2; /* golang.org/x/net/http2's own client too (gRPC) */
};

/*
 * The file may be anything. all: other_http2 is looked for too, through all of the file (a millisecond for each megabyte);
 * without it only as far as it takes to know the rest.
 */
void go_program_read(struct go_program *, const char *path, bool all);

/* Why one with a client by its file is not followed, if none was found in its table of functions. */
extern const char go_program_lost[];

/* One sentence about why a Go program with a client would not be followed; NULL: it would. */
const char *go_program_refused(const struct go_program *);

#endif
