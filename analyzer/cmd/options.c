/* Command lines parsed by the option table. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/verb.h"
#include "rules/rules.h"

void verb_error(const char *verb, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s%s%s: ", TOOL_NAME, verb ? " " : "", verb ? verb : "");
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

static bool options_seconds(const char *text, double *seconds) {
    char *end = NULL;
    if (!isdigit((unsigned char)*text) && *text != '.') return false;
    *seconds = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*seconds) && *seconds <= 1e9;
}

static bool options_count(const char *text, unsigned long *count) {
    char *end = NULL;
    if (!isdigit((unsigned char)*text)) return false;
    errno = 0;
    *count = strtoul(text, &end, 10);
    return *end == '\0' && errno == 0 && *count > 0;
}

/* Returns what was expected, NULL if all is well. */
static const char *options_set(struct verb_options *o, enum verb_option_id id, const char *value) {
    switch (id) {
    case OPTION_JSON: o->json = value; return *value ? NULL : "a file name or '-'";
    case OPTION_OUTPUT: o->output = value; return *value ? NULL : "a directory";
    case OPTION_HOST: o->host = value; return *value ? NULL : "a host name or pattern";
    case OPTION_SOURCE_ROOT: o->source_root = value; return *value ? NULL : "a directory";
    case OPTION_GRACE: return options_seconds(value, &o->grace_s) ? NULL : "a number of seconds";
    case OPTION_LIMIT: return options_count(value, &o->limit) ? NULL : "a whole number above 0";
    case OPTION_FAIL_ON:
        return rules_severity_parse(value, &o->fail_on) ? NULL : "error, warning, note or never";
    case OPTION_QUIET: o->quiet = true; return NULL;
    case OPTION_FULL_STACKS: o->full_stacks = true; return NULL;
    case OPTION_DEBUGINFOD: o->debuginfod = true; return NULL;
    case OPTION_REQUIRE_SEEN: o->require_seen = true; return NULL;
    case OPTION_CHECK: o->check = true; return NULL;
    case OPTION_VERBOSE: o->verbose = true; return NULL;
    case OPTION_HELP: o->help = true; return NULL;
    case OPTION_COUNT: break;
    }
    return "another option";
}

int verb_parse(const struct verb *verb, int argc, char **argv, struct verb_options *options,
               char *error, size_t size) {
    struct option long_options[OPTION_COUNT + 1] = {0};
    char letters[2 * OPTION_COUNT + 3], *l = letters;
    int count = 0;
    *options = (struct verb_options){.grace_s = RULES_GRACE_DEFAULT_S, .fail_on = SEVERITY_ERROR};
    if (verb->stops_early) *l++ = '+';
    *l++ = ':'; /* a missing argument is told from an unknown option */
    for (int id = 0; id < OPTION_COUNT; id++) {
        const struct verb_option *row = &verb_option_table[id];
        if (!(verb->options & 1u << id)) continue;
        long_options[count++] = (struct option){
            row->name, row->argument ? required_argument : no_argument, NULL, 256 + id};
        if (row->letter) *l++ = row->letter;
        if (row->letter && row->argument) *l++ = ':';
    }
    *l = '\0';
    optind = 0; /* GNU: start afresh, also after an earlier parse */
    opterr = 0;
    for (;;) {
        const char *word = argv[optind ? optind : 1];
        int found = getopt_long(argc, argv, letters, long_options, NULL);
        if (found == -1) return optind;
        if (found == '?' || found == ':') {
            /* With a bundle of letters ("-qx") the word is the bundle; optopt names the letter. */
            bool letter = word && word[0] == '-' && word[1] != '-' && optopt && optopt < 256;
            char name[3] = {'-', (char)optopt, '\0'};
            const char *shown = letter ? name : word ? word : "?", *after = "";
            const char *before = "unknown option";
            if (found == ':')
                before = "option", after = " needs a value";
            else if (!letter && optopt >= 256)
                before = "option", after = " takes no value";
            snprintf(error, size, "%s '%s'%s (see %s %s --help)", before, shown, after, TOOL_NAME,
                     verb->name);
            return -1;
        }
        for (int id = 0; id < OPTION_COUNT; id++) {
            if (!(verb->options & 1u << id) ||
                (found != 256 + id && found != verb_option_table[id].letter))
                continue;
            const char *expected = options_set(options, (enum verb_option_id)id, optarg);
            if (!expected) break;
            snprintf(error, size, "option --%s: '%s' is not what was expected: %s",
                     verb_option_table[id].name, optarg, expected);
            return -1;
        }
    }
}
