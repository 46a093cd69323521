/*
 * The trace's life: prepared at the start, created at the first client connect, forgotten by a fork
 * child.
 */
#include "httpleak/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "record/clock.h"
#include "record/intern.h"
#include "record/module_table.h"
#include "record/options.h"
#include "record/sys.h"
#include "record/trace_file.h"

/*
 * For another thread that creates the trace: in all until there is the file, which a slow disk delays, and each time until that
 * one has looked at the modules, for which it needs the loader's lock, and we may hold that.
 */
#define WAIT_FILE_NS 2000000000u
#define WAIT_MODULES_NS 50000000u

struct trace_map *trace;
struct trace_map *trace_of_parent;

typedef uint64_t __attribute__((may_alias)) may_alias_u64;

/* none, open, failed, or being created by the thread whose id stands in the upper half */
enum { STATE_NONE, STATE_CREATING, STATE_OPEN, STATE_FAILED };
static uint64_t state;
/* Ours and the nearest traced ancestor's. */
static struct trace_map maps[2];
static struct trace_file files[2];

__attribute__((cold)) static void remember_argv(int argc, char **argv) {
    struct trace_process *p = &trace_process;
    if (argc <= 0 || !argv) { /* musl tells constructors nothing */
        long n = sys_read_file("/proc/self/cmdline", p->argv, sizeof p->argv);
        p->argv_size = n > 0 ? (uint32_t)n : 0;
        p->argv_truncated = p->argv_size == sizeof p->argv - 1;
        if (p->argv_truncated) p->argv_size++;
        return;
    }
    for (int i = 0; i < argc && argv[i]; i++) {
        const size_t room = sizeof p->argv - p->argv_size;
        size_t length = 0;
        while (argv[i][length]) /* strlen is in no page that was touched */
            length++;
        if (room == 0) {
            p->argv_truncated = 1;
            break;
        }
        const size_t take = length < room - 1 ? length : room - 1;
        if (take < length) p->argv_truncated = 1;
        for (size_t k = 0; k < take; k++)
            p->argv[p->argv_size + k] = argv[i][k];
        p->argv[p->argv_size + take] = 0;
        p->argv_size += (uint32_t)take + 1;
    }
}

/*
 * When it is wanted first: the first look into /proc costs some 20 us, and most programs do no
 * HTTP.
 */
static void remember_exe(void) {
    static const char deleted[] = " (deleted)";
    struct trace_process *p = &trace_process;
    if (p->exe_known) return;
    p->exe_known = true;
    long n = sys_call(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", trace_exe, sizeof trace_exe - 1);
    if (n <= 0) { /* no /proc: the name that it was called by */
        struct text t = TEXT_ON(trace_exe);
        text_put(&t, p->argv);
        return;
    }
    const long tail = sizeof deleted - 1;
    if (n > tail && memcmp(trace_exe + n - tail, deleted, (size_t)tail) == 0) n -= tail;
    trace_exe[n] = 0;
}

/* Cold, as all that runs at the start: such code lies together, in the pages that the loader has touched. */
__attribute__((cold)) void trace_prepare(int argc, char **argv) {
    struct trace_process *p = &trace_process;
    sys_remember_stderr();
    p->argv_size = p->argv_truncated =
        0; /* the rest is zero: each page touched costs the start-up a fault */
    p->forked_ns = 0;
    p->exe_known = false;
    p->pid = (uint32_t)sys_getpid();
    p->ppid = (uint32_t)sys_getppid();
    clock_first(&p->started_ns, &p->started_realtime_ns);
    remember_argv(argc, argv);
    /* Out of reach ("(unreachable)...") or removed: no name. */
    long n = sys_call(SYS_getcwd, p->directory, sizeof p->directory);
    if (n <= 0 || p->directory[0] != '/') p->directory[0] = 0;
}

const char *trace_program(void) {
    remember_exe();
    return text_base_name(trace_exe);
}

static void put_text(char *to, size_t size, const char *text) {
    struct text t = {.bytes = to, .size = size};
    if (text) text_put(&t, text);
}

static void fill_go(struct trace_header *h) {
    const struct trace_process *p = &trace_process;
    put_text(h->go_version, sizeof h->go_version, p->go_version);
    put_text(h->go_reason, sizeof h->go_reason, p->go_reason);
    __atomic_store_n(&h->go_state, p->go_state, __ATOMIC_RELEASE);
}

void trace_go(enum trace_go go, const char *version, const char *reason) {
    trace_process.go_version = version;
    trace_process.go_reason = reason;
    trace_process.go_state = go;
    if (trace) fill_go(trace->header);
}

static void fill_header(struct trace_header *h, const struct trace_file *file) {
    const struct trace_process *p = &trace_process;
    const uint32_t first = p->argv_size ? (uint32_t)strlen(p->argv) + 1 : 0;
    h->version = TRACE_VERSION;
    h->byte_order = TRACE_BYTE_ORDER;
    h->file_size = file->size;
    h->header_size = TRACE_HEADER_SIZE;
    h->region_count = TRACE_REGION_COUNT;
    trace_region_layout(h->regions, file->size);
    h->pid = p->pid;
    h->ppid = p->ppid;
    h->started_ns = p->started_ns;
    h->created_ns = clock_now();
    h->started_realtime_ns = p->started_realtime_ns;
    h->process_start_ticks = trace_file_start_ticks(p->pid);
    h->forked_ns = p->forked_ns;
    h->unwinder = p->unwinder;
    fill_go(h);
    h->stack_depth = options.stack_depth;
    h->record_paths = options.record_paths;
    h->record_argv = options.record_argv;
    h->last_moment_ns = h->created_ns;
    memcpy(h->recorder_version, HTTPLEAK_VERSION, sizeof HTTPLEAK_VERSION);
    memcpy(h->exe, trace_exe, sizeof h->exe);
    h->argv_size = options.record_argv ? p->argv_size : first;
    h->argv_truncated = h->argv_size == p->argv_size && p->argv_truncated;
    memcpy(h->argv, p->argv, h->argv_size);
}

/*
 * The first pages of each region; what is written for every process at once (slots, sites, heaps)
 * must not fail later.
 */
static bool populate_first(struct trace_map *m, const struct trace_file *file) {
    for (unsigned i = 0; i < TRACE_REGION_COUNT; i++) {
        struct trace_region *r = &m->header->regions[i];
        if (file->fixed)
            r->populated = r->size;
        else if (!trace_region_populate(m, i, 1))
            return false;
    }
    return true;
}

/* By the creator alone: its stack may be small. */
static void say(const char *what, const char *more) {
    static char line[TRACE_FILE_PATH_MAX + 512];
    struct text t = TEXT_ON(line);
    text_put(&t, "httpleak: ");
    text_put(&t, what);
    text_put(&t, more);
    text_put(&t, "\n");
    sys_say(line, t.length);
}

/* Before there was a header to count in. */
static uint32_t lost_early;

static void count_early(struct trace_map *m) {
    const uint32_t lost = __atomic_exchange_n(&lost_early, 0, __ATOMIC_SEQ_CST);
    if (lost) __atomic_fetch_add(&m->header->lost[TRACE_LOST_CONNECTIONS], lost, __ATOMIC_RELAXED);
}

void trace_lose_connection(void) {
    if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) == STATE_FAILED) return;
    __atomic_fetch_add(&lost_early, 1, __ATOMIC_SEQ_CST);
    struct trace_map *m = __atomic_load_n(&trace, __ATOMIC_SEQ_CST);
    if (m) count_early(m);
}

static bool create(bool inside) {
    static char reason[TRACE_FILE_PATH_MAX + 256];
    struct text why = TEXT_ON(reason);
    const unsigned mine = trace_of_parent == &maps[0];
    struct trace_map *m = &maps[mine];
    struct trace_file *file = &files[mine];
    clock_init();
    remember_exe();
    bool made = trace_file_create(file, &why);
    if (made) {
        m->header = (struct trace_header *)file->base;
        fill_header(m->header, file);
        trace_region_map(m);
        trace_region_fix(false);
        made = populate_first(m, file) && slot_reset(m);
        if (!made) {
            text_put(&why, trace_path);
            text_put(&why, ": ");
            text_put_error(&why, ENOSPC);
            trace_file_remove(file);
            sys_call(SYS_munmap, file->base, file->size);
        }
    }
    if (!made) {
        trace_path[0] = 0;
        /* A server that forks for each request would say for each that there are traces enough. */
        if (!trace_file_too_many || trace_process.forked_ns == 0) say("no trace: ", reason);
        return false;
    }
    trace_region_fix(file->fixed);
    intern_open(m); /* without memory for it nothing has a name, which is counted */
    module_table_reset();
    /* Whoever reads the file knows it by its magic: everything else is there before. */
    uint64_t magic;
    memcpy(&magic, TRACE_MAGIC, sizeof magic);
    __atomic_store_n((may_alias_u64 *)m->header->magic, magic, __ATOMIC_RELEASE);
    __atomic_store_n(&trace, m, __ATOMIC_SEQ_CST);
    count_early(m);
    if (inside)
        module_main_add();
    else if (module_source)
        module_source->opened();
    if (options.verbose) say("trace ", trace_path);
    return true;
}

static void wait_for_file(void) {
    static uint64_t waited; /* by all threads */
    const uint64_t start = clock_now(), since = start - __atomic_load_n(&waited, __ATOMIC_RELAXED);
    while ((__atomic_load_n(&state, __ATOMIC_ACQUIRE) & UINT32_MAX) == STATE_CREATING &&
           !__atomic_load_n(&trace, __ATOMIC_RELAXED) && clock_wait(since, WAIT_FILE_NS))
        ;
    __atomic_fetch_add(&waited, clock_now() - start, __ATOMIC_RELAXED);
}

static bool open_trace(bool inside) {
    uint64_t now_state = __atomic_load_n(&state, __ATOMIC_ACQUIRE);
    if (now_state == STATE_OPEN) return true;
    if (now_state == STATE_FAILED || sys_is_confined()) return false;
    const uint64_t creating = (uint64_t)sys_gettid() << 32 | STATE_CREATING;
    if (now_state == STATE_NONE) {
        const uint64_t signals = sys_hold_signals();
        if (__atomic_compare_exchange_n(&state, &now_state, creating, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_ACQUIRE))
            __atomic_store_n(&state, create(inside) ? STATE_OPEN : STATE_FAILED, __ATOMIC_RELEASE);
        sys_release_signals(signals);
        now_state = __atomic_load_n(&state, __ATOMIC_ACQUIRE);
    }
    if (now_state == creating) return false; /* the handler of a fault on top of the creator */
    wait_for_file();
    const uint64_t start = clock_now();
    while ((now_state & UINT32_MAX) == STATE_CREATING && clock_wait(start, WAIT_MODULES_NS))
        now_state = __atomic_load_n(&state, __ATOMIC_ACQUIRE);
    return now_state == STATE_OPEN;
}

bool trace_open(void) {
    return open_trace(false);
}

bool trace_open_inside(void) {
    return open_trace(true);
}

void trace_after_fork(void) {
    struct trace_process *p = &trace_process;
    if (trace) {
        struct trace_map *gone = trace_of_parent;
        trace_of_parent = trace;
        trace = 0;
        if (gone) sys_call(SYS_munmap, gone->base, files[gone - maps].size);
    }
    p->pid = (uint32_t)sys_getpid();
    p->ppid = (uint32_t)sys_getppid();
    p->forked_ns = clock_now();
    trace_path[0] = 0;
    lost_early = 0;
    /*
     * What failed in the parent would fail here: it was said once. A creator that the fork left
     * behind is no more.
     */
    if (state != STATE_FAILED) state = STATE_NONE;
}

void trace_discard_if_unused(void) {
    struct trace_map *m = trace;
    if (!m) return;
    const struct trace_header *h = m->header;
    if (h->regions[TRACE_REGION_CONNECTION].used || h->lost[TRACE_LOST_CONNECTIONS] ||
        h->regions[TRACE_REGION_TIMER].used > 1 || h->go_reason[0])
        return;
    trace_file_remove(&files[m - maps]);
    trace_path[0] = 0;
}

void trace_reserve(void) {
    static const uint32_t bytes[TRACE_REGION_COUNT] = {
        [TRACE_REGION_CONNECTION] = 64u << 10, [TRACE_REGION_BODY] = 64u << 10,
        [TRACE_REGION_WORKER] = 32u << 10,     [TRACE_REGION_HANDLE] = 16u << 10,
        [TRACE_REGION_SITE] = 64u << 10,       [TRACE_REGION_HOST] = 16u << 10,
        [TRACE_REGION_MODULE] = 16u << 10,     [TRACE_REGION_STRING] = 128u << 10,
        [TRACE_REGION_STACK] = 256u << 10,     [TRACE_REGION_TIMER] = 16u << 10,
        [TRACE_REGION_JOURNAL] = 512u << 10,
    };
    struct trace_map *m = trace;
    for (unsigned i = 0; m && i < TRACE_REGION_COUNT; i++) {
        const uint64_t size = m->header->regions[i].size;
        trace_region_populate(m, i, bytes[i] < size ? bytes[i] : size);
    }
}

void trace_restrict(void) {
    sys_confine();
    trace_region_fix(true);
}
