/* Whose code an interpreted file is: by where interpreters and package managers put theirs. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "httpleak/trace.h"
#include "model/arena.h"
#include "symbol/symbol.h"

static const char *const names[] = {NULL,         "python", "ruby", "php",
                                    "javascript", "java",   "perl", "lua"};

const char *symbol_language_name(uint32_t language) {
    return language < sizeof names / sizeof *names ? names[language] : NULL;
}

const char *symbol_script_module(struct arena *arena, const struct symbol_address *address) {
    const char *file = address->file && address->file[0] ? address->file : "<unknown>";
    const char *dot = address->function ? strrchr(address->function, '.') : NULL;
    if (address->language != TRACE_LANGUAGE_JAVA || !address->line || !dot)
        return arena_copy(arena, file);
    return arena_format(arena, "%.*s", (int)(dot - address->function), address->function);
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
    {TRACE_LANGUAGE_PERL, "*/share/perl/5.*/*"},
    {TRACE_LANGUAGE_PERL, "*/share/perl5/*"},
    {TRACE_LANGUAGE_PERL, "*/lib*/perl/5.*/*"},
    {TRACE_LANGUAGE_PERL, "*/lib*/perl5/*"},
    {TRACE_LANGUAGE_PERL, "*/lib*/perl-base/*"},
    {TRACE_LANGUAGE_PERL, "*/perl-5.*/lib/5.*/*"}, /* perlbrew */
    {TRACE_LANGUAGE_PERL, "*/site_perl/*"},
    {TRACE_LANGUAGE_PERL, "*/vendor_perl/*"},
    {TRACE_LANGUAGE_PERL,
     "* (autosplit into *"}, /* as only installing does; named by where it was built */
    {TRACE_LANGUAGE_PERL, "(eval [0-9]*"}, /* text: no file, and a number that no two runs share */
    {TRACE_LANGUAGE_LUA, "*/share/lua/5.*"},
    {TRACE_LANGUAGE_LUA, "*/lib*/lua/5.*"},
    {TRACE_LANGUAGE_LUA, "*/lua_modules/*"},
    {TRACE_LANGUAGE_LUA, "[[]string \"*"}, /* text: no file */
    {TRACE_LANGUAGE_JAVASCRIPT, "node:*"},
    {TRACE_LANGUAGE_JAVASCRIPT, "*/node_modules/*"},
    /* no path tells a library's class from the program's: the JDK's own, languages, clients and what they stand on */
    {TRACE_LANGUAGE_JAVA, "java.*"},
    {TRACE_LANGUAGE_JAVA, "javax.*"},
    {TRACE_LANGUAGE_JAVA, "jdk.*"},
    {TRACE_LANGUAGE_JAVA, "sun.*"},
    {TRACE_LANGUAGE_JAVA, "com.sun.*"},
    {TRACE_LANGUAGE_JAVA, "jakarta.*"},
    {TRACE_LANGUAGE_JAVA, "kotlin.*"},
    {TRACE_LANGUAGE_JAVA, "kotlinx.*"},
    {TRACE_LANGUAGE_JAVA, "scala.*"},
    {TRACE_LANGUAGE_JAVA, "groovy.*"},
    {TRACE_LANGUAGE_JAVA, "org.codehaus.groovy.*"},
    {TRACE_LANGUAGE_JAVA, "clojure.*"},
    {TRACE_LANGUAGE_JAVA, "org.apache.http.*"},
    {TRACE_LANGUAGE_JAVA, "org.apache.hc.*"},
    {TRACE_LANGUAGE_JAVA, "org.apache.commons.httpclient.*"},
    {TRACE_LANGUAGE_JAVA, "org.apache.cxf.*"},
    {TRACE_LANGUAGE_JAVA, "org.asynchttpclient.*"},
    {TRACE_LANGUAGE_JAVA, "org.eclipse.jetty.*"},
    {TRACE_LANGUAGE_JAVA, "org.glassfish.jersey.*"},
    {TRACE_LANGUAGE_JAVA, "org.jboss.resteasy.*"},
    {TRACE_LANGUAGE_JAVA, "org.springframework.*"},
    {TRACE_LANGUAGE_JAVA, "okhttp3.*"},
    {TRACE_LANGUAGE_JAVA, "okio.*"},
    {TRACE_LANGUAGE_JAVA, "com.squareup.okhttp.*"},
    {TRACE_LANGUAGE_JAVA, "retrofit2.*"},
    {TRACE_LANGUAGE_JAVA, "feign.*"},
    {TRACE_LANGUAGE_JAVA, "kong.unirest.*"},
    {TRACE_LANGUAGE_JAVA, "io.netty.*"},
    {TRACE_LANGUAGE_JAVA, "io.grpc.*"},
    {TRACE_LANGUAGE_JAVA, "io.vertx.*"},
    {TRACE_LANGUAGE_JAVA, "io.ktor.*"},
    {TRACE_LANGUAGE_JAVA, "io.micronaut.*"},
    {TRACE_LANGUAGE_JAVA, "reactor.*"},
    {TRACE_LANGUAGE_JAVA, "rx.*"},
    {TRACE_LANGUAGE_JAVA, "io.reactivex.*"},
    {TRACE_LANGUAGE_JAVA, "akka.*"},
    {TRACE_LANGUAGE_JAVA, "com.google.api.client.*"},
    {TRACE_LANGUAGE_JAVA, "software.amazon.awssdk.*"},
    {TRACE_LANGUAGE_JAVA, "com.amazonaws.*"},
};

enum symbol_kind symbol_script_kind(uint32_t language, const char *module) {
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++)
        if (libraries[i].language == language && fnmatch(libraries[i].pattern, module, 0) == 0)
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
