/* router/mirror.h — which requests are copied to a canary that has no weight yet.
 *
 * Only what cannot change anything and went to the stable version by the split: safe methods
 * without a body, no change of protocol, nobody's own wish. Of those the share is dealt by error
 * diffusion, as the weight is (split.h), from an accumulator of its own: copies leave the split as
 * it is. Pure given the accumulator. */
#pragma once
#include "router/split.h"

enum { MIRROR_IN_FLIGHT_MAX = 32 }; /* copies under way, per worker and service */

/* What is known about a request that was routed. */
struct mirror_facts {
    bool is_stable;     /* it goes to the stable version */
    bool is_judged;     /* what came of it would be evidence: not by the client's wish */
    bool is_asking;     /* GET, HEAD or OPTIONS */
    bool has_body;      /* or says that one follows */
    bool is_upgrade;    /* asks for another protocol */
    uint32_t in_flight; /* copies of the service that this worker waits for */
};

enum mirror_pick { MIRROR_NOT, MIRROR_COPY, MIRROR_DROP };

/* Is this one's turn? MIRROR_DROP: it is, but too many copies are under way. The accumulator's
 * worker. */
static inline enum mirror_pick mirror_pick(struct split_accumulator *accumulator,
                                           uint32_t share_ppm, const struct mirror_facts *facts)
{
    bool is_eligible = facts->is_stable && facts->is_judged && facts->is_asking;
    if (!is_eligible || facts->has_body || facts->is_upgrade ||
        split_deal(accumulator, share_ppm) == ROLE_PREVIOUS) {
        return MIRROR_NOT;
    }
    return facts->in_flight < MIRROR_IN_FLIGHT_MAX ? MIRROR_COPY : MIRROR_DROP;
}
