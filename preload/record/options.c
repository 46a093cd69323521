/* HTTPLEAK_OPTIONS: key=value pairs separated by ':', a value with ':' in it between quotes. */
#include "record/options.h"

#include <string.h>

#include "httpleak/trace.h"
#include "record/sys.h"
#include "record/text.h"

#define DEFAULT_TRACE "httpleak.%e.%p.trace"
#define DEFAULTS                                                                                   \
    {                                                                                              \
        .trace = DEFAULT_TRACE, .stack_depth = 32, .max_trace = 64ull << 20, .max_traces = 1000,   \
        .summary = true, .children = true, .record_paths = true, .active = true                    \
    }
#define MAX_TRACE_LEAST (64ull << 10)
#define MAX_TRACE_MOST (16ull << 30) /* ids are 32 bits of 8 bytes each */

struct options options = DEFAULTS;

struct word {
    const char *at;
    size_t length;
};

struct parsing {
    const char *program;
    bool only_given, only_matches, skip_matches;
};

static bool word_is(struct word w, const char *s) {
    return strlen(s) == w.length && memcmp(w.at, s, w.length) == 0;
}

/* What the user wrote, safe for a terminal. */
static void put_word(struct text *t, struct word w) {
    for (size_t i = 0; i < w.length && i < 64; i++) {
        const char c = w.at[i];
        text_put_n(t, c >= ' ' && c != 127 ? &c : "?", 1);
    }
    if (w.length > 64) text_put(t, "...");
}

static void warn(const char *what, struct word w, const char *then) {
    char line[512];
    struct text t = TEXT_ON(line);
    text_put(&t, "httpleak: HTTPLEAK_OPTIONS: ");
    text_put(&t, what);
    text_put(&t, "\"");
    put_word(&t, w);
    text_put(&t, "\"");
    text_put(&t, then);
    text_put(&t, "\n");
    sys_say(line, t.length);
}

/* Digits and, if sizes are meant, one of k, m, g; false: not that, or out of range. */
static bool parse_number(struct word w, bool is_size, uint64_t least, uint64_t most,
                         uint64_t *out) {
    char digits[24];
    if (w.length == 0 || w.length >= sizeof digits) return false;
    memcpy(digits, w.at, w.length);
    digits[w.length] = 0;
    const char *end;
    uint64_t n = text_u64(digits, &end);
    if (end == digits) return false;
    unsigned shift = 0;
    if (is_size && *end) {
        const char unit = (char)(*end | 0x20);
        shift = unit == 'k' ? 10 : unit == 'm' ? 20 : unit == 'g' ? 30 : 0;
        if (shift) end++;
    }
    if (*end || n > (UINT64_MAX >> shift)) return false;
    n <<= shift;
    if (n < least || n > most) return false;
    *out = n;
    return true;
}

static const char *set_number(uint32_t *field, struct word value, uint64_t least, uint64_t most,
                              const char *expected) {
    uint64_t n;
    if (!parse_number(value, false, least, most, &n)) return expected;
    *field = (uint32_t)n;
    return 0;
}

static const char *set_bool(bool *field, struct word value) {
    if (!word_is(value, "0") && !word_is(value, "1")) return "0 or 1";
    *field = value.at[0] == '1';
    return 0;
}

static const char *set_trace(struct word value) {
    if (value.length == 0 || value.length >= sizeof options.trace ||
        value.at[value.length - 1] == '/' || memchr(value.at, '\n', value.length))
        return "the path of a file, at most 1023 bytes";
    for (size_t i = 0; i < value.length; i++) {
        if (value.at[i] != '%') continue;
        if (++i == value.length || !memchr("epht%", value.at[i], 5))
            return "a path with %e, %p, %h, %t or %% in it";
    }
    memcpy(options.trace, value.at, value.length);
    options.trace[value.length] = 0;
    options.trace_named = true;
    return 0;
}

static bool list_has(struct word list, const char *name) {
    while (list.length) {
        const char *comma = memchr(list.at, ',', list.length);
        struct word one = {list.at, comma ? (size_t)(comma - list.at) : list.length};
        if (word_is(one, name)) return true;
        if (!comma) break;
        list.at += one.length + 1;
        list.length -= one.length + 1;
    }
    return false;
}

/* NULL: taken; else what the value should have been. "" for an unknown key. */
static const char *set_option(struct parsing *p, struct word key, struct word value) {
    if (word_is(key, "trace")) return set_trace(value);
    if (word_is(key, "stack_depth"))
        return set_number(&options.stack_depth, value, 1, TRACE_STACK_DEPTH_MAX,
                          "a number from 1 to 128");
    if (word_is(key, "max_traces"))
        return set_number(&options.max_traces, value, 1, 1000000, "a number from 1 to 1000000");
    if (word_is(key, "max_trace"))
        return parse_number(value, true, MAX_TRACE_LEAST, MAX_TRACE_MOST, &options.max_trace)
                   ? 0
                   : "a size from 64k to 16g (k, m, g)";
    if (word_is(key, "summary")) return set_bool(&options.summary, value);
    if (word_is(key, "children")) return set_bool(&options.children, value);
    if (word_is(key, "record_paths")) return set_bool(&options.record_paths, value);
    if (word_is(key, "record_argv")) return set_bool(&options.record_argv, value);
    if (word_is(key, "verbose")) return set_bool(&options.verbose, value);
    const bool only = word_is(key, "only");
    if (!only && !word_is(key, "skip")) return "";
    if (value.length == 0) return "names of programs, separated by ','";
    const bool named = p->program && list_has(value, p->program);
    if (only)
        p->only_given = true, p->only_matches |= named;
    else
        p->skip_matches |= named;
    return 0;
}

static void take_option(struct parsing *p, struct word pair) {
    const char *equals = memchr(pair.at, '=', pair.length);
    struct word key = {pair.at, equals ? (size_t)(equals - pair.at) : pair.length};
    struct word value = {0, 0};
    if (equals) value.at = equals + 1, value.length = pair.length - key.length - 1;
    if (!equals) {
        warn("key=value expected, not ", pair, "; ignored");
        return;
    }
    if (value.length >= 2 && (value.at[0] == '\'' || value.at[0] == '"') &&
        value.at[value.length - 1] == value.at[0])
        value.at++, value.length -= 2;
    const char *expected = set_option(p, key, value);
    if (!expected) return;
    if (!*expected) {
        warn("unknown key ", key,
             "; known are trace, stack_depth, max_trace, max_traces, summary, children, "
             "record_paths, record_argv, "
             "only, skip, verbose");
        return;
    }
    char then[160];
    struct text t = TEXT_ON(then);
    text_put(&t, " ignored: expected ");
    text_put(&t, expected);
    warn("", pair, then);
}

/* The pair ends at the next ':' that stands outside of the quotes its value opens with. */
static size_t pair_length(const char *s) {
    size_t n = 0;
    while (s[n] && s[n] != ':' && s[n] != '=')
        n++;
    if (s[n] == '=' && (s[n + 1] == '\'' || s[n + 1] == '"')) {
        const char *close = strchr(s + n + 2, s[n + 1]);
        if (close) n = (size_t)(close - s);
    }
    while (s[n] && s[n] != ':')
        n++;
    return n;
}

void options_parse(const char *text, const char *program) {
    static const struct options defaults = DEFAULTS;
    struct parsing p = {.program = program};
    options = defaults;
    while (text && *text) {
        const size_t n = pair_length(text);
        if (n) take_option(&p, (struct word){text, n});
        text += n;
        if (*text == ':') text++;
    }
    if (p.skip_matches || (p.only_given && !p.only_matches)) options.active = false;
}

bool options_leave_out(const char *text, const char *program) {
    bool only_given = false, only_matches = false, skip_matches = false;
    while (text && *text) {
        const size_t n = pair_length(text);
        const bool only = n > 5 && memcmp(text, "only=", 5) == 0;
        if (only || (n > 5 && memcmp(text, "skip=", 5) == 0)) {
            const bool named = list_has((struct word){text + 5, n - 5}, program);
            only_given |= only;
            only_matches |= only && named;
            skip_matches |= !only && named;
        }
        text += n;
        if (*text == ':') text++;
    }
    return skip_matches || (only_given && !only_matches);
}
