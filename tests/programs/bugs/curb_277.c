/*
 * curb#277: a libcurl handle for each request, used once and kept; the server closes their idle connections, and thousands of
 * sockets in CLOSE_WAIT are what one sees.
 */
#include <curl/curl.h>
#include <stdlib.h>
#include <unistd.h>

static size_t swallow(char *data, size_t size, size_t n, void *context) {
    (void)data, (void)context;
    return size * n;
}

static CURL *http_get(const char *url) {
    CURL *handle = curl_easy_init();
    if (!handle) abort();
    curl_easy_setopt(handle, CURLOPT_URL, url);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, swallow);
    if (curl_easy_perform(handle) != CURLE_OK) abort();
    return handle;
}

int main(int argc, char **argv) {
    CURL *kept[12];
    if (argc != 2) return 2;
    curl_global_init(CURL_GLOBAL_ALL);
    for (int i = 0; i < 12; i++)
        kept[i] = http_get(argv[1]);
    sleep(2); /* the server's patience is a second */
    return kept[0] == NULL;
}
