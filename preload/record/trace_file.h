/* The file behind the trace: its name, its place, its creation. For trace.c only. */
#ifndef RECORD_TRACE_FILE_H
#define RECORD_TRACE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "record/text.h"
#include "record/trace.h"

#ifndef HTTPLEAK_VERSION
#define HTTPLEAK_VERSION "0.1.0"
#endif

/*
 * What is known of the process from its start; trace_exe from the first trace_open or trace_program on.
 */
struct trace_process {
    uint32_t pid, ppid;
    uint64_t started_ns, started_realtime_ns, forked_ns;
    uint32_t unwinder; /* enum trace_unwinder */
    uint32_t go_state; /* enum trace_go; the texts stay where they are */
    const char *go_version, *go_reason;
    bool exe_known; /* trace_exe; not among these, which every start writes */
    char argv[sizeof((struct trace_header *)0)->argv];
    uint32_t argv_size, argv_truncated;
    char directory[1024]; /* working directory, "" if it has no name */
};
extern struct trace_process trace_process;
extern char trace_exe[sizeof((struct trace_header *)0)->exe];

struct trace_file {
    uint8_t *base;
    uint64_t size;
    bool fixed; /* all blocks are there, no more can be had: a kernel without MADV_POPULATE_WRITE */
    uint64_t device, inode;
};

#define TRACE_FILE_LEAST (64u << 10)
#define TRACE_FILE_PATH_MAX 3072

/*
 * The advice that makes pages of a mapping (MADV_POPULATE_WRITE); tests set one that no kernel
 * knows.
 */
extern int trace_file_advice;

/*
 * Creates and maps the file that options.trace names; trace_path is set. False: why (with the path
 * in it) says what went wrong, and nothing is left behind. One thread at a time.
 */
bool trace_file_create(struct trace_file *, struct text *why);
/* The last creation was refused because of max_traces. */
extern bool trace_file_too_many;
/* Removes the file if its name still leads to it. */
void trace_file_remove(const struct trace_file *);
/* The path that options.trace stands for, with that suffix (0: none). False: too long. */
bool trace_file_name(struct text *, const char *directory, unsigned suffix);

/* The same for any process: its executable's path, its pid, the directory for a template without one. */
struct trace_file_naming {
    const char *program;
    uint64_t pid;
    const char *directory; /* "": none */
};
bool trace_file_name_of(struct text *, const struct trace_file_naming *, unsigned suffix);
/* Whether the directory of that file holds max_traces traces. Uses 3 KiB of stack, and no other memory. */
bool trace_file_too_many_beside(const char *path);
/* Field 22 of /proc/PID/stat: when the process began; 0: unknown. */
uint64_t trace_file_start_ticks(uint32_t pid);

/*
 * A file system of that statfs type keeps the blocks that a page once had: no later store needs a
 * new one, or the network.
 */
bool trace_file_system_will_do(uint64_t type);

/*
 * trace_region.c: the regions of a fresh file, all sizes multiples of 4096 that add up to no more
 * than size.
 */
void trace_region_layout(struct trace_region regions[TRACE_REGION_COUNT], uint64_t size);
/* The pointers and limits of a map from its header. */
void trace_region_map(struct trace_map *);
/* trace_populate for a map that is not published yet. */
bool trace_region_populate(struct trace_map *, enum trace_region_kind, uint64_t end);
/*
 * The journal's ring ends where its blocks end, because no more are to be had; false: it does
 * already.
 */
bool trace_region_shrink_journal(struct trace_map *, uint64_t limit);
/* Nothing grows from here. */
void trace_region_fix(bool);
/* intern.c: new tables for a fresh map. */
bool intern_open(const struct trace_map *);
/* slot.c: new free lists for a fresh map. */
bool slot_reset(const struct trace_map *);

#endif
