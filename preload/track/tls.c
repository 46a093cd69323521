/* Which TLS object carries which connection: nested socket calls, the object's fd, the random of
 * the ClientHello. */
#include <string.h>

#include "track/association.h"
#include "track/client.h"
#include "track/client_hello.h"
#include "track/process.h"
#include "track/tls.h"
#include "track/worker.h"

#define RECORD_APPLICATION_DATA 23u
#define HOST_NAME_LENGTH 255u /* RFC 1035 section 2.3.4 */

/* ---- the call under way ---- */

static struct connection *live(struct association a) {
    if (a.kind != ASSOCIATION_CONNECTION) return NULL;
    struct connection *c = connection_at(association_slot(a.payload));
    const uint64_t id = c ? __atomic_load_n(&c->id, __ATOMIC_ACQUIRE) : 0;
    return id != 0 && (uint32_t)id == association_id(a.payload) ? c : NULL;
}

static bool gone(uint64_t payload) {
    return !live((struct association){ASSOCIATION_CONNECTION, payload});
}

/* Both are known to run on connections of their own: one call was not made for the other (a fetch
 * inside a callback). */
static bool unrelated(const void *a, const void *b) {
    const struct connection *first = live(association_find(association_object_key(a)));
    const struct connection *second = live(association_find(association_object_key(b)));
    return first && second && first != second;
}

/*
 * A nested call stands deeper on the stack than the one it is nested in, and on the same object
 * only the library itself makes one. Otherwise the outer call was left by longjmp, an exception or
 * a switch to another stack: it is over.
 */
bool tls_enter(const void *object, bool from_library) {
    const uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    struct thread *self = &thread_self;
    process_check_fork();
    if (self->tls_object && frame < self->tls_frame) {
        if (self->tls_object == object ? from_library : !unrelated(self->tls_object, object))
            return false;
    }
    self->tls_frame = frame;
    self->tls_object = object;
    return true;
}

void tls_leave(void) {
    thread_self.tls_object = NULL;
}

const void *tls_current(void) {
    struct thread *self = &thread_self;
    if (!self->tls_object) return NULL;
    if ((uintptr_t)__builtin_frame_address(0) < self->tls_frame) return self->tls_object;
    self->tls_object = NULL;
    return NULL;
}

/* ---- associations ---- */

static void set(uint64_t key, enum association_kind kind, uint64_t payload) {
    if (!association_set(key, (struct association){kind, payload}, gone))
        trace_lose(TRACE_LOST_TLS);
}

static uint64_t payload_of(const struct connection *c) {
    return association_payload(c->index, c->id);
}

static uint64_t payload_of_object(const void *object) {
    return (uint64_t)(uintptr_t)object >> 3;
}

/* 0: no random there (yet). */
static uint64_t random_hash(const uint8_t *bytes) {
    uint64_t h = 0, any = 0;
    for (unsigned i = 0; i < CLIENT_HELLO_RANDOM; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        any |= word;
        h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    h &= (UINT64_C(1) << ASSOCIATION_PAYLOAD) - 1;
    return any == 0 ? 0 : h ? h : 1;
}

/* An object that waited for its random to be seen on the wire waits no more. */
static void stop_waiting(const void *object, struct association a) {
    if (a.kind != ASSOCIATION_WAITING) return;
    const uint64_t key = association_random_key(a.payload);
    const struct association random = association_find(key);
    if (random.kind == ASSOCIATION_OBJECT && random.payload == payload_of_object(object))
        association_remove(key);
}

static uint32_t intern_host_name(const char *name, size_t n) {
    char lower[HOST_NAME_LENGTH];
    if (n > sizeof lower) return 0;
    for (size_t i = 0; i < n; i++)
        lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
    return intern_string(lower, n);
}

/* A tunnel's host is the CONNECT target, whatever the server is called inside it. */
static bool named_by_tunnel(const struct connection *c) {
    return c->slot->flags & TRACE_CONNECTION_PROXY;
}

static void followed(struct connection *c) {
    if (c->slot->flags & TRACE_CONNECTION_TLS_FOLLOWED) return;
    connection_flag(c, TRACE_CONNECTION_TLS_FOLLOWED);
    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_TLS, .arg = 2};
    connection_note(c, &event, clock_now());
}

static void associate(const void *object, struct connection *c) {
    const uint64_t key = association_object_key(object);
    const struct association before = association_find(key);
    if (before.kind == ASSOCIATION_CONNECTION && before.payload == payload_of(c)) return;
    stop_waiting(object, before);
    set(key, ASSOCIATION_CONNECTION, payload_of(c));
    c->tls_object = key;
    followed(c);
    client_connected(object, c);
    const struct association name = association_find(association_name_key(object));
    if (name.kind == ASSOCIATION_NAME && !named_by_tunnel(c))
        connection_set_host(c, (uint32_t)name.payload, c->peer_port);
}

static uint64_t object_random(const void *object, const struct tls_library *library) {
    uint8_t bytes[CLIENT_HELLO_RANDOM];
    if (!library->client_random || library->client_random(library, object, bytes) != sizeof bytes)
        return 0;
    return random_hash(bytes);
}

/* Step 3 from the object's side: the connection that sent this random, or a note for the one that
 * will. */
static struct connection *by_random(const void *object, uint64_t random) {
    if (random == 0) return NULL;
    struct connection *c = live(association_find(association_random_key(random)));
    if (c) return c;
    const uint64_t key = association_object_key(object);
    const struct association before = association_find(key);
    if (before.kind == ASSOCIATION_WAITING && before.payload == random) return NULL;
    stop_waiting(object, before);
    set(key, ASSOCIATION_WAITING, random);
    set(association_random_key(random), ASSOCIATION_OBJECT, payload_of_object(object));
    return NULL;
}

/* Steps 2 and 3. The fd alone is not believed: it may have been closed and given out anew, or carry
 * a tunnel. */
static struct connection *evidence(const void *object, const struct tls_library *library) {
    if (!library) return NULL;
    if (library->is_server && library->is_server(library, object)) {
        tls_object_server(object);
        return NULL;
    }
    const uint64_t random = object_random(object, library);
    const int fd = library->read_fd ? library->read_fd(library, object) : -1;
    struct connection *c = fd >= 0 && fd_is_ours(fd) ? connection_of_fd(fd) : NULL;
    if (!c || c->wire != WIRE_TLS || (random && c->client_random && random != c->client_random))
        c = by_random(object, random);
    if (c) associate(object, c);
    return c;
}

struct connection *tls_connection(const void *object, const struct tls_library *library) {
    if (!trace) return NULL;
    const struct association a = association_find(association_object_key(object));
    switch (a.kind) {
    case ASSOCIATION_CONNECTION: return live(a);
    case ASSOCIATION_UNKNOWN:
    case ASSOCIATION_WAITING: return evidence(object, library);
    default: return NULL;
    }
}

/* Not asked again until it starts anew. */
static void give_up(const void *object) {
    const struct association a = association_find(association_object_key(object));
    if (a.kind != ASSOCIATION_UNKNOWN && a.kind != ASSOCIATION_WAITING) return;
    stop_waiting(object, a);
    set(association_object_key(object), ASSOCIATION_FOREIGN, 0);
}

struct connection *tls_connection_late(const void *object, const struct tls_library *library,
                                       bool finished) {
    struct connection *c = tls_connection(object, library);
    if (!c && finished && trace) give_up(object);
    return c;
}

void tls_handshake_after(const void *object, const struct tls_library *library, bool finished) {
    if (!trace || !library) return;
    const struct association a = association_find(association_object_key(object));
    if (a.kind == ASSOCIATION_SERVER && !library->is_server) return;
    struct connection *c = live(a);
    if (!c)
        c = evidence(object, library);
    else if (finished && c->client_random) {
        /* What was concluded from nesting holds only if the random agrees: addresses of objects
         * come back. */
        const uint64_t random = object_random(object, library);
        struct connection *right =
            random && random != c->client_random ? by_random(object, random) : NULL;
        if (right) associate(object, c = right);
    }
    if (!finished) return;
    if (c && library->is_http2 && library->is_http2(library, object))
        connection_flag(c, TRACE_CONNECTION_H2);
    if (!c) give_up(object);
}

void tls_server_name(const void *object, const char *name, size_t n) {
    if (!trace || !name || n == 0) return;
    const uint32_t id = intern_host_name(name, n);
    if (id) set(association_name_key(object), ASSOCIATION_NAME, id);
}

/* Also without a trace: GnuTLS does not say later which side a session is, and this process may be
 * its own client. */
void tls_object_server(const void *object) {
    set(association_object_key(object), ASSOCIATION_SERVER, 0);
}

void tls_object_reset(const void *object) {
    if (thread_self.tls_object == object) thread_self.tls_object = NULL;
    const struct association a = association_find(association_object_key(object));
    if (a.kind == ASSOCIATION_UNKNOWN || a.kind == ASSOCIATION_SERVER) return;
    stop_waiting(object, a);
    association_remove(association_object_key(object));
}

void tls_object_free(const void *object) {
    tls_object_reset(object);
    association_remove(association_object_key(object));
    if (trace) association_remove(association_name_key(object));
}

/* ---- the wire ---- */

/*
 * TLS inside TLS, after a CONNECT that was granted through TLS. The connection is the inner
 * object's from here on; as long as that one is not known nothing is followed.
 */
static void outer_object(struct connection *c) {
    c->tunnel_fresh = false;
    if (c->client_random) association_remove(association_random_key(c->client_random));
    if (c->tls_object) set(c->tls_object, ASSOCIATION_TUNNEL, payload_of(c));
    c->client_random = 0;
    c->tls_object = 0;
    __atomic_fetch_and(&c->slot->flags, ~TRACE_CONNECTION_TLS_FOLLOWED, __ATOMIC_RELAXED);
}

/* Step 1. hello: a ClientHello goes out, which an object that was used before sends only for a new
 * start. */
static void nested(struct connection *c, bool hello) {
    const void *object = tls_current();
    if (!object) return;
    const struct association a = association_find(association_object_key(object));
    switch (a.kind) {
    case ASSOCIATION_SERVER: return;
    case ASSOCIATION_CONNECTION:
        if (live(a)) return;
        if (hello) break;
        return;
    case ASSOCIATION_FOREIGN:
    case ASSOCIATION_GONE:
        if (hello) break;
        return;
    case ASSOCIATION_TUNNEL: return;
    default: break;
    }
    if (c->tunnel_fresh) outer_object(c);
    associate(object, c);
}

/* The host's scheme follows from the wire, so it is set again even if its name stays. */
static void host_of_hello(struct connection *c, const struct client_hello *hello) {
    const struct trace_host *host = &trace->hosts[c->slot->host];
    if (hello->name && !named_by_tunnel(c))
        connection_set_host(c, intern_host_name((const char *)hello->name, hello->name_length),
                            c->peer_port);
    else
        connection_set_host(c, host->name, host->port);
}

static void client_hello(struct connection *c, const struct client_hello *hello) {
    connection_flag(c, TRACE_CONNECTION_TLS | (hello->http ? TRACE_CONNECTION_ALPN_HTTP : 0));
    struct trace_event event = {.type = TRACE_EVENT_CONNECTION_TLS, .arg = 1};
    connection_note(c, &event, clock_now());
    host_of_hello(c, hello);
    if (!hello->random) return;
    const uint64_t random = random_hash(hello->random);
    if (random == 0) return;
    const uint64_t key = association_random_key(random);
    const struct association waiting = association_find(key);
    c->client_random = random;
    set(key, ASSOCIATION_CONNECTION, payload_of(c));
    if (waiting.kind == ASSOCIATION_OBJECT)
        associate((const void *)(uintptr_t)(waiting.payload << 3), c);
}

static void application_data(struct connection *c, const uint8_t *bytes, size_t n) {
    if (n >= 2 && bytes[0] == RECORD_APPLICATION_DATA && bytes[1] == 3)
        connection_flag(c, TRACE_CONNECTION_TLS_DATA);
}

void tls_wire_write(struct connection *c, const uint8_t *bytes, size_t n, bool first) {
    if (!trace) return;
    if (first) { /* the wire speaks TLS, and who speaks first on it is the client */
        struct client_hello hello;
        client_hello_parse(bytes, n, &hello);
        client_hello(c, &hello);
    }
    nested(c, first);
    application_data(c, bytes, n);
}

void tls_wire_read(struct connection *c, const uint8_t *bytes, size_t n) {
    if (!trace) return;
    nested(c, false);
    application_data(c, bytes, n);
}

void tls_inside_tls(struct connection *c, const uint8_t *bytes, size_t n) {
    struct client_hello hello;
    if (!trace) return;
    outer_object(c);
    client_hello_parse(bytes, n, &hello);
    client_hello(c, &hello);
}

void tls_kernel(struct connection *c, enum kernel_tls direction) {
    if (!trace || c->wire != WIRE_TLS) return;
    __atomic_fetch_or(&c->kernel_tls, (uint8_t)direction, __ATOMIC_RELAXED);
    if (!tls_current()) followed(c);
}

void tls_connection_closed(struct connection *c) {
    if (c->tls_object) {
        client_disconnected((const void *)(uintptr_t)c->tls_object, c);
        const struct association a = association_find(c->tls_object);
        if (a.kind == ASSOCIATION_CONNECTION && a.payload == payload_of(c))
            set(c->tls_object, ASSOCIATION_GONE, 0);
    }
    if (c->client_random) {
        const uint64_t key = association_random_key(c->client_random);
        const struct association a = association_find(key);
        if (a.kind == ASSOCIATION_CONNECTION && a.payload == payload_of(c)) association_remove(key);
    }
}

/* The entries of the parent are of another generation now: they read as unknown, and give way
 * first. */
void tls_after_fork(void) {
    thread_self.tls_object = NULL;
}
