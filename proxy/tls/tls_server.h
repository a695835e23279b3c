/* proxy/tls/tls_server.h — what a listening address needs to speak TLS: certificates chosen by the
 * client's SNI, protocols, tickets, client certificates.
 *
 * Built from files by control, then immutable; snapshots share it and connections keep it as long
 * as they need it, so new certificates replace it without a dropped connection. TLS 1.2 and 1.3
 * with the ciphers and groups of Mozilla's "intermediate" profile without its finite-field
 * Diffie-Hellman; the client's order counts; no renegotiation, no compression. Where several
 * certificates carry a name, the client gets one of a kind (ECDSA, RSA) it can check; an unknown or
 * missing name gets the first certificate. A session is resumed only where the same is asked of
 * clients' certificates as where it began. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/bytes.h"
#include "proxy/base/err.h"
#include "proxy/tls/tls_ticket.h"

struct tls_server;
struct ssl_ctx_st;
struct bio_method_st;

enum { TLS_CERTIFICATES_MAX = 256 };

struct tls_certificate_files {
    const char *certificate; /* PEM: the certificate, then its chain */
    const char *key;         /* PEM, without a password */
    const char *ocsp;        /* DER: an OCSP response to staple, or NULL */
};

enum tls_client_certificates { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

struct tls_server_config {
    const struct tls_certificate_files *certificates; /* at least one */
    size_t certificate_count;
    bool is_tls13_only;
    bool has_http2;        /* offer h2 before http/1.1 */
    const char *client_ca; /* PEM: who signs client certificates; NULL with TLS_CLIENT_NONE */
    enum tls_client_certificates client_certificates;
    struct tls_ticket_keys *tickets; /* borrowed while the server lives; NULL: nothing is resumed */
};

/* Reads the files. One reference, the caller's. The note says which file and what is wrong with it.
 * ERR_NOMEM, ERR_IO: a file cannot be read, ERR_SYNTAX: it is not what it should be, ERR_RANGE: key
 * and certificate do not belong together. Control. */
MUST_USE enum err tls_server_create(const struct tls_server_config *config, struct note *note,
                                    struct tls_server **ret_server);
/* Any thread. NULL is fine for unref. */
struct tls_server *tls_server_ref(struct tls_server *server);
void tls_server_unref(struct tls_server *server);

/* When the first of its certificates ends, seconds since 1970. Any thread. */
int64_t tls_server_expires_s(const struct tls_server *server);
/* What a new connection begins with; borrowed. For this room. */
struct ssl_ctx_st *tls_server_context(const struct tls_server *server);
struct bio_method_st *tls_server_method(const struct tls_server *server);
