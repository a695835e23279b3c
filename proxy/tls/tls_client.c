#include "proxy/tls/tls_client.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "proxy/tls/tls_library.h"
#include "proxy/tls/tls_pipe.h"

struct tls_client {
    atomic_size_t reference_count;
    SSL_CTX *context;   /* owned */
    BIO_METHOD *method; /* owned */
    bool is_unverified;
};

/* A ticket came: the newest is the one to use. The reference is ours from here on. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_resume *resume = SSL_get_app_data(ssl);
    if (resume == NULL) {
        return 0;
    }
    SSL_SESSION_free(resume->session);
    resume->session = session;
    return 1;
}

static enum err set_up(SSL_CTX *context, const struct tls_client_config *config, struct note *note)
{
    static const unsigned char http2[] = "\x02h2\x08http/1.1";
    static const unsigned char http1[] = "\x08http/1.1";
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(context,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_session);
    bool has_protocols =
        (config->has_http2 ? SSL_CTX_set_alpn_protos(context, http2, sizeof http2 - 1)
                           : SSL_CTX_set_alpn_protos(context, http1, sizeof http1 - 1)) == 0;
    if (!has_protocols || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        return ERR_NOMEM;
    }
    if (config->is_unverified) {
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
        return OK;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (config->ca == NULL) {
        return SSL_CTX_set_default_verify_paths(context) == 1 ? OK : ERR_NOMEM;
    }
    if (SSL_CTX_load_verify_file(context, config->ca) != 1) {
        note_set(note, "%s: no PEM certificates can be read from it", config->ca);
        return ERR_SYNTAX;
    }
    return OK;
}

enum err tls_client_create(const struct tls_client_config *config, struct note *note,
                           struct tls_client **ret_client)
{
    struct tls_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return ERR_NOMEM;
    }
    atomic_init(&client->reference_count, 1);
    client->is_unverified = config->is_unverified;
    client->context = SSL_CTX_new(TLS_client_method());
    client->method = tls_pipe_method_create();
    bool is_made = client->context != NULL && client->method != NULL;
    enum err err = is_made ? set_up(client->context, config, note) : ERR_NOMEM;
    if (err != OK) {
        ERR_clear_error();
        tls_client_unref(client);
        return err;
    }
    *ret_client = client;
    return OK;
}

struct tls_client *tls_client_ref(struct tls_client *client)
{
    (void)atomic_fetch_add_explicit(&client->reference_count, 1, memory_order_relaxed);
    return client;
}

void tls_client_unref(struct tls_client *client)
{
    if (client != NULL &&
        atomic_fetch_sub_explicit(&client->reference_count, 1, memory_order_acq_rel) == 1) {
        SSL_CTX_free(client->context);
        BIO_meth_free(client->method);
        free(client);
    }
}

void tls_resume_finish(struct tls_resume *resume)
{
    SSL_SESSION_free(resume->session);
    resume->session = NULL;
}

SSL_CTX *tls_client_context(const struct tls_client *client)
{
    return client->context;
}

bool tls_client_is_unverified(const struct tls_client *client)
{
    return client->is_unverified;
}

BIO_METHOD *tls_client_method(const struct tls_client *client)
{
    return client->method;
}
