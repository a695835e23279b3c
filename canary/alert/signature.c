/* OpenSSL has a type of this name, and base a constant. */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#include <openssl/hmac.h>
#undef ERR_STATE

#include "canary/alert/signature.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIGEST_SIZE = 32, STAMP_SIZE = 24 };

enum err signature_make(struct bytes key, int64_t timestamp_s, struct bytes body,
                        char ret_text[SIGNATURE_SIZE])
{
    char stamp[STAMP_SIZE];
    size_t stamp_size = (size_t)snprintf(stamp, sizeof stamp, "%" PRId64 ".", timestamp_s);
    char *signed_text = malloc(stamp_size + body.size);
    if (signed_text == NULL) {
        return ERR_NOMEM;
    }
    memcpy(signed_text, stamp, stamp_size);
    if (body.size > 0) {
        memcpy(signed_text + stamp_size, body.data, body.size);
    }
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;
    unsigned char *made =
        HMAC(EVP_sha256(), key.data, (int)key.size, (const unsigned char *)signed_text,
             stamp_size + body.size, digest, &digest_size);
    free(signed_text);
    if (made == NULL || digest_size != DIGEST_SIZE) {
        return ERR_NOMEM;
    }
    int size = snprintf(ret_text, SIGNATURE_SIZE, "v1=");
    for (unsigned i = 0; i < DIGEST_SIZE; i++) {
        (void)snprintf(ret_text + size + 2 * i, 3, "%02x", digest[i]);
    }
    return OK;
}
