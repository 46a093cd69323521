/* What framing of HTTP/2 costs: nanoseconds for an exchange and its pieces, the fastest of many rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http/http2.h"

/* A request and a response as nghttp2 sends them the second time: nearly all fields are in the table by then. */
static const unsigned char first_fields[] = {
    0x82, 0x87, 0x41, 0x10, 'a', 'p', 'i', '.', 'e', 'x', 'a', 'm', 'p', 'l', 'e', ':', '8', '4',
    '4',  '3',  0x7a, 0x0e, 'e', 'x', 'a', 'm', 'p', 'l', 'e', '-', 'c', 'l', 'i', 'e', 'n', 't',
    0x53, 0x10, 'a',  'p',  'p', 'l', 'i', 'c', 'a', 't', 'i', 'o', 'n', '/', 'j', 's', 'o', 'n',
    0x04, 0x0e, '/',  'v',  '1', '/', 'i', 't', 'e', 'm', 's', '/', '4', '7', '1', '1'};
static const unsigned char next_fields[] = {0x82, 0x87, 0xc0, 0xbf, 0xbe, 0x04, 0x0e,
                                            '/',  'v',  '1',  '/',  'i',  't',  'e',
                                            'm',  's',  '/',  '4',  '7',  '1',  '1'};
static const unsigned char first_answer[] = {
    0x88, 0x76, 0x05, 'n', 'g', 'i', 'n', 'x', 0x5f, 0x10, 'a',  'p',  'p', 'l', 'i', 'c',
    'a',  't',  'i',  'o', 'n', '/', 'j', 's', 'o',  'n',  0x5c, 0x04, '1', '0', '0', '0'};
static const unsigned char next_answer[] = {
    0x88, 0xc0, 0xbf, 0xbe, 0x61, 0x1d, 'S', 'a', 't', ',', ' ', '2', '1', ' ', 'N', 'o', 'v', ' ',
    '2',  '0',  '2',  '6',  ' ',  '0',  '9', ':', '0', '0', ':', '0', '0', ' ', 'G', 'M', 'T'};

static struct http2 sent, received;
static volatile unsigned sink;
static bool failed;
static uint32_t stream = 1;

static void *more(void *ctx, size_t size) {
    (void)ctx;
    return calloc(1, size);
}

static bool on_request(void *ctx, uint32_t id, const struct http1_request_head *head,
                       uint64_t offset) {
    (void)ctx, (void)id, (void)offset;
    sink += head->kind;
    return true;
}

static bool on_response(void *ctx, uint32_t id, const struct http1_response_head *head) {
    (void)ctx, (void)id;
    sink += head->status;
    return true;
}

static bool on_stream(void *ctx, uint32_t id) {
    (void)ctx;
    sink += id;
    return true;
}

static bool on_frame(void *ctx, uint32_t id, uint32_t bytes) {
    (void)ctx;
    sink += id + bytes;
    return true;
}

static void on_data(void *ctx, uint32_t id, uint64_t bytes) {
    (void)ctx;
    sink += id + (unsigned)bytes;
}

static const struct http2_ops sent_ops = {
    .request = on_request, .reset = on_stream, .window = on_frame};
static const struct http2_ops received_ops = {
    .response = on_response, .frame = on_frame, .data = on_data, .end = on_stream};

static size_t put(unsigned char *to, unsigned type, unsigned flags, uint32_t id,
                  const void *payload, size_t n) {
    const unsigned char head[] = {
        (unsigned char)(n >> 16),  (unsigned char)(n >> 8),  (unsigned char)n,
        (unsigned char)type,       (unsigned char)flags,     (unsigned char)(id >> 24),
        (unsigned char)(id >> 16), (unsigned char)(id >> 8), (unsigned char)id};
    memcpy(to, head, sizeof head);
    if (n) memcpy(to + sizeof head, payload, n);
    return sizeof head + n;
}

static void feed(struct http2 *h, const unsigned char *bytes, size_t n) {
    if (http2_feed(h, bytes, n, h == &sent ? &sent_ops : &received_ops, NULL) != HTTP2_OK)
        failed = true;
}

static unsigned char buffer[20000];
static const unsigned char body[1000];

static void bench_request(void) {
    feed(&sent, buffer, put(buffer, 1, 5, stream, next_fields, sizeof next_fields));
    stream += 2;
}

static void bench_response(void) {
    size_t n = put(buffer, 1, 4, stream, next_answer, sizeof next_answer);
    n += put(buffer + n, 0, 1, stream, body, sizeof body);
    feed(&received, buffer, n);
}

static void bench_exchange(void) {
    bench_request();
    bench_response();
}

static void bench_payload(void) { /* a frame of 16 KiB in reads of 4 KiB */
    static unsigned char frame[9 + 16384];
    static size_t n;
    uint32_t id;
    if (n == 0) n = put(frame, 0, 0, 1, (unsigned char[16384]){0}, 16384);
    feed(&received, frame, 9 + 4096);
    for (int i = 0; i < 2; i++)
        if (http2_take(&received, 4096, &id)) sink += id;
    feed(&received, frame + 9 + 3 * 4096, 4096);
}

static void bench_small_frames(void) {
    feed(&sent, buffer, put(buffer, 8, 0, 1, "\0\0\1\0", 4));
}

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void measure(const char *name, void (*run)(void)) {
    enum { TIMES = 2000, ROUNDS = 200 };
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        const double start = now_ns();
        for (int i = 0; i < TIMES; i++)
            run();
        const double took = (now_ns() - start) / TIMES;
        if (took < best) best = took;
    }
    printf("%-44s %8.1f ns\n", name, best);
}

int main(void) {
    if (!http2_begin(&sent, HTTP2_SENT, 0, more, NULL) ||
        !http2_begin(&received, HTTP2_RECEIVED, 0, more, NULL))
        return 1;
    size_t n = 24;
    memcpy(buffer, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", n);
    n += put(buffer + n, 4, 0, 0, "", 0);
    n += put(buffer + n, 1, 5, stream, first_fields, sizeof first_fields);
    feed(&sent, buffer, n);
    stream += 2;
    n = put(buffer, 4, 0, 0, "", 0);
    n += put(buffer + n, 1, 5, 1, first_answer, sizeof first_answer);
    feed(&received, buffer, n);
    printf("request %zu bytes, response head %zu bytes, body %zu bytes\n", 9 + sizeof next_fields,
           9 + sizeof next_answer, 9 + sizeof body);
    measure("exchange", bench_exchange);
    measure("request", bench_request);
    measure("response", bench_response);
    measure("16 KiB of payload in four reads", bench_payload);
    measure("WINDOW_UPDATE", bench_small_frames);
    if (sent.status != HTTP2_OK || received.status != HTTP2_OK || failed) {
        printf("a frame was not understood\n");
        return 1;
    }
    return 0;
}
