/* What of Node is patched, and what happens there. */
#include "interpose/node.h"

#include <errno.h>
#include <string.h>

#include "patch/function.h"
#include "record/image.h"
#include "record/interpreter/javascript.h"
#include "record/text.h"
#include "track/asker.h"
#include "track/process.h"

#define UV_TCP 12 /* uv.h: uv_handle_type */

struct uv_handle {    /* its public beginning */
    const void *data; /* Node: the C++ object that has it */
    void *loop;
    int type;
};

/* ---- the functions ---- */

enum {
    TCP_INIT,
    TCP_CONNECT,
    CLOSE,
    TRY_WRITE,
    WRITE,
    RESET_CALLED,
    RESET,     /* without these nothing is patched */
    RESET_OLD, /* Node up to 20, in RESET's place */
    PIPE_CONNECT,
    PIPE_CONNECT_2,
    FUNCTIONS
};
static const char *const names[FUNCTIONS] = {
    [TCP_INIT] = "uv_tcp_init",
    [TCP_CONNECT] = "uv_tcp_connect",
    [CLOSE] = "uv_close",
    [TRY_WRITE] = "uv_try_write",
    [WRITE] = "uv_write",
    /* void node::AsyncWrap::AsyncReset(v8::FunctionCallbackInfo<v8::Value> const &) */
    [RESET_CALLED] = "_ZN4node9AsyncWrap10AsyncResetERKN2v820FunctionCallbackInfoINS1_5ValueEEE",
    /* void node::AsyncWrap::AsyncReset(v8::Local<v8::Object>, double), with a bool behind that before */
    [RESET] = "_ZN4node9AsyncWrap10AsyncResetEN2v85LocalINS1_6ObjectEEEd",
    [RESET_OLD] = "_ZN4node9AsyncWrap10AsyncResetEN2v85LocalINS1_6ObjectEEEdb",
    [PIPE_CONNECT] = "uv_pipe_connect",
    [PIPE_CONNECT_2] = "uv_pipe_connect2",
};
static uintptr_t real[FUNCTIONS];
#define REAL_AS(type, which) ((type *)real[which])

/* ---- what happens there ---- */

static const void *owner_of(const struct uv_handle *handle) {
    return handle->data;
}

typedef int tcp_init(void *, struct uv_handle *);
static int node_tcp_init(void *loop, struct uv_handle *handle) {
    const int r = REAL_AS(tcp_init, TCP_INIT)(loop, handle);
    if (r != 0 || !process_active) return r;
    const int error = errno;
    javascript_enter();
    asker_made(owner_of(handle));
    javascript_leave();
    errno = error;
    return r;
}

#define FOR_OWNER(handle, call)                                                                    \
    ({                                                                                             \
        struct asker_scope scope_;                                                                 \
        asker_enter(&scope_, owner_of(handle));                                                    \
        const int result_ = (call);                                                                \
        asker_leave(&scope_);                                                                      \
        result_;                                                                                   \
    })

typedef int tcp_connect(void *, struct uv_handle *, const void *, void *);
static int node_tcp_connect(void *request, struct uv_handle *handle, const void *address,
                            void *callback) {
    return FOR_OWNER(handle, REAL_AS(tcp_connect, TCP_CONNECT)(request, handle, address, callback));
}

typedef int try_write(struct uv_handle *, const void *, unsigned);
static int node_try_write(struct uv_handle *handle, const void *buffers, unsigned count) {
    return FOR_OWNER(handle, REAL_AS(try_write, TRY_WRITE)(handle, buffers, count));
}

typedef int write_later(void *, struct uv_handle *, const void *, unsigned, void *);
static int node_write(void *request, struct uv_handle *handle, const void *buffers, unsigned count,
                      void *callback) {
    return FOR_OWNER(handle,
                     REAL_AS(write_later, WRITE)(request, handle, buffers, count, callback));
}

typedef void pipe_connect(void *, struct uv_handle *, const char *, void *);
static void node_pipe_connect(void *request, struct uv_handle *handle, const char *name,
                              void *callback) {
    javascript_enter();
    REAL_AS(pipe_connect, PIPE_CONNECT)(request, handle, name, callback);
    javascript_leave();
}

typedef int pipe_connect_2(void *, struct uv_handle *, const char *, size_t, unsigned, void *);
static int node_pipe_connect_2(void *request, struct uv_handle *handle, const char *name,
                               size_t size, unsigned flags, void *callback) {
    javascript_enter();
    const int r =
        REAL_AS(pipe_connect_2, PIPE_CONNECT_2)(request, handle, name, size, flags, callback);
    javascript_leave();
    return r;
}

typedef void uv_close_type(struct uv_handle *, void *);
static void node_close(struct uv_handle *handle, void *callback) {
    if (handle->type == UV_TCP) asker_closed(owner_of(handle));
    REAL_AS(uv_close_type, CLOSE)(handle, callback);
}

/*
 * net's sockets that http's agent gives to another request: JavaScript calls handle.asyncReset() then, while who asks is on the
 * stack. The function for that unwraps the object and goes on to the one that is everybody's.
 */
static __thread bool called __attribute__((tls_model("initial-exec")));

typedef void reset_called(const void *);
static void node_reset_called(const void *arguments) {
    called = true;
    REAL_AS(reset_called, RESET_CALLED)(arguments);
    called = false;
}

typedef void reset(const void *, uintptr_t, double, bool);
static void node_reset(const void *wrap, uintptr_t resource, double id, bool silent) {
    if (__builtin_expect(called, 0)) {
        const int error = errno;
        called = false;
        javascript_enter();
        asker_again(wrap);
        javascript_leave();
        errno = error;
    }
    REAL_AS(reset, RESET)(wrap, resource, id, silent);
}

/* TLSWrap names itself in its SSL object (SSL_set_app_data). */
static void *(*get_ex_data)(const void *, int);

static const void *tls_owner(const void *ssl) {
    return get_ex_data(ssl, 0);
}

/* ---- putting it there ---- */

#define IMAGES 3u

struct source {
    struct image images[IMAGES];
    unsigned count;
};

static void *lookup(const struct source *source, const char *name, size_t *size) {
    void *found = NULL;
    for (unsigned i = 0; i < source->count && !found; i++)
        found = image_find_sized(&source->images[i], name, size);
    return found;
}

static bool is_node_library(const char *path) {
    const char *name = path ? text_base_name(path) : "";
    return strncmp(name, "libnode.so", 10) == 0 || strncmp(name, "libuv.so", 8) == 0;
}

/* The executable; where that has none of Node's functions, the libraries that Node may be cut into. */
static void find_images(struct source *source, const struct link_map *program) {
    size_t size;
    source->count = 1;
    image_read(&source->images[0], program->l_addr, program->l_ld);
    if (lookup(source, names[RESET_CALLED], &size)) return;
    for (const struct link_map *m = program->l_next; m && source->count < IMAGES; m = m->l_next)
        if (is_node_library(m->l_name))
            image_read(&source->images[source->count++], m->l_addr, m->l_ld);
}

/* OpenSSL's, which is in the executable with Node or a library of its own. */
static void *ssl_lookup(const struct source *source, const struct link_map *program,
                        const char *name) {
    size_t size;
    void *found = lookup(source, name, &size);
    for (const struct link_map *m = program->l_next; m && !found; m = m->l_next) {
        struct image library;
        if (!m->l_name || strncmp(text_base_name(m->l_name), "libssl.so", 9) != 0) continue;
        image_read(&library, m->l_addr, m->l_ld);
        found = image_find_sized(&library, name, &size);
    }
    return found;
}

static bool has_known_v8(const struct source *source) {
    struct javascript javascript;
    for (unsigned i = 0; i < source->count; i++)
        if (source->images[i].symbols && javascript_find(&javascript, &source->images[i]))
            return true;
    return false;
}

void node_init(const struct link_map *program) {
    static const uintptr_t hooks[FUNCTIONS] = {[TCP_INIT] = (uintptr_t)node_tcp_init,
                                               [TCP_CONNECT] = (uintptr_t)node_tcp_connect,
                                               [CLOSE] = (uintptr_t)node_close,
                                               [TRY_WRITE] = (uintptr_t)node_try_write,
                                               [WRITE] = (uintptr_t)node_write,
                                               [RESET_CALLED] = (uintptr_t)node_reset_called,
                                               [RESET] = (uintptr_t)node_reset,
                                               [PIPE_CONNECT] = (uintptr_t)node_pipe_connect,
                                               [PIPE_CONNECT_2] = (uintptr_t)node_pipe_connect_2};
    struct source source = {0};
    struct patch_function functions[FUNCTIONS];
    unsigned which[FUNCTIONS];
    size_t count = 0, failed = 0;
    if (!program) return;
    find_images(&source, program);
    if (!has_known_v8(&source)) return;
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        size_t size = 0;
        if (i == RESET_OLD) continue;
        void *found = lookup(&source, names[i], &size);
        if (!found && i == RESET) found = lookup(&source, names[RESET_OLD], &size);
        if (!found && i < RESET_OLD) return;
        if (!found) continue;
        which[count] = i;
        functions[count++] =
            (struct patch_function){.at = (uintptr_t)found, .size = size, .to = hooks[i]};
    }
    if (patch_functions(functions, count, &failed)) return;
    for (size_t i = 0; i < count; i++)
        real[which[i]] = functions[i].real;
    void *getter = ssl_lookup(&source, program, "SSL_get_ex_data");
    memcpy(&get_ex_data, &getter, sizeof getter);
    if (getter) asker_tls_owner = tls_owner;
}
