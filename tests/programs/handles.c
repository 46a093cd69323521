/*
 * Handles of libcurl, well and badly kept: `handles URL MODE COUNT [SECONDS]` makes COUNT requests (or transfers) in the way of MODE,
 * sleeps SECONDS and returns from main.
 */
#include <curl/curl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *url;
static int count;

__attribute__((noreturn)) static void die(const char *what) {
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static size_t swallow(char *data, size_t size, size_t n, void *context) {
    (void)data, (void)context;
    return size * n;
}

static CURL *easy_for(const char *target) {
    CURL *easy = curl_easy_init();
    if (!easy) die("curl_easy_init");
    curl_easy_setopt(easy, CURLOPT_URL, target);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
    return easy;
}

static void perform(CURL *easy) {
    if (curl_easy_perform(easy) != CURLE_OK) die("curl_easy_perform");
}

/* ---- easy handles ---- */

/* The mistake: a handle for each request, and nobody cleans it up. */
static void leak_easy(void) {
    for (int i = 0; i < count; i++)
        perform(easy_for(url)); /* leak-easy */
}

static void leak_copies(void) {
    CURL *pattern = easy_for(url);
    for (int i = 0; i < count; i++)
        perform(curl_easy_duphandle(pattern));
    curl_easy_cleanup(pattern);
}

static void clean_easy(void) {
    for (int i = 0; i < count; i++) {
        CURL *easy = easy_for(url);
        perform(easy);
        curl_easy_cleanup(easy);
    }
}

/* One handle kept to the end of the program. */
static void keep_one(void) {
    CURL *easy = easy_for(url);
    for (int i = 0; i < count; i++)
        perform(easy);
}

/* A pool: made ahead, used in turn, kept to the end. */
static void keep_pool(void) {
    CURL *pool[4];
    for (int i = 0; i < 4; i++)
        pool[i] = easy_for(url);
    for (int i = 0; i < count; i++)
        perform(pool[i % 3]); /* one is never needed */
}

/* Made one by one, each first used and then kept, all used again. */
static void keep_cache(void) {
    CURL *cache[4];
    for (int i = 0; i < 4; i++)
        perform(cache[i] = easy_for(url));
    for (int i = 0; i < count; i++)
        perform(cache[i % 4]);
}

static void *use_own_handle(void *done) {
    perform(easy_for(url)); /* its own */
    if (done && sem_wait(done) != 0) die("sem_wait");
    return NULL;
}

/* Each thread makes a handle, uses it and ends without it. */
static void leak_threads(void) {
    pthread_t thread;
    for (int i = 0; i < count; i++)
        if (pthread_create(&thread, NULL, use_own_handle, NULL) != 0 ||
            pthread_join(thread, NULL) != 0)
            die("pthread_create");
}

/* Each thread has a handle of its own and is there to the end. */
static void keep_threads(void) {
    static sem_t never;
    pthread_t thread;
    sem_init(&never, 0, 0);
    for (int i = 0; i < count; i++)
        if (pthread_create(&thread, NULL, use_own_handle, &never) != 0) die("pthread_create");
    sleep(1);
}

/* ---- multi and share handles ---- */

static void drive(CURLM *multi) {
    int running = 1;
    while (running > 0) {
        if (curl_multi_perform(multi, &running) != CURLM_OK) die("curl_multi_perform");
        if (running && curl_multi_poll(multi, NULL, 0, 100, NULL) != CURLM_OK)
            die("curl_multi_poll");
    }
}

static void one_multi(bool clean) {
    CURLM *multi = curl_multi_init(); /* one */
    CURL *easy = easy_for(url);
    if (!multi || curl_multi_add_handle(multi, easy) != CURLM_OK) die("curl_multi_add_handle");
    drive(multi);
    curl_multi_remove_handle(multi, easy);
    curl_easy_cleanup(easy);
    if (clean) curl_multi_cleanup(multi);
}

static void leak_multi(void) {
    for (int i = 0; i < count; i++)
        one_multi(false);
}

static void clean_multi(void) {
    for (int i = 0; i < count; i++)
        one_multi(true);
}

static void one_share(bool clean) {
    CURLSH *share = curl_share_init();
    CURL *easy = easy_for(url);
    if (!share) die("curl_share_init");
    curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_easy_setopt(easy, CURLOPT_SHARE, share);
    perform(easy);
    curl_easy_cleanup(easy);
    if (clean) curl_share_cleanup(share);
}

static void leak_share(void) {
    for (int i = 0; i < count; i++)
        one_share(false);
}

static void clean_share(void) {
    for (int i = 0; i < count; i++)
        one_share(true);
}

/* Share handles made ahead, one for each of several users, and kept. */
static void keep_shares(void) {
    CURLSH *shares[4];
    for (int i = 0; i < 4; i++)
        shares[i] = curl_share_init();
    for (int i = 0; i < count; i++) {
        CURL *easy = easy_for(url);
        curl_easy_setopt(easy, CURLOPT_SHARE, shares[i % 4]);
        perform(easy);
        curl_easy_cleanup(easy);
    }
}

/* ---- transfers that nobody drives ---- */

static int begun;

static size_t begin_only(char *data, size_t size, size_t n, void *easy) {
    (void)data, (void)easy;
    begun++;
    return size * n;
}

static size_t pause_once(char *data, size_t size, size_t n, void *easy) {
    (void)data;
    begun++;
    curl_easy_pause(easy, CURLPAUSE_RECV);
    return size * n;
}

static CURLM *begin(curl_write_callback callback) {
    CURLM *multi = curl_multi_init();
    for (int i = 0; i < count; i++) {
        CURL *easy = easy_for(url);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, callback);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, easy);
        curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 4096L);
        if (curl_multi_add_handle(multi, easy) != CURLM_OK) die("curl_multi_add_handle");
    }
    for (int running = 1; begun < count && running;)
        if (curl_multi_perform(multi, &running) != CURLM_OK ||
            curl_multi_poll(multi, NULL, 0, 100, NULL) != CURLM_OK)
            die("curl_multi_perform");
    return multi;
}

/* Left in the middle of its transfers. */
static void abandon_multi(void) {
    begin(begin_only);
    sleep(2);
}

/* The multi handle is driven on, its transfers were paused and never resumed. */
static void pause_for_ever(void) {
    CURLM *multi = begin(pause_once);
    int running = 1;
    for (int i = 0; i < 40; i++) {
        curl_multi_perform(multi, &running);
        curl_multi_poll(multi, NULL, 0, 50, NULL);
        usleep(50000);
    }
}

/* Paused for a moment, resumed, finished. */
static void pause_and_resume(void) {
    CURLM *multi = curl_multi_init();
    CURL *easy = easy_for(url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, pause_once);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, easy);
    curl_multi_add_handle(multi, easy);
    for (int running = 1; running;) {
        curl_multi_perform(multi, &running);
        if (begun) curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
        if (begun) curl_easy_pause(easy, CURLPAUSE_CONT);
        if (running) curl_multi_poll(multi, NULL, 0, 20, NULL);
    }
    curl_multi_remove_handle(multi, easy);
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
}

static const struct {
    const char *name;
    void (*run)(void);
} modes[] = {{"leak-easy", leak_easy},           {"leak-copies", leak_copies},
             {"clean-easy", clean_easy},         {"keep-one", keep_one},
             {"keep-pool", keep_pool},           {"keep-cache", keep_cache},
             {"leak-threads", leak_threads},     {"keep-threads", keep_threads},
             {"leak-multi", leak_multi},         {"clean-multi", clean_multi},
             {"leak-share", leak_share},         {"clean-share", clean_share},
             {"keep-shares", keep_shares},       {"abandon-multi", abandon_multi},
             {"pause-for-ever", pause_for_ever}, {"pause-and-resume", pause_and_resume}};

int main(int argc, char **argv) {
    if (argc != 4 && argc != 5) return 2;
    url = argv[1];
    count = atoi(argv[3]);
    curl_global_init(CURL_GLOBAL_ALL);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i].name, argv[2]) == 0) {
            modes[i].run();
            puts("done");
            fflush(stdout);
            if (argc == 5) sleep((unsigned)atoi(argv[4]));
            return 0;
        }
    return 2;
}
