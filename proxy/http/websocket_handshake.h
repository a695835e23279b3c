/* proxy/http/websocket_handshake.h — what a client and a server of WebSockets prove to each other
 * (RFC 6455 section 4).
 *
 * In HTTP/1.1 the client sends a key that nobody could guess, and the server answers with what only
 * somebody who speaks the protocol makes of it. HTTP/2 has no such fields (RFC 8441 section 5):
 * where a WebSocket comes in by HTTP/2 and goes out by HTTP/1.1, the key is ours, and so is the
 * answer to check. Pure; any thread. */
#pragma once
#include <stdbool.h>

#include "proxy/base/bytes.h"
#include "proxy/base/hash.h"

enum {
    WEBSOCKET_KEY_SIZE = 24,   /* 16 bytes in base64 */
    WEBSOCKET_ACCEPT_SIZE = 28 /* a SHA-1 in base64 */
};

/* A key of 16 random bytes (section 4.1, step 7). */
struct bytes websocket_make_key(struct random *random, char out[WEBSOCKET_KEY_SIZE]);
/* Is `accept` the answer to `key` (section 4.2.2, step 5.4)? false also where there is no SHA-1. */
bool websocket_is_accepted(struct bytes key, struct bytes accept);
