#include "router/sticky.h"

#include <stdio.h>

#include "proxy/base/check.h"

enum { ROLLOUT_DIGITS = 16, BUCKET_DIGITS_MAX = 6, MAPPED_PREFIX_SIZE = 12 };

/* One constant per use, so that no two hashes of the same bytes can be compared with each other. */
static const uint64_t key_of_service = 0x73657276696365u;
static const uint64_t key_of_deployment = 0x6465706c6f79u;
static const uint64_t key_of_address = 0x61646472657373u;
static const uint64_t key_of_header = 0x686561646572u;

uint64_t sticky_rollout_of(struct bytes service, struct bytes deployment)
{
    uint64_t salt = hash_bytes((struct hash_key){key_of_service, 0}, service);
    uint64_t rollout = hash_bytes((struct hash_key){salt, key_of_deployment}, deployment);
    return rollout != 0 ? rollout : 1;
}

/* Scales a hash to a bucket by its upper bits: uniform to one part in 2^44 (Lemire 2019). */
static uint32_t bucket_of_hash(uint64_t hash)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint32_t)((wide)hash * SPLIT_TOTAL >> 64);
}

uint32_t sticky_bucket_of_address(const struct sticky *sticky, struct bytes address)
{
    static const char mapped_prefix[MAPPED_PREFIX_SIZE] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1};
    struct bytes prefix = bytes_make(mapped_prefix, MAPPED_PREFIX_SIZE);
    if (bytes_starts_with(address, prefix)) {
        address = bytes_slice(address, MAPPED_PREFIX_SIZE, address.size - MAPPED_PREFIX_SIZE);
    }
    return bucket_of_hash(hash_bytes((struct hash_key){sticky->rollout, key_of_address}, address));
}

uint32_t sticky_bucket_of_header(const struct sticky *sticky, struct bytes value)
{
    return bucket_of_hash(hash_bytes((struct hash_key){sticky->rollout, key_of_header}, value));
}

uint32_t sticky_draw(uint32_t weight_ppm, enum role role, struct random *random)
{
    CHECK(weight_ppm <= SPLIT_TOTAL);
    if (role == ROLE_CURRENT) {
        return (uint32_t)random_below(random, weight_ppm);
    }
    return weight_ppm + (uint32_t)random_below(random, SPLIT_TOTAL - weight_ppm);
}

/* Exactly the digits that sticky_format writes: upper case would be a second spelling of the same
 * client. */
static bool parse_rollout(struct bytes digits, uint64_t *ret_rollout)
{
    uint64_t rollout = 0;
    for (size_t i = 0; i < digits.size; i++) {
        char digit = digits.data[i];
        bool is_letter = digit >= 'a' && digit <= 'f';
        if (!is_letter && (digit < '0' || digit > '9')) {
            return false;
        }
        rollout = rollout << 4 | (uint64_t)(is_letter ? digit - 'a' + 10 : digit - '0');
    }
    *ret_rollout = rollout;
    return true;
}

static bool parse_bucket(struct bytes digits, uint32_t *ret_bucket)
{
    uint64_t bucket;
    if (digits.size > BUCKET_DIGITS_MAX || !bytes_to_u64(digits, &bucket)) {
        return false;
    }
    if (digits.size > 1 && digits.data[0] == '0') {
        return false;
    }
    *ret_bucket = (uint32_t)bucket;
    return true;
}

bool sticky_parse(const struct sticky *sticky, struct bytes value, uint32_t *ret_bucket)
{
    uint64_t rollout;
    if (value.size <= ROLLOUT_DIGITS + 1 || value.data[ROLLOUT_DIGITS] != '.') {
        return false;
    }
    if (!parse_rollout(bytes_slice(value, 0, ROLLOUT_DIGITS), &rollout) ||
        rollout != sticky->rollout) {
        return false;
    }
    size_t start = ROLLOUT_DIGITS + 1;
    return parse_bucket(bytes_slice(value, start, value.size - start), ret_bucket);
}

struct bytes sticky_format(const struct sticky *sticky, uint32_t bucket, bool is_tls,
                           char text[STICKY_SET_COOKIE_MAX])
{
    CHECK(bucket < SPLIT_TOTAL);
    int size =
        snprintf(text, STICKY_SET_COOKIE_MAX, "serin=%016llx.%u; Path=/; HttpOnly; SameSite=Lax%s",
                 (unsigned long long)sticky->rollout, bucket, is_tls ? "; Secure" : "");
    CHECK(size > 0 && size < STICKY_SET_COOKIE_MAX);
    return bytes_make(text, (size_t)size);
}
