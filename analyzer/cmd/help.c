/* Help, manual page and completion, all printed from the tables of verbs.c. */
#include <string.h>

#include "cmd/verb.h"

enum { HELP_WIDTH = 96 };

/* Breaks text at spaces; the first line starts at column `at`, all others at `indent`. */
static void help_wrap(FILE *out, const char *text, int at, int indent) {
    int column = at;
    while (*text) {
        size_t n = strcspn(text, " \n");
        if (column > indent && column + 1 + (int)n > HELP_WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, n, out);
        column += (int)n;
        text += n;
        if (strncmp(text, "\n\n", 2) == 0) {
            fprintf(out, "\n\n%*s", indent, "");
            column = indent;
        }
        text += strspn(text, " \n");
    }
    fputc('\n', out);
}

void help_text(FILE *out, const char *text, int indent) {
    fprintf(out, "%*s", indent, "");
    help_wrap(out, text, indent, indent);
}

static void help_option(FILE *out, const struct verb_option *o) {
    enum { COLUMN = 28 };
    char left[64];
    int n = snprintf(left, sizeof left, "  %c%c%s--%s%s%s", o->letter ? '-' : ' ',
                     o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
                     o->argument ? "=" : "", o->argument ? o->argument : "");
    fprintf(out, "%-*s", COLUMN, left);
    if (n >= COLUMN) fprintf(out, "\n%*s", COLUMN, "");
    help_wrap(out, o->help, COLUMN, COLUMN);
}

void help_verb(const struct verb *verb, FILE *out) {
    fprintf(out, "Usage: %s %s %s\n\n", TOOL_NAME, verb->name, verb->synopsis);
    help_wrap(out, verb->text, 0, 0);
    fprintf(out, "\nOptions:\n");
    for (int id = 0; id < OPTION_COUNT; id++)
        if (verb->options & 1u << id) help_option(out, &verb_option_table[id]);
}

void help_overview(FILE *out) {
    fprintf(out, "httpleak finds HTTP client leaks in programs that nobody recompiles: response "
                 "bodies that were\n"
                 "never closed, and the connections and threads stranded behind them, with the "
                 "line that asked.\n\n");
    for (const struct verb *v = verb_table; v->name; v++) {
        fprintf(out, "%s %s %s %s\n", v == verb_table ? "Usage:" : "      ", TOOL_NAME, v->name,
                v->synopsis);
    }
    fprintf(out, "\n");
    for (const struct verb *v = verb_table; v->name; v++)
        fprintf(out, "  %-10s %s\n", v->name, v->summary);
    fprintf(out, "  %-10s %s\n", "help", "this help, or that of a verb: httpleak help VERB");
    fprintf(out, "\nhttpleak --version, --man (manual page), --completion (for bash: source "
                 "<(httpleak --completion))\n"
                 "Without httpleak: LD_PRELOAD=/path/libhttpleak.so COMMAND leaves a trace in the "
                 "working directory.\n");
}

/* roff takes a leading dot or quote for a request and a dash for a hyphen. */
static void help_roff(FILE *out, const char *text) {
    bool start = true;
    for (; *text; text++) {
        if (strncmp(text, "\n\n", 2) == 0) {
            fputs("\n.PP\n", out);
            start = true;
            text++;
            continue;
        }
        if (start && (*text == '.' || *text == '\'')) fputs("\\&", out);
        if (*text == '-' || *text == '\\') fputc('\\', out);
        fputc(*text, out);
        start = false;
    }
}

static void help_manual_verb(FILE *out, const struct verb *v) {
    fprintf(out, ".SS %s\n.B %s %s\n", v->name, TOOL_NAME, v->name);
    help_roff(out, v->synopsis);
    fprintf(out, "\n.PP\n");
    help_roff(out, v->text);
    fputc('\n', out);
    for (int id = 0; id < OPTION_COUNT; id++) {
        const struct verb_option *o = &verb_option_table[id];
        if (!(v->options & 1u << id)) continue;
        fprintf(out, ".TP\n");
        if (o->letter) fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
        fprintf(out, "\\fB\\-\\-");
        help_roff(out, o->name);
        fprintf(out, "\\fR");
        if (o->argument) fprintf(out, "=\\fI%s\\fR", o->argument);
        fputc('\n', out);
        help_roff(out, o->help);
        fputc('\n', out);
    }
}

void help_manual(FILE *out) {
    fprintf(out,
            ".TH HTTPLEAK 1 \"\" \"%s %s\" \"User Commands\"\n.SH NAME\n%s \\- find HTTP client "
            "leaks in running programs\n"
            ".SH SYNOPSIS\n",
            TOOL_NAME, TOOL_VERSION, TOOL_NAME);
    for (const struct verb *v = verb_table; v->name; v++) {
        fprintf(out, ".B %s %s\n", TOOL_NAME, v->name);
        help_roff(out, v->synopsis);
        fprintf(out, "\n.br\n");
    }
    fprintf(out, ".SH DESCRIPTION\nFinds HTTP client leaks in programs that nobody recompiles: "
                 "response bodies that were never "
                 "closed, connections that nothing will use again, and the reader and writer "
                 "threads stranded behind them, per "
                 "host, with the line of the caller's own code.\n.SH COMMANDS\n");
    for (const struct verb *v = verb_table; v->name; v++)
        help_manual_verb(out, v);
    fprintf(out, ".SH ENVIRONMENT\n.TP\n\\fBHTTPLEAK_OPTIONS\\fR\nkey=value pairs for the "
                 "recorder, separated by colons: trace, "
                 "stack_depth, max_trace, max_traces, summary, children, record_paths, "
                 "record_argv, only, skip, verbose.\n"
                 ".TP\n\\fBTMPDIR\\fR\nwhere \\fBrun\\fR keeps traces while it needs them.\n"
                 ".TP\n\\fBNO_COLOR\\fR\nno colours, also on a terminal.\n"
                 ".SH EXIT STATUS\n0, or 23 for findings; see each command.\n");
}

void help_completion_bash(FILE *out) {
    fprintf(
        out,
        "_httpleak() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} "
        "verb=${COMP_WORDS[1]}\n"
        "    [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}\n    [[ $cur == = ]] && cur=\n"
        "    COMPREPLY=()\n    if ((COMP_CWORD == 1)); then\n        COMPREPLY=($(compgen -W "
        "\"help");
    for (const struct verb *v = verb_table; v->name; v++)
        fprintf(out, " %s", v->name);
    fprintf(out, "\" -- \"$cur\"))\n        return\n    fi\n    case $prev in\n");
    for (int id = 0; id < OPTION_COUNT; id++) {
        const struct verb_option *o = &verb_option_table[id];
        if (o->values)
            fprintf(out, "    --%s) COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return ;;\n",
                    o->name, o->values);
    }
    fprintf(out, "    esac\n    local options=\n    case $verb in\n");
    for (const struct verb *v = verb_table; v->name; v++) {
        fprintf(out, "    %s) options=\"", v->name);
        const char *space = "";
        for (int id = 0; id < OPTION_COUNT; id++) {
            if (!(v->options & 1u << id)) continue;
            fprintf(out, "%s--%s%s", space, verb_option_table[id].name,
                    verb_option_table[id].argument ? "=" : "");
            space = " ";
        }
        fprintf(out, "\" ;;\n");
    }
    fprintf(out, "    esac\n    if [[ $cur == -* ]]; then\n        COMPREPLY=($(compgen -W "
                 "\"$options\" -- \"$cur\"))\n"
                 "        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
                 "    else\n        COMPREPLY=($(compgen -f -- \"$cur\"))\n    fi\n}\ncomplete -o "
                 "filenames -F _httpleak httpleak\n");
}
