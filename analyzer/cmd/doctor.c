/* httpleak doctor: what would be seen of a command, found out without running it. */
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/verb.h"
#include "launch/library.h"
#include "launch/target.h"
#include "launch/tracee.h"

enum doctor_mark { DOCTOR_SEEN, DOCTOR_PARTLY, DOCTOR_HIDDEN, DOCTOR_FACT };

struct doctor {
    bool hidden; /* nothing would be seen */
    bool partly; /* something would not */
    bool run;    /* it takes `httpleak run` */
};

static void doctor_say(struct doctor *d, enum doctor_mark mark, const char *topic,
                       const char *text) {
    static const char *const marks[] = {"yes", "partly", "no", ""};
    if (mark == DOCTOR_HIDDEN) d->hidden = true;
    if (mark == DOCTOR_PARTLY) d->partly = true;
    printf("%-9s %-7s %s\n", topic, marks[mark], text);
}

static void doctor_say_of(struct doctor *d, enum doctor_mark mark, const char *topic,
                          const char *what, const char *text) {
    char *line = NULL;
    if (asprintf(&line, "%s%s%s", what, *text ? ": " : "", text) >= 0)
        doctor_say(d, mark, topic, line);
    free(line);
}

/* LD_PRELOAD does not reach it; `run` may. */
static void doctor_static(struct doctor *d, const struct target *t) {
    if (t->go.packed) {
        doctor_say(d, DOCTOR_PARTLY, "preload",
                   "packed by UPX: a program with a loader inside is seen, a static one is not; "
                   "unpack it (upx -d) to know");
    } else if (!target_launched(t)) {
        doctor_say(d, t->runtime == TARGET_GO && !t->go.client ? DOCTOR_FACT : DOCTOR_HIDDEN,
                   "preload",
                   t->runtime == TARGET_GO ? "static executable: no loader runs, so nothing can be "
                                             "preloaded"
                                           : "static executable: no loader runs, so nothing can be "
                                             "preloaded; link it dynamically");
    } else {
        const int error = tracee_trial();
        d->run = true;
        doctor_say(d, DOCTOR_FACT, "preload",
                   "static executable: LD_PRELOAD alone does not reach it");
        if (error)
            doctor_say_of(d, DOCTOR_HIDDEN, "run", strerror(error),
                          "ptrace is refused here, so `httpleak run` cannot enter it either");
        else
            doctor_say(d, DOCTOR_SEEN, "run",
                       "`httpleak run` enters it before its first instruction (ptrace)");
    }
}

static void doctor_go(struct doctor *d, const struct go_program *go) {
    const char *refused = go_program_refused(go), *version = *go->version ? go->version : "Go";
    if (!go->client) {
        doctor_say_of(d, DOCTOR_SEEN, "runtime", version,
                      "no HTTP client of Go's is in it; what it does through libc is seen where "
                      "libc is a library");
    } else if (refused) {
        doctor_say_of(d, DOCTOR_HIDDEN, "runtime", version, refused);
    } else {
        doctor_say_of(d, DOCTOR_SEEN, "runtime", version,
                      "net/http is followed from inside: connections, response bodies, goroutines, "
                      "lines (1.19 to 1.27)");
    }
    if (go->other_http2)
        doctor_say(
            d, DOCTOR_PARTLY, "http/2",
            "golang.org/x/net/http2 is in it: what uses that directly (gRPC) is not followed");
}

static void doctor_reach(struct doctor *d, const struct target *t) {
    switch (t->reach) {
    case TARGET_REACHED:
        doctor_say_of(d, DOCTOR_SEEN, "preload", t->loader,
                      t->musl ? "the loader of musl takes LD_PRELOAD; the recorder needs nothing "
                                "but libc.so.6, which must be loadable there"
                              : "takes LD_PRELOAD");
        break;
    case TARGET_STATIC: doctor_static(d, t); break;
    case TARGET_PRIVILEGED:
        doctor_say(d, DOCTOR_HIDDEN, "preload",
                   "setuid, setgid or file capabilities: the loader drops LD_PRELOAD; run a copy "
                   "without them as the target user");
        break;
    case TARGET_OTHER_MACHINE:
        doctor_say(d, DOCTOR_HIDDEN, "preload",
                   "another machine or word size than the recorder's: build the recorder for it");
        break;
    case TARGET_NO_ELF:
        doctor_say(d, DOCTOR_PARTLY, "preload",
                   "neither an ELF executable nor a script with an interpreter line: a shell would "
                   "run it, and what it starts is followed");
        break;
    }
}

static void doctor_runtime(struct doctor *d, const struct target *t, bool carried) {
    switch (t->runtime) {
    case TARGET_GO: doctor_go(d, &t->go); break;
    case TARGET_NODE:
        if (target_needs(t, "libssl.so*") || carried)
            break; /* TLS is seen as in any other program */
        doctor_say(d, DOCTOR_PARTLY, "runtime",
                   "plain HTTP is seen; TLS is inside the executable, without names to find it by, "
                   "so https counts as HTTP by its port only");
        break;
    case TARGET_JAVA:
        doctor_say(d, DOCTOR_PARTLY, "runtime",
                   "plain HTTP is seen; TLS is inside the runtime, so https counts as HTTP by its "
                   "port only");
        break;
    case TARGET_PYTHON:
        doctor_say(d, DOCTOR_SEEN, "runtime",
                   "Python: its TLS is OpenSSL, loaded when it is needed and followed, memory BIOs "
                   "included");
        break;
    case TARGET_SCRIPTING:
        doctor_say(d, DOCTOR_SEEN, "runtime",
                   "an interpreter: TLS libraries that it loads later are followed; lines are the "
                   "script's own, where its release is known");
        break;
    case TARGET_SHELL:
        doctor_say(d, DOCTOR_SEEN, "runtime", "a shell: what it starts is followed");
        break;
    case TARGET_NATIVE: break;
    }
}

static void doctor_libraries(struct doctor *d, const struct target *t, bool carried) {
    static const struct {
        const char *pattern;
        enum doctor_mark mark;
        const char *topic, *text;
    } table[] = {
        {"libssl.so.3", DOCTOR_SEEN, "tls", "OpenSSL 3, followed"},
        {"libssl.so.1.1", DOCTOR_SEEN, "tls", "OpenSSL 1.1, followed"},
        {"libssl.so.1.0*", DOCTOR_PARTLY, "tls", "OpenSSL 1.0 is too old to be followed"},
        {"libgnutls.so*", DOCTOR_SEEN, "tls", "GnuTLS, followed"},
        {"libnss3.so*", DOCTOR_PARTLY, "tls",
         "NSS is not followed: https counts as HTTP by its port only"},
        {"libmbedtls.so*", DOCTOR_PARTLY, "tls",
         "Mbed TLS is not followed: https counts as HTTP by its port only"},
        {"libwolfssl.so*", DOCTOR_PARTLY, "tls",
         "wolfSSL is not followed: https counts as HTTP by its port only"},
        {"libcurl*.so*", DOCTOR_SEEN, "client", "libcurl"},
        {"libnghttp2.so*", DOCTOR_SEEN, "http/2", "HTTP/2, followed stream by stream"},
        {"libnghttp3.so*", DOCTOR_PARTLY, "http/3", "QUIC is not seen"},
        {"liburing.so*", DOCTOR_PARTLY, "io_uring", "what goes through io_uring is not seen"},
    };
    bool tls = carried;
    if (carried)
        doctor_say(d, DOCTOR_SEEN, "tls",
                   "OpenSSL or BoringSSL inside the executable, found by name and followed");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *name = target_needs(t, table[i].pattern);
        if (!name) continue;
        doctor_say_of(d, table[i].mark, table[i].topic, name, table[i].text);
        tls = tls || strcmp(table[i].topic, "tls") == 0;
    }
    for (size_t i = 0; i < t->missing_count; i++)
        doctor_say_of(d, DOCTOR_PARTLY, "library", t->missing[i],
                      "was not found; what it needs is not known");
    if (!tls && t->reach == TARGET_REACHED && t->runtime == TARGET_NATIVE)
        doctor_say(d, DOCTOR_FACT, "tls",
                   "none is linked; OpenSSL or GnuTLS loaded later would be followed, OpenSSL "
                   "linked in statically only where its names are left");
}

/* Whether a comma separated list of HTTPLEAK_OPTIONS names the program. */
static bool doctor_listed(const char *key, const char *program, bool *given) {
    char *list = library_option(key), *rest = NULL;
    bool found = false;
    *given = list != NULL;
    for (char *name = list ? strtok_r(list, ",", &rest) : NULL; name;
         name = strtok_r(NULL, ",", &rest))
        found = found || strcmp(name, program) == 0;
    free(list);
    return found;
}

static void doctor_recorder(struct doctor *d, const struct target *t) {
    char error[512];
    char *library = library_find(error, sizeof error);
    if (library)
        doctor_say(d, DOCTOR_FACT, "recorder", library);
    else
        doctor_say(d, DOCTOR_HIDDEN, "recorder", error);
    free(library);
    const char *slash = strrchr(t->path, '/'), *program = slash ? slash + 1 : t->path;
    bool given = false;
    if (doctor_listed("skip", program, &given))
        doctor_say(d, DOCTOR_HIDDEN, "options", "HTTPLEAK_OPTIONS skip= leaves it out");
    bool only = doctor_listed("only", program, &given);
    if (given && !only)
        doctor_say(d, DOCTOR_HIDDEN, "options", "HTTPLEAK_OPTIONS only= does not name it");
}

/*
 * A trace is written where the process runs, unless it is told otherwise; `httpleak run` takes a
 * place of its own.
 */
static void doctor_place(struct doctor *d) {
    char *named = library_option("trace");
    char *directory = strdup(named ? named : "./");
    char *slash = directory ? strrchr(directory, '/') : NULL;
    if (slash) slash[slash == directory] = '\0';
    const char *place = slash ? directory : ".";
    if (access(place, W_OK | X_OK) == 0)
        doctor_say_of(d, DOCTOR_SEEN, "trace",
                      strcmp(place, ".") == 0 ? "the working directory" : place, "can be written");
    else
        doctor_say_of(d, DOCTOR_PARTLY, "trace", place,
                      "cannot be written: set HTTPLEAK_OPTIONS=trace=PATH, or use httpleak run");
    free(directory);
    free(named);
}

static void doctor_seccomp(struct doctor *d) {
    char line[256];
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, "Seccomp:\t2", 10) == 0)
            doctor_say(
                d, DOCTOR_FACT, "seccomp",
                "a filter is in force here already; the recorder needs no unusual system call");
    if (status) fclose(status);
}

int verb_doctor(const struct verb_options *options, int count, char **operands) {
    (void)options;
    if (count == 0) {
        verb_error("doctor", "no command: '%s doctor -- COMMAND [ARG]...' was expected", TOOL_NAME);
        return EXIT_USAGE;
    }
    struct target target;
    struct doctor doctor = {0};
    target_inspect(&target, operands[0]);
    if (target.error) {
        int status = target.error == ENOENT ? EXIT_RUN_NOT_FOUND : EXIT_RUN_NOT_EXECUTABLE;
        verb_error("doctor", "cannot run '%s': %s", operands[0], strerror(target.error));
        target_free(&target);
        return status;
    }
    if (target.script) doctor_say(&doctor, DOCTOR_FACT, "script", target.script);
    doctor_say(&doctor, DOCTOR_FACT, "program", target.path);
    if (target.go.go) go_program_read(&target.go, target.path, true);
    doctor_reach(&doctor, &target);
    const bool carried = target_carries_openssl(&target);
    doctor_runtime(&doctor, &target, carried);
    doctor_libraries(&doctor, &target, carried);
    doctor_recorder(&doctor, &target);
    doctor_place(&doctor);
    doctor_seccomp(&doctor);
    printf(
        "\n%s\n",
        doctor.hidden   ? "Nothing of this program would be seen."
        : doctor.partly ? "This program would be seen in part: see the lines marked 'partly'."
        : doctor.run
            ? "Under `httpleak run` the HTTP of this program would be seen, and that of the "
              "programs "
              "that it starts."
            : "The HTTP of this program would be seen, and that of the programs that it starts.");
    target_free(&target);
    return EXIT_CLEAN;
}
