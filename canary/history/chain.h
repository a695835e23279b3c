/* canary/history/chain.h — the hash that ties each audit row to the row before it.
 *
 * SHA-256 over the previous hash, then seq and at_us as 8 bytes little-endian, then actor, action,
 * service and detail, each as its length in 8 bytes little-endian and its bytes (an absent one has
 * length 2^64 - 1). The first row's previous hash is all zeroes. Pure; any thread. */
#pragma once
#include <stdint.h>

#include "proxy/base/err.h"

enum { CHAIN_HASH_SIZE = 32 };

struct chain_row {
    int64_t seq;
    int64_t at_us;
    const char *actor;
    const char *action;
    const char *service; /* or NULL */
    const char *detail;  /* or NULL */
};

/* ERR_NOMEM when OpenSSL has no memory. */
MUST_USE enum err chain_hash(const unsigned char previous[CHAIN_HASH_SIZE],
                             const struct chain_row *row, unsigned char ret_hash[CHAIN_HASH_SIZE]);
