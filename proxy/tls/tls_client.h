/* proxy/tls/tls_client.h — what connections to origins need to speak TLS: whom to trust, and what
 * to resume.
 *
 * Built by control, then immutable and shared like tls_server. The origin's certificate must carry
 * the name that is asked for (RFC 9525) and lead to a trusted authority, unless verification was
 * switched off. Sessions are resumed per endpoint and worker: a `tls_resume` belongs to one name
 * and is never used for another; nor is what one client's settings let pass resumed under
 * another's. */
#pragma once
#include <stdbool.h>

#include "proxy/base/err.h"

struct tls_client;
struct ssl_ctx_st;
struct ssl_session_st;
struct bio_method_st;

/* What a connection offers by ALPN (RFC 7301). */
enum tls_protocols { TLS_HTTP1, TLS_HTTP2_OR_1, TLS_HTTP2 };

struct tls_client_config {
    const char *ca;   /* PEM: the authorities; NULL: the system's */
    const char *name; /* whose certificate it must be and the SNI, whatever the origin's host; NULL:
                         that */
    bool is_unverified;
};

/* One reference, the caller's. ERR_NOMEM; ERR_SYNTAX: the note says what is wrong with `ca`.
 * Control. */
MUST_USE enum err tls_client_create(const struct tls_client_config *config, struct note *note,
                                    struct tls_client **ret_client);
/* Any thread. NULL is fine for unref. */
struct tls_client *tls_client_ref(struct tls_client *client);
void tls_client_unref(struct tls_client *client);

/* Do they ask the same of an origin, with the same authorities? Then a connection that one of them
 * made is as good as the other's. NULL is no client; two of them are the same. Any thread. */
bool tls_client_is_same(const struct tls_client *a, const struct tls_client *b);

/* The newest session of one name; zeroed memory is none. One thread. */
struct tls_resume {
    struct tls_client *client;      /* shared: whose sessions are kept */
    struct ssl_session_st *session; /* owned */
};
/* From now on it keeps the sessions of `client`; those of one that is not the same are forgotten.
 */
void tls_resume_follow(struct tls_resume *resume, struct tls_client *client);
void tls_resume_finish(struct tls_resume *resume);

/* For this room: what a new connection begins with; borrowed. */
struct ssl_ctx_st *tls_client_context(const struct tls_client *client);
struct bio_method_st *tls_client_method(const struct tls_client *client);
bool tls_client_is_unverified(const struct tls_client *client);
/* NULL: the origin's host. */
const char *tls_client_name(const struct tls_client *client);
