/* What bio.c needs of openssl.c. */
#ifndef INTERPOSE_OPENSSL_H
#define INTERPOSE_OPENSSL_H

#include "interpose/tls_real.h"

extern const struct tls_flavor openssl;

int SSL_read(void *ssl, void *buffer, int size);
/* Why a read on ssl gave nothing: 0 at the end of plaintext, -1 with *error otherwise. */
ssize_t openssl_read_outcome(const struct tls_real *found, const void *ssl,
                             const struct connection *c, int result, int *error);

#endif
