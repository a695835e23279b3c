/* OpenSSL has a type of this name, and base a constant. */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#undef ERR_STATE

#include "canary/history/chain.h"

#include <stdbool.h>
#include <string.h>

static bool add_u64(EVP_MD_CTX *digest, uint64_t value)
{
    unsigned char bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(value >> (8 * i));
    }
    return EVP_DigestUpdate(digest, bytes, sizeof bytes) == 1;
}

static bool add_text(EVP_MD_CTX *digest, const char *text)
{
    if (text == NULL) {
        return add_u64(digest, UINT64_MAX);
    }
    size_t size = strlen(text);
    return add_u64(digest, size) && EVP_DigestUpdate(digest, text, size) == 1;
}

enum err chain_hash(const unsigned char previous[CHAIN_HASH_SIZE], const struct chain_row *row,
                    unsigned char ret_hash[CHAIN_HASH_SIZE])
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (digest == NULL) {
        return ERR_NOMEM;
    }
    unsigned char hash[CHAIN_HASH_SIZE];
    bool is_done = EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(digest, previous, CHAIN_HASH_SIZE) == 1 &&
                   add_u64(digest, (uint64_t)row->seq) && add_u64(digest, (uint64_t)row->at_us) &&
                   add_text(digest, row->actor) && add_text(digest, row->action) &&
                   add_text(digest, row->service) && add_text(digest, row->detail) &&
                   EVP_DigestFinal_ex(digest, hash, NULL) == 1;
    EVP_MD_CTX_free(digest);
    if (!is_done) {
        return ERR_NOMEM;
    }
    memcpy(ret_hash, hash, sizeof hash);
    return OK;
}
