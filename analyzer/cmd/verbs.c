/* The one table of verbs and options: dispatch, help, manual page and completion come from here. */
#include <string.h>

#include "cmd/verb.h"

#define BIT(option) (1u << OPTION_##option)
#define JUDGING                                                                                    \
    (BIT(JSON) | BIT(QUIET) | BIT(FAIL_ON) | BIT(GRACE) | BIT(HOST) | BIT(LIMIT) |                 \
     BIT(SOURCE_ROOT) | BIT(FULL_STACKS) | BIT(DEBUGINFOD) | BIT(REQUIRE_SEEN) | BIT(VERBOSE) |    \
     BIT(HELP))

const struct verb_option verb_option_table[OPTION_COUNT] = {
    [OPTION_JSON] =
        {"json", 0, "FILE", NULL,
         "write the report as JSON to FILE; '-' is standard output, in place of the text"},
    [OPTION_QUIET] = {"quiet", 'q', NULL, NULL, "no text report"},
    [OPTION_FAIL_ON] = {"fail-on", 0, "SEVERITY", "error warning note never",
                        "exit 23 if there is a finding of SEVERITY or worse (default: error)"},
    [OPTION_GRACE] =
        {"grace", 0, "SECONDS", NULL,
         "how long something may stand still in a live process before it counts (default: 5)"},
    [OPTION_HOST] = {"host", 0, "GLOB", NULL, "only hosts whose name matches GLOB"},
    [OPTION_LIMIT] = {"limit", 0, "N", NULL, "show the N worst findings only"},
    [OPTION_SOURCE_ROOT] = {"source-root", 0, "DIR", NULL,
                            "look for source files below DIR, whatever place they were built in"},
    [OPTION_FULL_STACKS] = {"full-stacks", 0, NULL, NULL,
                            "show every frame, also those inside libraries"},
    [OPTION_DEBUGINFOD] = {"debuginfod", 0, NULL, NULL,
                           "ask the servers in DEBUGINFOD_URLS for missing debug information "
                           "(default: stay offline)"},
    [OPTION_REQUIRE_SEEN] = {"require-seen", 0, NULL, NULL,
                             "fail if no client connection could be followed"},
    [OPTION_OUTPUT] = {"output", 'o', "DIR", NULL,
                       "keep the traces in DIR, which is made if it is not there"},
    [OPTION_CHECK] = {"check", 0, NULL, NULL,
                      "replay the journal against slots and counters instead of printing it"},
    [OPTION_VERBOSE] = {"verbose", 'v', NULL, NULL,
                        "say on standard error what is used: library, traces, unwinder"},
    [OPTION_HELP] = {"help", 'h', NULL, NULL, "this help"},
};

const struct verb verb_table[] = {
    {"run", "[options] -- COMMAND [ARG]...",
     "run a command and every process it starts, then report",
     "Runs COMMAND with the recorder preloaded into it and into what it starts, and prints one "
     "report of all of them when COMMAND ends. Processes that are still running then are reported "
     "as they stand. Traces live in a private temporary directory and are removed after the "
     "report, unless -o keeps them.\n\n"
     "The exit status is COMMAND's own (128+N if signal N ended it). If that is 0 and a finding "
     "at or above --fail-on remains, it is 23. Failures of httpleak itself are 125; 126 says that "
     "COMMAND cannot be executed, 127 that there is none.",
     JUDGING | BIT(OUTPUT), true, EXIT_RUN_FAILED, verb_run},
    {"report", "[options] [TRACE|DIR]...",
     "the report of traces: finished, killed, or still being written",
     "Reads traces and says per host which response bodies were never closed, which threads are "
     "stranded behind them, and which line asked for each. Several traces make one report; a "
     "directory stands for the traces in it; without any, the newest httpleak.*.trace in the "
     "working directory is taken.\n\n"
     "The exit status is 0, 23 if a finding at or above --fail-on remains, and 2 for wrong usage "
     "or an unreadable trace.",
     JUDGING, false, EXIT_USAGE, verb_report},
    {"dump", "[--check] TRACE...", "every record of a trace, one line each",
     "Prints header, tables, slots and journal as lines of KEY=VALUE, for grep and for whoever "
     "debugs httpleak. With --check prints nothing but what is wrong: replaying a journal that "
     "has not wrapped must give what slots and counters say.\n\n"
     "The exit status is 0, 1 if --check found a difference, and 2 for wrong usage or an "
     "unreadable trace.",
     BIT(CHECK) | BIT(HELP), false, EXIT_USAGE, verb_dump},
    {"doctor", "-- COMMAND [ARG]...", "what would be seen of a program and what not, and why",
     "Looks at COMMAND and its libraries without running it: whether a preloaded library reaches "
     "it at all, which TLS libraries would be followed, what stays hidden inside its runtime, "
     "whether a trace could be written here.\n\n"
     "The exit status is 0, 2 for wrong usage, and 127 if there is no such command.",
     BIT(HELP), true, EXIT_USAGE, verb_doctor},
    {"explain", "[RULE]", "what a rule means, the usual mistake, the usual mend",
     "Explains a rule of the report. Without a rule lists them all.\n\n"
     "The exit status is 0, and 2 for a rule that does not exist.",
     BIT(HELP), false, EXIT_USAGE, verb_explain},
    {NULL, NULL, NULL, NULL, 0, false, 0, NULL},
};

const struct verb *verb_find(const char *name) {
    for (const struct verb *v = verb_table; v->name; v++)
        if (strcmp(v->name, name) == 0) return v;
    return NULL;
}
