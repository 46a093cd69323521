/* What framing costs: nanoseconds for an exchange and its pieces, the fastest of many rounds. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "http/http1.h"

static const char request_bytes[] = "GET /v1/items/4711?page=2 HTTP/1.1\r\n"
                                    "Host: api.example.com:8443\r\n"
                                    "User-Agent: example-client/2.1 (linux)\r\n"
                                    "Accept: application/json\r\n"
                                    "Accept-Encoding: gzip, deflate\r\n"
                                    "Connection: keep-alive\r\n"
                                    "X-Trace: 7\r\n"
                                    "\r\n";
static const char response_bytes[] = "HTTP/1.1 200 OK\r\n"
                                     "Server: nginx/1.22.1\r\n"
                                     "Date: Sat, 21 Nov 2026 09:00:00 GMT\r\n"
                                     "Content-Type: application/json; charset=utf-8\r\n"
                                     "Content-Length: 1000\r\n"
                                     "Last-Modified: Sat, 21 Nov 2026 08:00:00 GMT\r\n"
                                     "Connection: keep-alive\r\n"
                                     "ETag: \"65f1c2d3-3e8\"\r\n"
                                     "\r\n";
static const char body_bytes[1000];
static const char chunked_bytes[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                    "10\r\n0123456789abcdef\r\n8\r\n01234567\r\n0\r\n\r\n";

static volatile unsigned sink;

static void request_start(void *ctx) {
    (void)ctx;
    sink++;
}

static void request_head(void *ctx, const struct http1_request_head *head) {
    (void)ctx;
    sink += head->kind;
}

static bool response_request(void *ctx, enum http1_method_kind *kind) {
    (void)ctx;
    *kind = HTTP1_METHOD_OTHER;
    return true;
}

static void response_head(void *ctx, const struct http1_response_head *head) {
    (void)ctx;
    sink += head->status;
}

static void response_body(void *ctx, uint64_t bytes) {
    (void)ctx;
    sink += (unsigned)bytes;
}

static const struct http1_request_ops request_ops = {request_start, request_head, request_start};
static const struct http1_response_ops response_ops = {response_request, response_head,
                                                       response_body, request_start};
static struct http1_request request, snapshot;
static struct http1_response response;

static void feed_request(const char *bytes, size_t n) {
    size_t consumed;
    if (http1_request_feed(&request, bytes, n, &consumed, &request_ops, NULL) != HTTP1_OK)
        sink += 1u << 31;
}

static void feed_response(const char *bytes, size_t n) {
    size_t consumed;
    if (http1_response_feed(&response, bytes, n, &consumed, &response_ops, NULL) != HTTP1_OK)
        sink += 1u << 31;
}

static void bench_exchange(void) {
    http1_request_copy(&snapshot, &request);
    feed_request(request_bytes, sizeof request_bytes - 1);
    feed_response(response_bytes, sizeof response_bytes - 1);
    feed_response(body_bytes, sizeof body_bytes);
}

static void bench_request(void) {
    feed_request(request_bytes, sizeof request_bytes - 1);
}

static void bench_response(void) {
    feed_response(response_bytes, sizeof response_bytes - 1);
    feed_response(body_bytes, sizeof body_bytes);
}

static void bench_chunked(void) {
    feed_response(chunked_bytes, sizeof chunked_bytes - 1);
}

static void bench_bytes(void) {
    for (size_t i = 0; i < sizeof request_bytes - 1; i++)
        feed_request(request_bytes + i, 1);
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
        double start = now_ns();
        for (int i = 0; i < TIMES; i++)
            run();
        double took = (now_ns() - start) / TIMES;
        if (took < best) best = took;
    }
    printf("%-40s %8.1f ns\n", name, best);
}

int main(void) {
    printf("request %zu bytes, response head %zu bytes, body %zu bytes\n", sizeof request_bytes - 1,
           sizeof response_bytes - 1, sizeof body_bytes);
    measure("exchange (with snapshot)", bench_exchange);
    measure("request", bench_request);
    measure("response", bench_response);
    measure("chunked response, 2 chunks", bench_chunked);
    measure("request byte by byte", bench_bytes);
    if (!http1_request_idle(&request) || !http1_response_idle(&response)) {
        printf("a message was not understood\n");
        return 1;
    }
    return 0;
}
