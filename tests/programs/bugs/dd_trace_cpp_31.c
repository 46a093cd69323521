/* dd-trace-cpp#31: each flush of the traces makes a libcurl handle of its own, and none is ever cleaned up. */
#include <curl/curl.h>
#include <stdlib.h>

static size_t swallow(char *data, size_t size, size_t n, void *context) {
    (void)data, (void)context;
    return size * n;
}

static void flush_traces(const char *agent) {
    CURL *handle = curl_easy_init();
    if (!handle) abort();
    curl_easy_setopt(handle, CURLOPT_URL, agent);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, swallow);
    if (curl_easy_perform(handle) != CURLE_OK) abort();
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    curl_global_init(CURL_GLOBAL_ALL);
    for (int i = 0; i < 5; i++)
        flush_traces(argv[1]);
    return 0;
}
