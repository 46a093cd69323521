/*
 * HTTP/2 framing against nghttp2: two of its sessions talk to each other, at random; what each receives must be what our parser
 * says of the same bytes, however they are cut.
 */
#include <check.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http2.h"
#include "tests/unit/http1_log.h"
#include "tests/unit/http2_log.h"
#include "tests/unit/suite.h"

enum { TALKS = 400, STREAMS = 40, STEPS = 120 };

static uint64_t seed = UINT64_C(0x2545f4914f6cdd1d);

static uint32_t chance(uint32_t below) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % below;
}

/* ---- what was said on one direction, by stream: order between streams is the parser's own test's ---- */

struct told {
    unsigned heads, ends, resets, interim;
    uint64_t sum; /* of heads, in order */
    uint64_t body, window;
};

struct direction {
    struct told told[2][2 * STREAMS + 2]; /* theirs, ours */
    uint64_t settings[2], goaway[2], promises[2];
    uint8_t *bytes;
    size_t len, room;
};

static uint64_t mix(uint64_t sum, const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ p[i]) * UINT64_C(0x100000001b3);
    return sum;
}

struct end { /* one side of the talk */
    nghttp2_session *session;
    bool client;
    struct direction *in, *out;
    struct http2_head head[2 * STREAMS + 2]; /* of blocks that come in */
    uint32_t left[2 * STREAMS + 2];          /* of bodies that go out */
    bool trailers[2 * STREAMS + 2];
    bool cancelled[2 * STREAMS + 2];
    bool answered[2 * STREAMS + 2];
};

static struct told *told_of(struct direction *d, int ours, uint32_t stream) {
    HTTP1_HOLDS(stream < 2 * STREAMS + 2);
    return &d->told[ours][stream];
}

static void tell_request(struct told *told, const struct http1_request_head *head) {
    told->heads++;
    told->sum = mix(told->sum, head->method, strlen(head->method) + 1);
    told->sum = mix(told->sum, head->path, strlen(head->path) + 1);
    told->sum = mix(told->sum, head->authority, strlen(head->authority) + 1);
}

static void tell_response(struct told *told, const struct http1_response_head *head) {
    const uint64_t facts[] = {head->status, head->framing, head->length, head->event_stream,
                              head->grpc};
    told->heads += head->is_final;
    told->interim += !head->is_final;
    told->sum = mix(told->sum, facts, sizeof facts);
}

/* ---- theirs ---- */

static ssize_t their_send(nghttp2_session *s, const uint8_t *data, size_t n, int flags,
                          void *user) {
    (void)s, (void)flags;
    struct direction *d = ((struct end *)user)->out;
    if (d->len + n > d->room) {
        d->room = (d->len + n) * 2;
        d->bytes = realloc(d->bytes, d->room);
        if (!d->bytes) abort();
    }
    memcpy(d->bytes + d->len, data, n);
    d->len += n;
    return (ssize_t)n;
}

static int their_begin(nghttp2_session *s, const nghttp2_frame *frame, void *user) {
    (void)s;
    struct end *e = user;
    http2_head_begin(&e->head[frame->hd.stream_id]);
    return 0;
}

static int their_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
                        size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                        void *user) {
    (void)s, (void)flags;
    struct end *e = user;
    if (frame->hd.type == NGHTTP2_HEADERS)
        http2_head_field(&e->head[frame->hd.stream_id], (const char *)name, name_len,
                         (const char *)value, value_len);
    return 0;
}

static int their_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *data,
                      size_t n, void *user) {
    (void)s, (void)flags, (void)data;
    struct end *e = user;
    told_of(e->in, 0, (uint32_t)stream)->body += n;
    return 0;
}

static int their_frame(nghttp2_session *s, const nghttp2_frame *frame, void *user) {
    (void)s;
    struct end *e = user;
    const uint32_t stream = (uint32_t)frame->hd.stream_id;
    struct told *told = told_of(e->in, 0, stream);
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS: {
        struct http2_head *head = &e->head[stream];
        struct http1_response_head response;
        bool bad = false;
        if (!e->client && http2_head_request(head))
            tell_request(told, &head->request);
        else if (e->client && http2_head_response(head, frame->hd.flags & NGHTTP2_FLAG_END_STREAM,
                                                  &response, &bad))
            tell_response(told, &response);
        told->ends += (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        break;
    }
    case NGHTTP2_DATA: told->ends += (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0; break;
    case NGHTTP2_RST_STREAM: told->resets++; break;
    case NGHTTP2_WINDOW_UPDATE:
        told->window += (uint32_t)frame->window_update.window_size_increment;
        break;
    case NGHTTP2_SETTINGS:
        for (size_t i = 0; i < frame->settings.niv; i++)
            if (frame->settings.iv[i].settings_id == NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE ||
                frame->settings.iv[i].settings_id == NGHTTP2_SETTINGS_MAX_FRAME_SIZE)
                e->in->settings[0] += frame->settings.iv[i].value;
        break;
    case NGHTTP2_GOAWAY: e->in->goaway[0] += 1 + (uint32_t)frame->goaway.last_stream_id; break;
    case NGHTTP2_PUSH_PROMISE:
        e->in->promises[0] += (uint32_t)frame->push_promise.promised_stream_id;
        break;
    default: break;
    }
    return 0;
}

static ssize_t their_padding(nghttp2_session *s, const nghttp2_frame *frame, size_t most,
                             void *user) {
    (void)s, (void)user;
    const size_t room = most - frame->hd.length;
    return (ssize_t)(frame->hd.length + (chance(3) ? 0 : chance(256) % (room + 1)));
}

static ssize_t their_body(nghttp2_session *s, int32_t stream, uint8_t *buf, size_t n,
                          uint32_t *flags, nghttp2_data_source *source, void *user) {
    (void)source;
    struct end *e = user;
    size_t some = e->left[stream];
    if (some > n) some = n;
    if (some > 1 && chance(2)) some = 1 + chance((uint32_t)some);
    memset(buf, 'x', some);
    e->left[stream] -= (uint32_t)some;
    if (e->left[stream] == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (e->trailers[stream]) {
            static const nghttp2_nv trailer = {(uint8_t *)(uintptr_t) "grpc-status",
                                               (uint8_t *)(uintptr_t) "0", 11, 1, 0};
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_submit_trailer(s, stream, &trailer, 1);
        }
    }
    return (ssize_t)some;
}

/* ---- ours ---- */

static void our_start(void *ctx) {
    (void)ctx;
}
static bool our_request(void *ctx, uint32_t stream, const struct http1_request_head *head,
                        uint64_t offset) {
    (void)offset;
    tell_request(told_of(ctx, 1, stream), head);
    return true;
}
static bool our_response(void *ctx, uint32_t stream, const struct http1_response_head *head) {
    tell_response(told_of(ctx, 1, stream), head);
    return true;
}
static bool our_frame(void *ctx, uint32_t stream, uint32_t bytes) {
    (void)ctx, (void)stream, (void)bytes;
    return true;
}
static void our_data(void *ctx, uint32_t stream, uint64_t bytes) {
    told_of(ctx, 1, stream)->body += bytes;
}
static bool our_end(void *ctx, uint32_t stream) {
    told_of(ctx, 1, stream)->ends++;
    return true;
}
static bool our_reset(void *ctx, uint32_t stream) {
    told_of(ctx, 1, stream)->resets++;
    return true;
}
static bool our_window(void *ctx, uint32_t stream, uint32_t increment) {
    told_of(ctx, 1, stream)->window += increment;
    return true;
}
static void our_setting(void *ctx, enum http2_setting id, uint32_t value) {
    (void)id;
    ((struct direction *)ctx)->settings[1] += value;
}
static void our_goaway(void *ctx, uint32_t last) {
    ((struct direction *)ctx)->goaway[1] += 1 + last;
}
static bool our_promise(void *ctx, uint32_t stream) {
    ((struct direction *)ctx)->promises[1] += stream;
    return true;
}
static const struct http2_ops ours = {our_start,   our_request, our_response, our_frame,
                                      our_data,    our_end,     our_reset,    our_window,
                                      our_setting, our_goaway,  our_promise};

static void follow(struct direction *d, enum http2_side side) {
    static struct http2 h;
    HTTP1_HOLDS(http2_begin(&h, side, 0, http2_log_memory, NULL));
    http2_allow(&h, 1u << 20);
    for (size_t from = 0, n; from < d->len; from += n) {
        n = chance(4) ? 1 + chance(3000) : 1 + chance(20);
        if (n > d->len - from) n = d->len - from;
        uint32_t stream;
        if (http2_take(&h, n, &stream)) {
            our_data(d, stream, n);
            continue;
        }
        const enum http2_status status = http2_feed(&h, d->bytes + from, n, &ours, d);
        if (status != HTTP2_OK)
            ck_abort_msg("%s, status %d before %zu of %zu", side ? "received" : "sent", status,
                         from + n, d->len);
    }
}

/* ---- the talk ---- */

static nghttp2_nv field(const char *name, const char *value) {
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), chance(5) ? NGHTTP2_NV_FLAG_NONE : NGHTTP2_NV_FLAG_NO_INDEX};
}

static size_t noise(nghttp2_nv *fields, size_t n, char text[][600]) {
    static const char *const names[] = {"cookie", "user-agent", "accept", "x-one",
                                        "x-two",  "etag",       "date",   "set-cookie"};
    const size_t count = chance(9);
    for (size_t i = 0; i < count; i++) {
        const size_t length = chance(6) ? chance(40) : chance(598);
        for (size_t k = 0; k < length; k++)
            text[i][k] = (char)(chance(4) ? 'a' + (int)chance(4) : ' ' + (int)chance(94));
        text[i][length] = 0;
        fields[n + i] = field(names[chance(8)], chance(3) ? text[i] : "the same");
    }
    return n + count;
}

static void settings(nghttp2_session *s) {
    static const uint32_t tables[] = {0, 100, 4096, 16384, 65536};
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, tables[chance(5)]},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000 + chance(100000)},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 16384 + chance(100000)}};
    nghttp2_submit_settings(s, 0, entries, chance(4));
}

static void ask(struct end *e) {
    char text[10][600], path[300];
    nghttp2_nv fields[16];
    snprintf(path, sizeof path, "/%0*u?x=%u", (int)(1 + chance(chance(8) ? 9 : 250)), chance(1000),
             chance(9));
    fields[0] = field(":method", chance(4) ? "GET" : chance(2) ? "POST" : "HEAD");
    fields[1] = field(":path", path);
    fields[2] = field(":scheme", "https");
    fields[3] = field(":authority", chance(3) ? "one.example" : "Two.Example:8443");
    const size_t n = noise(fields, 4, text);
    nghttp2_data_provider body = {.read_callback = their_body};
    const bool with = chance(3) == 0;
    const int32_t stream =
        nghttp2_submit_request(e->session, NULL, fields, n, with ? &body : NULL, NULL);
    if (stream > 0 && stream < 2 * STREAMS) e->left[stream] = chance(40000);
}

static void answer(struct end *e, int32_t stream) {
    static const char *const statuses[] = {"200", "204", "304", "404", "302", "500"};
    static const char *const types[] = {"text/html", "text/event-stream", "application/grpc",
                                        "Application/Grpc+json"};
    char text[10][600], length[16];
    nghttp2_nv fields[16];
    const uint32_t body_length = chance(4) ? chance(30000) : 0;
    const nghttp2_nv early = {(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "103", 7, 3,
                              0};
    if (!chance(6)) nghttp2_submit_headers(e->session, 0, stream, NULL, &early, 1, NULL);
    const char *status = statuses[chance(6)];
    const bool bodiless = !strcmp(status, "204") || !strcmp(status, "304");
    fields[0] = field(":status", status);
    fields[1] = field("content-type", types[chance(4)]);
    size_t n = noise(fields, 2, text);
    snprintf(length, sizeof length, "%u", body_length);
    e->trailers[stream] = !bodiless && !chance(4);
    if (!bodiless && chance(2)) fields[n++] = field("content-length", length);
    nghttp2_data_provider body = {.read_callback = their_body};
    e->left[stream] = body_length;
    if (nghttp2_submit_response(
            e->session, stream, fields, n,
            bodiless || (!body_length && chance(2) && !e->trailers[stream]) ? NULL : &body) != 0)
        e->cancelled[stream] = true;
}

static void push(struct end *server, int32_t stream) {
    nghttp2_nv fields[] = {field(":method", "GET"), field(":path", "/pushed"),
                           field(":scheme", "https"), field(":authority", "one.example")};
    const int32_t promised =
        nghttp2_submit_push_promise(server->session, 0, stream, fields, 4, NULL);
    if (promised > 0 && promised < 2 * STREAMS) answer(server, promised);
}

static void carry(struct end *from, struct end *to) {
    const size_t before = from->out->len;
    HTTP1_HOLDS(nghttp2_session_send(from->session) == 0);
    const size_t n = from->out->len - before;
    if (n)
        HTTP1_HOLDS(nghttp2_session_mem_recv(to->session, from->out->bytes + before, n) ==
                    (ssize_t)n);
}

static struct end client, server;
static struct direction up, down;

static void talk(nghttp2_session_callbacks *callbacks, nghttp2_option *option) {
    memset(&client, 0, sizeof client), memset(&server, 0, sizeof server);
    free(up.bytes), free(down.bytes);
    memset(&up, 0, sizeof up), memset(&down, 0, sizeof down);
    client.client = true;
    client.out = server.in = &up;
    client.in = server.out = &down;
    nghttp2_session_client_new2(&client.session, callbacks, &client, option);
    nghttp2_session_server_new2(&server.session, callbacks, &server, option);
    nghttp2_submit_settings(client.session, 0, NULL, 0);
    settings(client.session);
    nghttp2_submit_settings(server.session, 0, NULL, 0);
    unsigned asked = 0;
    for (int step = 0; step < STEPS; step++) {
        if (asked < STREAMS && chance(2)) ask(&client), asked++;
        const int32_t stream = 1 + 2 * (int32_t)chance(STREAMS);
        if (server.head[stream].method && !server.answered[stream] && chance(4)) {
            if (!chance(8)) push(&server, stream);
            server.answered[stream] = true;
            answer(&server, stream);
        }
        if (!chance(60)) {
            struct end *e = chance(2) ? &client : &server;
            if (nghttp2_session_find_stream(e->session, stream)) {
                nghttp2_submit_rst_stream(e->session, 0, stream, NGHTTP2_CANCEL);
                client.cancelled[stream] = true;
            }
        }
        if (!chance(10)) settings(chance(2) ? client.session : server.session);
        if (!chance(20)) nghttp2_submit_ping(client.session, 0, NULL);
        if (chance(2)) carry(&client, &server);
        if (chance(2)) carry(&server, &client);
    }
    if (chance(2)) nghttp2_submit_goaway(server.session, 0, 1, 0, (const uint8_t *)"bye", 3);
    for (int i = 0; i < 4; i++)
        carry(&client, &server), carry(&server, &client);
    nghttp2_session_del(client.session);
    nghttp2_session_del(server.session);
}

/* What a side has cancelled it does not look at any more: those streams are left out. */
static void compare(const struct direction *d, const char *name, int number) {
    ck_assert_uint_eq(d->settings[0], d->settings[1]);
    ck_assert_uint_eq(d->goaway[0], d->goaway[1]);
    ck_assert_uint_le(d->promises[0], d->promises[1]); /* on a cancelled stream none is heard */
    const bool all_heard = d->promises[0] == d->promises[1];
    for (uint32_t i = 0; i < 2 * STREAMS + 2; i++) {
        if (i % 2 == 0 && i > 0 && !all_heard) continue;
        const struct told *a = &d->told[0][i], *o = &d->told[1][i];
        if (client.cancelled[i] || server.cancelled[i] || a->resets || o->resets) continue;
        if (memcmp(a, o, sizeof *a) != 0)
            ck_abort_msg("talk %d, %s, stream %u: heads %u %u, interim %u %u, ends %u %u, body %lu "
                         "%lu, window %lu %lu, %s",
                         number, name, i, a->heads, o->heads, a->interim, o->interim, a->ends,
                         o->ends, (unsigned long)a->body, (unsigned long)o->body,
                         (unsigned long)a->window, (unsigned long)o->window,
                         a->sum == o->sum ? "same heads" : "other heads");
    }
}

START_TEST(it_says_what_nghttp2_says) {
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_send_callback(callbacks, their_send);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, their_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, their_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, their_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, their_frame);
    nghttp2_session_callbacks_set_select_padding_callback(callbacks, their_padding);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(option, 65536);
    uint64_t bytes = 0, responses = 0;
    for (int i = 0; i < TALKS; i++) {
        talk(callbacks, option);
        http2_log_memory_reset();
        follow(&up, HTTP2_SENT);
        follow(&down, HTTP2_RECEIVED);
        compare(&up, "sent", i);
        compare(&down, "received", i);
        bytes += up.len + down.len;
        for (uint32_t k = 0; k < 2 * STREAMS; k++)
            responses += down.told[1][k].heads;
    }
    ck_assert_uint_gt(responses, TALKS * 10);
    printf("# %lu bytes, %lu responses\n", (unsigned long)bytes, (unsigned long)responses);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    free(up.bytes), free(down.bytes);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("http2_differential");
    TCase *tests = tcase_create("http2_differential");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, it_says_what_nghttp2_says);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
