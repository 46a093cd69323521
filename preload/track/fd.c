/* The fd table: which number means which connection or epoll set, through dup, close in all its forms, and fork. */
#include <fcntl.h>

#include "record/sys.h"
#include "track/connection.h"
#include "track/process.h"
#include "track/timer.h"
#include "track/wait.h"
#include "track/worker.h"

uint64_t *fd_table;
unsigned fd_limit;
int fd_highest = -1;

uint64_t connection_entry(const struct connection *c) {
    return (uint64_t)(process_generation & 0xff) << 56 | (c->id & 0xffffffu) << 32 | (c->index + 1);
}

static bool entry_inherited(uint64_t e) {
    return fd_entry_generation(e) != (process_generation & 0xff);
}

static bool entry_clear(int fd, uint64_t e) {
    return __atomic_compare_exchange_n(&fd_table[fd], &e, 0, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

/* The child does I/O on a connection of its parent's: what happens on it is not the parent's alone any more. */
static void mark_shared(uint64_t e) {
    struct trace_map *t = trace_of_parent;
    if (!t || (e & FD_EPOLL) || fd_entry_index(e) >= t->connection_limit) return;
    struct trace_connection *slot = &t->connections[fd_entry_index(e)];
    if ((slot->id & 0xffffffu) == fd_entry_id(e))
        __atomic_fetch_or(&slot->flags, TRACE_CONNECTION_SHARED, __ATOMIC_RELAXED);
}

static struct connection *entry_connection(uint64_t e) {
    struct connection *c = connection_at(fd_entry_index(e));
    if (!c || c->id == 0 || (c->id & 0xffffffu) != fd_entry_id(e)) return NULL;
    return c;
}

struct connection *connection_inherited(int fd, uint64_t e) {
    if (process_is_vfork_child()) return NULL;
    mark_shared(e);
    entry_clear(fd, e);
    return NULL;
}

/* Another number of a connection that lost the one its slot names. */
static void name_another_fd(struct connection *c) {
    const uint64_t e = connection_entry(c);
    for (int fd = 0; fd <= fd_highest; fd++)
        if (fd_entry(fd) == e) {
            __atomic_store_n(&c->slot->fd, fd, __ATOMIC_RELAXED);
            return;
        }
}

void connection_fd_closing(int fd, bool found) {
    const uint64_t e = fd_entry(fd);
    if (e == 0) return;
    process_check_fork();
    if (process_is_vfork_child()) return; /* it has our memory, but closes its own copy */
    if (!entry_clear(fd, e)) return;
    if (entry_inherited(e)) return;
    if (e & FD_TIMER) {
        timer_stopped(timer_key_fd(fd));
        return;
    }
    if (e & FD_EPOLL) {
        wait_epoll_closed(e);
        return;
    }
    struct connection *c = entry_connection(e);
    if (!c) return;
    const uint32_t left = __atomic_sub_fetch(&c->slot->fd_count, 1, __ATOMIC_ACQ_REL);
    if (left == 0) {
        if (c->slot->exec_ns) connection_look_for_heirs(c, clock_now());
        connection_end(c, found ? END_FOUND_CLOSED : END_CLOSED);
        return;
    }
    if (c->slot->fd == fd) name_another_fd(c);
    struct trace_event event = {
        .type = TRACE_EVENT_CONNECTION_DUP, .a = (uint64_t)fd, .arg = (uint16_t)left};
    connection_note(c, &event, clock_now());
}

void connection_range_closing(unsigned first, unsigned last) {
    const int highest = __atomic_load_n(&fd_highest, __ATOMIC_RELAXED);
    for (unsigned fd = first; fd <= last && highest >= 0 && fd <= (unsigned)highest; fd++)
        if (fd_is_ours((int)fd)) connection_fd_closing((int)fd, false);
}

bool connection_fd_table(void) {
    if (!sys_memory_once(&fd_table, FD_LIMIT * sizeof *fd_table)) return false;
    __atomic_store_n(&fd_limit, FD_LIMIT, __ATOMIC_RELEASE);
    return true;
}

void connection_fd_set(int fd, uint64_t entry) {
    if ((unsigned)fd >= fd_limit) return;
    __atomic_store_n(&fd_table[fd], entry, __ATOMIC_RELEASE);
    int highest = __atomic_load_n(&fd_highest, __ATOMIC_RELAXED);
    while (fd > highest && !__atomic_compare_exchange_n(&fd_highest, &highest, fd, false,
                                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

bool connection_fd_timer(int fd) {
    if ((unsigned)fd >= fd_limit) return false;
    connection_fd_set(fd, (uint64_t)(process_generation & 0xff) << 56 | FD_EPOLL | FD_TIMER);
    return true;
}

void connection_fd_duplicated(int old_fd, int new_fd) {
    const uint64_t e = fd_entry(old_fd);
    if (e == 0 || (unsigned)new_fd >= FD_LIMIT || old_fd == new_fd) return;
    process_check_fork();
    if (process_is_vfork_child()) return;
    if (entry_inherited(e) || (e & FD_EPOLL)) {
        /* An inherited one stays recognizable under its new number (a shell's redirection to 0 or 1). */
        if (entry_inherited(e)) connection_fd_set(new_fd, e);
        return;
    }
    struct connection *c = entry_connection(e);
    if (!c) return;
    const uint32_t count = __atomic_add_fetch(&c->slot->fd_count, 1, __ATOMIC_ACQ_REL);
    connection_fd_set(new_fd, e);
    struct trace_event event = {
        .type = TRACE_EVENT_CONNECTION_DUP, .a = (uint64_t)new_fd, .arg = (uint16_t)count};
    connection_note(c, &event, clock_now());
}

/* Forgets every number of a connection that is given up while the program keeps its fds. */
void connection_fd_forget(struct connection *c) {
    const uint64_t e = connection_entry(c);
    if (c->slot->fd_count == 1 && c->slot->fd >= 0 && entry_clear(c->slot->fd, e)) return;
    for (int fd = 0; fd <= fd_highest; fd++)
        if (fd_entry(fd) == e) entry_clear(fd, e);
}
