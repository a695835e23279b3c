#include "proxy/http/websocket_handshake.h"

#include <openssl/evp.h>

#include "proxy/base/check.h"

enum { NONCE_SIZE = 16, DIGEST_SIZE = 20, BASE64_GROUP = 4 };

/* Appended to the key: nobody says it by accident (RFC 6455 section 1.3). */
static const struct bytes magic = {"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36};

/* Base64 with its padding; OpenSSL wants room for a terminator. */
static void write_base64(const unsigned char *data, size_t size, char *out, size_t out_size)
{
    unsigned char text[WEBSOCKET_ACCEPT_SIZE + 1];
    CHECK((size + 2) / 3 * BASE64_GROUP == out_size);
    CHECK(out_size < sizeof text);
    (void)EVP_EncodeBlock(text, data, (int)size);
    memcpy(out, text, out_size);
}

struct bytes websocket_make_key(struct random *random, char out[WEBSOCKET_KEY_SIZE])
{
    uint64_t words[NONCE_SIZE / sizeof(uint64_t)];
    unsigned char nonce[NONCE_SIZE];
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        words[i] = random_u64(random);
    }
    memcpy(nonce, words, sizeof nonce);
    write_base64(nonce, sizeof nonce, out, WEBSOCKET_KEY_SIZE);
    return bytes_make(out, WEBSOCKET_KEY_SIZE);
}

bool websocket_is_accepted(struct bytes key, struct bytes accept)
{
    char text[WEBSOCKET_KEY_SIZE + 36];
    char wanted[WEBSOCKET_ACCEPT_SIZE];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (key.size != WEBSOCKET_KEY_SIZE) {
        return false;
    }
    CHECK(key.size + magic.size == sizeof text);
    memcpy(text, key.data, key.size);
    memcpy(text + key.size, magic.data, magic.size);
    if (EVP_Digest(text, sizeof text, digest, &size, EVP_sha1(), NULL) != 1) {
        return false;
    }
    CHECK(size == DIGEST_SIZE);
    write_base64(digest, DIGEST_SIZE, wanted, sizeof wanted);
    return bytes_equal(accept, bytes_make(wanted, sizeof wanted));
}
