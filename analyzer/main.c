/* httpleak: reads what libhttpleak.so recorded. Finds the verb and hands over to it. */
#include <stdlib.h>
#include <string.h>

#include "cmd/verb.h"

/* Output that could not be written must not look like a success. */
static int main_flush(int status, int failed) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    verb_error(NULL, "cannot write to standard output: %m");
    return status ? status : failed;
}

static int main_help(const char *name) {
    if (!name) {
        help_overview(stdout);
        return main_flush(EXIT_CLEAN, EXIT_USAGE);
    }
    const struct verb *verb = verb_find(name);
    if (!verb) {
        verb_error(NULL, "'%s' is not a verb (see %s --help)", name, TOOL_NAME);
        return EXIT_USAGE;
    }
    help_verb(verb, stdout);
    return main_flush(EXIT_CLEAN, EXIT_USAGE);
}

/* Options that stand in place of a verb; -1: it is none. */
static int main_global(const char *word, const char *operand) {
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
        return main_help(operand);
    if (strcmp(word, "--version") == 0)
        printf("%s %s\n", TOOL_NAME, TOOL_VERSION);
    else if (strcmp(word, "--man") == 0)
        help_manual(stdout);
    else if (strcmp(word, "--completion") == 0)
        help_completion_bash(stdout);
    else
        return -1;
    return main_flush(EXIT_CLEAN, EXIT_USAGE);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        verb_error(NULL, "which verb? (see %s --help)", TOOL_NAME);
        return EXIT_USAGE;
    }
    const struct verb *verb = verb_find(argv[1]);
    if (!verb) {
        int status = main_global(argv[1], argv[2]);
        if (status >= 0) return status;
        verb_error(NULL, "'%s' is not a verb (see %s --help)", argv[1], TOOL_NAME);
        return EXIT_USAGE;
    }
    struct verb_options options;
    char error[512];
    int first = verb_parse(verb, argc - 1, argv + 1, &options, error, sizeof error);
    if (first < 0) {
        verb_error(verb->name, "%s", error);
        return verb->usage_status;
    }
    if (options.help) return main_help(verb->name);
    int status = verb->run(&options, argc - 1 - first, argv + 1 + first);
    return main_flush(status, verb->usage_status);
}
