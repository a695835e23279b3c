/* OpenSSL has a type of this name, and base a constant. */
#define ERR_STATE openssl_err_state
#include <openssl/crypto.h>
#include <openssl/sha.h>
#undef ERR_STATE

#include "canary/admin/auth.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/alert/secret.h"
#include "proxy/base/check.h"
#include "proxy/http/authority.h"

enum { HOST_TEXT_MAX = 64 };

struct token {
    char name[CONF_NAME_MAX + 1];
    enum conf_role role;
    unsigned char digest[SHA256_DIGEST_LENGTH];
};

struct auth {
    struct token tokens[CONF_TOKENS_MAX];
    size_t token_count;
    char hosts[CONF_HOSTS_MAX][CONF_HOST_MAX + 1];
    size_t host_count;
    char address[INET6_ADDRSTRLEN + 2]; /* as a Host field writes it; empty for a unix socket */
    bool is_wildcard;                   /* bound to every address */
};

/* ---- making ---- */

static enum err add_token(struct auth *auth, const struct conf_token *conf, struct note *note)
{
    char *secret = NULL;
    struct note why = {""};
    enum err err = secret_read(&conf->secret, &secret, &why);
    if (err != OK) {
        note_set(note, "the secret of admin token \"%s\" cannot be used: %s", conf->name, why.text);
        return err;
    }
    struct token *token = &auth->tokens[auth->token_count++];
    token->role = conf->role;
    (void)snprintf(token->name, sizeof token->name, "%s", conf->name);
    (void)SHA256((const unsigned char *)secret, strlen(secret), token->digest);
    secret_free(secret);
    return OK;
}

static void set_address(struct auth *auth, const struct conf_address *address)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (address->socket.any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &address->socket.v4.sin_addr, text, sizeof text);
        auth->is_wildcard = address->socket.v4.sin_addr.s_addr == htonl(INADDR_ANY);
        (void)snprintf(auth->address, sizeof auth->address, "%s", text);
    } else if (address->socket.any.sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &address->socket.v6.sin6_addr, text, sizeof text);
        auth->is_wildcard = IN6_IS_ADDR_UNSPECIFIED(&address->socket.v6.sin6_addr);
        (void)snprintf(auth->address, sizeof auth->address, "[%s]", text);
    }
}

enum err auth_create(const struct conf_admin *conf, const struct conf_address *address,
                     struct auth **ret_auth, struct note *note)
{
    if (conf->token_count == 0 && !conf_address_is_local(address)) {
        note_set(note,
                 "admin.tokens: %s is listened on until a restart and can be reached from other "
                 "machines, so tokens are required",
                 address->text);
        return ERR_STATE;
    }
    struct auth *auth = calloc(1, sizeof *auth);
    if (auth == NULL) {
        return ERR_NOMEM;
    }
    CHECK(conf->token_count <= CONF_TOKENS_MAX);
    CHECK(conf->host_count <= CONF_HOSTS_MAX);
    set_address(auth, address);
    for (size_t i = 0; i < conf->host_count; i++) {
        (void)snprintf(auth->hosts[auth->host_count++], sizeof auth->hosts[0], "%s",
                       conf->hosts[i]);
    }
    for (size_t i = 0; i < conf->token_count; i++) {
        enum err err = add_token(auth, &conf->tokens[i], note);
        if (err != OK) {
            auth_destroy(auth);
            return err;
        }
    }
    *ret_auth = auth;
    return OK;
}

void auth_destroy(struct auth *auth)
{
    free(auth);
}

/* ---- tokens ---- */

static bool find_bearer(const struct fields *fields, struct bytes *ret_secret)
{
    const struct field *field = fields_find(fields, FIELD_AUTHORIZATION);
    if (field == NULL) {
        return false;
    }
    static const struct bytes scheme = {"bearer ", 7};
    struct bytes value = field->value;
    if (value.size <= scheme.size ||
        !bytes_equal_nocase(bytes_slice(value, 0, scheme.size), scheme)) {
        return false;
    }
    *ret_secret = bytes_trim(bytes_slice(value, scheme.size, value.size - scheme.size));
    return ret_secret->size > 0;
}

enum auth_answer auth_check(const struct auth *auth, const struct fields *fields,
                            enum conf_role wanted, struct auth_identity *ret_identity)
{
    if (auth->token_count == 0) {
        *ret_identity = (struct auth_identity){"local", CONF_ROLE_OPERATOR};
        return AUTH_OK;
    }
    struct bytes secret;
    if (!find_bearer(fields, &secret)) {
        return AUTH_NO_TOKEN;
    }
    unsigned char digest[SHA256_DIGEST_LENGTH];
    (void)SHA256((const unsigned char *)secret.data, secret.size, digest);
    const struct token *found = NULL;
    for (size_t i = 0; i < auth->token_count; i++) {
        const struct token *token = &auth->tokens[i];
        bool is_it = CRYPTO_memcmp(token->digest, digest, sizeof digest) == 0;
        found = is_it ? token : found;
    }
    if (found == NULL) {
        return AUTH_BAD_TOKEN;
    }
    if (wanted == CONF_ROLE_OPERATOR && found->role != CONF_ROLE_OPERATOR) {
        return AUTH_NOT_ROLE;
    }
    *ret_identity = (struct auth_identity){found->name, found->role};
    return AUTH_OK;
}

static bool has_secret(const struct auth *auth, const unsigned char *digest)
{
    for (size_t i = 0; i < auth->token_count; i++) {
        if (CRYPTO_memcmp(auth->tokens[i].digest, digest, SHA256_DIGEST_LENGTH) == 0) {
            return true;
        }
    }
    return false;
}

bool auth_revokes(const struct auth *before, const struct auth *after)
{
    if (after->token_count == 0) {
        return false;
    }
    bool is_revoked = before->token_count == 0;
    for (size_t i = 0; i < before->token_count && !is_revoked; i++) {
        is_revoked = !has_secret(after, before->tokens[i].digest);
    }
    return is_revoked;
}

/* ---- where from ---- */

static bool is_ip_literal(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    char inner[HOST_TEXT_MAX];
    size_t size = strlen(host);
    if (host[0] != '[') {
        return inet_pton(AF_INET, host, address) == 1;
    }
    if (size < 3 || size - 2 >= sizeof inner || host[size - 1] != ']') {
        return false;
    }
    memcpy(inner, host + 1, size - 2);
    inner[size - 2] = '\0';
    return inet_pton(AF_INET6, inner, address) == 1;
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

bool auth_knows_host(const struct auth *auth, struct bytes authority)
{
    struct authority parts;
    char host[CONF_HOST_MAX + 1];
    if (!authority_split(authority, &parts) || parts.host.size >= sizeof host) {
        return false;
    }
    for (size_t i = 0; i < parts.host.size; i++) {
        host[i] = byte_lower(parts.host.data[i]);
    }
    host[parts.host.size] = '\0';
    if (is_loopback(host) || (auth->address[0] != '\0' && strcmp(host, auth->address) == 0)) {
        return true;
    }
    for (size_t i = 0; i < auth->host_count; i++) {
        if (strcmp(host, auth->hosts[i]) == 0) {
            return true;
        }
    }
    /* Rebinding needs a name; where every address is served, a number is one of them. */
    return auth->is_wildcard && is_ip_literal(host);
}

static bool is_same_origin(struct bytes origin, struct bytes authority, bool is_tls)
{
    static const struct {
        struct bytes prefix;
        struct bytes port;
    } schemes[] = {{{"https://", 8}, {"443", 3}}, {{"http://", 7}, {"80", 2}}};
    size_t scheme_count = is_tls ? 1 : COUNT_OF(schemes);
    struct authority ours;
    if (!authority_split(authority, &ours)) {
        return false;
    }
    for (size_t i = 0; i < scheme_count; i++) {
        struct bytes prefix = schemes[i].prefix;
        struct authority theirs;
        if (bytes_starts_with(origin, prefix) &&
            authority_split(bytes_slice(origin, prefix.size, origin.size - prefix.size), &theirs)) {
            return authority_equal(&theirs, &ours, schemes[i].port);
        }
    }
    return false;
}

bool auth_trusts_origin(const struct fields *fields, struct bytes authority, bool is_tls)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (field->id == FIELD_ORIGIN && !is_same_origin(field->value, authority, is_tls)) {
            return false;
        }
        if (field->id == FIELD_SEC_FETCH_SITE && !bytes_equal(field->value, BYTES("same-origin")) &&
            !bytes_equal(field->value, BYTES("none"))) {
            return false;
        }
    }
    return true;
}
