/* libcurl's multi interface: curl_fetch URL read|keep COUNT. Reads COUNT bodies to their end, or pauses each and keeps it until
 * there is a file "stop". */
#include <curl/curl.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int keeps;

struct transfer {
    CURL *easy;
    size_t bytes;
    int paused;
};

static size_t take(char *bytes, size_t size, size_t count, void *context) {
    struct transfer *t = context;
    (void)bytes;
    if (keeps && t->bytes > 0) {
        t->paused = 1;
        return CURL_WRITEFUNC_PAUSE;
    }
    t->bytes += size * count;
    return size * count;
}

static void ask(CURLM *multi, struct transfer *t, const char *url) {
    t->easy = curl_easy_init();
    curl_easy_setopt(t->easy, CURLOPT_URL, url);
    curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    const char *version = getenv("HTTP2");
    if (version) curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, atol(version));
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    if (curl_multi_add_handle(multi, t->easy) != CURLM_OK) errx(1, "curl_multi_add_handle");
}

static int is_over(const struct transfer *transfers, int count, int running) {
    int paused = 0;
    for (int i = 0; i < count; i++)
        paused += transfers[i].paused;
    return running == 0 || paused == count;
}

int main(int argc, char **argv) {
    if (argc != 4) errx(2, "usage: curl_fetch URL read|keep COUNT");
    const int count = atoi(argv[3]);
    struct transfer *transfers = calloc((size_t)count, sizeof *transfers);
    if (!transfers) err(1, "calloc");
    keeps = strcmp(argv[2], "keep") == 0;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURLM *multi = curl_multi_init();
    for (int i = 0; i < count; i++)
        ask(multi, &transfers[i], argv[1]);
    int running = count;
    while (!is_over(transfers, count, running)) {
        if (curl_multi_perform(multi, &running) != CURLM_OK) errx(1, "curl_multi_perform");
        curl_multi_wait(multi, NULL, 0, 20, NULL);
    }
    for (int i = 0; i < count; i++)
        printf("%zu\n", keeps ? 0 : transfers[i].bytes);
    if (keeps) {
        while (access("stop", F_OK) != 0) { /* what the peer still sends ahead comes in */
            curl_multi_perform(multi, &running);
            curl_multi_poll(multi, NULL, 0, 20, NULL);
        }
        fflush(stdout);
        _exit(0);
    }
    for (int i = 0; i < count; i++) {
        curl_multi_remove_handle(multi, transfers[i].easy);
        curl_easy_cleanup(transfers[i].easy);
    }
    curl_multi_cleanup(multi);
    free(transfers);
    curl_global_cleanup();
    return 0;
}
