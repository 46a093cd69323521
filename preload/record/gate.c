/* The gate: threads inside are counted on cache lines of their own; a fork waits for the counts,
 * whoever comes later for it. */
#include "record/gate.h"

#include <stdbool.h>
#include <stdint.h>

#include "record/clock.h"

#define SHARDS 16u
#define WAIT_MOST_NS 200000000u /* a thread that was killed inside must not stop forks for ever */

static struct shard {
    uint32_t inside;
    uint32_t unused[15];
} shards[SHARDS] __attribute__((aligned(64)));
static uint32_t closed; /* forks under way */
static uint32_t last_shard;

static __thread uint32_t depth __attribute__((tls_model("initial-exec")));
static __thread uint32_t my_shard __attribute__((tls_model("initial-exec"))); /* + 1, 0: none yet */

static struct shard *shard_here(void) {
    if (my_shard == 0) my_shard = __atomic_fetch_add(&last_shard, 1, __ATOMIC_SEQ_CST) % SHARDS + 1;
    return &shards[my_shard - 1];
}

static void wait_for_forks(void) {
    const uint64_t start = clock_now();
    while (__atomic_load_n(&closed, __ATOMIC_SEQ_CST) && clock_wait(start, WAIT_MOST_NS))
        continue;
}

void gate_enter(void) {
    if (depth++ > 0) return;
    struct shard *s = shard_here();
    for (bool waited = false;; waited = true) {
        __atomic_fetch_add(&s->inside, 1, __ATOMIC_SEQ_CST);
        if (__builtin_expect(!__atomic_load_n(&closed, __ATOMIC_SEQ_CST), 1) || waited) return;
        __atomic_fetch_sub(&s->inside, 1, __ATOMIC_SEQ_CST);
        wait_for_forks();
    }
}

void gate_leave(void) {
    if (--depth > 0) return;
    __atomic_fetch_sub(&shard_here()->inside, 1, __ATOMIC_RELEASE);
}

static uint32_t others_inside(void) {
    uint32_t inside = 0;
    if (__atomic_load_n(&last_shard, __ATOMIC_SEQ_CST) == 0) return 0; /* nobody ever was */
    for (uint32_t i = 0; i < SHARDS; i++)
        inside += __atomic_load_n(&shards[i].inside, __ATOMIC_SEQ_CST);
    return inside - (depth > 0); /* a signal handler may fork on top of us */
}

void gate_close(void) {
    __atomic_fetch_add(&closed, 1, __ATOMIC_SEQ_CST);
    if (others_inside() == 0) return;
    const uint64_t start = clock_now();
    while (others_inside() > 0 && clock_wait(start, WAIT_MOST_NS))
        continue;
}

void gate_open(void) {
    uint32_t forks = __atomic_load_n(&closed, __ATOMIC_SEQ_CST);
    while (forks > 0 && !__atomic_compare_exchange_n(&closed, &forks, forks - 1, false,
                                                     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        continue;
}

void gate_after_fork(void) {
    for (uint32_t i = 0; i < SHARDS && last_shard != 0; i++)
        shards[i].inside = 0;
    if (depth > 0) shard_here()->inside = 1;
    __atomic_store_n(&closed, 0, __ATOMIC_SEQ_CST);
}
