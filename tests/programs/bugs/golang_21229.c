/*
 * golang/go#21229: a request over HTTP/2 is cancelled while its body comes; the stream is neither reset nor read, and stands open on
 * the connection that all other requests share.
 */
#include <curl/curl.h>
#include <stdlib.h>

static CURLM *transport;

static size_t cancelled(char *data, size_t size, size_t n, void *context) {
    (void)data, (void)size, (void)n;
    *(int *)context = 1;
    return CURL_WRITEFUNC_PAUSE; /* nobody wants it any more, and nobody says so */
}

static void request(const char *url, int *flag) {
    CURL *handle = curl_easy_init();
    if (!handle) abort();
    curl_easy_setopt(handle, CURLOPT_URL, url);
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
    curl_easy_setopt(handle, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, cancelled);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, flag);
    if (curl_multi_add_handle(transport, handle) != CURLM_OK) abort();
}

static void step(void) {
    int running;
    if (curl_multi_perform(transport, &running) != CURLM_OK) abort();
    if (curl_multi_poll(transport, NULL, 0, 50, NULL) != CURLM_OK) abort();
}

int main(int argc, char **argv) {
    int came = 0;
    if (argc != 2) return 2;
    curl_global_init(CURL_GLOBAL_ALL);
    transport = curl_multi_init();
    request(argv[1], &came);
    while (!came)
        step();
    for (int i = 0; i < 20; i++)
        step();
    return 0;
}
