/* Samples of sockets, the evidence that outlives the process: how many bytes wait, and what TCP says of the connection. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include "record/sys.h"
#include "track/connection.h"

#define SAMPLE_PERIOD_NS 1000000000u
#define SAMPLE_AT_ONCE 32u

static uint64_t last_ns;
static uint32_t cursor;

static void connection_sample(struct connection *c, uint64_t now) {
    struct trace_connection *slot = c->slot;
    const int fd = slot->fd;
    /* The number must still be this connection's: asking another socket would give another one's truth. */
    if (fd < 0 || fd_entry(fd) != connection_entry(c)) return;
    int queued = 0;
    const bool known = sys_call(SYS_ioctl, fd, FIONREAD, &queued) == 0;
    uint8_t state = 0;
    if (!(slot->flags & TRACE_CONNECTION_UNIX)) {
        uint32_t size = sizeof state; /* tcpi_state is the first byte of struct tcp_info */
        if (sys_call(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, &state, &size) != 0) state = 0;
    }
    slot_begin(&slot->sample_seq);
    slot->sample_ns = now;
    slot->rx_queued = known ? (uint32_t)queued : 0;
    slot->rx_known = known;
    slot->tcp_state = state;
    slot_end(&slot->sample_seq);
    if (slot->exec_ns) connection_look_for_heirs(c, now);
}

static uint32_t slots_used(void) {
    struct trace_map *t = trace;
    if (!t) return 0;
    const uint64_t used =
        __atomic_load_n(&t->header->regions[TRACE_REGION_CONNECTION].used, __ATOMIC_RELAXED);
    return used < t->connection_limit ? (uint32_t)used : t->connection_limit;
}

void connection_sample_all(void) {
    if (sys_is_confined()) return;
    const uint64_t now = clock_now();
    const uint32_t used = slots_used();
    for (uint32_t i = 0; i < used; i++) {
        struct connection *c = connection_at(i);
        if (c && c->id != 0) connection_sample(c, now);
    }
}

void connection_sample_some(uint64_t now) {
    uint64_t last = __atomic_load_n(&last_ns, __ATOMIC_RELAXED);
    if (now - last < SAMPLE_PERIOD_NS || sys_is_confined()) return;
    if (!__atomic_compare_exchange_n(&last_ns, &last, now, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return;
    const uint32_t used = slots_used();
    for (uint32_t seen = 0, done = 0; seen < used && done < SAMPLE_AT_ONCE; seen++) {
        const uint32_t i = __atomic_fetch_add(&cursor, 1, __ATOMIC_RELAXED) % used;
        struct connection *c = connection_at(i);
        if (c && c->id != 0) connection_sample(c, now), done++;
    }
}
