/* The trace file's name, its place, its creation and its mapping. */
#include "record/trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include "record/options.h"
#include "record/sys.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define MEMORY_DIRECTORY "/dev/shm"
#define SUFFIX_MOST 999
#define WRITTEN_MOST                                                                               \
    (8u << 20) /* where every block has to be written before the file can be used */

int trace_file_advice = MADV_POPULATE_WRITE;
char trace_path[TRACE_FILE_PATH_MAX];
/* No greater alignment: it shall lie by the small variables, since each page that the start touches is a fault. */
SYS_EARLY struct trace_process trace_process __attribute__((aligned(8)));
char trace_exe[sizeof((struct trace_header *)0)->exe];

/* Only one thread creates a trace; a thread's stack may be as small as 16 KiB. */
static char buffer[32768] __attribute__((aligned(8)));

/*
 * Copy-on-write and network file systems: a page that was there once may need a new block, or the
 * network, at any store.
 */
bool trace_file_system_will_do(uint64_t type) {
    static const uint32_t others[] = {
        BTRFS_SUPER_MAGIC,
        NFS_SUPER_MAGIC,
        SMB_SUPER_MAGIC,
        CIFS_SUPER_MAGIC,
        SMB2_SUPER_MAGIC,
        FUSE_SUPER_MAGIC,
        V9FS_MAGIC,
        CEPH_SUPER_MAGIC,
        AFS_SUPER_MAGIC,
        AFS_FS_MAGIC,
        CODA_SUPER_MAGIC,
        0x2fc12fc1u /* ZFS */,
        0xca451a4eu /* bcachefs */,
        0x0bd00bd0u /* Lustre */,
        0x01161970u /* GFS2 */,
        0x7461636fu /* OCFS2 */,
    };
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
        if ((uint32_t)type == others[i]) return false;
    return true;
}

static bool filesystem_type(const char *directory, uint64_t *type) {
    struct statfs fs;
    if (sys_call(SYS_statfs, directory, &fs) != 0) return false;
    *type = (uint64_t)fs.f_type;
    return true;
}

/*
 * Where a name without a directory goes: the working directory at the start, or memory where that
 * promises too little.
 */
static const char *default_directory(void) {
    uint64_t type;
    const char *here = trace_process.directory;
    if (options.trace_named || !here[0]) return here;
    if (!filesystem_type(here, &type) || trace_file_system_will_do(type)) return here;
    return filesystem_type(MEMORY_DIRECTORY, &type) && type == TMPFS_MAGIC ? MEMORY_DIRECTORY
                                                                           : here;
}

/* A part of a file name: no slash can come in by it. */
static void put_part(struct text *t, const char *s, size_t most) {
    for (size_t i = 0; i < most && s[i]; i++)
        text_put_n(t, s[i] == '/' ? "_" : s + i, 1);
}

bool trace_file_name(struct text *t, const char *directory, unsigned suffix) {
    const struct trace_file_naming of = {trace_exe[0] ? trace_exe : trace_process.argv,
                                         trace_process.pid, directory};
    return trace_file_name_of(t, &of, suffix);
}

bool trace_file_name_of(struct text *t, const struct trace_file_naming *of, unsigned suffix) {
    struct utsname machine;
    if (options.trace[0] != '/' && of->directory[0]) {
        text_put(t, of->directory);
        if (strcmp(of->directory, "/") != 0) text_put(t, "/");
    }
    for (const char *s = options.trace; *s; s++) {
        if (*s != '%') {
            text_put_n(t, s, 1);
            continue;
        }
        switch (*++s) {
        case 'e': put_part(t, text_base_name(of->program), 128); break;
        case 'p': text_put_u64(t, of->pid); break;
        case 't': text_put_u64(t, trace_process.started_realtime_ns / 1000000000u); break;
        case 'h':
            if (sys_call(SYS_uname, &machine) == 0)
                put_part(t, machine.nodename, sizeof machine.nodename);
            break;
        default: text_put_n(t, "%", 1); break;
        }
    }
    if (suffix) {
        text_put(t, ".");
        text_put_u64(t, suffix);
    }
    return !t->cut;
}

/*
 * A file that the template may have named: what stands before its first and after its last '%'
 * part.
 */
static bool name_is_a_trace(const char *name, const char *before, size_t before_n,
                            const char *after, size_t after_n) {
    size_t n = strlen(name);
    if (n < before_n + after_n || memcmp(name, before, before_n) != 0) return false;
    for (size_t digits = 0; digits <= 4 && digits <= n; digits++) {
        size_t end = n;
        if (digits) {
            end = n - digits;
            if (name[end] < '0' || name[end] > '9') return false;
            if (end == 0 || name[end - 1] != '.') continue;
            end--;
        }
        if (end >= before_n + after_n && memcmp(name + end - after_n, after, after_n) == 0)
            return true;
    }
    return false;
}

/*
 * Entries of the directory that look like traces of this template, as far as a bounded look goes.
 */
static uint32_t count_traces(const char *directory, char *room, size_t size) {
    const char *before = text_base_name(options.trace), *percent = strchr(before, '%');
    size_t before_n = percent ? (size_t)(percent - before) : strlen(before);
    const char *after = percent ? strrchr(before, '%') + 2 : "";
    size_t after_n = strlen(after);
    if (before_n + after_n == 0) return 0; /* any file would do */
    long fd = sys_call(SYS_openat, AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return 0;
    uint32_t count = 0;
    for (uint64_t left = (8 + options.max_traces / 128) * (UINT64_C(32) << 10); left >= size;
         left -= size) {
        long n = sys_call(SYS_getdents64, fd, room, size);
        if (n <= 0) break;
        /* struct linux_dirent64: 8 inode, 8 offset, 2 length, 1 type, name */
        for (long at = 0; at + 19 < n;) {
            uint16_t length;
            memcpy(&length, room + at + 16, sizeof length);
            if (name_is_a_trace(room + at + 19, before, before_n, after, after_n)) count++;
            if (length == 0) break;
            at += length;
        }
    }
    sys_call(SYS_close, fd);
    return count;
}

static void directory_of(const char *path, char *directory) {
    const size_t n = (size_t)(text_base_name(path) - path);
    memcpy(directory, n ? path : ".", n ? n : 1);
    directory[n ? n : 1] = 0;
}

/* The directory of trace_path. */
static const char *directory_of_trace(void) {
    static char directory[TRACE_FILE_PATH_MAX];
    directory_of(trace_path, directory);
    return directory;
}

bool trace_file_too_many_beside(const char *path) {
    char directory[1024], room[2048] __attribute__((aligned(8)));
    if (strlen(path) >= sizeof directory) return true;
    directory_of(path, directory);
    return count_traces(directory, room, sizeof room) >= options.max_traces;
}

bool trace_file_too_many;

static bool too_many_traces(struct text *why) {
    const char *directory = directory_of_trace();
    if (count_traces(directory, buffer, sizeof buffer) < options.max_traces) return false;
    trace_file_too_many = true;
    text_put(why, directory);
    text_put(why, " holds ");
    text_put_u64(why, options.max_traces);
    text_put(why, " traces already (max_traces)");
    return true;
}

static uint64_t limit_of(int resource) {
    struct rlimit r;
    if (sys_call(SYS_prlimit64, 0, resource, 0, &r) != 0) return UINT64_MAX;
    return r.rlim_cur;
}

/*
 * Beyond RLIMIT_FSIZE ftruncate would kill the program; of a limited address space a sixteenth is
 * enough for us.
 */
static uint64_t size_to_ask(void) {
    uint64_t size = options.max_trace, files = limit_of(RLIMIT_FSIZE), space = limit_of(RLIMIT_AS);
    if (size > files) size = files;
    if (space != RLIM_INFINITY && size > space / 16) size = space / 16;
    return size & ~4095ull;
}

/* Calls make with trace_path set to one candidate after the other until one is not taken yet. */
static long first_free_name(struct text *why, long (*make)(long), long argument) {
    for (unsigned suffix = 0; suffix <= SUFFIX_MOST; suffix++) {
        struct text name = TEXT_ON(trace_path);
        if (!trace_file_name(&name, default_directory(), suffix)) {
            text_put(why, "the path is too long");
            return -ENAMETOOLONG;
        }
        if (suffix == 0 && too_many_traces(why)) return -EMFILE;
        const long r = make(argument);
        if (r != -EEXIST) return r;
    }
    return -EEXIST;
}

static long make_by_name(long unused) {
    (void)unused;
    return sys_call(SYS_openat, AT_FDCWD, trace_path,
                    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* Never over anything, never through a link: linkat fails with EEXIST, as O_EXCL does. */
static long make_by_link(long fd) {
    char self[32];
    struct text text = TEXT_ON(self);
    text_put(&text, "/proc/self/fd/");
    text_put_u64(&text, (uint64_t)fd);
    return sys_call(SYS_linkat, AT_FDCWD, self, AT_FDCWD, trace_path, AT_SYMLINK_FOLLOW);
}

/* Really written blocks, for kernels before 5.14. */
static long write_blocks(long fd, uint64_t size) {
    memset(buffer, 0, sizeof buffer);
    for (uint64_t at = 0; at < size;) {
        const uint64_t left = size - at;
        long n =
            sys_call(SYS_pwrite64, fd, buffer, left < sizeof buffer ? left : sizeof buffer, at);
        if (n == -EINTR) continue;
        if (n <= 0) return n ? n : -ENOSPC;
        at += (uint64_t)n;
    }
    return 0;
}

/*
 * Without MADV_RANDOM the first page of a hole would be read ahead: zeroed by the kernel up to the
 * device's read-ahead size, which was measured to take 1.7 ms for each region.
 */
static long map_file(struct trace_file *f, long fd) {
    long p = sys_call(SYS_mmap, 0, f->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p < 0 && p > -4096) return p;
    f->base = (uint8_t *)p;
    sys_call(SYS_madvise, p, f->size, MADV_RANDOM);
    return 0;
}

static long fill_file(struct trace_file *f, long fd) {
    struct stat st;
    long r = sys_call(SYS_fstat, fd, &st);
    if (r < 0) return r;
    f->device = st.st_dev;
    f->inode = st.st_ino;
    if ((r = sys_call(SYS_ftruncate, fd, f->size)) < 0 || (r = map_file(f, fd)) < 0) return r;
    r = sys_call(SYS_madvise, f->base, TRACE_HEADER_SIZE, trace_file_advice);
    if (r != -EINVAL) return r;
    sys_call(SYS_munmap, f->base, f->size);
    f->base = 0;
    if (f->size > WRITTEN_MOST) {
        f->size = WRITTEN_MOST;
        if ((r = sys_call(SYS_ftruncate, fd, f->size)) < 0) return r;
    }
    f->fixed = true;
    if ((r = write_blocks(fd, f->size)) < 0) return r;
    return map_file(f, fd);
}

static void give_up(struct trace_file *f, long fd) {
    if (f->base) sys_call(SYS_munmap, f->base, f->size);
    f->base = 0;
    if (fd >= 0) sys_call(SYS_close, fd);
}

/*
 * A file gets its name when it has its size, so that a kill at any moment leaves a whole one or none. -ENOSYS: this file system,
 * or a process without /proc, can't do that.
 */
static long create_nameless(struct trace_file *f, struct text *why) {
    struct text name = TEXT_ON(trace_path);
    if (!trace_file_name(&name, default_directory(), 0)) return -ENOSYS;
    const long fd =
        sys_call(SYS_openat, AT_FDCWD, directory_of_trace(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0) return -ENOSYS;
    long r = fill_file(f, fd);
    if (r >= 0) {
        r = first_free_name(why, make_by_link, fd);
        if (r < 0 && r != -EMFILE && r != -EEXIST && r != -ENAMETOOLONG) r = -ENOSYS;
    }
    if (r < 0)
        give_up(f, fd);
    else
        sys_call(SYS_close, fd);
    return r;
}

static long create_named(struct trace_file *f, struct text *why) {
    const long fd = first_free_name(why, make_by_name, 0);
    if (fd < 0) return fd;
    const long r = fill_file(f, fd);
    if (r < 0) {
        give_up(f, fd);
        trace_file_remove(f);
    } else {
        sys_call(SYS_close, fd);
    }
    return r;
}

bool trace_file_create(struct trace_file *f, struct text *why) {
    const uint64_t size = size_to_ask();
    *f = (struct trace_file){.size = size};
    if (size < TRACE_FILE_LEAST) {
        text_put(why,
                 "the limit of file size or address space (ulimit -f, -v) leaves less than 64 KiB");
        return false;
    }
    const size_t said = why->length;
    long r = create_nameless(f, why);
    if (r == -ENOSYS) {
        *f = (struct trace_file){.size = size};
        r = create_named(f, why);
    }
    if (r >= 0) return true;
    if (why->length == said) {
        text_put(why, trace_path);
        text_put(why, ": ");
        text_put_error(why, (int)-r);
    }
    return false;
}

void trace_file_remove(const struct trace_file *f) {
    struct stat st;
    if (sys_call(SYS_newfstatat, AT_FDCWD, trace_path, &st, AT_SYMLINK_NOFOLLOW) != 0) return;
    if (st.st_dev == f->device && st.st_ino == f->inode)
        sys_call(SYS_unlinkat, AT_FDCWD, trace_path, 0);
}

/* The name in field 2 may hold anything, its end is the last ')'. */
uint64_t trace_file_start_ticks(uint32_t pid) {
    char path[32], text[512];
    struct text t = TEXT_ON(path);
    text_put(&t, "/proc/");
    text_put_u64(&t, pid);
    text_put(&t, "/stat");
    if (sys_read_file(path, text, sizeof text) <= 0) return 0;
    const char *s = strrchr(text, ')');
    for (int field = 2; s && field < 22; field++) {
        s = strchr(s, ' ');
        if (s) s++;
    }
    return s ? text_u64(s, 0) : 0;
}
