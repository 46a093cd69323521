/* The table of client handles by address, and their slots in the trace. */
#include "track/client.h"

#include "record/options.h"
#include "record/sys.h"
#include "track/worker.h"

#define BUCKETS 1024u
#define WAYS 8u
#define BUSY ((const void *)UINTPTR_MAX) /* the entry is being written */
#define YIELDS 200

struct client {
    const void *object; /* NULL: free */
    uint64_t created_ns, used_ns, uses;
    const void *parent; /* easy: the multi handle that it is in */
    uint32_t slot;      /* index + 1, 0: none */
    uint32_t stack;     /* of the creation, interned; 0: none, or early */
    uint32_t early;     /* index + 1 into earlies */
    uint32_t tid;
    uint16_t kind, references, busy, members;
};
static struct client (*table)[WAYS]; /* made with the first handle: most programs have none */

/* Stacks of handles that were made before there is a trace to intern them in; used once each. */
#define EARLIES 512u
struct early {
    const void *object;
    uint32_t count;
    void *pcs[32];
};
static struct early *earlies;
static uint32_t earlies_used;

static uint64_t last_id;

#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
#define STORE(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELEASE)
#define ADD(place, n) __atomic_fetch_add(&(place), n, __ATOMIC_RELAXED)

/* ---- the table ---- */

static struct client *bucket_of(const void *object) {
    return table[((uintptr_t)object >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 54];
}

static struct client *find(const void *object) {
    if (!LOAD(table) || !object) return NULL;
    struct client *bucket = bucket_of(object);
    for (unsigned i = 0; i < WAYS; i++)
        if (LOAD(bucket[i].object) == object) return &bucket[i];
    return NULL;
}

static bool claim(struct client *c, const void *object) {
    return __atomic_compare_exchange_n(&c->object, &object, BUSY, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

static bool is_being_written(const void *object) {
    const struct client *bucket = bucket_of(object);
    for (unsigned i = 0; i < WAYS; i++)
        if (LOAD(bucket[i].object) == BUSY) return true;
    return false;
}

/*
 * Takes the object's entry out of everybody's sight; it must be put back or freed. NULL: there is none. Waits, bounded, for one
 * that somebody else has in his hands.
 */
static struct client *take(const void *object) {
    if (!LOAD(table) || !object) return NULL;
    for (int i = 0; i < YIELDS; i++) {
        struct client *c = find(object);
        if (c && claim(c, object)) return c;
        if (!c && !is_being_written(object)) return NULL;
        if (!c) sys_call(SYS_sched_yield);
    }
    if (trace) /* it may be one that was just freed: nothing can be said of any from here */
        __atomic_fetch_or(&trace->header->features, TRACE_FEATURE_HANDLES_UNSURE, __ATOMIC_RELAXED);
    return NULL;
}

static struct trace_handle *slot_of(const struct client *c) {
    struct trace_map *t = trace;
    const uint32_t slot = LOAD(c->slot);
    return t && slot != 0 && slot <= t->handle_limit ? &t->handles[slot - 1] : NULL;
}

/* ---- slots ---- */

static uint32_t creation_stack(const struct client *c) {
    if (c->stack != 0 || c->early == 0) return c->stack;
    const struct early *early = &earlies[c->early - 1];
    return intern_stack(early->pcs, early->count);
}

static uint64_t id_of(const void *object) {
    const struct client *c = find(object);
    const struct trace_handle *slot = c ? slot_of(c) : NULL;
    return slot ? slot->id : 0;
}

/* c is in our hands. */
static void make_slot(struct client *c, const void *object) {
    if (!trace || c->slot != 0) return;
    const uint32_t index = slot_take(TRACE_REGION_HANDLE);
    if (index == UINT32_MAX) return;
    struct trace_handle *slot = &trace->handles[index];
    const uint32_t stack = creation_stack(c);
    slot_begin(&slot->seq);
    slot->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
    slot->created_ns = c->created_ns;
    slot->handle = (uintptr_t)object;
    slot->kind = c->kind;
    slot->created_stack = stack;
    slot->creator_tid = c->tid;
    slot->used_ns = c->used_ns;
    slot->uses = c->uses;
    slot->busy = c->busy;
    slot->members = c->members;
    slot->parent = id_of(c->parent);
    slot->state = TRACE_HANDLE_LIVE;
    slot_end(&slot->seq);
    STORE(c->slot, index + 1);
    struct trace_event event = {.type = TRACE_EVENT_CLIENT_OPEN,
                                .object = slot->id,
                                .a = slot->handle,
                                .arg = c->kind,
                                .stack = stack};
    journal_append(&event, clock_now(), thread_tid());
}

static void drop_slot(struct client *c) {
    struct trace_handle *slot = slot_of(c);
    if (!slot) return;
    struct trace_event event = {.type = TRACE_EVENT_CLIENT_CLOSE, .object = slot->id};
    journal_append(&event, clock_now(), thread_tid());
    slot_begin(&slot->seq);
    slot->state = TRACE_HANDLE_FREE;
    slot_end(&slot->seq);
    slot_give(TRACE_REGION_HANDLE, c->slot - 1);
    c->slot = 0;
}

/* SSL objects get theirs with their first client connection: a server's never do. */
static struct trace_handle *slot_wanted(const void *object) {
    struct client *c = find(object);
    if (!c) return NULL;
    if (LOAD(c->slot) == 0 && trace && (c = take(object)) != NULL) {
        make_slot(c, object);
        STORE(c->object, object);
    }
    return c ? slot_of(c) : NULL;
}

/* ---- creation and end ---- */

static void remember_stack(struct client *c, const void *object) {
    if (trace) {
        c->stack = stack_here();
        return;
    }
    if (LOAD(earlies_used) >= EARLIES || !sys_memory_once(&earlies, EARLIES * sizeof *earlies))
        return;
    const uint32_t index = ADD(earlies_used, 1);
    if (index >= EARLIES) return;
    struct early *early = &earlies[index];
    const uint32_t room = sizeof early->pcs / sizeof early->pcs[0];
    early->count =
        stack_capture(early->pcs, options.stack_depth < room ? options.stack_depth : room);
    c->early = index + 1;
    STORE(early->object, object);
}

void client_created(const void *object, enum trace_handle_kind kind) {
    if (!process_active || !object) return;
    process_check_fork();
    if (!sys_memory_once(&table, BUCKETS * sizeof *table)) return;
    struct client *c = take(object); /* the same address again: the one before went unseen */
    if (c) drop_slot(c);
    struct client *bucket = bucket_of(object);
    for (unsigned i = 0; !c && i < WAYS; i++)
        if (claim(&bucket[i], NULL)) c = &bucket[i];
    if (!c) {
        trace_lose(TRACE_LOST_HANDLES);
        return;
    }
    const uint64_t now = clock_now();
    c->created_ns = c->used_ns = now;
    c->uses = 0;
    c->parent = NULL;
    c->slot = c->stack = c->early = 0;
    c->tid = thread_tid();
    c->kind = (uint16_t)kind;
    c->references = c->busy = c->members = 0;
    remember_stack(c, object);
    if (kind != TRACE_HANDLE_SSL) make_slot(c, object);
    STORE(c->object, object);
}

void client_referred(const void *object) {
    struct client *c = find(object);
    if (c) ADD(c->references, 1);
}

/* A multi handle goes: those that are in it are in none. */
static void leave_all(const void *multi) {
    for (unsigned b = 0; b < BUCKETS; b++)
        for (unsigned i = 0; i < WAYS; i++) {
            const void *object = LOAD(table[b][i].object);
            if (object && object != BUSY && LOAD(table[b][i].parent) == multi)
                client_joined(object, NULL);
        }
}

void client_freed(const void *object) {
    process_check_fork();
    struct client *c = find(object);
    if (c && LOAD(c->members) > 0) leave_all(object);
    if (c && LOAD(c->parent)) client_joined(object, NULL);
    c = take(object);
    if (!c) return;
    if (c->references > 0) {
        c->references--;
        STORE(c->object, object);
        return;
    }
    drop_slot(c);
    STORE(c->object, NULL);
}

/* ---- use ---- */

static uint64_t operations_here(void) {
    const struct trace_worker *w = worker_waits() ? thread_self.slot : NULL;
    return w ? w->read_ops + w->write_ops : 0;
}

void client_begin(struct client_call *call, const void *object, bool transfer) {
    struct client *c = find(object);
    call->object = c ? object : NULL;
    if (!c) return;
    const uint64_t now = clock_coarse();
    call->operations = operations_here();
    ADD(c->busy, 1);
    if (transfer) ADD(c->uses, 1);
    STORE(c->used_ns, now > c->created_ns ? now : c->created_ns);
    struct trace_handle *slot = slot_of(c);
    if (!slot) return;
    ADD(slot->busy, 1);
    if (transfer) ADD(slot->uses, 1);
    STORE(slot->used_ns, c->used_ns);
    STORE(slot->user_tid, thread_tid());
    if (transfer) __atomic_fetch_and(&slot->flags, ~TRACE_HANDLE_PAUSED, __ATOMIC_RELAXED);
}

void client_end(const struct client_call *call) {
    struct client *c = find(call->object);
    if (!c) return;
    struct trace_handle *slot = slot_wanted(call->object);
    const struct trace_worker *w = worker_waits() ? thread_self.slot : NULL;
    STORE(c->used_ns, clock_now());
    if (c->busy > 0) __atomic_fetch_sub(&c->busy, 1, __ATOMIC_RELAXED);
    if (!slot) return;
    STORE(slot->used_ns, c->used_ns);
    STORE(slot->uses, c->uses);
    STORE(slot->busy, c->busy);
    if (slot->user_tid == 0) STORE(slot->user_tid, thread_tid());
    if (!w || operations_here() == call->operations) return;
    STORE(slot->connection, w->last_connection);
    STORE(slot->host, w->last_host);
}

void client_used(const void *object) {
    struct client_call call;
    client_begin(&call, object, false);
    client_end(&call);
    client_paused(object, false);
}

void client_paused(const void *easy, bool paused) {
    struct trace_handle *slot = slot_wanted(easy);
    if (!slot) return;
    if (paused && !(slot->flags & TRACE_HANDLE_PAUSED)) STORE(slot->since_ns, clock_now());
    /* In a callback: the thread has just read what it is called for. */
    const struct trace_worker *w = worker_waits() ? thread_self.slot : NULL;
    const struct client *parent = find(find(easy)->parent);
    if (paused && w && (slot->busy > 0 || (parent && parent->busy > 0))) {
        STORE(slot->connection, w->last_connection);
        STORE(slot->host, w->last_host);
    }
    if (paused)
        __atomic_fetch_or(&slot->flags, TRACE_HANDLE_PAUSED, __ATOMIC_RELEASE);
    else
        __atomic_fetch_and(&slot->flags, ~TRACE_HANDLE_PAUSED, __ATOMIC_RELEASE);
}

static void count_members(const void *multi, int n) {
    struct client *c = find(multi);
    if (!c || (n < 0 && c->members == 0)) return;
    ADD(c->members, (uint16_t)n);
    struct trace_handle *slot = slot_of(c);
    if (slot) STORE(slot->members, c->members);
}

void client_joined(const void *easy, const void *multi) {
    struct client *c = find(easy);
    if (!c || LOAD(c->parent) == multi) return;
    if (c->parent) count_members(c->parent, -1);
    STORE(c->parent, multi);
    if (multi) count_members(multi, 1);
    struct trace_handle *slot = slot_wanted(easy);
    if (slot) STORE(slot->parent, id_of(multi));
}

/* ---- SSL objects ---- */

void client_connected(const void *object, const struct connection *connection) {
    struct client *c = find(object);
    struct trace_handle *slot = c ? slot_wanted(object) : NULL;
    if (!slot || slot->connection == connection->id) return;
    STORE(slot->used_ns, clock_coarse());
    STORE(slot->uses, ADD(c->uses, 1) + 1);
    STORE(slot->connection, connection->id);
    STORE(slot->host, connection->slot->host);
    STORE(slot->since_ns, 0);
}

void client_disconnected(const void *object, const struct connection *connection) {
    struct client *c = find(object);
    struct trace_handle *slot = c && c->kind == TRACE_HANDLE_SSL ? slot_of(c) : NULL;
    if (!slot || slot->connection != connection->id) return;
    STORE(slot->host, connection->slot->host);
    STORE(slot->since_ns, clock_now());
}

void client_restarted(const void *object) {
    struct client *c = find(object);
    struct trace_handle *slot = c && c->kind == TRACE_HANDLE_SSL ? slot_of(c) : NULL;
    if (slot) STORE(slot->since_ns, 0);
}

/* ---- the trace ---- */

void client_adopt(void) {
    const uint32_t used = LOAD(earlies_used);
    for (uint32_t i = 0; i < used && i < EARLIES; i++) {
        struct client *c = find(LOAD(earlies[i].object));
        if (c && c->kind != TRACE_HANDLE_SSL) slot_wanted(c->object);
    }
}

/* The parent's handles are the parent's. */
void client_after_fork(void) {
    last_id = 0;
    earlies_used = 0;
    sys_memory_free(table, BUCKETS * sizeof *table);
    table = NULL;
}
