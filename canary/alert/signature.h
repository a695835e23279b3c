/* canary/alert/signature.h — what lets a receiver know that a message is ours, and not an old one.
 *
 *   Serin-Timestamp: 1790000000
 *   Serin-Signature: v1=<hex of HMAC-SHA256(key, timestamp "." body)>
 *
 * The timestamp is of the attempt and is signed too: a receiver that refuses what is older than
 * five minutes, and ids it has seen since then, cannot be played an old message. Pure; any thread.
 */
#pragma once
#include <stdint.h>

#include "proxy/base/bytes.h"
#include "proxy/base/err.h"

enum { SIGNATURE_SIZE = sizeof "v1=" + 64 };

/* ERR_NOMEM when OpenSSL has no memory. */
MUST_USE enum err signature_make(struct bytes key, int64_t timestamp_s, struct bytes body,
                                 char ret_text[SIGNATURE_SIZE]);
