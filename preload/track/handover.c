/* Static Go programs about to be executed: found by their file, handed to the launcher, or named in a trace of their own. */
#include "track/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "httpleak/launcher.h"
#include "record/options.h"
#include "record/sys.h"
#include "record/text.h"
#include "record/trace_mark.h"
#include "track/handover_program.h"
#include "track/process.h"

#define WAIT_MOST_S 2

/* ---- the program's file ---- */

static long open_file(int directory, const char *path) {
    return sys_call(SYS_openat, directory, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static const char *variable(char *const *envp, const char *name) {
    const size_t n = strlen(name);
    for (; sys_is_plausible(envp) && sys_is_readable((uintptr_t)envp) && *envp; envp++) {
        const char *e = *envp;
        if (!sys_is_plausible(e) || !sys_is_readable((uintptr_t)e)) return NULL;
        if (strncmp(e, name, n) == 0 && e[n] == '=') return e + n + 1;
    }
    return NULL;
}

/* As execvp goes through PATH. The first file there that may be executed is the one. */
static long search_file(const char *name) {
    const char *path = variable(environ, "PATH");
    char candidate[HANDOVER_PATH];
    if (!path) path = "/bin:/usr/bin";
    for (;; path++) {
        size_t n = 0;
        while (path[n] && path[n] != ':')
            n++;
        struct text t = TEXT_ON(candidate);
        text_put_n(&t, path, n);
        if (n) text_put(&t, "/");
        text_put(&t, name);
        struct stat st;
        if (!t.cut && sys_call(SYS_faccessat, AT_FDCWD, candidate, X_OK) == 0 &&
            sys_call(SYS_newfstatat, AT_FDCWD, candidate, &st, 0) == 0 && S_ISREG(st.st_mode))
            return open_file(AT_FDCWD, candidate);
        path += n;
        if (!*path) return -ENOENT;
    }
}

static bool is_a_name(const char *path) {
    return sys_is_plausible(path) && sys_is_readable((uintptr_t)path) && *path &&
           !strchr(path, '/');
}

/* A descriptor of our own, or negative. */
static long open_program(const struct handover_program *p) {
    char self[32];
    if (p->search && is_a_name(p->path)) return search_file(p->path);
    if (!sys_is_plausible(p->path) || !sys_is_readable((uintptr_t)p->path)) return -EFAULT;
    if (*p->path) return open_file(p->directory, p->path);
    struct text t = TEXT_ON(self);
    text_put(&t, "/proc/self/fd/");
    text_put_u64(&t, (uint64_t)p->directory);
    return open_file(AT_FDCWD, self);
}

/* Its path, as the kernel knows it. */
static bool name_of(long fd, char *path, size_t size) {
    char self[32];
    struct text t = TEXT_ON(self);
    text_put(&t, "/proc/self/fd/");
    text_put_u64(&t, (uint64_t)fd);
    const long n = sys_call(SYS_readlinkat, AT_FDCWD, self, path, size - 1);
    if (n <= 0) return false;
    path[n] = 0;
    return true;
}

struct found {
    char version[HANDOVER_VERSION], program[HANDOVER_PATH];
};

/* A dynamic program with that environment would have the recorder in it. */
static bool would_be_traced(char *const *envp) {
    const char *preload = variable(envp, "LD_PRELOAD");
    return preload && *process_recorder && strstr(preload, process_recorder) != NULL;
}

/* client: only if it speaks HTTP too, which takes a look at all of it. */
static bool find(struct found *found, const struct handover_program *p, bool client) {
    if (!process_active || sys_is_confined() || !options.children) return false;
    const long fd = open_program(p);
    if (fd < 0) return false;
    const bool is = handover_is_static_go((int)fd, found->version) &&
                    name_of(fd, found->program, sizeof found->program) &&
                    would_be_traced(p->envp) && (!client || handover_has_client((int)fd));
    sys_call(SYS_close, fd);
    return is;
}

/* ---- the launcher ---- */

static long connect_launcher(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval most = {.tv_sec = WAIT_MOST_S};
    const size_t n = strlen(name);
    if (n == 0 || n >= sizeof address.sun_path) return -EINVAL;
    memcpy(address.sun_path + 1, name, n);
    const long fd = sys_call(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) return fd;
    sys_call(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
    sys_call(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    const long r =
        sys_call(SYS_connect, fd, &address, offsetof(struct sockaddr_un, sun_path) + 1 + n);
    if (r == 0) return fd;
    sys_call(SYS_close, fd);
    return r;
}

static void copy_text(char *to, size_t size, const char *from) {
    struct text t = {to, size, 0, 0};
    text_put(&t, from);
}

/* What it says, 0: nothing. An interrupted wait is the launcher taking hold of us, as a rule. */
static char ask_launcher(const char *name, const struct launcher_request *request) {
    char answer = 0;
    const long fd = connect_launcher(name);
    if (fd < 0) return 0;
    if (sys_call(SYS_sendto, fd, request, sizeof *request, MSG_NOSIGNAL, 0, 0) ==
        (long)sizeof *request)
        while (sys_call(SYS_recvfrom, fd, &answer, 1, 0, 0, 0) == -EINTR) {
        }
    sys_call(SYS_close, fd);
    return answer;
}

static __attribute__((noinline)) char hand_over(const char *launcher, const struct found *found,
                                                bool spawn) {
    struct launcher_request r = {
        .version = LAUNCHER_VERSION,
        .kind = spawn ? LAUNCHER_SPAWN : LAUNCHER_EXEC,
        .pid = (uint32_t)sys_getpid(),
        .tid = sys_gettid(),
    };
    copy_text(r.go_version, sizeof r.go_version, found->version);
    copy_text(r.starter, sizeof r.starter, trace_program());
    copy_text(r.program, sizeof r.program, found->program);
    return ask_launcher(launcher, &r);
}

/* ---- without one ---- */

static __attribute__((noinline)) void leave_mark(struct handover *h, const struct found *found,
                                                 char *const *envp, int pid) {
    char reason[sizeof((struct trace_header *)0)->go_reason];
    struct text t = TEXT_ON(reason);
    const bool spawned = pid != sys_getpid();
    const int starter = spawned ? sys_getpid() : sys_getppid();
    if (options_leave_out(variable(envp, "HTTPLEAK_OPTIONS"), text_base_name(found->program)))
        return;
    text_put(&t, "static, out of LD_PRELOAD's reach (not of httpleak run's); started by ");
    text_put(&t, trace_program());
    text_put(&t, " pid ");
    text_put_u64(&t, (uint64_t)starter);
    const struct trace_mark mark = {found->program, (uint32_t)pid, (uint32_t)starter,
                                    found->version, reason};
    trace_mark_blind(&mark, h->mark, sizeof h->mark);
}

void handover_begin(struct handover *h, const struct handover_program *p, bool spawn) {
    struct found found;
    h->held = h->told = false;
    h->mark[0] = 0;
    if (!find(&found, p, false)) return;
    const char *launcher = variable(p->envp, LAUNCHER_VARIABLE);
    const char answer = launcher ? hand_over(launcher, &found, spawn) : 0;
    h->held = answer == LAUNCHER_HOLDS;
    h->told = answer != 0;
    if (!h->told && !spawn && find(&found, p, true)) leave_mark(h, &found, p->envp, sys_getpid());
}

void handover_failed(const struct handover *h) {
    if (h->held) sys_call(SYS_getpid, LAUNCHER_GAVE_UP);
    if (h->mark[0]) sys_call(SYS_unlinkat, AT_FDCWD, h->mark, 0);
}

void handover_spawned(struct handover *h, const struct handover_program *p, int pid) {
    struct found found;
    if (h->held) sys_call(SYS_getpid, LAUNCHER_GAVE_UP);
    if (pid > 0 && !h->told && find(&found, p, true)) leave_mark(h, &found, p->envp, pid);
}
