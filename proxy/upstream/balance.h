/* proxy/upstream/balance.h — which endpoint of a version gets the next request.
 *
 * Power of two random choices (Mitzenmacher 2001): of two distinct live endpoints drawn at random
 * the less busy one wins. Each worker sees only its own requests in flight; two choices keep the
 * load even all the same and, unlike "the least busy", do not send every worker's next request to
 * the same place. Pure; the worker that owns the states. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/hash.h"

/* What a worker knows about one endpoint. */
struct balance_endpoint {
    uint32_t in_flight; /* this worker's requests on it */
    bool is_live;       /* healthy, and not ejected by this worker */
};

#define BALANCE_NONE SIZE_MAX

/* The index of the endpoint to use, or BALANCE_NONE when none is live. `avoid` (or BALANCE_NONE) is
 * an endpoint that just failed this request: taken only when no other is live. */
size_t balance_pick(const struct balance_endpoint *endpoints, size_t endpoint_count, size_t avoid,
                    struct random *random);
/* The live one with the highest of `scores`, one for each endpoint, which is the same wherever it
 * is asked (router/affinity.h); `avoid` and BALANCE_NONE as above. */
size_t balance_pick_faithful(const struct balance_endpoint *endpoints, const uint64_t *scores,
                             size_t endpoint_count, size_t avoid);
/* How many are live. */
size_t balance_live_count(const struct balance_endpoint *endpoints, size_t endpoint_count);
