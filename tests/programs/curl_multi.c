/* Transfers that were paused and forgotten: `curl_multi URL COUNT [h2]` starts COUNT at once with libcurl's multi interface; h2: over
 * HTTP/2, all on one connection. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int paused;
static long version = CURL_HTTP_VERSION_1_1;

static size_t pause_transfer(char *data, size_t size, size_t count, void *context) {
    (void)data, (void)size, (void)count;
    int *seen = context;
    if (!*seen) *seen = 1, paused++;
    return CURL_WRITEFUNC_PAUSE;
}

static void add_transfer(CURLM *multi, const char *url, int *seen) {
    CURL *easy = curl_easy_init();
    if (!easy) abort();
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, (long)(version != CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, pause_transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, seen);
    if (curl_multi_add_handle(multi, easy) != CURLM_OK) abort();
}

static void perform_until_paused(CURLM *multi, int count) {
    int running = count;
    while (paused < count && running > 0) {
        if (curl_multi_perform(multi, &running) != CURLM_OK) abort();
        if (paused < count && curl_multi_poll(multi, NULL, 0, 100, NULL) != CURLM_OK) abort();
    }
    if (paused < count) {
        fprintf(stderr, "only %d of %d transfers came to their body\n", paused, count);
        exit(1);
    }
}

int main(int argc, char **argv) {
    int count = argc >= 3 ? atoi(argv[2]) : 0;
    if (count < 1) return 2;
    if (argc == 4)
        version = strncmp(argv[1], "https", 5) == 0 ? CURL_HTTP_VERSION_2TLS
                                                    : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
    curl_global_init(CURL_GLOBAL_ALL);
    CURLM *multi = curl_multi_init();
    int *seen = calloc((size_t)count, sizeof *seen);
    if (!multi || !seen) abort();
    for (int i = 0; i < count; i++)
        add_transfer(multi, argv[1], seen + i);
    perform_until_paused(multi, count);
    printf("%d transfers paused\n", paused);
    return 0;
}
