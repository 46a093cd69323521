/* Names and paths in requests, of every length and with every byte at every place: the parser looks at eight at once. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/http1_log.h"
#include "tests/unit/suite.h"

static struct http1_request_head last_head;
static bool head_seen;

static void ignore(void *ctx) {
    (void)ctx;
}

static void keep_head(void *ctx, const struct http1_request_head *head) {
    (void)ctx;
    last_head = *head;
    head_seen = true;
}

static enum http1_status feed_text(const char *text, size_t n) {
    static const struct http1_request_ops ops = {ignore, keep_head, ignore};
    static struct http1_request request;
    size_t consumed;
    memset(&request, 0, sizeof request);
    memset(&last_head, 'x', sizeof last_head);
    head_seen = false;
    return http1_request_feed(&request, http1_log_guard(text, n, false), n, &consumed, &ops, NULL);
}

#define NAME_MOST 26

static size_t name_with(char *name, unsigned length, unsigned place, unsigned byte) {
    for (unsigned i = 0; i < length; i++)
        name[i] = (char)('A' + i % 26);
    name[place] = (char)byte;
    name[length] = 0;
    return length;
}

START_TEST(any_byte_in_an_authority) {
    char name[NAME_MOST + 1], lower[NAME_MOST + 1], text[128];
    for (unsigned length = 1; length <= NAME_MOST; length++)
        for (unsigned place = 0; place < length; place++)
            for (unsigned byte = 1; byte < 256; byte++) {
                const bool ends = byte == '\n' || byte == '\r';
                const bool trimmed =
                    (byte == ' ' || byte == '\t') && (place == 0 || place + 1 == length);
                if (ends || trimmed) continue;
                name_with(name, length, place, byte);
                const bool is_name = byte > ' ' && byte != 0x7f;
                for (unsigned i = 0; i <= length; i++)
                    lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
                const int n =
                    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", name);
                HTTP1_HOLDS(feed_text(text, (size_t)n) == HTTP1_OK && head_seen);
                HTTP1_HOLDS(strcmp(last_head.authority, is_name ? lower : "") == 0);
            }
}
END_TEST

START_TEST(any_byte_in_a_path) {
    char name[NAME_MOST + 1], text[128];
    for (unsigned length = 1; length <= NAME_MOST; length++)
        for (unsigned place = 0; place < length; place++)
            for (unsigned byte = 1; byte < 256; byte++) {
                if (byte == '\n' || byte == '\r') continue;
                name_with(name, length, place, byte);
                const int n = snprintf(text, sizeof text, "GET /%s HTTP/1.1\r\n\r\n", name);
                const bool is_path = byte >= ' ' && byte != 0x7f;
                HTTP1_HOLDS(feed_text(text, (size_t)n) == (is_path ? HTTP1_OK : HTTP1_FOREIGN));
                HTTP1_HOLDS(head_seen == is_path);
                if (!is_path) continue;
                if (byte == '?' || byte == '#') name[place] = 0;
                HTTP1_HOLDS(last_head.path[0] == '/' && strcmp(last_head.path + 1, name) == 0);
                HTTP1_HOLDS(!last_head.path_truncated);
            }
}
END_TEST

/* Up to the last byte that there is room for, and beyond. */
START_TEST(paths_around_the_most) {
    char text[512] = "GET /";
    for (size_t length = HTTP1_PATH_SIZE - 20; length < HTTP1_PATH_SIZE + 20; length++) {
        memset(text + 5, 'p', length - 1);
        const int n = snprintf(text + 4 + length, sizeof text - 4 - length, " HTTP/1.1\r\n\r\n");
        HTTP1_HOLDS(feed_text(text, 4 + length + (size_t)n) == HTTP1_OK && head_seen);
        const size_t kept = length < HTTP1_PATH_SIZE ? length : HTTP1_PATH_SIZE - 1;
        HTTP1_HOLDS(strlen(last_head.path) == kept && last_head.path_truncated == (kept < length));
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("http1_words");
    TCase *tests = tcase_create("http1_words");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, any_byte_in_an_authority);
    tcase_add_test(tests, any_byte_in_a_path);
    tcase_add_test(tests, paths_around_the_most);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
