/* Who closed which number last, and the closes that look wrong until somebody else confirms them. */
#include "track/bad_close.h"

#include <errno.h>

#include "record/sys.h"
#include "track/worker.h"

#define LOOP_NS 10000000u /* a close of nothing so near to another one: it goes over all numbers */
#define SUSPICIONS 64u

struct closer { /* of a number's connection before */
    uint64_t connection;
    uint32_t tid;
};
static struct closer *closers; /* by number; untouched pages cost nothing */

struct suspicion {
    int32_t fd; /* + 1; 0: free */
    uint32_t closer, users[4];
    uint32_t host, stack;
    uint64_t meant, hit; /* connections */
    uint64_t time_ns;
};
static struct suspicion suspicions[SUSPICIONS];
static uint32_t turn, any;

static __thread uint64_t missed_ns
    __attribute__((tls_model("initial-exec"))); /* this thread closed a number that was not there */

static bool is_user(const struct suspicion *s, uint32_t tid) {
    for (unsigned i = 0; i < 4; i++)
        if (s->users[i] == tid) return true;
    return false;
}

/* It opened it, or read, wrote or polled it. */
static bool deals_with(const struct trace_connection *slot, uint32_t tid) {
    return slot->opener_tid == tid || slot->reader_tid == tid || slot->writer_tid == tid ||
           slot->request_tid == tid || slot->poll_tid == tid;
}

static void suspect(const struct connection *c, int fd, const struct closer *last, uint32_t tid) {
    const uint64_t now = clock_now();
    if (now - missed_ns < LOOP_NS) return;
    const uint32_t n = __atomic_fetch_add(&turn, 1, __ATOMIC_RELAXED) % SUSPICIONS;
    struct suspicion *s = &suspicions[n];
    __atomic_store_n(&s->fd, 0, __ATOMIC_RELEASE);
    const struct trace_connection *slot = c->slot;
    s->closer = tid;
    s->users[0] = slot->opener_tid;
    s->users[1] = slot->reader_tid;
    s->users[2] = slot->writer_tid;
    s->users[3] = slot->request_tid;
    s->host = slot->host;
    s->stack = stack_here();
    s->meant = last->connection;
    s->hit = c->id;
    s->time_ns = now;
    __atomic_store_n(&any, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&s->fd, fd + 1, __ATOMIC_RELEASE);
}

/* Somebody whose connection was closed under his feet comes to close it himself. */
static void confirm(int fd, uint64_t other_than, uint32_t tid) {
    if (!__atomic_load_n(&any, __ATOMIC_RELAXED)) return;
    for (unsigned i = 0; i < SUSPICIONS; i++) {
        struct suspicion *s = &suspicions[i];
        int32_t number = fd + 1;
        if (__atomic_load_n(&s->fd, __ATOMIC_ACQUIRE) != number || s->hit == other_than ||
            s->closer == tid || !is_user(s, tid))
            continue;
        const struct suspicion found = *s;
        if (!__atomic_compare_exchange_n(&s->fd, &number, 0, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED))
            continue;
        const uint32_t site = intern_site(found.host, found.stack);
        counter_add(&site_at(site)->bad_closes, 1);
        __atomic_store_n(&site_at(site)->bad_close_ns, found.time_ns, __ATOMIC_RELAXED);
        struct trace_event event = {.type = TRACE_EVENT_CONNECTION_BAD_CLOSE,
                                    .connection = found.hit,
                                    .object = found.meant,
                                    .a = (uint64_t)fd,
                                    .b = site,
                                    .stack = found.stack};
        journal_append(&event, clock_now(), found.closer);
    }
}

void bad_close_before(int fd) {
    const uint64_t entry = fd_entry(fd);
    if (entry == 0 || (entry & FD_EPOLL)) return;
    process_check_fork(); /* to close what it inherited is a child's good right, and no use of it */
    if (fd_entry_generation(entry) != (process_generation & 0xff) || process_is_vfork_child())
        return;
    struct connection *c = connection_of_fd(fd);
    if (!c) return;
    if (!sys_memory_once(&closers, FD_LIMIT * sizeof *closers)) return;
    const uint32_t tid = thread_tid();
    struct closer *last = &closers[fd];
    if (deals_with(c->slot, tid)) {
        /* his own; should it have replaced one that was closed under somebody's feet, that one is not his business */
    } else if (last->tid == tid && last->connection != c->id && c->slot->fd_count == 1) {
        suspect(c, fd, last, tid);
    } else {
        confirm(fd, c->id, tid);
    }
    last->connection = c->id;
    last->tid = tid;
}

/* One more number that is not there: what this thread closed a moment ago, it closed in a loop. */
static void forget_loop(int fd, uint32_t tid, uint64_t now) {
    for (unsigned i = 0; i < SUSPICIONS; i++) {
        struct suspicion *s = &suspicions[i];
        int32_t number = __atomic_load_n(&s->fd, __ATOMIC_ACQUIRE);
        if (number != 0 && number != fd + 1 && s->closer == tid && now - s->time_ns < LOOP_NS)
            __atomic_compare_exchange_n(&s->fd, &number, 0, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED);
    }
}

void bad_close_failed(int fd, int error) {
    if (error != EBADF || !trace) return;
    process_check_fork();
    if (!trace || process_is_vfork_child()) return;
    const uint64_t now = clock_now();
    const uint32_t tid = thread_tid();
    if (__atomic_load_n(&any, __ATOMIC_RELAXED)) {
        forget_loop(fd, tid, now);
        if (now - missed_ns >= LOOP_NS) confirm(fd, 0, tid);
    }
    missed_ns = now;
}

void bad_close_after_fork(void) {
    sys_memory_free(closers, FD_LIMIT * sizeof *closers);
    closers = NULL;
    for (unsigned i = 0; any && i < SUSPICIONS; i++)
        suspicions[i].fd = 0;
    any = 0;
}
