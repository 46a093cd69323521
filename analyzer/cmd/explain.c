/* httpleak explain: what a rule means, from the table that the report is made with. */
#include "cmd/verb.h"
#include "rules/rules.h"

int verb_explain(const struct verb_options *options, int count, char **operands) {
    (void)options;
    if (count > 1) {
        verb_error("explain", "one rule at a time was expected, not %d (see %s explain --help)",
                   count, TOOL_NAME);
        return EXIT_USAGE;
    }
    const struct rule *rule = count ? rules_find(operands[0]) : NULL;
    if (count && !rule) {
        fprintf(stderr, "%s explain: no rule is called '%s'; there are", TOOL_NAME, operands[0]);
        for (const struct rule *const *r = rules_table; *r; r++)
            fprintf(stderr, "%s %s", r == rules_table ? "" : ",", (*r)->id);
        fputc('\n', stderr);
        return EXIT_USAGE;
    }
    if (!rule) {
        for (const struct rule *const *r = rules_table; *r; r++)
            printf("%-22s %s\n", (*r)->id, rules_severity_name((*r)->severity));
        return EXIT_CLEAN;
    }
    printf("%s (%s)\n\n", rule->id, rules_severity_name(rule->severity));
    help_text(stdout, rule->meaning, 2);
    printf("\nThe usual mistake\n");
    help_text(stdout, rule->mistake, 2);
    printf("\nThe usual mend\n");
    help_text(stdout, rule->mend, 2);
    return EXIT_CLEAN;
}
