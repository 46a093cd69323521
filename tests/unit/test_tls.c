/* TLS objects and their connections: the three steps, nesting and how it heals. */
#include <arpa/inet.h>
#include <check.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record/options.h"
#include "tests/unit/hello.h"
#include "tests/unit/suite.h"
#include "tests/unit/trace_place.h"
#include "track/association.h"
#include "track/flow.h"
#include "track/process.h"
#include "track/tls.h"
#include "track/worker.h"

static struct sockaddr_in address = {.sin_family = AF_INET};
static int listener;

static void begin(void) {
    trace_place_enter();
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(listener, 64), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    char *argv[] = {(char *)"test", NULL}, *envp[] = {(char *)"HTTPLEAK_OPTIONS=summary=0", NULL};
    process_init(1, argv, envp, "");
    ck_assert(trace_open());
}

static void end(void) {
    close(listener);
    trace_place_leave();
}

static int opened(struct connection **c) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    connection_connected(fd, (struct sockaddr *)&address, sizeof address, 0, 0);
    *c = connection_of_fd(fd);
    ck_assert_ptr_nonnull(*c);
    return fd;
}

static void closed(int fd) {
    connection_fd_closing(fd, false);
    close(fd);
}

static void sends_hello(struct connection *c, const struct hello *h) {
    struct iovec iov = {(void *)(uintptr_t)h->bytes, h->size};
    struct flow_write f;
    flow_write_before(&f, c, FLOW_WIRE, &iov, 1, NULL);
    flow_write_after(&f, &iov, 1, (ssize_t)h->size, 0);
}

static const char *host_of(const struct connection *c) {
    const uint32_t name = trace->hosts[c->slot->host].name;
    return ((const struct trace_string *)(const void *)(trace->strings + (uint64_t)name * 8))
        ->bytes;
}

/* ---- a TLS library that shows what the test says ---- */

struct object { /* stands for an SSL */
    _Alignas(16) int fd;
    int server, http2, asked;
    uint8_t random[32];
};

static int shown_fd(const struct tls_library *library, const void *object) {
    (void)library;
    ((struct object *)(uintptr_t)object)->asked++;
    return ((const struct object *)object)->fd;
}
static size_t shown_random(const struct tls_library *library, const void *object, uint8_t out[32]) {
    (void)library;
    memcpy(out, ((const struct object *)object)->random, 32);
    return 32;
}
static int shown_server(const struct tls_library *library, const void *object) {
    (void)library;
    return ((const struct object *)object)->server;
}
static int shown_http2(const struct tls_library *library, const void *object) {
    (void)library;
    return ((const struct object *)object)->http2;
}
static const struct tls_library library = {shown_fd, shown_random, shown_server, shown_http2};

static struct object with_random(const struct hello *h) {
    struct object o = {.fd = -1};
    memcpy(o.random, h->bytes + 11, 32);
    return o;
}

/* ---- the three steps ---- */

START_TEST(a_socket_call_inside_a_tls_call_names_the_object) {
    struct connection *c;
    const int fd = opened(&c);
    const struct hello h = hello_make("WWW.Example.com", 1);
    struct object o = {.fd = -1};
    ck_assert(tls_enter(&o, false));
    sends_hello(c, &h);
    tls_leave();
    ck_assert_ptr_eq(tls_connection(&o, NULL), c);
    ck_assert(c->slot->flags & TRACE_CONNECTION_TLS);
    ck_assert(c->slot->flags & TRACE_CONNECTION_TLS_FOLLOWED);
    ck_assert_str_eq(host_of(c), "www.example.com");
    ck_assert_uint_eq(trace->hosts[c->slot->host].scheme, TRACE_SCHEME_HTTPS);
    closed(fd);
}
END_TEST

START_TEST(the_fd_of_an_object_is_believed_if_tls_is_on_it) {
    struct connection *c;
    const int fd = opened(&c);
    struct object o = {.fd = fd};
    ck_assert_ptr_null(tls_connection(&o, &library)); /* nothing was said there yet */
    const struct hello h = hello_make(NULL, 1);
    sends_hello(c, &h);
    ck_assert_ptr_eq(tls_connection(&o, &library), c);
    const int asked = o.asked;
    ck_assert_ptr_eq(tls_connection(&o, &library), c);
    ck_assert_int_eq(o.asked, asked);
    ck_assert_str_eq(host_of(c), "127.0.0.1");
    ck_assert_uint_eq(trace->hosts[c->slot->host].scheme, TRACE_SCHEME_HTTPS);
    closed(fd);
}
END_TEST

START_TEST(the_random_finds_a_memory_bio_that_handshakes_first) {
    struct connection *c, *other;
    const int fd = opened(&c), other_fd = opened(&other);
    const struct hello h = hello_make("a.example", 1), h2 = hello_make("b.example", 2);
    struct object o = with_random(&h);
    tls_handshake_after(&o, &library, false);
    sends_hello(other, &h2);
    sends_hello(c, &h);
    ck_assert_ptr_eq(tls_connection(&o, &library), c);
    ck_assert(!(other->slot->flags & TRACE_CONNECTION_TLS_FOLLOWED));
    closed(fd), closed(other_fd);
}
END_TEST

START_TEST(the_random_finds_a_memory_bio_whose_hello_went_first) {
    struct connection *c;
    const int fd = opened(&c);
    const struct hello h = hello_make("a.example", 1);
    struct object o = with_random(&h);
    sends_hello(c, &h);
    o.http2 = 1;
    tls_handshake_after(&o, &library, true);
    ck_assert_ptr_eq(tls_connection(&o, NULL), c);
    ck_assert(c->slot->flags & TRACE_CONNECTION_H2);
    closed(fd);
}
END_TEST

START_TEST(an_fd_that_was_given_out_anew_is_not_believed) {
    struct connection *c;
    const int fd = opened(&c);
    const struct hello h = hello_make(NULL, 1), old = hello_make(NULL, 2);
    struct object o = with_random(&old);
    o.fd = fd;
    sends_hello(c, &h);
    ck_assert_ptr_null(tls_connection(&o, &library));
    closed(fd);
}
END_TEST

/* A process that is its own client: both sides know the same random. */
START_TEST(a_server_is_never_taken_for_the_client) {
    struct connection *c;
    const int fd = opened(&c);
    const struct hello h = hello_make(NULL, 1);
    struct object server = with_random(&h), gnutls_server = with_random(&h),
                  client = with_random(&h);
    const struct tls_library gnutls = {NULL, shown_random, NULL, NULL};
    server.server = 1;
    tls_object_server(&gnutls_server);
    tls_object_reset(&gnutls_server); /* its fd is set after it was made */
    sends_hello(c, &h);
    tls_handshake_after(&server, &library, true);
    tls_handshake_after(&gnutls_server, &gnutls, true);
    ck_assert_ptr_null(tls_connection(&server, &library));
    ck_assert_ptr_null(tls_connection(&gnutls_server, &gnutls));
    ck_assert_ptr_eq(tls_connection(&client, &library), c);
    tls_object_free(&gnutls_server);
    ck_assert_ptr_eq(tls_connection(&gnutls_server, &gnutls),
                     c); /* another session at the same address */
    closed(fd);
}
END_TEST

START_TEST(an_object_of_nothing_of_ours_is_asked_once) {
    struct object o = {.fd = -1};
    struct connection *c;
    const int fd = opened(&c);
    tls_handshake_after(&o, &library, true);
    const int asked = o.asked;
    ck_assert_int_gt(asked, 0);
    ck_assert_ptr_null(tls_connection_late(&o, &library, true));
    ck_assert_int_eq(o.asked, asked);
    tls_object_reset(&o);
    o.fd = fd;
    const struct hello h = hello_make(NULL, 1);
    sends_hello(c, &h);
    ck_assert_ptr_eq(tls_connection(&o, &library), c);
    closed(fd);
}
END_TEST

START_TEST(a_freed_address_starts_anew) {
    struct connection *c, *next;
    const int fd = opened(&c);
    const struct hello h = hello_make(NULL, 1), h2 = hello_make(NULL, 2);
    struct object o = with_random(&h);
    sends_hello(c, &h);
    ck_assert_ptr_eq(tls_connection(&o, &library), c);
    tls_object_free(&o);
    const int next_fd = opened(&next);
    o = with_random(&h2);
    sends_hello(next, &h2);
    ck_assert_ptr_eq(tls_connection(&o, &library), next);
    closed(fd), closed(next_fd);
}
END_TEST

/* The free was not seen, the address came back: nesting says one thing, the random another. */
START_TEST(the_random_corrects_what_nesting_said) {
    struct connection *c, *next;
    const int fd = opened(&c), next_fd = opened(&next);
    const struct hello h = hello_make(NULL, 1), h2 = hello_make(NULL, 2);
    struct object o = with_random(&h);
    sends_hello(c, &h);
    ck_assert_ptr_eq(tls_connection(&o, &library), c);
    o = with_random(&h2);
    ck_assert(tls_enter(&o, false));
    sends_hello(next, &h2);
    tls_leave();
    ck_assert_ptr_eq(tls_connection(&o, &library), c);
    tls_handshake_after(&o, &library, true);
    ck_assert_ptr_eq(tls_connection(&o, &library), next);
    closed(fd), closed(next_fd);
}
END_TEST

START_TEST(an_ended_connection_is_nobodys_again) {
    struct connection *c, *next;
    const int fd = opened(&c);
    const struct hello h = hello_make(NULL, 1), h2 = hello_make(NULL, 2);
    struct object o = with_random(&h);
    o.fd = fd;
    sends_hello(c, &h);
    ck_assert_ptr_eq(tls_connection(&o, &library), c);
    closed(fd);
    ck_assert_int_eq(opened(&next), fd);
    sends_hello(next, &h2);
    ck_assert_ptr_null(tls_connection(&o, &library));
    ck_assert(
        tls_enter(&o, false)); /* SSL_shutdown after close, into whatever has the number now */
    const uint8_t notify[] = {0x15, 3, 3, 0, 2, 1, 0};
    tls_wire_write(next, notify, sizeof notify, false);
    tls_leave();
    ck_assert_ptr_null(tls_connection(&o, &library));
    closed(fd);
}
END_TEST

START_TEST(the_name_that_was_set_counts_when_the_hello_shows_none) {
    struct connection *c;
    const int fd = opened(&c);
    const struct hello h = hello_make(NULL, 1);
    struct object o = with_random(&h);
    tls_server_name(&o, "Inner.Example", 13);
    sends_hello(c, &h);
    ck_assert_ptr_eq(tls_connection(&o, &library), c);
    ck_assert_str_eq(host_of(c), "inner.example");
    closed(fd);
}
END_TEST

static void writes_plaintext(struct connection *c, const void *bytes, size_t n) {
    struct iovec iov = {(void *)(uintptr_t)bytes, n};
    struct flow_write f;
    flow_write_before(&f, c, FLOW_PLAINTEXT, &iov, 1, NULL);
    flow_write_after(&f, &iov, 1, (ssize_t)n, 0);
}

static void reads_plaintext(struct connection *c, const char *text) {
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    struct flow_read f;
    flow_read_before(&f, c, FLOW_PLAINTEXT);
    flow_read_after(&f, &iov, 1, (ssize_t)strlen(text), 0, strlen(text));
}

static void asks_for_a_tunnel(struct connection *c) {
    static const char request[] = "CONNECT in.example:443 HTTP/1.1\r\nHost: in.example:443\r\n\r\n";
    writes_plaintext(c, request, strlen(request));
    reads_plaintext(c, "HTTP/1.1 200 OK\r\n\r\n");
}

#define GET "GET / HTTP/1.1\r\nHost: in.example\r\n\r\n"

START_TEST(tls_inside_tls_belongs_to_the_inner_object) {
    struct connection *c;
    const int fd = opened(&c);
    const struct hello h = hello_make("proxy.example", 1), h2 = hello_make("in.example", 2);
    struct object outer = with_random(&h), inner = with_random(&h2);
    sends_hello(c, &h);
    ck_assert_ptr_eq(tls_connection(&outer, &library), c);
    asks_for_a_tunnel(c);
    tls_handshake_after(&inner, &library, false);
    writes_plaintext(c, h2.bytes, h2.size);
    ck_assert_ptr_null(tls_connection(&outer, &library));
    ck_assert_ptr_eq(tls_connection(&inner, &library), c);
    writes_plaintext(c, GET, strlen(GET));
    ck_assert_uint_eq(c->slot->requests, 2); /* CONNECT is one */
    ck_assert_str_eq(host_of(c), "in.example");
    ck_assert(!(c->slot->flags & TRACE_CONNECTION_BLIND));
    closed(fd);
}
END_TEST

START_TEST(an_inner_object_that_is_not_seen_leaves_it_unfollowed) {
    struct connection *c;
    const int fd = opened(&c);
    const struct hello h = hello_make("proxy.example", 1), h2 = hello_make("in.example", 2);
    struct object outer = with_random(&h);
    sends_hello(c, &h);
    ck_assert_ptr_eq(tls_connection(&outer, &library), c);
    asks_for_a_tunnel(c);
    writes_plaintext(c, h2.bytes, h2.size);
    ck_assert_ptr_null(tls_connection(&outer, &library));
    ck_assert(!(c->slot->flags & TRACE_CONNECTION_TLS_FOLLOWED));
    closed(fd);
}
END_TEST

START_TEST(plain_http_inside_tls_stays_with_the_outer_object) {
    struct connection *c;
    const int fd = opened(&c);
    const struct hello h = hello_make("proxy.example", 1);
    struct object outer = with_random(&h);
    sends_hello(c, &h);
    ck_assert_ptr_eq(tls_connection(&outer, &library), c);
    asks_for_a_tunnel(c);
    writes_plaintext(c, GET, strlen(GET));
    ck_assert_ptr_eq(tls_connection(&outer, &library), c);
    ck_assert_uint_eq(c->slot->requests, 2); /* CONNECT is one */
    closed(fd);
}
END_TEST

START_TEST(a_fork_forgets_what_the_parent_knew) {
    struct connection *c;
    const int fd = opened(&c);
    const struct hello h = hello_make(NULL, 1);
    struct object o = {.fd = -1};
    ck_assert(tls_enter(&o, false));
    sends_hello(c, &h);
    tls_leave();
    ck_assert_uint_eq(association_find(association_object_key(&o)).kind, ASSOCIATION_CONNECTION);
    process_generation++;
    ck_assert_uint_eq(association_find(association_object_key(&o)).kind, ASSOCIATION_UNKNOWN);
    process_generation--;
    ck_assert_ptr_eq(tls_connection(&o, &library), c);
    closed(fd);
}
END_TEST

/* ---- nesting ---- */

static jmp_buf back;

/* Each calls the next one deeper on the stack. */
static __attribute__((noinline)) bool enters_deeper(const void *object, bool from_library) {
    volatile char room[256];
    room[0] = 0;
    const bool entered = tls_enter(object, from_library);
    room[1] = room[0];
    return entered;
}
static __attribute__((noinline)) const void *current_deeper(void) {
    volatile char room[256];
    room[0] = 0;
    const void *object = tls_current();
    room[1] = room[0];
    return object;
}
static __attribute__((noinline)) void jumps_out_of(const void *object) {
    volatile char room[64];
    room[0] = 0;
    ck_assert(tls_enter(object, false));
    longjmp(back, 1 + room[0]);
}

START_TEST(a_nested_call_is_none_of_its_own) {
    struct object outer = {.fd = -1}, inner = {.fd = -1};
    ck_assert_ptr_null(tls_current());
    ck_assert(tls_enter(&outer, false));
    ck_assert_ptr_eq(current_deeper(), &outer);
    ck_assert(!enters_deeper(&outer, true));  /* SSL_connect calls SSL_do_handshake */
    ck_assert(!enters_deeper(&inner, false)); /* TLS inside TLS: a BIO of the program's */
    ck_assert_ptr_eq(current_deeper(), &outer);
    tls_leave();
    ck_assert_ptr_null(current_deeper());
    ck_assert(enters_deeper(&inner, false));
}
END_TEST

START_TEST(a_call_left_by_longjmp_heals_higher_up) {
    struct object o = {.fd = -1}, next = {.fd = -1};
    if (setjmp(back) == 0) jumps_out_of(&o);
    ck_assert_ptr_null(tls_current());
    ck_assert(tls_enter(&next, false));
    tls_leave();
}
END_TEST

START_TEST(a_call_left_by_longjmp_heals_for_the_same_object) {
    struct object o = {.fd = -1};
    if (setjmp(back) == 0) jumps_out_of(&o);
    ck_assert(thread_self.tls_object == &o);
    volatile char *room =
        __builtin_alloca(4096); /* from here on everything is deeper than where it was left */
    room[0] = 0;
    ck_assert(enters_deeper(&o, false));
    tls_leave();
}
END_TEST

START_TEST(a_freed_object_is_in_no_call) {
    struct object o = {.fd = -1}, next = {.fd = -1};
    if (setjmp(back) == 0) jumps_out_of(&o);
    tls_object_free(&o);
    volatile char *room = __builtin_alloca(4096);
    room[0] = 0;
    ck_assert_ptr_null(current_deeper());
    ck_assert(enters_deeper(&next, false));
}
END_TEST

START_TEST(a_call_on_another_connection_is_not_nested) {
    struct connection *c, *other;
    const int fd = opened(&c), other_fd = opened(&other);
    const struct hello h = hello_make(NULL, 1), h2 = hello_make(NULL, 2);
    struct object o = with_random(&h), fetch = with_random(&h2);
    sends_hello(c, &h);
    sends_hello(other, &h2);
    ck_assert_ptr_eq(tls_connection(&o, &library), c);
    ck_assert_ptr_eq(tls_connection(&fetch, &library), other);
    ck_assert(tls_enter(&o, false));
    ck_assert(enters_deeper(&fetch, false));
    closed(fd), closed(other_fd);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tls");
    TCase *tests = tcase_create("tls");
    tcase_add_checked_fixture(tests, begin, end);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, a_socket_call_inside_a_tls_call_names_the_object);
    tcase_add_test(tests, the_fd_of_an_object_is_believed_if_tls_is_on_it);
    tcase_add_test(tests, the_random_finds_a_memory_bio_that_handshakes_first);
    tcase_add_test(tests, the_random_finds_a_memory_bio_whose_hello_went_first);
    tcase_add_test(tests, an_fd_that_was_given_out_anew_is_not_believed);
    tcase_add_test(tests, a_server_is_never_taken_for_the_client);
    tcase_add_test(tests, an_object_of_nothing_of_ours_is_asked_once);
    tcase_add_test(tests, a_freed_address_starts_anew);
    tcase_add_test(tests, the_random_corrects_what_nesting_said);
    tcase_add_test(tests, an_ended_connection_is_nobodys_again);
    tcase_add_test(tests, the_name_that_was_set_counts_when_the_hello_shows_none);
    tcase_add_test(tests, tls_inside_tls_belongs_to_the_inner_object);
    tcase_add_test(tests, an_inner_object_that_is_not_seen_leaves_it_unfollowed);
    tcase_add_test(tests, plain_http_inside_tls_stays_with_the_outer_object);
    tcase_add_test(tests, a_fork_forgets_what_the_parent_knew);
    tcase_add_test(tests, a_nested_call_is_none_of_its_own);
    tcase_add_test(tests, a_call_left_by_longjmp_heals_higher_up);
    tcase_add_test(tests, a_call_left_by_longjmp_heals_for_the_same_object);
    tcase_add_test(tests, a_freed_object_is_in_no_call);
    tcase_add_test(tests, a_call_on_another_connection_is_not_nested);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
