/* Fresh samples of a running process's sockets, out of /proc: how many bytes wait, and the state of the TCP connection. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "model/internal.h"

struct socket_wanted {
    uint64_t inode;
    struct model_connection *connection;
};

static int wanted_compare(const void *a, const void *b) {
    uint64_t x = ((const struct socket_wanted *)a)->inode,
             y = ((const struct socket_wanted *)b)->inode;
    return (x > y) - (x < y);
}

/* A FIN takes a place in the sequence numbers that rx_queue is computed from, but is no byte to read. */
static bool state_has_fin(unsigned state) {
    return state == 6 || state == 7 || state == 8 || state == 9 || state == 11; /* linux/tcp.h */
}

static void table_scan(const struct model_process *process, const char *table,
                       struct socket_wanted *wanted, size_t count) {
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/net/%s", process->header->pid, table);
    FILE *file = fopen(path, "re");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        unsigned state;
        uint64_t queued;
        struct socket_wanted key = {0};
        if (sscanf(line,
                   " %*u: %*[0-9A-Fa-f]:%*x %*[0-9A-Fa-f]:%*x %x %*x:%" SCNx64
                   " %*x:%*x %*x %*u %*u %" SCNu64,
                   &state, &queued, &key.inode) != 3)
            continue;
        struct socket_wanted *found = bsearch(&key, wanted, count, sizeof *wanted, wanted_compare);
        if (!found) continue;
        struct trace_connection *raw = &found->connection->raw;
        if (queued && state_has_fin(state)) queued--;
        raw->rx_queued = queued < UINT32_MAX ? (uint32_t)queued : UINT32_MAX;
        raw->rx_known = 1;
        raw->tcp_state = state;
        raw->sample_ns = max_u64(process->now_ns, raw->read_progress_ns);
    }
    fclose(file);
}

/* A program that was started with it open, a second ago at least, has it still. */
static void look_for_heir(struct model_connection *connection) {
    const struct model_process *process = connection->process;
    struct trace_connection *raw = &connection->raw;
    char path[64], ours[64], theirs[64];
    if (raw->exec_ns == 0 || raw->exec_held || process->now_ns < raw->exec_ns + 1000000000u) return;
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/fd/%d", process->header->pid, raw->fd);
    ssize_t n = readlink(path, ours, sizeof ours);
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/fd/%d", raw->exec_pid, raw->fd);
    ssize_t m = readlink(path, theirs, sizeof theirs);
    raw->exec_held = n > 0 && n == m && memcmp(ours, theirs, (size_t)n) == 0;
}

/*
 * Bytes that wait beside an edge-triggered set are ones that the program was told of and let be, or ones that came after its slots
 * were read. The program gets the time to take them; what moves has no sample.
 */
static void look_again(struct model_process *process) {
    static const struct timespec pause = {.tv_nsec = 100000000};
    bool paused = false;
    for (size_t i = 0; i < process->connection_count; i++) {
        struct model_connection *connection = &process->connections[i];
        struct trace_connection *raw = &connection->raw, again;
        if (!raw->rx_known || !raw->rx_queued || !raw->epoll_interest || !raw->epoll_edge) continue;
        if (!paused) nanosleep(&pause, NULL);
        paused = true;
        if (!trace_file_connection(process->file, connection->index, &again) ||
            again.id != raw->id || again.read_attempt_ns != raw->read_attempt_ns)
            raw->rx_known = 0;
    }
}

void process_refresh_samples(struct model_process *process) {
    struct socket_wanted *wanted = NULL;
    size_t count = 0;
    for (size_t i = 0; i < process->connection_count; i++)
        look_for_heir(&process->connections[i]);
    for (size_t i = 0; i < process->connection_count; i++) {
        struct model_connection *connection = &process->connections[i];
        char path[64], link[64];
        struct socket_wanted one = {.connection = connection};
        if (connection->raw.fd < 0 || (connection->raw.flags & TRACE_CONNECTION_UNIX)) continue;
        snprintf(path, sizeof path, "/proc/%" PRIu32 "/fd/%d", process->header->pid,
                 connection->raw.fd);
        ssize_t n = readlink(path, link, sizeof link - 1);
        if (n < 0) continue;
        link[n] = 0;
        if (sscanf(link, "socket:[%" SCNu64 "]", &one.inode) != 1) continue;
        wanted = array_grow(wanted, count, sizeof *wanted);
        wanted[count++] = one;
    }
    if (count) {
        qsort(wanted, count, sizeof *wanted, wanted_compare);
        table_scan(process, "tcp", wanted, count);
        table_scan(process, "tcp6", wanted, count);
    }
    free(wanted);
    look_again(process);
}
