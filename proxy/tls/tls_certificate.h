/* proxy/tls/tls_certificate.h — one certificate with its key, chain and staple, read from files.
 * Internal to the room. Owned by its tls_server; immutable. */
#pragma once
#include "proxy/tls/tls_library.h"
#include "proxy/tls/tls_server.h"

enum { TLS_NAMES_MAX = 200 };

/* The kinds of which a client gets one. */
enum tls_key_kind { TLS_KEY_RSA, TLS_KEY_EC, TLS_KEY_ED, TLS_KEY_KIND_COUNT };

struct tls_certificate {
    X509 *leaf;
    EVP_PKEY *key;
    STACK_OF(X509) * chain;
    unsigned char *ocsp; /* owned; NULL: none */
    size_t ocsp_size;
    char **names; /* owned: lower case, "*.example.com" */
    size_t name_count;
    int64_t expires_s;
    enum tls_key_kind kind;
};

/* See tls_server_create for the errors; what was read is freed by tls_certificate_finish, also
 * after a failure. */
MUST_USE enum err tls_certificate_read(struct tls_certificate *certificate,
                                       const struct tls_certificate_files *files,
                                       struct note *note);
void tls_certificate_finish(struct tls_certificate *certificate);
