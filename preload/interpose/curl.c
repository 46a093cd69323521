/*
 * libcurl's handles: made, used, cleaned up. The real functions are looked up as those of TLS libraries are, since PHP and Python
 * load libcurl with local scope. What libcurl calls of itself, and handles of its own that it makes inside, are left alone.
 */
#include "interpose/tls_call.h"
#include "track/client.h"

#define FAILED_INIT 2 /* CURLE_FAILED_INIT */
#define BAD_HANDLE 1  /* CURLM_BAD_HANDLE, CURLSHE_BAD_OPTION */
#define PAUSE_RECEIVE 1
#define PAUSE_SEND 4

static const struct tls_flavor curl = {.marker = "curl_easy_init"};

#define CURL_FIND(symbol, failure) TLS_FIND(curl, symbol, failure)
#define FOLLOWED(object) (process_active && (object) && !found.from_library)

/* ---- easy handles ---- */

static void *made(const struct tls_real *found, void *object, enum trace_handle_kind kind) {
    if (!process_active || !object || found->from_library) return object;
    const int error = errno;
    client_created(object, kind);
    errno = error;
    return object;
}

HTTPLEAK_EXPORT void *curl_easy_init(void) {
    CURL_FIND(curl_easy_init, NULL);
    return made(&found, call(), TRACE_HANDLE_CURL_EASY);
}

HTTPLEAK_EXPORT void *curl_easy_duphandle(void *easy) {
    CURL_FIND(curl_easy_duphandle, NULL);
    return made(&found, call(easy), TRACE_HANDLE_CURL_EASY);
}

HTTPLEAK_EXPORT void curl_easy_cleanup(void *easy) {
    CURL_FIND(curl_easy_cleanup, );
    if (process_active && easy) client_freed(easy);
    call(easy);
}

HTTPLEAK_EXPORT void curl_easy_reset(void *easy) {
    CURL_FIND(curl_easy_reset, );
    if (FOLLOWED(easy)) client_used(easy);
    call(easy);
}

/* The handle's callbacks may call anything, and may never come back: nothing is held meanwhile. */
#define WORKING(handle, transfer, real_call)                                                       \
    ({                                                                                             \
        struct client_call working_ = {0};                                                         \
        const int before_ = errno;                                                                 \
        if (FOLLOWED(handle)) client_begin(&working_, (handle), (transfer));                       \
        errno = before_;                                                                           \
        const int result_ = (real_call);                                                           \
        const int error_ = errno;                                                                  \
        if (working_.object) client_end(&working_);                                                \
        errno = error_;                                                                            \
        result_;                                                                                   \
    })

HTTPLEAK_EXPORT int curl_easy_perform(void *easy) {
    CURL_FIND(curl_easy_perform, FAILED_INIT);
    return WORKING(easy, true, call(easy));
}

/* Before the call: resuming hands out what waited, and the callback that gets it may pause again. */
HTTPLEAK_EXPORT int curl_easy_pause(void *easy, int bits) {
    CURL_FIND(curl_easy_pause, FAILED_INIT);
    if (FOLLOWED(easy)) client_paused(easy, bits & (PAUSE_RECEIVE | PAUSE_SEND));
    return call(easy, bits);
}

/* ---- multi handles ---- */

HTTPLEAK_EXPORT void *curl_multi_init(void) {
    CURL_FIND(curl_multi_init, NULL);
    return made(&found, call(), TRACE_HANDLE_CURL_MULTI);
}

HTTPLEAK_EXPORT int curl_multi_cleanup(void *multi) {
    CURL_FIND(curl_multi_cleanup, BAD_HANDLE);
    if (process_active && multi) client_freed(multi);
    return call(multi);
}

HTTPLEAK_EXPORT int curl_multi_add_handle(void *multi, void *easy) {
    CURL_FIND(curl_multi_add_handle, BAD_HANDLE);
    const int r = call(multi, easy);
    if (r != 0 || !FOLLOWED(easy)) return r;
    const int error = errno;
    struct client_call transfer;
    client_begin(&transfer, easy, true);
    client_end(&transfer);
    client_joined(easy, multi);
    client_used(multi);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT int curl_multi_remove_handle(void *multi, void *easy) {
    CURL_FIND(curl_multi_remove_handle, BAD_HANDLE);
    const int r = call(multi, easy);
    if (r != 0 || !FOLLOWED(easy)) return r;
    const int error = errno;
    client_joined(easy, NULL);
    client_used(easy);
    client_used(multi);
    errno = error;
    return r;
}

HTTPLEAK_EXPORT int curl_multi_perform(void *multi, int *running) {
    CURL_FIND(curl_multi_perform, BAD_HANDLE);
    return WORKING(multi, true, call(multi, running));
}

HTTPLEAK_EXPORT int curl_multi_socket_action(void *multi, int fd, int events, int *running) {
    CURL_FIND(curl_multi_socket_action, BAD_HANDLE);
    return WORKING(multi, true, call(multi, fd, events, running));
}

HTTPLEAK_EXPORT int curl_multi_poll(void *multi, void *more, unsigned count, int ms, int *ready) {
    CURL_FIND(curl_multi_poll, BAD_HANDLE);
    return WORKING(multi, false, call(multi, more, count, ms, ready));
}

HTTPLEAK_EXPORT int curl_multi_wait(void *multi, void *more, unsigned count, int ms, int *ready) {
    CURL_FIND(curl_multi_wait, BAD_HANDLE);
    return WORKING(multi, false, call(multi, more, count, ms, ready));
}

/* ---- share handles ---- */

HTTPLEAK_EXPORT void *curl_share_init(void) {
    CURL_FIND(curl_share_init, NULL);
    return made(&found, call(), TRACE_HANDLE_CURL_SHARE);
}

/* Refused while easy handles still refer to it. */
HTTPLEAK_EXPORT int curl_share_cleanup(void *share) {
    CURL_FIND(curl_share_cleanup, BAD_HANDLE);
    const int r = call(share);
    if (r == 0 && share && process_active) client_freed(share);
    return r;
}
