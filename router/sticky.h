/* router/sticky.h — which bucket a client belongs to, so that it stays with its version.
 *
 * A bucket is a number in [0, SPLIT_TOTAL) (split.h says what it means). By client address or by a
 * named header it is a keyed hash, salted by the rollout: the same people are not always the first
 * to meet a canary. By cookie it is drawn once inside the range of the version that the client was
 * dealt, and kept by the client in
 *
 *     serin=RRRRRRRRRRRRRRRR.B     R: the rollout, 16 lower-case hex digits;  B: the bucket,
 * decimal, no leading 0
 *
 * A cookie of another rollout, and one that is not exactly of this form, is no cookie: what clients
 * send is never an error here. Immutable, part of the snapshot; pure; any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/bytes.h"
#include "proxy/base/hash.h"
#include "router/split.h"

enum sticky_by { STICKY_NONE, STICKY_COOKIE, STICKY_CLIENT_IP, STICKY_HEADER };

struct sticky {
    enum sticky_by by;
    uint64_t rollout;    /* salt of the hashes and name of the rollout in the cookie */
    struct bytes header; /* STICKY_HEADER: its name, for whoever looks it up; borrowed */
};

/* A rollout's number when nothing better is known: the same in every process, replica and start,
 * for the same service and deployment. Never 0. */
uint64_t sticky_rollout_of(struct bytes service, struct bytes deployment);

/* The bucket of a client known by address (4 or 16 bytes in network order; a mapped IPv4 address
 * counts as IPv4) or by the value of its header. */
uint32_t sticky_bucket_of_address(const struct sticky *sticky, struct bytes address);
uint32_t sticky_bucket_of_header(const struct sticky *sticky, struct bytes value);

/* A bucket for a new client of `role`, uniform in the range that the weight gives the role.
 * CHECKs that the range is not empty. */
uint32_t sticky_draw(uint32_t weight_ppm, enum role role, struct random *random);

/* Reads the value of a `serin` cookie: true and the bucket when it is well-formed and of this
 * rollout. */
bool sticky_parse(const struct sticky *sticky, struct bytes value, uint32_t *ret_bucket);

enum { STICKY_SET_COOKIE_MAX = 96 };
/* Writes the value of a Set-Cookie field that gives the client its bucket, `Secure` when it came
 * over TLS. */
struct bytes sticky_format(const struct sticky *sticky, uint32_t bucket, bool is_tls,
                           char text[STICKY_SET_COOKIE_MAX]);
