/* Response bodies left unread under GnuTLS: `gnutls_unread URL COUNT` reads COUNT heads and returns from main. */
#include <gnutls/gnutls.h>

#include "raw.h"

static gnutls_certificate_credentials_t credentials;

static gnutls_session_t session_open(const struct raw_url *url) {
    gnutls_session_t session;
    if (gnutls_init(&session, GNUTLS_CLIENT) != 0 || gnutls_set_default_priority(session) != 0)
        raw_die("gnutls_init");
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
    gnutls_server_name_set(session, GNUTLS_NAME_DNS, url->host, strlen(url->host));
    int result, fd = raw_connect(url);
    gnutls_transport_set_int(session, fd);
    do
        result = gnutls_handshake(session);
    while (result < 0 && !gnutls_error_is_fatal(result));
    if (result < 0) raw_die("gnutls_handshake");
    return session;
}

static void leave_unread(const struct raw_url *url) {
    gnutls_session_t session = session_open(url);
    char text[1024];
    size_t n = raw_request(url, text, sizeof text);
    if (gnutls_record_send(session, text, n) != (ssize_t)n) raw_die("gnutls_record_send");
    ssize_t got;
    do
        got = gnutls_record_recv(session, text, sizeof text);
    while (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED);
    if (got <= 0) raw_die("gnutls_record_recv");
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    struct raw_url url = raw_parse(argv[1]);
    if (gnutls_certificate_allocate_credentials(&credentials) != 0) raw_die("credentials");
    for (int n = atoi(argv[2]); n > 0; n--)
        leave_unread(&url);
    puts("left unread");
    return 0;
}
