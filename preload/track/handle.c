/* The table of open body handles: a few entries a bucket, one short lock, the oldest gives way when a bucket is full. */
#include "track/handle.h"
#include "record/sys.h"
#include "track/half.h"
#include "track/worker.h"

#define BUCKETS 8192u
#define WAYS 8u

struct handle_entry {
    const void *handle; /* NULL: free */
    uint64_t body_id, connection_id;
    uint32_t body_slot; /* index */
    uint32_t site;
    bool drained; /* and counted in its site as drained_unclosed */
};
/* Made with the first handle: programs without annotations have none. */
static struct handle_entry (*table)[WAYS];
static uint32_t lock;

static bool table_lock(void) {
    if (half_lock(&lock)) return true;
    trace_lose(TRACE_LOST_BODIES);
    return false;
}

static void table_unlock(void) {
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

static struct handle_entry *bucket_of(const void *handle) {
    const uint64_t h = (uint64_t)(uintptr_t)handle * 0x9e3779b97f4a7c15u;
    return table[h >> 51];
}

static struct handle_entry *find(const void *handle) {
    if (!table) return NULL;
    struct handle_entry *bucket = bucket_of(handle);
    for (unsigned i = 0; i < WAYS; i++)
        if (bucket[i].handle == handle) return &bucket[i];
    return NULL;
}

/* A handle seen again before it was closed is a new one at an old address: the old one stays unclosed for ever. */
static void insert(struct handle_entry entry) {
    struct handle_entry *place = find(entry.handle);
    struct handle_entry *bucket = bucket_of(entry.handle);
    for (unsigned i = 0; !place && i < WAYS; i++)
        if (!bucket[i].handle) place = &bucket[i];
    if (!place) {
        place = bucket;
        for (unsigned i = 1; i < WAYS; i++)
            if (bucket[i].body_id < place->body_id) place = &bucket[i];
        trace_lose(TRACE_LOST_BODIES);
    }
    *place = entry;
}

static void handle_note(uint16_t type, uint64_t connection, uint64_t body, const void *handle,
                        uint16_t arg) {
    struct trace_event event = {
        .type = type, .connection = connection, .object = body, .a = (uintptr_t)handle, .arg = arg};
    journal_append(&event, clock_now(), thread_tid());
}

void handle_opened(const void *handle, int fd) {
    struct connection *c = handle ? connection_of_fd(fd) : NULL;
    if (!c || !connection_lock_read(c)) return;
    struct handle_entry entry = {.handle = handle, .connection_id = c->id};
    struct trace_body *body = c->body;
    if (body && !(body->flags & TRACE_BODY_HANDLE_SEEN)) {
        entry.body_id = body->id;
        entry.body_slot = (uint32_t)(body - trace->bodies);
        entry.site = body->site;
    } else if (!body && c->last_body.id != 0 && !c->last_body.handle_seen && c->last_body.drained) {
        entry.body_id = c->last_body.id;
        entry.body_slot = UINT32_MAX;
        entry.site = c->last_body.site;
        entry.drained = true;
        c->last_body.handle_seen = true;
    }
    if (entry.body_id != 0 && sys_memory_once(&table, BUCKETS * sizeof *table) && table_lock()) {
        insert(entry);
        handle_note(TRACE_EVENT_HANDLE_OPEN, entry.connection_id, entry.body_id, handle, 0);
        if (entry.drained) counter_add(&site_at(entry.site)->drained_unclosed, 1);
        if (body && !entry.drained) {
            body->handle = (uintptr_t)handle;
            __atomic_fetch_or(&body->flags, TRACE_BODY_HANDLE_SEEN, __ATOMIC_RELEASE);
        }
        table_unlock();
    }
    connection_unlock_read(c);
}

static void body_flag(const struct handle_entry *entry, uint32_t flag) {
    if (entry->body_slot == UINT32_MAX) return;
    struct trace_body *body = &trace->bodies[entry->body_slot];
    if (body->id == entry->body_id && body->state == TRACE_BODY_OPEN)
        __atomic_fetch_or(&body->flags, flag, __ATOMIC_RELEASE);
}

void handle_drained(const void *handle) {
    if (!trace || !handle || !table_lock()) return;
    const struct handle_entry *entry = find(handle);
    if (entry) {
        body_flag(entry, TRACE_BODY_HANDLE_EOF);
        handle_note(TRACE_EVENT_HANDLE_EOF, entry->connection_id, entry->body_id, handle, 0);
    }
    table_unlock();
}

void handle_closed(const void *handle) {
    if (!trace || !handle || !table_lock()) return;
    struct handle_entry *entry = find(handle);
    if (entry) {
        body_flag(entry, TRACE_BODY_HANDLE_CLOSED);
        if (entry->drained) counter_add(&site_at(entry->site)->drained_unclosed, (uint64_t)-1);
        handle_note(TRACE_EVENT_HANDLE_CLOSE, entry->connection_id, entry->body_id, handle,
                    entry->drained);
        *entry = (struct handle_entry){0};
    }
    table_unlock();
}

bool handle_body_ended(const void *handle, uint64_t body_id, bool drained) {
    if (!table_lock()) return false;
    struct handle_entry *entry = find(handle);
    const bool unclosed = entry && entry->body_id == body_id && drained;
    if (unclosed) {
        entry->drained = true;
        counter_add(&site_at(entry->site)->drained_unclosed, 1);
    }
    if (entry && entry->body_id == body_id) entry->body_slot = UINT32_MAX;
    table_unlock();
    return unclosed;
}

void handle_after_fork(void) {
    lock = 0;
    if (!table) return;
    for (unsigned b = 0; b < BUCKETS; b++)
        for (unsigned i = 0; i < WAYS; i++)
            if (table[b][i].handle) table[b][i] = (struct handle_entry){0};
}
