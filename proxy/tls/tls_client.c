#include "proxy/tls/tls_client.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/tls/tls_file.h"
#include "proxy/tls/tls_library.h"
#include "proxy/tls/tls_pipe.h"

#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#include <openssl/pem.h>
#undef ERR_STATE

struct tls_client {
    atomic_size_t reference_count;
    SSL_CTX *context;   /* owned */
    BIO_METHOD *method; /* owned */
    char *name;         /* owned, or NULL */
    bool is_unverified;
    bool has_ca; /* of its own */
    unsigned char ca_digest[EVP_MAX_MD_SIZE];
};

/* A ticket came: the newest is the one to use. The reference is ours from here on. A connection
 * that was made under other settings brings none. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_resume *resume = SSL_get_app_data(ssl);
    bool is_kept =
        resume != NULL && resume->client != NULL && resume->client->context == SSL_get_SSL_CTX(ssl);
    if (!is_kept) {
        return 0;
    }
    SSL_SESSION_free(resume->session);
    resume->session = session;
    return 1;
}

/* Trusts the certificates of the file, and remembers which they are. */
static enum err read_authorities(struct tls_client *client, const char *file)
{
    X509_STORE *store = SSL_CTX_get_cert_store(client->context);
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    BIO *in = BIO_new_file(file, "r");
    unsigned char one[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    size_t count = 0;
    ERR_clear_error();
    bool is_good = in != NULL && sum != NULL && EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1;
    while (is_good) {
        X509 *certificate = PEM_read_bio_X509_AUX(in, NULL, NULL, NULL);
        if (certificate == NULL) {
            break;
        }
        is_good = X509_STORE_add_cert(store, certificate) == 1 &&
                  X509_digest(certificate, EVP_sha256(), one, &size) == 1 &&
                  EVP_DigestUpdate(sum, one, size) == 1;
        count++;
        X509_free(certificate);
    }
    /* What ends the list is the end of the file: anything else is a broken certificate. */
    is_good = is_good && count > 0 &&
              ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE &&
              EVP_DigestFinal_ex(sum, client->ca_digest, NULL) == 1;
    client->has_ca = true;
    BIO_free(in);
    EVP_MD_CTX_free(sum);
    ERR_clear_error();
    return is_good ? OK : ERR_SYNTAX;
}

static enum err set_trust(struct tls_client *client, const struct tls_client_config *config,
                          struct note *note)
{
    if (config->is_unverified) {
        SSL_CTX_set_verify(client->context, SSL_VERIFY_NONE, NULL);
        return OK;
    }
    SSL_CTX_set_verify(client->context, SSL_VERIFY_PEER, NULL);
    if (config->ca == NULL) {
        return SSL_CTX_set_default_verify_paths(client->context) == 1 ? OK : ERR_NOMEM;
    }
    enum err err = tls_file_check(config->ca, note);
    if (err != OK) {
        return err;
    }
    err = read_authorities(client, config->ca);
    if (err != OK) {
        note_set(note, "%s: no PEM certificates can be read from it", config->ca);
    }
    return err;
}

static enum err set_up(struct tls_client *client, const struct tls_client_config *config,
                       struct note *note)
{
    SSL_CTX *context = client->context;
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(context,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_session);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        return ERR_NOMEM;
    }
    return set_trust(client, config, note);
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
    client->name = config->name != NULL ? strdup(config->name) : NULL;
    client->context = SSL_CTX_new(TLS_client_method());
    client->method = tls_pipe_method_create();
    bool is_made = client->context != NULL && client->method != NULL &&
                   (client->name != NULL || config->name == NULL);
    enum err err = is_made ? set_up(client, config, note) : ERR_NOMEM;
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
        free(client->name);
        free(client);
    }
}

static bool is_same_name(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool tls_client_is_same(const struct tls_client *a, const struct tls_client *b)
{
    if (a == b || a == NULL || b == NULL) {
        return a == b;
    }
    return a->is_unverified == b->is_unverified && a->has_ca == b->has_ca &&
           memcmp(a->ca_digest, b->ca_digest, sizeof a->ca_digest) == 0 &&
           is_same_name(a->name, b->name);
}

void tls_resume_follow(struct tls_resume *resume, struct tls_client *client)
{
    if (resume->client == client) {
        return;
    }
    if (!tls_client_is_same(resume->client, client)) {
        SSL_SESSION_free(resume->session);
        resume->session = NULL;
    }
    tls_client_unref(resume->client);
    resume->client = tls_client_ref(client);
}

void tls_resume_finish(struct tls_resume *resume)
{
    SSL_SESSION_free(resume->session);
    tls_client_unref(resume->client);
    *resume = (struct tls_resume){.session = NULL};
}

SSL_CTX *tls_client_context(const struct tls_client *client)
{
    return client->context;
}

bool tls_client_is_unverified(const struct tls_client *client)
{
    return client->is_unverified;
}

const char *tls_client_name(const struct tls_client *client)
{
    return client->name;
}

BIO_METHOD *tls_client_method(const struct tls_client *client)
{
    return client->method;
}
