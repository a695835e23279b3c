/* proxy/tls/tls_server.c — certificates are bundled into one SSL_CTX per distinct choice: a name
 * leads to the best certificate of each kind that carries it, and names with the same certificates
 * share a context. A connection begins with the context of the first certificate and is moved by
 * its SNI. */
#include "proxy/tls/tls_server.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "proxy/base/check.h"
#include "proxy/base/map.h"
#include "proxy/tls/tls_certificate.h"
#include "proxy/tls/tls_file.h"
#include "proxy/tls/tls_library.h"
#include "proxy/tls/tls_pipe.h"

enum { NO_CERTIFICATE = -1, TICKET_LIFE_S = 12 * 3600, TICKETS = 1, NAME_MAX_SIZE = 255 };

/* Mozilla's "intermediate" without DHE, whose groups cost the server much and give nothing that
 * ECDHE does not. All are strong, so the server chooses what costs least: AES-128 with SHA-256,
 * which processors do in hardware, before OpenSSL's AES-256 with SHA-384, whose key schedule is the
 * dearest part of a resumption; and ChaCha20 for clients that put it first, having no AES. */
static const char CIPHERS[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char SUITES[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char GROUPS[] = "X25519:P-256:P-384";

struct bundle {
    int chosen[TLS_KEY_KIND_COUNT]; /* index of the certificate, or NO_CERTIFICATE */
    SSL_CTX *context;               /* owned */
};

struct tls_server {
    atomic_size_t reference_count;
    struct tls_certificate *certificates; /* owned */
    size_t certificate_count;
    struct bundle **bundles; /* owned; the first is of an unknown name */
    size_t bundle_count;
    struct map names;   /* "www.example.com" and "*.example.com" -> struct bundle */
    BIO_METHOD *method; /* owned */
    bool has_http2;
};

/* ---- during handshakes ---- */

/* RFC 9525 section 6.3: a wildcard stands for exactly one label, the first. */
static struct bundle *find_bundle(const struct tls_server *server, const char *name)
{
    char lower[NAME_MAX_SIZE + 1];
    size_t size = strnlen(name, sizeof lower);
    if (size == sizeof lower) {
        return NULL;
    }
    for (size_t i = 0; i < size; i++) {
        lower[i] = byte_lower(name[i]);
    }
    struct bytes whole = bytes_make(lower, size);
    struct bundle *bundle = map_get(&server->names, whole);
    size_t dot = bytes_find(whole, '.');
    if (bundle != NULL || dot == 0 || dot == size) {
        return bundle;
    }
    lower[dot - 1] = '*';
    return map_get(&server->names, bytes_slice(whole, dot - 1, size - (dot - 1)));
}

static int on_server_name(SSL *ssl, int *alert, void *context)
{
    const struct tls_server *server = context;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    struct bundle *bundle = name != NULL ? find_bundle(server, name) : NULL;
    if (bundle != NULL) {
        (void)SSL_set_SSL_CTX(ssl, bundle->context);
    }
    return SSL_TLSEXT_ERR_OK;
}

/* Our order counts (RFC 7301 section 3.2); without a common protocol the handshake fails rather
 * than going on in one that the client did not name. */
static int on_protocols(SSL *ssl, const unsigned char **ret_out, unsigned char *ret_out_size,
                        const unsigned char *in, unsigned in_size, void *context)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    enum { H2_SIZE = 3 };
    const struct tls_server *server = context;
    size_t skipped = server->has_http2 ? 0 : H2_SIZE;
    unsigned char *chosen = NULL;
    (void)ssl;
    int status = SSL_select_next_proto(&chosen, ret_out_size, ours + skipped,
                                       (unsigned)(sizeof ours - 1 - skipped), in, in_size);
    *ret_out = chosen;
    return status == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* RFC 6066 section 8. OpenSSL frees the copy. */
static int on_status(SSL *ssl, void *context)
{
    const struct tls_server *server = context;
    const X509 *used = SSL_get_certificate(ssl);
    for (size_t i = 0; i < server->certificate_count; i++) {
        const struct tls_certificate *certificate = &server->certificates[i];
        if (certificate->leaf == used && certificate->ocsp != NULL) {
            unsigned char *copy = OPENSSL_memdup(certificate->ocsp, certificate->ocsp_size);
            if (copy == NULL) {
                return SSL_TLSEXT_ERR_NOACK;
            }
            SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)certificate->ocsp_size);
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* ---- contexts ---- */

static enum err set_client_certificates(SSL_CTX *context, const struct tls_server_config *config,
                                        struct note *note)
{
    if (config->client_certificates == TLS_CLIENT_NONE) {
        return OK;
    }
    CHECK(config->client_ca != NULL);
    enum err err = tls_file_check(config->client_ca, note);
    if (err != OK) {
        return err;
    }
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(config->client_ca);
    if (names == NULL || SSL_CTX_load_verify_file(context, config->client_ca) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        ERR_clear_error();
        note_set(note, "%s: no PEM certificates can be read from it", config->client_ca);
        return ERR_SYNTAX;
    }
    SSL_CTX_set_client_CA_list(context, names);
    int mode = SSL_VERIFY_PEER;
    if (config->client_certificates == TLS_CLIENT_REQUIRED) {
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    SSL_CTX_set_verify(context, mode, NULL);
    return OK;
}

/* What a session is good for: who resumes one is not asked for a certificate again, so it opens
 * only an address that asks the same, by the same authorities. */
static bool set_session_kind(SSL_CTX *context, const struct tls_server_config *config)
{
    STACK_OF(X509_OBJECT) *trusted = X509_STORE_get0_objects(SSL_CTX_get_cert_store(context));
    const unsigned char kind = (unsigned char)config->client_certificates;
    unsigned char one[EVP_MAX_MD_SIZE];
    unsigned char id[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool is_set = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                  EVP_DigestUpdate(digest, &kind, sizeof kind) == 1;
    for (int i = 0; is_set && i < sk_X509_OBJECT_num(trusted); i++) {
        const X509 *authority = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(trusted, i));
        is_set = authority == NULL || (X509_digest(authority, EVP_sha256(), one, &size) == 1 &&
                                       EVP_DigestUpdate(digest, one, size) == 1);
    }
    is_set = is_set && EVP_DigestFinal_ex(digest, id, &size) == 1 &&
             SSL_CTX_set_session_id_context(context, id, size) == 1;
    EVP_MD_CTX_free(digest);
    return is_set;
}

/* Without keys there are no tickets, and nothing is resumed. */
static enum err set_tickets(SSL_CTX *context, const struct tls_server_config *config)
{
    (void)SSL_CTX_set_num_tickets(context, config->tickets != NULL ? TICKETS : 0);
    if (config->tickets == NULL) {
        (void)SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        return OK;
    }
    if (!set_session_kind(context, config)) {
        ERR_clear_error();
        return ERR_NOMEM;
    }
    return tls_ticket_keys_install(config->tickets, context);
}

static enum err add_certificates(SSL_CTX *context, const struct tls_server *server,
                                 const struct bundle *bundle, struct note *note)
{
    for (size_t kind = 0; kind < TLS_KEY_KIND_COUNT; kind++) {
        if (bundle->chosen[kind] == NO_CERTIFICATE) {
            continue;
        }
        const struct tls_certificate *certificate = &server->certificates[bundle->chosen[kind]];
        if (SSL_CTX_use_cert_and_key(context, certificate->leaf, certificate->key,
                                     certificate->chain, 1) != 1) {
            const char *why = ERR_reason_error_string(ERR_peek_error());
            note_set(note, "certificate for %s cannot be used: %s",
                     certificate->name_count > 0 ? certificate->names[0] : "no name",
                     why != NULL ? why : "unknown");
            ERR_clear_error();
            return ERR_RANGE;
        }
    }
    return OK;
}

static enum err make_context(struct tls_server *server, const struct tls_server_config *config,
                             struct bundle *bundle, struct note *note)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        return ERR_NOMEM;
    }
    bundle->context = context;
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                           SSL_OP_CIPHER_SERVER_PREFERENCE |
                                           SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_timeout(context, TICKET_LIFE_S);
    SSL_CTX_set_alpn_select_cb(context, on_protocols, server);
    (void)SSL_CTX_set_tlsext_status_cb(context, on_status);
    (void)SSL_CTX_set_tlsext_status_arg(context, server);
    (void)SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
    (void)SSL_CTX_set_tlsext_servername_arg(context, server);
    int oldest = config->is_tls13_only ? TLS1_3_VERSION : TLS1_2_VERSION;
    bool is_set = SSL_CTX_set_min_proto_version(context, oldest) == 1 &&
                  SSL_CTX_set_cipher_list(context, CIPHERS) == 1 &&
                  SSL_CTX_set_ciphersuites(context, SUITES) == 1 &&
                  SSL_CTX_set1_groups_list(context, GROUPS) == 1;
    if (!is_set) {
        ERR_clear_error();
        return ERR_NOMEM;
    }
    enum err err = set_client_certificates(context, config, note);
    if (err == OK) {
        err = set_tickets(context, config);
    }
    return err != OK ? err : add_certificates(context, server, bundle, note);
}

/* ---- bundles ---- */

static bool carries(const struct tls_certificate *certificate, const char *name)
{
    for (size_t i = 0; i < certificate->name_count; i++) {
        if (strcmp(certificate->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_same_choice(const struct bundle *a, const struct bundle *b)
{
    return memcmp(a->chosen, b->chosen, sizeof a->chosen) == 0;
}

/* The bundle with that choice, made when there is none yet. */
static enum err need_bundle(struct tls_server *server, const struct tls_server_config *config,
                            const struct bundle *wanted, struct note *note,
                            struct bundle **ret_bundle)
{
    for (size_t i = 0; i < server->bundle_count; i++) {
        if (is_same_choice(server->bundles[i], wanted)) {
            *ret_bundle = server->bundles[i];
            return OK;
        }
    }
    struct bundle **more =
        realloc(server->bundles, (server->bundle_count + 1) * sizeof(struct bundle *));
    if (more == NULL) {
        return ERR_NOMEM;
    }
    server->bundles = more;
    struct bundle *bundle = malloc(sizeof *bundle);
    if (bundle == NULL) {
        return ERR_NOMEM;
    }
    *bundle = *wanted;
    server->bundles[server->bundle_count++] = bundle;
    enum err err = make_context(server, config, bundle, note);
    if (err == OK) {
        *ret_bundle = bundle;
    }
    return err;
}

static void choose(struct bundle *bundle, size_t index, enum tls_key_kind kind)
{
    if (bundle->chosen[kind] == NO_CERTIFICATE) {
        bundle->chosen[kind] = (int)index;
    }
}

static struct bundle empty_bundle(void)
{
    struct bundle bundle = {.context = NULL};
    for (size_t kind = 0; kind < TLS_KEY_KIND_COUNT; kind++) {
        bundle.chosen[kind] = NO_CERTIFICATE;
    }
    return bundle;
}

static enum err add_name(struct tls_server *server, const struct tls_server_config *config,
                         const char *name, struct note *note)
{
    struct bundle wanted = empty_bundle();
    struct bundle *bundle = NULL;
    for (size_t i = 0; i < server->certificate_count; i++) {
        if (carries(&server->certificates[i], name)) {
            choose(&wanted, i, server->certificates[i].kind);
        }
    }
    enum err err = need_bundle(server, config, &wanted, note, &bundle);
    if (err == OK) {
        err = map_put(&server->names, bytes_of(name), bundle);
    }
    return err == ERR_EXISTS ? OK : err;
}

/* The first bundle has the first certificate, and those of other kinds with the same first name. */
static enum err make_bundles(struct tls_server *server, const struct tls_server_config *config,
                             struct note *note)
{
    const struct tls_certificate *first = &server->certificates[0];
    struct bundle wanted = empty_bundle();
    struct bundle *bundle = NULL;
    choose(&wanted, 0, first->kind);
    for (size_t i = 1; i < server->certificate_count && first->name_count > 0; i++) {
        if (carries(&server->certificates[i], first->names[0])) {
            choose(&wanted, i, server->certificates[i].kind);
        }
    }
    enum err err = need_bundle(server, config, &wanted, note, &bundle);
    for (size_t i = 0; i < server->certificate_count && err == OK; i++) {
        const struct tls_certificate *certificate = &server->certificates[i];
        for (size_t j = 0; j < certificate->name_count && err == OK; j++) {
            err = add_name(server, config, certificate->names[j], note);
        }
    }
    return err;
}

/* ---- life ---- */

static void destroy(struct tls_server *server)
{
    for (size_t i = 0; i < server->bundle_count; i++) {
        SSL_CTX_free(server->bundles[i]->context);
        free(server->bundles[i]);
    }
    free(server->bundles);
    map_finish(&server->names);
    for (size_t i = 0; i < server->certificate_count; i++) {
        tls_certificate_finish(&server->certificates[i]);
    }
    free(server->certificates);
    BIO_meth_free(server->method);
    free(server);
}

enum err tls_server_create(const struct tls_server_config *config, struct note *note,
                           struct tls_server **ret_server)
{
    CHECK(config->certificate_count > 0);
    CHECK(config->certificate_count <= TLS_CERTIFICATES_MAX);
    struct tls_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        return ERR_NOMEM;
    }
    atomic_init(&server->reference_count, 1);
    map_init(&server->names);
    server->has_http2 = config->has_http2;
    enum err err = OK;
    server->certificates = calloc(config->certificate_count, sizeof *server->certificates);
    server->method = tls_pipe_method_create();
    if (server->certificates == NULL || server->method == NULL) {
        err = ERR_NOMEM;
    }
    for (size_t i = 0; i < config->certificate_count && err == OK; i++) {
        server->certificate_count++;
        err = tls_certificate_read(&server->certificates[i], &config->certificates[i], note);
    }
    if (err == OK) {
        err = make_bundles(server, config, note);
    }
    if (err != OK) {
        destroy(server);
        return err;
    }
    *ret_server = server;
    return OK;
}

struct tls_server *tls_server_ref(struct tls_server *server)
{
    (void)atomic_fetch_add_explicit(&server->reference_count, 1, memory_order_relaxed);
    return server;
}

void tls_server_unref(struct tls_server *server)
{
    if (server != NULL &&
        atomic_fetch_sub_explicit(&server->reference_count, 1, memory_order_acq_rel) == 1) {
        destroy(server);
    }
}

int64_t tls_server_expires_s(const struct tls_server *server)
{
    int64_t first = server->certificates[0].expires_s;
    for (size_t i = 1; i < server->certificate_count; i++) {
        if (server->certificates[i].expires_s < first) {
            first = server->certificates[i].expires_s;
        }
    }
    return first;
}

SSL_CTX *tls_server_context(const struct tls_server *server)
{
    return server->bundles[0]->context;
}

BIO_METHOD *tls_server_method(const struct tls_server *server)
{
    return server->method;
}
