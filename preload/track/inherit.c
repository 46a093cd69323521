/* Connections that go along when a child execs: those handed over on purpose, and those that nobody thought of. */
#include <fcntl.h>
#include <string.h>

#include "record/sys.h"
#include "record/text.h"
#include "track/connection.h"
#include "track/process.h"

#define SETTLED_NS 1000000000u /* a program that wants none of them has closed them by then */
#define MARKS_MOST 64u /* connections of one exec that are looked at: each is a system call */

/* The slot behind an entry, in whichever trace it stands; NULL: none. */
static struct trace_connection *slot_behind(uint64_t e) {
    const bool inherited = fd_entry_generation(e) != (process_generation & 0xff);
    struct trace_map *t = inherited ? trace_of_parent : trace;
    if (!t || e == 0 || (e & FD_EPOLL) || fd_entry_index(e) >= t->connection_limit) return NULL;
    struct trace_connection *slot = &t->connections[fd_entry_index(e)];
    return (slot->id & 0xffffffu) == fd_entry_id(e) ? slot : NULL;
}

static bool goes_along(int fd) {
    const long flags = sys_call(SYS_fcntl, fd, F_GETFD);
    return flags >= 0 && !(flags & FD_CLOEXEC);
}

static void mark(int first, int pid) {
    unsigned looked = 0;
    for (int fd = first; fd <= fd_highest && looked < MARKS_MOST; fd++) {
        struct trace_connection *slot = slot_behind(fd_entry(fd));
        if (!slot) continue;
        looked++;
        if (slot->exec_held || !goes_along(fd)) continue;
        slot->exec_pid = (uint32_t)pid;
        __atomic_store_n(&slot->exec_ns, clock_now(), __ATOMIC_RELEASE);
    }
}

/*
 * A child execs: a connection of its parent's that it carries on as 0, 1 or 2 was handed over on purpose (bash's /dev/tcp with
 * `cat <&3`), and the parent does not answer for it alone. The others are the parent's still. A program that execs without a
 * child takes its own along, and they are judged as they are then.
 */
void connection_before_exec(void) {
    for (int fd = 0; fd <= 2; fd++) {
        const uint64_t e = fd_entry(fd);
        struct trace_connection *slot = slot_behind(e);
        if (slot && fd_entry_generation(e) != (process_generation & 0xff) && goes_along(fd))
            __atomic_fetch_or(&slot->flags, TRACE_CONNECTION_SHARED, __ATOMIC_RELAXED);
    }
    if (fd_highest > 2 && (trace_of_parent || process_is_vfork_child())) mark(3, sys_getpid());
}

void connection_spawned(int child_pid) {
    if (fd_highest > 2 && child_pid > 0 && !process_is_vfork_child()) mark(3, child_pid);
}

/* "socket:[123]" of a process's descriptor; pid 0: our own. */
static long name_of(int pid, int fd, char *name, size_t size) {
    char path[64];
    struct text text = TEXT_ON(path);
    text_put(&text, "/proc/");
    if (pid)
        text_put_u64(&text, (uint64_t)pid);
    else
        text_put(&text, "self");
    text_put(&text, "/fd/");
    text_put_u64(&text, (uint64_t)fd);
    return sys_call(SYS_readlinkat, AT_FDCWD, path, name, size);
}

void connection_look_for_heirs(struct connection *c, uint64_t now) {
    struct trace_connection *slot = c->slot;
    const uint64_t since = __atomic_load_n(&slot->exec_ns, __ATOMIC_ACQUIRE);
    char ours[64], theirs[64];
    if (since == 0 || slot->exec_held || now - since < SETTLED_NS || sys_is_confined()) return;
    const long n = name_of(0, slot->fd, ours, sizeof ours);
    const long m = name_of((int)slot->exec_pid, slot->fd, theirs, sizeof theirs);
    if (n <= 0 || n != m || memcmp(ours, theirs, (size_t)n) != 0) {
        __atomic_store_n(&slot->exec_ns, 0, __ATOMIC_RELAXED);
        return;
    }
    uint32_t not_yet = 0;
    if (!__atomic_compare_exchange_n(&slot->exec_held, &not_yet, 1, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return;
    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_INHERITED,
                                .object = slot->exec_pid,
                                .a = (uint64_t)slot->fd,
                                .b = slot->site,
                                .stack = slot->connect_stack};
    connection_note(c, &event, now);
}
