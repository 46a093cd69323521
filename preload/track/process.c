/* Start, forks, exec and end of the traced process. */
#include "track/process.h"

#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "record/gate.h"
#include "record/loader.h"
#include "record/options.h"
#include "record/stack_memo.h"
#include "record/summary.h"
#include "record/sys.h"
#include "record/text.h"
#include "record/trace_file.h"
#include "track/bad_close.h"
#include "track/client.h"
#include "track/connection.h"
#include "track/handle.h"
#include "track/managed.h"
#include "track/timer.h"
#include "track/tls.h"
#include "track/wait.h"
#include "track/worker.h"

SYS_EARLY bool process_active;
uint32_t process_generation;
const char *process_recorder = "";

volatile uint32_t process_fork_mark[1024] __attribute__((aligned(4096)));

static SYS_EARLY int process_pid;
static SYS_EARLY int end_status;
static SYS_EARLY bool end_status_known;

/* ---- start ---- */

__attribute__((cold)) static const char *environment_options(char **envp) {
    static const char name[] = "HTTPLEAK_OPTIONS=";
    for (; envp && *envp; envp++) {
        const char *e = *envp;
        if (e[0] != 'H' || e[1] != 'T' || e[2] != 'T' || e[3] != 'P') continue;
        if (strncmp(e, name, sizeof name - 1) == 0) return e + sizeof name - 1;
    }
    return NULL;
}

/* The file's name without its directory, in `buffer`; links resolved where only= or skip= want to
 * know. */
static const char *program_name(const char *text, char *buffer, size_t size) {
    if (strstr(text, "only=") || strstr(text, "skip=")) {
        const long n = sys_call(SYS_readlink, "/proc/self/exe", buffer, size - 1);
        if (n > 0) {
            buffer[n] = 0;
            return text_base_name(buffer);
        }
    }
    const char *path = (const char *)getauxval(AT_EXECFN);
    return path ? text_base_name(path) : "";
}

/* Whether the process's memory map names the recorder. */
static bool has_recorder(int pid, const char *recorder) {
    char path[32], window[4096 + 256];
    struct text text = TEXT_ON(path);
    const size_t n = strlen(recorder), keep = n < 256 ? n : 255;
    size_t filled = 0;
    long got;

    text_put(&text, "/proc/");
    text_put_u64(&text, (uint64_t)pid);
    text_put(&text, "/maps");
    const long fd = sys_call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool found = false;
    while (!found && (got = sys_call(SYS_read, fd, window + filled, 4096)) > 0) {
        filled += (size_t)got;
        found = memmem(window, filled, recorder, n) != NULL;
        if (filled > keep) {
            memmove(window, window + filled - keep, keep);
            filled = keep;
        }
    }
    sys_call(SYS_close, fd);
    return found;
}

__attribute__((cold)) void process_init(int argc, char **argv, char **envp, const char *recorder) {
    const char *text = environment_options(envp);
    if (text) { /* else the defaults stand as they are */
        char buffer[256];
        options_parse(text, program_name(text, buffer, sizeof buffer));
        if (!options.active) return;
    }
    recorder = process_recorder = text_base_name(recorder);
    if (!options.children && *recorder && has_recorder(sys_getppid(), recorder)) return;

    sys_remember_stderr();
    clock_know_vdso(getauxval(AT_SYSINFO_EHDR));
    module_use_loader();
    trace_prepare(argc, argv);
    process_pid = (int)trace_process.pid;
    trace_process.unwinder = stack_unwinder();
    process_active = true;
}

/* ---- fork ---- */

/*
 * The page is made when there is a trace: before that nothing in it needs to know of a fork, and
 * most processes never get one. Where the kernel does not know the advice (before 4.14) forks are
 * known by our wrappers alone.
 */
void process_fork_seen(void) {
    if (!trace) return;
    if (sys_getpid() != process_pid) {
        process_after_fork();
        return;
    }
    sys_call(SYS_madvise, process_fork_mark, sizeof(uint32_t[1024]), MADV_WIPEONFORK);
    process_fork_mark[0] = 1;
}

/* Without a trace there is no mark: another pid is a fork past all wrappers. (A vfork child makes
 * no connections.) */
bool process_may_trace(void) {
    process_check_fork();
    if (sys_getpid() == process_pid) return true;
    if (trace) return false;
    process_after_fork();
    return true;
}

bool process_is_vfork_child(void) {
    return sys_getpid() != process_pid;
}

void process_forked(int child_pid) {
    process_check_fork();
    if (!trace || process_is_vfork_child()) return;
    struct trace_event event = {.type = TRACE_EVENT_FORK, .a = (uint64_t)child_pid};
    journal_append(&event, clock_now(), thread_tid());
}

bool process_fork_child(void) {
    if (sys_getpid() == process_pid) return false;
    process_after_fork();
    return true;
}

void process_after_fork(void) {
    gate_after_fork();
    loader_after_fork();
    stack_memo_after_fork();
    process_pid = sys_getpid();
    process_generation++;
    end_status_known = false;
    trace_after_fork();
    handle_after_fork();
    client_after_fork();
    bad_close_after_fork();
    managed_after_fork();
    tls_after_fork();
    wait_after_fork();
    worker_after_fork();
    timer_after_fork();
}

/* ---- end ---- */

static void header_end(struct trace_header *header, enum trace_end end, uint64_t now) {
    header->status = end_status;
    header->status_known = end_status_known;
    header->ended_ns = now;
    __atomic_store_n(&header->end, end, __ATOMIC_RELEASE);
}

SYS_COLD void process_exiting(int status, bool known) {
    if (!process_active) return;
    process_check_fork();
    struct trace_map *t = trace;
    if (t && process_is_vfork_child()) return;
    end_status = status & 0xff;
    end_status_known = known;
    if (t && t->header->end == TRACE_END_EXIT)
        header_end(t->header, TRACE_END_EXIT, t->header->ended_ns);
}

static void end_trace(void);
__attribute__((cold)) void process_end(void) {
    if (process_active && trace) end_trace();
}

static void end_trace(void) {
    process_check_fork();
    struct trace_map *t = trace;
    if (!t || process_is_vfork_child()) return;
    connection_sample_all();
    const uint64_t now = clock_now();
    header_end(t->header, TRACE_END_EXIT, now);
    struct trace_event event = {
        .type = TRACE_EVENT_END, .arg = TRACE_END_EXIT, .a = (uint64_t)end_status};
    journal_append(&event, now, thread_tid());
    trace_discard_if_unused();
    summary_print();
}

void process_exec_begin(void) {
    if (!process_active) return;
    process_check_fork();
    connection_before_exec();
    if (process_is_vfork_child()) return;
    struct trace_map *t = trace;
    if (!t) return;
    connection_sample_all();
    const uint64_t now = clock_now();
    header_end(t->header, TRACE_END_EXEC, now);
    struct trace_event event = {.type = TRACE_EVENT_EXEC, .arg = 1};
    journal_append(&event, now, thread_tid());
}

void process_exec_failed(void) {
    struct trace_map *t = trace;
    if (!t || t->header->end != TRACE_END_EXEC || process_is_vfork_child()) return;
    header_end(t->header, TRACE_END_RUNNING, 0);
    struct trace_event event = {.type = TRACE_EVENT_EXEC, .arg = 2};
    journal_append(&event, clock_now(), thread_tid());
}

/* ---- confinement ---- */

bool process_before_confinement(bool seccomp) {
    if (!process_active) return false;
    process_check_fork();
    if (process_is_vfork_child()) return false;
    if (!trace_open()) return true;
    process_check_fork();
    if (seccomp) trace_reserve();
    return true;
}

/* The sandbox is on: strict mode allows read, write and nothing else, so no system call is made here. */
void process_confined(bool strict) {
    if (strict) {
        clock_forgo_counter(); /* the kernel takes it away too */
        stack_refuse();
    }
    trace_restrict();
}
