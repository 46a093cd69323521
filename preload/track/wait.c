/* Interest in connections: who polls or selects them, which epoll sets hold them, and when somebody
 * last waited there. */
#include "track/wait.h"

#include <string.h>

#include "record/sys.h"
#include "track/process.h"
#include "track/worker.h"

/* ---- poll and select ---- */

/* Asked for reading; or for writing while its connect is under way, when that is how one waits for
 * it. */
static bool is_interest(const struct connection *c, bool readable, bool writable) {
    return readable || (writable && c->slot->state == TRACE_CONNECTION_CONNECTING);
}

static void mark_polled(struct connection *c, uint64_t now) {
    struct trace_connection *slot = c->slot;
    slot_begin(&slot->wait_seq);
    slot->poll_tid = thread_tid();
    slot->wait_ns = now;
    slot_end(&slot->wait_seq);
    connection_flag(c, TRACE_CONNECTION_WAITED);
}

/* The thread's own slot and its connections carry the same moment while the call lasts, and at no
 * other time. */
static void poll_waits(uint64_t now) {
    if (worker_here()) worker_wait_begin(TRACE_WAIT_POLL, 0, NULL, now);
}

struct poll_over {
    uint32_t tid;
    uint64_t since, now;
};

/* Before the thread's wait ends, as everywhere: who finds nobody waiting then finds that somebody just did. */
static struct poll_over poll_waited(void) {
    struct poll_over over = {.tid = thread_tid(), .now = clock_coarse()};
    const struct trace_worker *w = thread_self.slot;
    if (w) over.since = w->wait_since_ns;
    if (over.now < over.since)
        over.now = over.since; /* the coarse clock is some milliseconds behind */
    return over;
}

static void unmark_polled(struct connection *c, const struct poll_over *over) {
    struct trace_connection *slot = c->slot;
    if (slot->poll_tid != over->tid || slot->wait_ns != over->since)
        return; /* another thread polls it by now */
    __atomic_store_n(&slot->wait_ns, over->now, __ATOMIC_RELAXED);
}

bool wait_poll_begin(const struct pollfd *fds, nfds_t count) {
    uint64_t now = 0;
    if (!trace || count > FD_LIMIT || !sys_is_plausible(fds)) return false;
    for (nfds_t i = 0; i < count; i++) {
        if (!fd_is_ours(fds[i].fd)) continue;
        struct connection *c = connection_of_fd(fds[i].fd);
        if (!c || !is_interest(c, fds[i].events & (POLLIN | POLLRDNORM | POLLPRI),
                               fds[i].events & POLLOUT))
            continue;
        if (now == 0) now = clock_now();
        mark_polled(c, now);
    }
    if (now) poll_waits(now);
    return now != 0;
}

void wait_poll_end(const struct pollfd *fds, nfds_t count, int result) {
    const struct poll_over over = poll_waited();
    for (nfds_t i = 0; i < count; i++) {
        if (!fd_is_ours(fds[i].fd)) continue;
        struct connection *c = connection_of_fd(fds[i].fd);
        if (!c) continue;
        unmark_polled(c, &over);
        if (result > 0 && fds[i].revents & POLLOUT && !(fds[i].revents & (POLLERR | POLLHUP)))
            connection_established(c);
    }
    worker_wait_end();
}

static uint64_t set_word(const fd_set *set, int first, int count) {
    if (!sys_is_plausible(set) || first >= count) return 0;
    const uint64_t word = (uint64_t)__FDS_BITS(set)[first / 64];
    return count - first < 64 ? word & ((UINT64_C(1) << (count - first)) - 1) : word;
}

/* The kernel does not look beyond the numbers in use either, and getdtablesize() may be far beyond
 * the end of an fd_set. */
static int select_count(int count) {
    const int highest = __atomic_load_n(&fd_highest, __ATOMIC_RELAXED);
    return count <= highest ? count : highest + 1;
}

bool wait_select_begin(int asked, const fd_set *readable, const fd_set *writable) {
    uint64_t now = 0;
    if (!trace) return false;
    const int count = select_count(asked);
    for (int first = 0; first < count; first += 64) {
        const uint64_t reads = set_word(readable, first, count),
                       writes = set_word(writable, first, count);
        for (uint64_t left = reads | writes; left; left &= left - 1) {
            const int bit = __builtin_ctzll(left), fd = first + bit;
            if (!fd_is_ours(fd)) continue;
            struct connection *c = connection_of_fd(fd);
            if (!c || !is_interest(c, reads >> bit & 1, writes >> bit & 1)) continue;
            if (now == 0) now = clock_now();
            mark_polled(c, now);
        }
    }
    if (now) poll_waits(now);
    return now != 0;
}

/* select leaves only what is ready in its sets, so those that were asked for are found by their
 * mark. */
void wait_select_end(int asked, const fd_set *readable, const fd_set *writable, int result) {
    const struct poll_over over = poll_waited();
    const int count = select_count(asked);
    for (int fd = 0; fd < count; fd++) {
        if (!fd_is_ours(fd)) continue;
        struct connection *c = connection_of_fd(fd);
        if (!c) continue;
        unmark_polled(c, &over);
        /* A failed connect is writable too: only its error or its first bytes would tell, so this
         * one waits for them. */
        if (result > 0 && set_word(writable, fd & ~63, count) >> (fd & 63) & 1 &&
            !(set_word(readable, fd & ~63, count) >> (fd & 63) & 1))
            connection_established(c);
    }
    worker_wait_end();
}

/* ---- epoll ---- */

#define SETS 1024u
struct epoll_set {
    uint64_t id; /* 0: free */
    uint64_t walked_ns;
    uint32_t scanned; /* places looked at by the last walk */
    uint32_t members;
};
static struct epoll_set sets[SETS];
static uint64_t last_set_id;

/* Which set holds the connection of a slot: set index + 1, and the connection's id since slots are
 * used anew. */
struct membership {
    uint32_t set;
    uint32_t id;
};
static struct membership *memberships; /* by connection slot; made with the first member */
static uint32_t memberships_used;

#define SET_INDEX(entry) ((uint32_t)((entry)&0x7fffffffu) - 1)
#define SET_ID(entry) ((uint32_t)((entry) >> 32) & 0xffffffu)

static uint64_t set_entry(uint32_t index) {
    return (uint64_t)(process_generation & 0xff) << 56 | (sets[index].id & 0xffffffu) << 32 |
           FD_EPOLL | (index + 1);
}

/* UINT32_MAX: the fd is no set that we know. A set of the parent's is one that we do not know. */
static uint32_t set_of_entry(uint64_t entry) {
    if (!(entry & FD_EPOLL) || (uint32_t)(entry >> 56) != (process_generation & 0xff))
        return UINT32_MAX;
    const uint32_t index = SET_INDEX(entry);
    return index < SETS && (sets[index].id & 0xffffffu) == SET_ID(entry) && sets[index].id
               ? index
               : UINT32_MAX;
}

static uint32_t set_create(int epfd) {
    if ((unsigned)epfd >= FD_LIMIT) return UINT32_MAX;
    const uint64_t id = __atomic_add_fetch(&last_set_id, 1, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < SETS; i++) {
        uint64_t none = 0;
        if (!__atomic_compare_exchange_n(&sets[i].id, &none, id, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED))
            continue;
        sets[i].walked_ns = 0;
        sets[i].scanned = sets[i].members = 0;
        connection_fd_set(epfd, set_entry(i));
        return i;
    }
    return UINT32_MAX;
}

static void interest_set(struct connection *c, uint64_t set_id, bool wanted, bool edge) {
    struct trace_connection *slot = c->slot;
    slot_begin(&slot->wait_seq);
    slot->epoll_interest = wanted;
    slot->epoll_edge = edge;
    slot->epoll_change_ns = clock_coarse();
    slot->epoll_set = wanted ? set_id : 0;
    slot_end(&slot->wait_seq);
    if (wanted) connection_flag(c, TRACE_CONNECTION_WAITED);
}

/* The set was closed around it, not it taken out of the set: epoll_set goes on saying so. */
static void interest_end(struct connection *c) {
    struct trace_connection *slot = c->slot;
    slot_begin(&slot->wait_seq);
    slot->epoll_interest = 0;
    slot->epoll_change_ns = clock_now();
    slot_end(&slot->wait_seq);
}

static void member_add(struct connection *c, uint32_t set) {
    struct membership *m = &memberships[c->index];
    if (m->set != set + 1 || m->id != (uint32_t)c->id)
        __atomic_add_fetch(&sets[set].members, 1, __ATOMIC_RELAXED);
    *m = (struct membership){set + 1, (uint32_t)c->id};
    uint32_t used = __atomic_load_n(&memberships_used, __ATOMIC_RELAXED);
    while (c->index >= used &&
           !__atomic_compare_exchange_n(&memberships_used, &used, c->index + 1, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

void wait_epoll_ctl(int epfd, int op, int fd, const struct epoll_event *event) {
    struct connection *c = connection_of_fd(fd);
    if (!c || c->index >= FD_LIMIT) return;
    if (!sys_memory_once(&memberships, FD_LIMIT * sizeof *memberships)) return;
    uint32_t set = set_of_entry(fd_entry(epfd));
    if (op == EPOLL_CTL_DEL) {
        struct membership *m = &memberships[c->index];
        if (set == UINT32_MAX || m->set != set + 1 || m->id != (uint32_t)c->id) return;
        *m = (struct membership){0, 0};
        __atomic_sub_fetch(&sets[set].members, 1, __ATOMIC_RELAXED);
        interest_set(c, 0, false, false);
        return;
    }
    if (!event || (set == UINT32_MAX && (set = set_create(epfd)) == UINT32_MAX)) return;
    member_add(c, set);
    const bool reads = event->events & (EPOLLIN | EPOLLRDNORM | EPOLLPRI);
    /* A one-shot registration is spent by an event that is handed to us under a name we can't read:
     * no better than an edge. */
    interest_set(c, sets[set].id, is_interest(c, reads, event->events & EPOLLOUT),
                 event->events & (EPOLLET | EPOLLONESHOT));
}

/*
 * Registrations of descriptors that are no connection, by number: one store each, since servers
 * register every socket that they accept. A number that is given out anew as a socket starts
 * without one.
 */
struct early {
    int32_t set; /* fd + 1, 0: none */
    uint32_t events;
};
static struct early *earlies; /* made with the first registration */

void wait_epoll_early(int epfd, int op, int fd, const struct epoll_event *event) {
    if ((unsigned)fd >= FD_LIMIT) return;
    const bool gone = op == EPOLL_CTL_DEL || !event;
    if (gone ? !earlies : !sys_memory_once(&earlies, FD_LIMIT * sizeof *earlies)) return;
    earlies[fd] = gone ? (struct early){0, 0} : (struct early){epfd + 1, event->events};
}

void wait_epoll_forget(int fd) {
    if (earlies && (unsigned)fd < FD_LIMIT && earlies[fd].set) earlies[fd] = (struct early){0, 0};
}

void wait_epoll_adopt(int fd) {
    if (!earlies) return;
    const struct early early = earlies[fd];
    if (!early.set) return;
    earlies[fd] = (struct early){0, 0};
    const struct epoll_event event = {.events = early.events};
    wait_epoll_ctl(early.set - 1, EPOLL_CTL_ADD, fd, &event);
}

/*
 * Tells the members that somebody waits on their set. For hundreds of them that is done so seldom
 * that it costs the program less than about a hundredth; epoll_set and the waiting thread's slot
 * tell the rest exactly.
 */
static void set_walk(uint32_t index, uint64_t now) {
    struct epoll_set *set = &sets[index];
    if (set->scanned > 128 && now - set->walked_ns < set->scanned * UINT64_C(200)) return;
    const uint32_t used = __atomic_load_n(&memberships_used, __ATOMIC_RELAXED);
    uint32_t left = set->members, i = 0;
    for (; i < used && left > 0; i++) {
        struct membership *m = &memberships[i];
        if (m->set != index + 1) continue;
        struct connection *c = connection_at(i);
        left--;
        if (c && (uint32_t)c->id == m->id) {
            __atomic_store_n(&c->slot->epoll_wait_ns, now, __ATOMIC_RELAXED);
            continue;
        }
        *m = (struct membership){0, 0}; /* closed: the kernel has taken it out of the set itself */
        __atomic_sub_fetch(&set->members, 1, __ATOMIC_RELAXED);
    }
    set->scanned = i;
    set->walked_ns = now;
}

bool wait_epoll_begin(int epfd) {
    process_check_fork();
    const uint32_t set = set_of_entry(fd_entry(epfd));
    if (set == UINT32_MAX) return false;
    const uint64_t now = clock_coarse();
    set_walk(set, now);
    if (worker_here()) worker_wait_begin(TRACE_WAIT_EPOLL, 0, (void *)(uintptr_t)sets[set].id, now);
    return true;
}

void wait_epoll_end(int epfd) {
    const uint32_t set = set_of_entry(fd_entry(epfd));
    if (set != UINT32_MAX) set_walk(set, clock_coarse());
    worker_wait_end();
}

void wait_epoll_closed(uint64_t entry) {
    const uint32_t set = set_of_entry(entry);
    if (set == UINT32_MAX) return;
    const uint32_t used = __atomic_load_n(&memberships_used, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < used && sets[set].members > 0; i++) {
        struct membership *m = &memberships[i];
        if (m->set != set + 1) continue;
        struct connection *c = connection_at(i);
        if (c && (uint32_t)c->id == m->id) interest_end(c);
        *m = (struct membership){0, 0};
        __atomic_sub_fetch(&sets[set].members, 1, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&sets[set].id, 0, __ATOMIC_RELEASE);
}

void wait_after_fork(void) {
    if (memberships_used) memset(memberships, 0, memberships_used * sizeof memberships[0]);
    if (last_set_id) memset(sets, 0, sizeof sets);
    memberships_used = 0;
}
