/*
 * Fetches a URL, to the end of the connection, with the OpenSSL that this object is linked with,
 * and says whose code worked on its SSL object: at every record the whole stack is looked at, since
 * the function that was called hands over to those of the object's own library at once.
 */
#include <dlfcn.h>
#include <execinfo.h>
#include <openssl/ssl.h>

#include "../raw.h"

static const char *own;
static int right, wrong;

static const char *file_of(const void *address) {
    Dl_info info;
    return dladdr(address, &info) ? info.dli_fname : "";
}

static void message(int write, int version, int type, const void *bytes, size_t n, SSL *ssl,
                    void *data) {
    (void)write, (void)version, (void)type, (void)bytes, (void)n, (void)ssl, (void)data;
    void *frames[32];
    const int count = backtrace(frames, 32);
    for (int i = 0; i < count; i++) {
        const char *file = file_of(frames[i]);
        if (!strstr(file, "/libssl")) continue;
        if (strcmp(file, own) == 0)
            right++;
        else
            wrong++;
    }
}

void fetch(const char *text);
void fetch(const char *text) {
    const struct raw_url url = raw_parse(text);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    const int fd = raw_connect(&url);
    own = file_of((const void *)SSL_CTX_new);
    SSL_set_msg_callback(ssl, message);
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) != 1) raw_die("SSL_connect");
    char bytes[1 << 14];
    const size_t n = raw_request(&url, bytes, sizeof bytes);
    if (SSL_write(ssl, bytes, (int)n) != (int)n) raw_die("SSL_write");
    while (SSL_read(ssl, bytes, sizeof bytes) > 0)
        continue;
    SSL_shutdown(ssl);
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    const char *name = strrchr(own, '/');
    printf("%s right %d wrong %d\n", name ? name + 1 : own, right, wrong);
}
