/* What bio.c needs of openssl.c. */
#ifndef INTERPOSE_OPENSSL_H
#define INTERPOSE_OPENSSL_H

#include "interpose/tls_real.h"
#include "track/flow.h"

extern const struct tls_flavor openssl;

int SSL_read(void *ssl, void *buffer, int size);
/* After a read on ssl that gave so many bytes; of one that gave none, its result tells why. */
void openssl_read_after(struct flow_read *, const struct tls_real *found, const void *ssl,
                        void *buffer, size_t wanted, int result, size_t bytes, int error);

#endif
