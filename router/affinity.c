#include "router/affinity.h"

#include <stdio.h>

#include "proxy/base/check.h"
#include "proxy/base/hash.h"

enum { DIGITS = 16, V6_PREFIX_SIZE = 8 };

/* The same in every process, so that sessions survive restarts and replicas agree. */
static const struct hash_key client_key = {0x7365726e2d636c69u, 0x656e742d6b657973u};
static const struct hash_key endpoint_key = {0x7365726e2d656e64u, 0x706f696e742d6b79u};

static uint64_t never_zero(uint64_t key)
{
    return key != 0 ? key : 1;
}

uint64_t affinity_key_of_header(struct bytes value)
{
    return never_zero(hash_bytes(client_key, value));
}

uint64_t affinity_key_of_address(const struct ip *address)
{
    size_t size = ip_is_v4(address) ? sizeof address->bytes : V6_PREFIX_SIZE;
    return affinity_key_of_header(bytes_make((const char *)address->bytes, size));
}

bool affinity_parse(struct bytes value, uint64_t *ret_key)
{
    uint64_t key = 0;
    if (value.size != DIGITS) {
        return false;
    }
    for (size_t i = 0; i < DIGITS; i++) {
        char digit = value.data[i];
        bool is_letter = digit >= 'a' && digit <= 'f';
        if (!is_letter && (digit < '0' || digit > '9')) {
            return false;
        }
        key = key << 4 | (uint64_t)(is_letter ? digit - 'a' + 10 : digit - '0');
    }
    *ret_key = key;
    return key != 0;
}

struct bytes affinity_format(uint64_t key, bool is_tls, char text[AFFINITY_SET_COOKIE_MAX])
{
    int size = snprintf(text, AFFINITY_SET_COOKIE_MAX,
                        AFFINITY_COOKIE "=%016llx; Path=/; HttpOnly; SameSite=Lax%s",
                        (unsigned long long)key, is_tls ? "; Secure" : "");
    CHECK(size > 0);
    CHECK(size < AFFINITY_SET_COOKIE_MAX);
    return bytes_make(text, (size_t)size);
}

uint64_t affinity_endpoint(struct bytes name)
{
    return hash_bytes(endpoint_key, name);
}

/* The finaliser of splitmix64 (Steele, Lea & Flood 2014): every bit of both decides every bit. */
uint64_t affinity_score(uint64_t key, uint64_t endpoint)
{
    uint64_t score = key ^ endpoint;
    score = (score ^ score >> 30) * 0xbf58476d1ce4e5b9u;
    score = (score ^ score >> 27) * 0x94d049bb133111ebu;
    return score ^ score >> 31;
}
