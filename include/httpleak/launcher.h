/*
 * What the recorder and the command say to each other about statically linked programs: `httpleak run` (the launcher) puts an
 * image of the recorder into a process that is about to execute one.
 *
 * The image. Its entry is called on the program's first stack, before the program's first instruction, by whoever holds the
 * process with ptrace; it answers by getpid with LAUNCHER_DONE as its first argument (which getpid ignores), enum launcher_answer
 * as its second, and the address of a reason (one short line, NUL terminated) as its third; then it runs into a breakpoint with
 * the same in its registers. The holder stops it for good at one of these.
 *
 * The handover. A traced process that is about to execute such a program connects to the abstract socket (SOCK_SEQPACKET) that
 * LAUNCHER_VARIABLE in the new program's environment names, sends one struct launcher_request, and waits, bounded, for one byte:
 * LAUNCHER_HOLDS, it is a tracee now and shall go on to its exec; or LAUNCHER_REFUSES, it is not, and the launcher has made a
 * note of it. An exec that fails after LAUNCHER_HOLDS is told by getpid with LAUNCHER_GAVE_UP as its first argument.
 */
/* clang-format off: one field a line, its meaning beside it */
#ifndef HTTPLEAK_LAUNCHER_H
#define HTTPLEAK_LAUNCHER_H

#define LAUNCHER_VARIABLE "HTTPLEAK_LAUNCHER"
#define LAUNCHER_DONE 0x68747470646f6e65    /* "httpdone" */
#define LAUNCHER_GAVE_UP 0x687474706661696c /* "httpfail" */
#define LAUNCHER_HOLDS 'y'
#define LAUNCHER_REFUSES 'n'

#ifndef __ASSEMBLER__
#include <stdint.h>

enum launcher_answer {
    LAUNCHER_STAYS = 0,  /* the image is in use */
    LAUNCHER_UNUSED = 1, /* nothing refers to it: left out by options, or it has said in a trace why it is blind */
    LAUNCHER_BLIND = 2,  /* nothing refers to it, and the reason says why the program is not followed */
    LAUNCHER_NOTHING = 3, /* nothing refers to it: no HTTP client of Go's was found in the program */
};

#define LAUNCHER_VERSION 1u
enum launcher_kind {
    LAUNCHER_EXEC = 1,  /* the process itself will execute the program */
    LAUNCHER_SPAWN = 2, /* the thread will make a child that does (posix_spawn) */
};

struct launcher_request {
    uint32_t version;    /* LAUNCHER_VERSION */
    uint32_t kind;       /* enum launcher_kind */
    uint32_t pid;        /* of the process, as it knows itself */
    uint32_t tid;        /* of the thread that asks */
    char go_version[32]; /* "go1.22.12", "" if it was not found; NUL terminated, as the next ones */
    char starter[64];    /* the base name of the program that asks */
    char program[512];   /* the path of the one that will be executed */
};
#endif

#endif
