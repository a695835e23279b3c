#include "proxy/tls/tls_ticket.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/check.h"
#include "proxy/tls/tls_library.h"

#define ERR_STATE openssl_err_state
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#undef ERR_STATE

enum { NAME_SIZE = 16, SECRET_SIZE = 32, KEYS_KEPT = 2 };

struct ticket_key {
    unsigned char name[NAME_SIZE]; /* goes with the ticket and says which key it needs */
    unsigned char cipher[SECRET_SIZE];
    unsigned char mac[SECRET_SIZE];
};

struct tls_ticket_keys {
    pthread_mutex_t lock;
    struct ticket_key keys[KEYS_KEPT]; /* the newest first */
    size_t count;
    EVP_CIPHER *cipher; /* owned: looked up once, not for each ticket */
};

static enum err fill(struct ticket_key *key)
{
    return RAND_priv_bytes((unsigned char *)key, sizeof *key) == 1 ? OK : ERR_IO;
}

enum err tls_ticket_keys_create(struct tls_ticket_keys **ret_keys)
{
    struct tls_ticket_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL) {
        return ERR_NOMEM;
    }
    keys->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    enum err err = keys->cipher != NULL ? fill(&keys->keys[0]) : ERR_NOMEM;
    if (err == OK && pthread_mutex_init(&keys->lock, NULL) != 0) {
        err = ERR_NOMEM;
    }
    if (err != OK) {
        ERR_clear_error();
        EVP_CIPHER_free(keys->cipher);
        free(keys);
        return err;
    }
    keys->count = 1;
    *ret_keys = keys;
    return OK;
}

void tls_ticket_keys_destroy(struct tls_ticket_keys *keys)
{
    if (keys == NULL) {
        return;
    }
    (void)pthread_mutex_destroy(&keys->lock);
    EVP_CIPHER_free(keys->cipher);
    OPENSSL_cleanse(keys->keys, sizeof keys->keys);
    free(keys);
}

enum err tls_ticket_keys_rotate(struct tls_ticket_keys *keys)
{
    struct ticket_key fresh;
    enum err err = fill(&fresh);
    if (err != OK) {
        return err;
    }
    (void)pthread_mutex_lock(&keys->lock);
    keys->keys[1] = keys->keys[0];
    keys->keys[0] = fresh;
    keys->count = KEYS_KEPT;
    (void)pthread_mutex_unlock(&keys->lock);
    OPENSSL_cleanse(&fresh, sizeof fresh);
    return OK;
}

/* The newest key, or the one of that name. False when it is forgotten. */
static bool copy_key(struct tls_ticket_keys *keys, const unsigned char *name,
                     struct ticket_key *ret_key, bool *ret_is_newest)
{
    bool is_found = false;
    (void)pthread_mutex_lock(&keys->lock);
    for (size_t i = 0; i < keys->count && !is_found; i++) {
        if (name == NULL || memcmp(name, keys->keys[i].name, NAME_SIZE) == 0) {
            *ret_key = keys->keys[i];
            *ret_is_newest = i == 0;
            is_found = true;
        }
    }
    (void)pthread_mutex_unlock(&keys->lock);
    return is_found;
}

static bool set_mac_key(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* AES-256-CBC and HMAC-SHA-256, as RFC 5077 section 4 recommends. What is answered is OpenSSL's: 1
 * good, 2 good but seal a new ticket, 0 not ours: a full handshake, -1 failed. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int is_sealing)
{
    struct tls_ticket_keys *keys = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), 0);
    struct ticket_key key;
    bool is_newest = true;
    CHECK(keys != NULL);
    if (!copy_key(keys, is_sealing ? NULL : name, &key, &is_newest)) {
        return 0;
    }
    bool is_good = !is_sealing || RAND_bytes(iv, EVP_CIPHER_get_iv_length(keys->cipher)) == 1;
    is_good = is_good && EVP_CipherInit_ex(cipher, keys->cipher, NULL, key.cipher, iv,
                                           is_sealing ? 1 : 0) == 1;
    is_good = is_good && set_mac_key(mac, &key);
    if (is_sealing) {
        memcpy(name, key.name, NAME_SIZE);
    }
    OPENSSL_cleanse(&key, sizeof key);
    if (!is_good) {
        return -1;
    }
    /* A ticket of TLS 1.3 is used once (RFC 8446 appendix C.4), so that its user needs another. */
    return is_newest && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
}

enum err tls_ticket_keys_install(struct tls_ticket_keys *keys, SSL_CTX *context)
{
    bool is_set = SSL_CTX_set_ex_data(context, 0, keys) == 1 &&
                  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket) == 1;
    return is_set ? OK : ERR_NOMEM;
}
