/* Whose code an interpreted file is: by where interpreters and package managers put theirs. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "httpleak/trace.h"
#include "symbol/symbol.h"

static const char *const names[] = {NULL, "python", "ruby", "php", "javascript", "java"};

const char *symbol_language_name(uint32_t language) {
    return language < sizeof names / sizeof *names ? names[language] : NULL;
}

/* Where libraries are; in a file's whole path, of Java in the class's name. */
static const struct {
    uint32_t language;
    const char *pattern;
} libraries[] = {
    {TRACE_LANGUAGE_PYTHON, "*/site-packages/*"},
    {TRACE_LANGUAGE_PYTHON, "*/dist-packages/*"},
    {TRACE_LANGUAGE_PYTHON, "*/lib*/python[23].*/*"},
    {TRACE_LANGUAGE_PYTHON, "*/python[23]*.zip/*"},
    {TRACE_LANGUAGE_PYTHON, "<frozen *"},
    {TRACE_LANGUAGE_PYTHON, "<__array_function__*"},
    {TRACE_LANGUAGE_RUBY, "*/lib*/ruby/[0-9]*"},
    {TRACE_LANGUAGE_RUBY, "*/lib*/ruby/vendor_ruby/*"},
    {TRACE_LANGUAGE_RUBY, "*/share/ruby/*"},
    {TRACE_LANGUAGE_RUBY, "*/share/rubygems-integration/*"},
    {TRACE_LANGUAGE_RUBY, "*/gems/*"},
    {TRACE_LANGUAGE_RUBY, "<internal:*"},
    {TRACE_LANGUAGE_PHP, "*/vendor/*"},
    {TRACE_LANGUAGE_PHP, "*/share/php/*"},
    {TRACE_LANGUAGE_PHP, "phar://*"},
    {TRACE_LANGUAGE_JAVASCRIPT, "node:*"},
    {TRACE_LANGUAGE_JAVASCRIPT, "*/node_modules/*"},
    {TRACE_LANGUAGE_JAVA, "java.*"},
    {TRACE_LANGUAGE_JAVA, "javax.*"},
    {TRACE_LANGUAGE_JAVA, "jdk.*"},
    {TRACE_LANGUAGE_JAVA, "sun.*"},
    {TRACE_LANGUAGE_JAVA, "com.sun.*"},
};

enum symbol_kind symbol_script_kind(uint32_t language, const char *file) {
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++)
        if (libraries[i].language == language && fnmatch(libraries[i].pattern, file, 0) == 0)
            return SYMBOL_CLIENT;
    return SYMBOL_USER;
}

/* The few lines that a package manager writes to start a program: /usr/bin/http, venv/bin/celery. */
static bool is_starter(const struct symbol_frame *frame) {
    const char *slash = strrchr(frame->module, '/');
    if (!frame->function || strcmp(frame->function, "<module>") != 0 || !slash) return false;
    size_t n = (size_t)(slash - frame->module);
    return (n >= 4 && memcmp(slash - 4, "/bin", 4) == 0) ||
           (n >= 5 && memcmp(slash - 5, "/sbin", 5) == 0);
}

/* The package that a file belongs to: the end of its directory's name in the path; 0: none. */
static size_t package_end(const char *file) {
    static const char *const places[] = {"/site-packages/", "/dist-packages/", "/node_modules/"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *at = strstr(file, places[i]);
        if (!at) continue;
        at += strlen(places[i]);
        return (size_t)(at - file) + strcspn(at, "/.");
    }
    return 0;
}

void symbol_find_program(struct symbol_frame *frames, size_t count) {
    const struct symbol_frame *outermost = NULL;
    size_t end = 0;
    for (size_t i = count; i-- > 0;) {
        if (!frames[i].interpreted) continue;
        if (frames[i].kind == SYMBOL_USER && !is_starter(&frames[i])) return;
        if (!outermost && (end = package_end(frames[i].module)) != 0) outermost = &frames[i];
    }
    if (!outermost) return;
    for (size_t i = 0; i < count; i++) {
        struct symbol_frame *frame = &frames[i];
        if (!frame->interpreted) continue;
        const bool own = package_end(frame->module) == end &&
                         strncmp(frame->module, outermost->module, end) == 0;
        frame->kind = own ? SYMBOL_USER : SYMBOL_CLIENT;
        frame->user = own;
    }
}

const char *symbol_switches(const char *interpreter) {
    static const struct {
        const char *pattern, *switches;
    } table[] = {
        {"node", "node --perf-basic-prof --interpreted-frames-native-stack names the JavaScript "
                 "functions that were running"},
        {"nodejs",
         "nodejs --perf-basic-prof --interpreted-frames-native-stack names the JavaScript "
         "functions that were running"},
        {"libnode.so*", "--perf-basic-prof --interpreted-frames-native-stack names the JavaScript "
                        "functions that were running"},
        {"java", "java -XX:+PreserveFramePointer -XX:+UnlockDiagnosticVMOptions "
                 "-XX:+DumpPerfMapAtExit names the methods that were compiled"},
        {"libjvm.so", "java -XX:+PreserveFramePointer -XX:+UnlockDiagnosticVMOptions "
                      "-XX:+DumpPerfMapAtExit names the methods that were compiled"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (fnmatch(table[i].pattern, interpreter, 0) == 0) return table[i].switches;
    return NULL;
}
