/*
 * HTTP/1 framing against libhttp-parser: the same boundaries, bodies, persistence and targets on
 * generated streams.
 */
#include <check.h>
#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http1.h"
#include "tests/unit/http1_generate.h"
#include "tests/unit/suite.h"

enum { ROUNDS = 12, STREAMS = 1000, MESSAGES = 64 }; /* rounds of each direction */

static uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

struct message {
    size_t head, end; /* offsets of the byte behind; end 0: not complete */
    uint64_t body;
    unsigned status; /* 0: a request */
    bool persistent;
    char path[256], authority[HTTP1_AUTHORITY_SIZE];
};

struct outcome {
    struct message messages[MESSAGES];
    size_t count;
    bool failed, truncated;
    const char *why;
    size_t tunnel; /* offset behind the head that opened it */
    /* while it runs */
    size_t at; /* bytes gone by, the one being parsed included */
    const char *asked;
    char url[1024];
    size_t url_len;
};

static struct message *newest(struct outcome *o) {
    if (o->count == 0) abort();
    return &o->messages[o->count - 1];
}

static struct message *next(struct outcome *o) {
    if (o->count == MESSAGES) abort();
    o->count++;
    *newest(o) = (struct message){.head = o->at};
    return newest(o);
}

/* ---- theirs ---- */

static int their_url(http_parser *parser, const char *at, size_t n) {
    struct outcome *o = parser->data;
    if (o->url_len + n > sizeof o->url) abort();
    memcpy(o->url + o->url_len, at, n);
    o->url_len += n;
    return 0;
}

static void add(char *dst, size_t size, const char *text, size_t n, bool lower) {
    size_t used = strlen(dst);
    for (size_t i = 0; i < n && used + 1 < size; i++)
        dst[used++] = (char)(lower && text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
    dst[used] = 0;
}

static void add_url(char *dst, size_t size, const struct outcome *o,
                    const struct http_parser_url *url, int field) {
    add(dst, size, o->url + url->field_data[field].off, url->field_data[field].len,
        field == UF_HOST);
}

/* Path and authority as libhttp-parser's own URL parser has them; "" if the target names nobody. */
static void their_target(struct outcome *o, struct message *m, bool connect) {
    struct http_parser_url url;
    http_parser_url_init(&url);
    if (o->url_len == 1 && o->url[0] == '*') {
        add(m->path, sizeof m->path, "*", 1, false);
        return;
    }
    if (http_parser_parse_url(o->url, o->url_len, connect, &url) != 0) abort();
    if (url.field_set & 1 << UF_PATH)
        add_url(m->path, sizeof m->path, o, &url, UF_PATH);
    else if (!connect)
        add(m->path, sizeof m->path, "/", 1, false);
    if (url.field_set & 1 << UF_HOST) {
        const uint16_t off = url.field_data[UF_HOST].off;
        const bool v6 = off > 0 && o->url[off - 1] == '[';
        add(m->authority, sizeof m->authority, "[", v6, false);
        add_url(m->authority, sizeof m->authority, o, &url, UF_HOST);
        add(m->authority, sizeof m->authority, "]", v6, false);
    }
    if (url.field_set & 1 << UF_PORT) {
        add(m->authority, sizeof m->authority, ":", 1, false);
        add_url(m->authority, sizeof m->authority, o, &url, UF_PORT);
    }
}

static int their_head(http_parser *parser) {
    struct outcome *o = parser->data;
    struct message *m = next(o);
    if (parser->type == HTTP_REQUEST) {
        their_target(o, m, parser->method == HTTP_CONNECT);
        o->url_len = 0;
        return 0;
    }
    m->status = parser->status_code;
    if (m->status == 101 || (*o->asked == 'C' && m->status / 100 == 2)) {
        o->tunnel = o->at;
        return 2;
    }
    /* It would read a body where RFC 9112 6.3 has none: 1 says that there is none, as for HEAD. */
    return (*o->asked == 'H' && m->status >= 200) || m->status == 204 || m->status == 304;
}

static int their_body(http_parser *parser, const char *at, size_t n) {
    (void)at;
    newest(parser->data)->body += n;
    return 0;
}

static int their_end(http_parser *parser) {
    struct outcome *o = parser->data;
    struct message *m = newest(o);
    m->end = o->at;
    m->persistent = http_should_keep_alive(parser);
    if (parser->type == HTTP_RESPONSE && m->status >= 200 && *o->asked) o->asked++;
    return 0;
}

static void theirs(struct outcome *o, const struct http1_stream *stream, bool responses) {
    static const http_parser_settings settings = {.on_url = their_url,
                                                  .on_headers_complete = their_head,
                                                  .on_body = their_body,
                                                  .on_message_complete = their_end};
    http_parser parser;
    http_parser_init(&parser, responses ? HTTP_RESPONSE : HTTP_REQUEST);
    memset(o, 0, sizeof *o);
    o->asked = stream->asked;
    parser.data = o;
    while (o->at < stream->len && !o->tunnel) {
        o->at++;
        http_parser_execute(&parser, &settings, stream->bytes + o->at - 1, 1);
        if (HTTP_PARSER_ERRNO(&parser) != HPE_OK) {
            o->failed = true;
            o->why = http_errno_name(HTTP_PARSER_ERRNO(&parser));
            return;
        }
    }
    if (!responses || o->tunnel) return;
    http_parser_execute(&parser, &settings, NULL, 0);
    o->truncated = HTTP_PARSER_ERRNO(&parser) != HPE_OK;
}

/* ---- ours ---- */

static void our_start(void *ctx) {
    (void)ctx;
}

static void our_request(void *ctx, const struct http1_request_head *head) {
    struct outcome *o = ctx;
    struct message *m = next(o);
    m->persistent = !head->close;
    snprintf(m->path, sizeof m->path, "%s", head->path);
    snprintf(m->authority, sizeof m->authority, "%s", head->authority);
}

static void our_end(void *ctx) {
    struct outcome *o = ctx;
    newest(o)->end = o->at;
    if (newest(o)->status >= 200 && *o->asked) o->asked++;
}

static bool our_asked(void *ctx, enum http1_method_kind *kind) {
    struct outcome *o = ctx;
    *kind = *o->asked == 'H'   ? HTTP1_METHOD_HEAD
            : *o->asked == 'C' ? HTTP1_METHOD_CONNECT
                               : HTTP1_METHOD_OTHER;
    return true;
}

static void our_response(void *ctx, const struct http1_response_head *head) {
    struct outcome *o = ctx;
    struct message *m = next(o);
    m->persistent = head->keep_alive;
    m->status = head->status;
    if (!head->is_final || head->tunnel) m->end = o->at; /* what libhttp-parser calls complete */
}

static void our_body(void *ctx, uint64_t n) {
    newest(ctx)->body += n;
}

static const struct http1_request_ops request_ops = {our_start, our_request, our_end};
static const struct http1_response_ops response_ops = {our_asked, our_response, our_body, our_end};

/* step: 1, or 0 for pieces of any size, where offsets are not known. */
static void ours(struct outcome *o, struct http1_stream *stream, bool responses, size_t step) {
    static struct http1_request request;
    static struct http1_response response;
    memset(&request, 0, sizeof request);
    memset(&response, 0, sizeof response);
    memset(o, 0, sizeof *o);
    o->asked = stream->asked;
    while (o->at < stream->len) {
        size_t n = step ? step
                        : 1 + http1_generate_below(stream,
                                                   http1_generate_below(stream, 3) ? 40 : 2000),
               consumed;
        if (n > stream->len - o->at) n = stream->len - o->at;
        const char *bytes = stream->bytes + o->at;
        o->at += n;
        const enum http1_status status =
            responses ? http1_response_feed(&response, bytes, n, &consumed, &response_ops, o)
                      : http1_request_feed(&request, bytes, n, &consumed, &request_ops, o);
        if (status == HTTP1_TUNNEL)
            o->tunnel = o->at - n + consumed;
        else if (status != HTTP1_OK)
            o->failed = true;
        if (status != HTTP1_OK) return;
    }
    if (responses) http1_response_eof(&response, &o->truncated, &response_ops, o);
}

/* ---- compared ---- */

static void print(const char *whose, const struct outcome *o) {
    printf("# %s: %zu messages%s%s%s, at %zu, tunnel at %zu\n", whose, o->count,
           o->failed ? ", failed " : "", o->why ? o->why : "", o->truncated ? ", truncated" : "",
           o->at, o->tunnel);
    for (size_t i = 0; i < o->count; i++) {
        const struct message *m = &o->messages[i];
        printf("#   %zu: head to %zu, end %zu, body %llu, status %u, %s, path %s, authority %s\n",
               i, m->head, m->end, (unsigned long long)m->body, m->status,
               m->persistent ? "persistent" : "not persistent", m->path, m->authority);
    }
}

static void differs(const char *what, uint64_t start, const struct http1_stream *stream,
                    const struct outcome *a, const struct outcome *b, size_t message) {
    print("libhttp-parser", a);
    print("httpleak", b);
    printf("# stream of random state %#llx, message %zu: %s\n# ", (unsigned long long)start,
           message, what);
    for (size_t i = 0; i < stream->len; i++) {
        const unsigned char c = (unsigned char)stream->bytes[i];
        if (c == '\n')
            printf("\\n\n# ");
        else if (c < 0x20 || c >= 0x7f || c == '\\')
            printf("\\x%02x", c);
        else
            putchar(c);
    }
    printf("\n");
    fflush(stdout);
    ck_abort_msg("stream of random state %#llx, message %zu: %s", (unsigned long long)start,
                 message, what);
}

static void compare(uint64_t start, const struct http1_stream *stream, const struct outcome *a,
                    const struct outcome *b, bool offsets, bool responses) {
#define SAME(what, condition)                                                                      \
    if (!(condition)) differs(what, start, stream, a, b, i)
    size_t i = 0;
    for (; i < a->count && i < b->count; i++) {
        const struct message *x = &a->messages[i], *y = &b->messages[i];
        SAME("end", (x->end != 0) == (y->end != 0));
        if (offsets) {
            SAME("offset of the head's end", x->head == y->head);
            SAME("offset of the end", x->end == y->end);
        }
        SAME("body", !responses || x->body == y->body); /* requests tell no sizes */
        SAME("status", x->status == y->status);
        SAME("persistence",
             !x->end || (responses && x->status < 200) || x->persistent == y->persistent);
        SAME("path", strcmp(x->path, y->path) == 0);
        SAME("authority", !x->authority[0] || strcmp(x->authority, y->authority) == 0);
    }
    SAME("number of messages", a->count == b->count);
    SAME("failure", a->failed == b->failed);
    SAME("truncation", a->failed || a->truncated == b->truncated);
    SAME("tunnel", a->tunnel == b->tunnel);
#undef SAME
}

static size_t messages_seen, failures_seen, tunnels_seen, truncations_seen;

static void run(int round, bool responses) {
    static struct http1_stream stream;
    static struct outcome expected, got;
    for (int i = 0; i < STREAMS; i++) {
        const uint64_t start =
            (seed + (uint64_t)(round * STREAMS + i) * UINT64_C(0xbf58476d1ce4e5b9)) | 1;
        stream.random = start;
        if (responses)
            http1_generate_responses(&stream);
        else
            http1_generate_requests(&stream);
        theirs(&expected, &stream, responses);
        ours(&got, &stream, responses, 1);
        compare(start, &stream, &expected, &got, true, responses);
        ours(&got, &stream, responses, 0);
        compare(start, &stream, &expected, &got, false, responses);
        messages_seen += expected.count;
        failures_seen += expected.failed;
        tunnels_seen += expected.tunnel > 0;
        truncations_seen += expected.truncated;
    }
    /* A comparison of nothing would agree, too. */
    ck_assert_uint_gt(messages_seen, 3 * STREAMS);
    ck_assert_uint_gt(failures_seen, STREAMS / 50);
    if (responses) ck_assert_uint_gt(tunnels_seen, STREAMS / 50);
    if (responses) ck_assert_uint_gt(truncations_seen, STREAMS / 20);
}

START_TEST(requests) {
    run(_i, false);
}
END_TEST

START_TEST(responses) {
    run(_i, true);
}
END_TEST

int main(void) {
    const char *other = getenv("HTTP1_SEED");
    if (other) seed = strtoull(other, NULL, 0);
    printf("# HTTP1_SEED=%#llx, %d streams\n", (unsigned long long)seed, 2 * ROUNDS * STREAMS);
    fflush(stdout);
    Suite *suite = suite_create("http1_differential");
    TCase *tests = tcase_create("http1_differential");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, requests, 0, ROUNDS);
    tcase_add_loop_test(tests, responses, 0, ROUNDS);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
