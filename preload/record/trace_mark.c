/* Header-only traces. */
#include "record/trace_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "record/clock.h"
#include "record/options.h"
#include "record/sys.h"
#include "record/trace_file.h"

#define SUFFIX_MOST 99u

static void put(char *to, size_t size, const char *from) {
    struct text t = {to, size, 0, 0};
    text_put(&t, from);
}

static void fill(struct trace_header *h, const struct trace_mark *m) {
    memset(h, 0, sizeof *h);
    memcpy(h->magic, TRACE_MAGIC, sizeof h->magic);
    h->version = TRACE_VERSION;
    h->byte_order = TRACE_BYTE_ORDER;
    h->file_size = TRACE_FILE_LEAST;
    h->header_size = TRACE_HEADER_SIZE;
    h->region_count = TRACE_REGION_COUNT;
    trace_region_layout(h->regions, h->file_size);
    h->pid = m->pid;
    h->ppid = m->ppid;
    clock_first(&h->started_ns, &h->started_realtime_ns);
    h->created_ns = h->last_moment_ns = h->started_ns;
    h->process_start_ticks = trace_file_start_ticks(m->pid);
    h->stack_depth = options.stack_depth;
    h->record_paths = options.record_paths;
    put(h->recorder_version, sizeof h->recorder_version, HTTPLEAK_VERSION);
    put(h->exe, sizeof h->exe, m->exe);
    put(h->argv, sizeof h->argv, m->exe);
    h->argv_size = (uint32_t)strlen(h->argv) + 1;
    h->go_state = TRACE_GO_BLIND;
    put(h->go_version, sizeof h->go_version, m->go_version);
    put(h->go_reason, sizeof h->go_reason, m->go_reason);
}

/* Past RLIMIT_FSIZE a longer file would be a signal. */
static bool may_be_that_long(void) {
    struct rlimit r;
    return sys_call(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, &r) != 0 || r.rlim_cur >= TRACE_FILE_LEAST;
}

static long make(const struct trace_mark *m, char *path, size_t size) {
    char here[1024];
    if (sys_call(SYS_getcwd, here, sizeof here) <= 0 || here[0] != '/') here[0] = 0;
    const struct trace_file_naming naming = {m->exe, m->pid, here};
    for (unsigned suffix = 0; suffix <= SUFFIX_MOST; suffix++) {
        struct text name = {path, size, 0, 0};
        if (!trace_file_name_of(&name, &naming, suffix)) return -ENAMETOOLONG;
        if (suffix == 0 && trace_file_too_many_beside(path)) return -EMFILE;
        const long fd = sys_call(SYS_openat, AT_FDCWD, path,
                                 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd != -EEXIST) return fd;
    }
    return -EEXIST;
}

bool trace_mark_blind(const struct trace_mark *m, char *path, size_t size) {
    struct trace_header header;
    const long fd = may_be_that_long() ? make(m, path, size) : -EFBIG;
    bool written = false;
    if (fd >= 0) {
        fill(&header, m);
        written = sys_call(SYS_ftruncate, fd, TRACE_FILE_LEAST) == 0 &&
                  sys_call(SYS_pwrite64, fd, &header, sizeof header, 0) == sizeof header;
        sys_call(SYS_close, fd);
        if (!written) sys_call(SYS_unlinkat, AT_FDCWD, path, 0);
    }
    if (!written) path[0] = 0;
    return written;
}
