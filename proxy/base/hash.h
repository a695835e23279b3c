/* proxy/base/hash.h — keyed hashing and a small fast random source.
 *
 * hash_bytes is SipHash-1-3 (Aumasson & Bernstein 2012, the reduced rounds that hash tables use):
 * keyed, so that a client who chooses the bytes cannot choose the bucket. random is xoshiro256**
 * (Blackman & Vigna 2018), seeded by the kernel: for balance, jitter and ids, never for secrets.
 * Pure given its state; any thread. */
#pragma once
#include "proxy/base/bytes.h"

struct hash_key {
    uint64_t k0, k1;
};

uint64_t hash_bytes(struct hash_key key, struct bytes bytes);

struct random {
    uint64_t state[4];
};

/* Seeds from the kernel, or from `seed` when it is not 0 (tests). */
void random_init(struct random *random, uint64_t seed);
uint64_t random_u64(struct random *random);
/* Uniform in [0, bound); bound > 0 (Lemire 2019, without the bias). */
uint64_t random_below(struct random *random, uint64_t bound);
