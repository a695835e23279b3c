/* router/split.h — how a service's traffic is divided between its two versions.
 *
 * A weight is the canary's share in parts per million, an immutable number in the snapshot.
 * Requests that belong to nobody in particular are dealt by error diffusion: every request adds the
 * weight to an accumulator, and the one that carries it past a whole goes to the canary. So after n
 * requests at a constant weight the canary has had n times its share, give or take one, and that
 * without chance. The accumulator belongs to one worker and one service and outlives snapshots;
 * workers start evenly out of step, so that they do not all send their first canary at once. It is
 * moved only when the weight decided.
 *
 * Clients that are remembered have a bucket in [0, SPLIT_TOTAL) instead; the canary is laid out
 * first, so a growing weight only adds clients to it and a shrinking one only removes them. Pure
 * given the accumulator. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/role.h"

enum { SPLIT_TOTAL = 1000000 };

/* Owned by one worker for one service; embedded; nothing to finish. */
struct split_accumulator {
    uint32_t filled; /* below SPLIT_TOTAL */
};

/* Starts the accumulator of worker `worker_index` out of `worker_count` at (i + 1/2) / workers. */
void split_accumulator_init(struct split_accumulator *accumulator, uint32_t worker_index,
                            uint32_t worker_count);

/* Deals the next request by the weight (at most SPLIT_TOTAL) and moves the accumulator. Its worker.
 */
static inline enum role split_deal(struct split_accumulator *accumulator, uint32_t weight_ppm)
{
    uint32_t filled = accumulator->filled + weight_ppm;
    if (filled < SPLIT_TOTAL) {
        accumulator->filled = filled;
        return ROLE_PREVIOUS;
    }
    accumulator->filled = filled - SPLIT_TOTAL;
    return ROLE_CURRENT;
}

/* The version of a client with this bucket. Any thread. */
static inline enum role split_pick(uint32_t weight_ppm, uint32_t bucket)
{
    return bucket < weight_ppm ? ROLE_CURRENT : ROLE_PREVIOUS;
}

/* Do both versions get a share? */
static inline bool split_is_mixed(uint32_t weight_ppm)
{
    return weight_ppm > 0 && weight_ppm < SPLIT_TOTAL;
}
