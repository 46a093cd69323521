/*
 * Trace files in directories: where `run` lets them be written, which are new, which is the newest.
 */
#ifndef HTTPLEAK_TRACES_H
#define HTTPLEAK_TRACES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct traces_list {
    char **paths; /* sorted by age, oldest first */
    size_t count;
};

/*
 * Every trace in a directory, by name (httpleak.*.trace, with the suffix that a second one of a
 * name gets). False with errno when the directory cannot be read.
 */
bool traces_in_directory(const char *directory, struct traces_list *list);
/* What a template of HTTPLEAK_OPTIONS trace= may have given: its fields stand for anything. */
void traces_of_template(const char *template, struct traces_list *list);
void traces_free(struct traces_list *list);

/* The place where one `run` finds its traces. */
struct traces_place {
    char *directory;           /* absolute */
    bool temporary;            /* ours: removed at the end */
    char *template;            /* the user's own trace=, NULL: none */
    struct traces_list before; /* what was there already */
};

/*
 * output: directory to keep (made if missing), NULL: a private temporary one. False with one line
 * in `error`.
 */
bool traces_place_open(struct traces_place *place, const char *output, char *error, size_t size);
/* The traces that were not there when the place was opened. */
bool traces_place_new(const struct traces_place *place, struct traces_list *list);
/* Removes a temporary directory with what is in it. */
void traces_place_close(struct traces_place *place);

#endif
