/*
 * Interning: private hash tables in front of the trace's heaps and tables, so that the same thing
 * gets the same id.
 */
#include "record/intern.h"

#include <string.h>

#include "record/interpreter/frame.h"
#include "record/module_table.h"
#include "record/options.h"
#include "record/sys.h"
#include "record/trace_file.h"

#define PROBES 64u
#define MIX 0x9e3779b97f4a7c15u

/*
 * Entries hold half a hash over the id; 0 is empty. One is set once and never changes, so whoever
 * looks needs no lock, and a thread that is interrupted or killed anywhere leaves nothing behind
 * but perhaps a record that nobody refers to.
 */
struct table {
    uint64_t *entries;
    size_t size;
    uint32_t mask;
    enum trace_lost lost;
};
static struct table strings = {.lost = TRACE_LOST_STRINGS}, stacks = {.lost = TRACE_LOST_STACKS},
                    hosts = {.lost = TRACE_LOST_STRINGS}, sites = {.lost = TRACE_LOST_SITES};

/*
 * Stacks with frames in no known module are told by addresses alone; after an unload those may mean
 * something else.
 */
static uint32_t unknown_frames, stack_generation;

static void table_drop(struct table *t) {
    sys_memory_free(t->entries, t->size);
    t->entries = 0;
}

/* Room for twice as many entries as there can be records of that usual size. */
static bool table_make(struct table *t, uint64_t region_size, uint64_t record_size) {
    uint64_t n = 64;
    while (n < 2 * region_size / record_size && n < 1u << 30)
        n *= 2;
    table_drop(t);
    t->size = n * sizeof *t->entries;
    t->mask = (uint32_t)n - 1;
    t->entries = sys_memory(t->size);
    return t->entries != 0;
}

/* Drops the private tables. */
static void drop_tables(void) {
    table_drop(&strings);
    table_drop(&stacks);
    table_drop(&hosts);
    table_drop(&sites);
    unknown_frames = 0;
    frame_reset();
}

bool intern_open(const struct trace_map *m) {
    const struct trace_region *r = m->header->regions;
    drop_tables();
    return table_make(&strings, r[TRACE_REGION_STRING].size, 48) &&
           table_make(&stacks, r[TRACE_REGION_STACK].size, 320) &&
           table_make(&hosts, r[TRACE_REGION_HOST].size, sizeof(struct trace_host)) &&
           table_make(&sites, r[TRACE_REGION_SITE].size, sizeof(struct trace_site));
}

/*
 * What is interned: how a record is compared with it, made from it, and forgotten again when
 * another thread was faster.
 */
struct kind {
    bool (*equal)(const struct trace_map *, uint32_t id, const void *key);
    uint32_t (*make)(const struct trace_map *, const void *key);
    void (*drop)(const struct trace_map *, uint32_t id);
};

static inline __attribute__((always_inline)) uint32_t
intern(struct table *t, uint64_t hash, const struct kind *kind, const void *key) {
    const struct trace_map *m = trace;
    if (!m) return 0;
    uint64_t *entries = __atomic_load_n(&t->entries, __ATOMIC_RELAXED);
    uint32_t made = 0;
    hash *= MIX;
    const uint32_t half = (uint32_t)(hash >> 32), mask = t->mask;
    uint32_t at = (uint32_t)(hash >> 20) & mask;
    for (uint32_t probe = 0; entries && probe < PROBES; probe++, at = (at + 1) & mask) {
        uint64_t entry = __atomic_load_n(&entries[at], __ATOMIC_ACQUIRE);
        if (entry == 0) {
            if (!made && !(made = kind->make(m, key))) break;
            if (__atomic_compare_exchange_n(&entries[at], &entry, (uint64_t)half << 32 | made,
                                            false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
                return made;
        }
        if ((uint32_t)(entry >> 32) == half && kind->equal(m, (uint32_t)entry, key)) {
            if (made) kind->drop(m, made);
            return (uint32_t)entry;
        }
    }
    if (made) kind->drop(m, made);
    trace_lose(t->lost);
    return 0;
}

/* Takes back the newest piece of a heap, if it still is that. */
static void heap_return(enum trace_region_kind kind, uint32_t id, uint64_t bytes) {
    struct trace_region *r = &trace->header->regions[kind];
    uint64_t end = (uint64_t)id * 8 + ((bytes + 7) & ~7ull);
    __atomic_compare_exchange_n(&r->used, &end, (uint64_t)id * 8, false, __ATOMIC_ACQ_REL,
                                __ATOMIC_RELAXED);
}

/* ---- strings --------------------------------------------------------------------------------- */

struct string_key {
    const char *s;
    uint32_t n, hash;
};

static struct trace_string *string_at(const struct trace_map *m, uint32_t id) {
    return (struct trace_string *)(m->strings + (uint64_t)id * 8);
}

static bool string_equal(const struct trace_map *m, uint32_t id, const void *key) {
    const struct string_key *k = key;
    const struct trace_string *s = string_at(m, id);
    return s->length == k->n && memcmp(s->bytes, k->s, k->n) == 0;
}

static uint32_t string_make(const struct trace_map *m, const void *key) {
    const struct string_key *k = key;
    uint32_t id = trace_take_heap(TRACE_REGION_STRING, sizeof(struct trace_string) + k->n + 1);
    if (!id) return 0;
    struct trace_string *s = string_at(m, id);
    s->length = k->n;
    memcpy(s->bytes, k->s, k->n);
    s->bytes[k->n] = 0;
    __atomic_store_n(&s->hash, k->hash, __ATOMIC_RELEASE);
    return id;
}

/* Marked incomplete before it is given back, for readers and for whoever takes the place next. */
static void string_drop(const struct trace_map *m, uint32_t id) {
    struct trace_string *s = string_at(m, id);
    const uint32_t n = s->length;
    __atomic_store_n(&s->hash, 0, __ATOMIC_RELEASE);
    heap_return(TRACE_REGION_STRING, id, sizeof *s + n + 1);
}

uint32_t intern_string(const char *s, size_t n) {
    static const struct kind kind = {string_equal, string_make, string_drop};
    if (n == 0) return 0;
    struct string_key key = {s, n < TRACE_STRING_MAX ? (uint32_t)n : TRACE_STRING_MAX, 0};
    key.hash = trace_string_hash(s, key.n);
    return intern(&strings, key.hash, &kind, &key);
}

uint32_t intern_string_find(const char *s, size_t n) {
    const struct trace_map *m = trace;
    const uint64_t *entries = __atomic_load_n(&strings.entries, __ATOMIC_RELAXED);
    if (!m || !entries || n == 0 || n > TRACE_STRING_MAX) return 0;
    const struct string_key key = {s, (uint32_t)n, trace_string_hash(s, (uint32_t)n)};
    const uint64_t hash = key.hash * MIX;
    for (uint32_t probe = 0; probe < PROBES; probe++) {
        const uint64_t entry = __atomic_load_n(
            &entries[((uint32_t)(hash >> 20) + probe) & strings.mask], __ATOMIC_ACQUIRE);
        if (entry == 0) return 0;
        if ((uint32_t)(entry >> 32) == (uint32_t)(hash >> 32) &&
            string_equal(m, (uint32_t)entry, &key))
            return (uint32_t)entry;
    }
    return 0;
}

/* ---- stacks ---------------------------------------------------------------------------------- */

struct stack_key {
    void *const *pcs;
    uint32_t n, hash;
    bool
        inside; /* of a handler in a program that owns the thread pointer: the loader is out of reach */
};

SYS_EARLY const struct module_source *module_source;

static uint32_t frame_module(const struct stack_key *k, uintptr_t pc, uint64_t *base) {
    const uint32_t id = module_lookup(pc, base);
    return id || k->inside || !module_source ? id : module_source->missed(pc, base);
}

static struct trace_stack *stack_at(const struct trace_map *m, uint32_t id) {
    return (struct trace_stack *)(m->stacks + (uint64_t)id * 8);
}

static bool frame_equal(const struct trace_frame *f, const void *pc) {
    if (!frame_is(pc)) return false;
    const struct trace_frame wanted = frame_for_trace(pc);
    return f->language == wanted.language && f->module == wanted.module &&
           f->address == wanted.address;
}

/*
 * A frame whose module is gone matches nothing: its addresses belong to somebody else now. Unless
 * the module came back to its place, which nobody noticed so far: frame_module does.
 */
static bool stack_equal(const struct trace_map *m, uint32_t id, const void *key) {
    const struct stack_key *k = key;
    const struct trace_stack *s = stack_at(m, id);
    bool gone = false;
    if (s->count != k->n) return false;
    for (uint32_t i = 0; i < k->n; i++) {
        const struct trace_frame *f = &s->frames[i];
        if (f->language || frame_is(k->pcs[i])) {
            if (!frame_equal(f, k->pcs[i])) return false;
            continue;
        }
        const struct trace_module *module = &m->modules[f->module];
        const uint64_t base = f->module ? module->base : 0;
        if (f->address + base != (uintptr_t)k->pcs[i]) return false;
        gone |= f->module && __atomic_load_n(&module->unloaded_ns, __ATOMIC_RELAXED);
    }
    for (uint32_t i = 0; gone && i < k->n; i++) {
        uint64_t base;
        if (s->frames[i].module && !s->frames[i].language &&
            frame_module(k, (uintptr_t)k->pcs[i] - 1, &base) != s->frames[i].module)
            return false;
    }
    return true;
}

static uint32_t stack_make(const struct trace_map *m, const void *key) {
    const struct stack_key *k = key;
    uint32_t id = trace_take_heap(TRACE_REGION_STACK,
                                  sizeof(struct trace_stack) + k->n * sizeof(struct trace_frame));
    if (!id) return 0;
    struct trace_stack *s = stack_at(m, id);
    s->count = k->n;
    for (uint32_t i = 0; i < k->n; i++) {
        if (frame_is(k->pcs[i])) {
            s->frames[i] = frame_for_trace(k->pcs[i]);
            continue;
        }
        /* A return address may lie just behind its module's last call. */
        uint64_t base = 0;
        const uintptr_t pc = (uintptr_t)k->pcs[i];
        const uint32_t module = frame_module(k, pc ? pc - 1 : 0, &base);
        if (!module) __atomic_store_n(&unknown_frames, 1, __ATOMIC_RELAXED);
        s->frames[i] = (struct trace_frame){.address = pc - (module ? base : 0), .module = module};
    }
    __atomic_store_n(&s->hash, k->hash, __ATOMIC_RELEASE);
    return id;
}

static void stack_drop(const struct trace_map *m, uint32_t id) {
    struct trace_stack *s = stack_at(m, id);
    const uint32_t n = s->count;
    __atomic_store_n(&s->hash, 0, __ATOMIC_RELEASE);
    heap_return(TRACE_REGION_STACK, id, sizeof *s + n * sizeof *s->frames);
}

static uint32_t intern_pcs(void *const *pcs, uint32_t n, bool inside) {
    static const struct kind kind = {stack_equal, stack_make, stack_drop};
    uint64_t hash = __atomic_load_n(&stack_generation, __ATOMIC_RELAXED);
    if (n == 0) return 0;
    for (uint32_t i = 0; i < n; i++)
        hash = (hash ^ (uintptr_t)pcs[i]) * 0xff51afd7ed558ccdu, hash ^= hash >> 32;
    const uint32_t short_hash = (uint32_t)hash ? (uint32_t)hash : 1;
    const struct stack_key key = {pcs, n, short_hash, inside};
    return intern(&stacks, hash, &kind, &key);
}

uint32_t intern_frames(void *const *pcs, uint32_t n) {
    return intern_pcs(pcs, n, false);
}

uint32_t intern_frames_inside(void *const *pcs, uint32_t n) {
    return intern_pcs(pcs, n, true);
}

void intern_forget_stacks(void) {
    if (!__atomic_load_n(&unknown_frames, __ATOMIC_RELAXED)) return;
    __atomic_store_n(&unknown_frames, 0, __ATOMIC_RELAXED);
    __atomic_fetch_add(&stack_generation, 1, __ATOMIC_RELAXED);
}

/* ---- hosts and sites ------------------------------------------------------------------------- */

struct host_key {
    uint32_t name;
    uint16_t port, scheme;
};

static bool host_equal(const struct trace_map *m, uint32_t id, const void *key) {
    const struct host_key *k = key;
    const struct trace_host *h = &m->hosts[id];
    return h->name == k->name && h->port == k->port && h->scheme == k->scheme;
}

static uint32_t host_make(const struct trace_map *m, const void *key) {
    const struct host_key *k = key;
    uint32_t id = trace_take_record(TRACE_REGION_HOST);
    if (id == UINT32_MAX) return 0;
    struct trace_host *h = &m->hosts[id];
    h->name = k->name;
    h->port = k->port;
    h->scheme = k->scheme;
    return id;
}

/* Records are not given back: this one stays what readers take for a torn one. */
static void host_drop(const struct trace_map *m, uint32_t id) {
    m->hosts[id].name = 0;
}

static void host_add_peer(struct trace_host *h, uint32_t peer) {
    for (uint32_t i = 0; i < TRACE_HOST_PEERS; i++) {
        uint32_t is = __atomic_load_n(&h->peers[i], __ATOMIC_RELAXED);
        if (is == peer) return;
        if (is) continue;
        if (__atomic_compare_exchange_n(&h->peers[i], &is, peer, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
            __atomic_fetch_add(&h->peer_count, 1, __ATOMIC_RELEASE);
            return;
        }
        if (is == peer) return;
    }
}

uint32_t intern_host(uint32_t name, uint16_t port, enum trace_scheme scheme, uint32_t peer) {
    static const struct kind kind = {host_equal, host_make, host_drop};
    if (!name) return 0;
    const struct host_key key = {name, port, (uint16_t)scheme};
    uint32_t id = intern(&hosts, (uint64_t)name << 20 ^ (uint64_t)port << 2 ^ scheme, &kind, &key);
    if (!id) return 0;
    struct trace_host *h = &trace->hosts[id];
    if (!__atomic_load_n(&h->ready, __ATOMIC_RELAXED))
        __atomic_store_n(&h->ready, 1, __ATOMIC_RELEASE);
    if (peer) host_add_peer(h, peer);
    return id;
}

struct site_key {
    uint32_t host, stack;
};

static bool site_equal(const struct trace_map *m, uint32_t id, const void *key) {
    const struct site_key *k = key;
    return m->sites[id].host == k->host && m->sites[id].stack == k->stack;
}

static uint32_t site_make(const struct trace_map *m, const void *key) {
    const struct site_key *k = key;
    uint32_t id = trace_take_record(TRACE_REGION_SITE);
    if (id == UINT32_MAX) return 0;
    m->sites[id].host = k->host;
    m->sites[id].stack = k->stack;
    return id;
}

static void site_drop(const struct trace_map *m, uint32_t id) {
    m->sites[id].host = m->sites[id].stack = 0;
}

uint32_t intern_site(uint32_t host, uint32_t stack) {
    static const struct kind kind = {site_equal, site_make, site_drop};
    if (!host && !stack) return 0;
    const struct site_key key = {host, stack};
    return intern(&sites, (uint64_t)host << 32 | stack, &kind, &key);
}
