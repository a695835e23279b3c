/* router/containment.h — the harm that a canary may do before any verdict is in.
 *
 * Each worker keeps a leaky bucket per canary: a bad answer of the canary that a client saw adds
 * one, a good one takes limit / (1 - limit) out, so that a canary at the limit keeps its level and
 * one below it empties the bucket. When it is full the worker holds the canary back, from the very
 * next request on and without asking anyone: the canary gets a trickle, everything else goes to the
 * stable version. Fifty answers to the trickle with failures below the limit end that.
 *
 * The trickle is what costs clients least: up to ten requests a second that the stable version
 * would make good, or one of another kind per 200 ms if none of those came. Numbers are parts per
 * million of an answer. Embedded; zeroed memory holds nothing back. Pure; the worker that owns it.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
    CONTAINMENT_SHARE_MIN = 5,
    CONTAINMENT_RESCUABLE_US = 100000,
    CONTAINMENT_UNSAFE_US = 200000,
    CONTAINMENT_ANSWERS = 50
};

/* Immutable; part of a snapshot. */
struct containment_policy {
    uint32_t share_ppm; /* the size of the bucket; 0: nothing is ever contained */
    uint32_t leak_ppm;  /* what a good answer takes out */
    uint32_t limit_ppm; /* failures of the trickle must stay below it */
};

struct containment {
    bool is_contained;
    bool is_idle; /* the canary has no weight: what is still in flight fills nothing */
    uint32_t level_ppm;
    uint32_t trickle_count; /* answers since it was contained, or since the last fifty */
    uint32_t trickle_failed;
    uint64_t rescuable_us; /* when the last request of the kind was let through */
    uint64_t unsafe_us;
};

/* One worker's share of `bad_max` bad answers in all. `limit_ppm` is less than a million. */
struct containment_policy containment_policy(uint64_t bad_max, uint64_t worker_count,
                                             uint32_t limit_ppm);
/* The canary's weight is what the worker now deals by. Without weight there is nothing to contain.
 */
void containment_follow(struct containment *containment, uint32_t weight_ppm);
/* A client saw a bad answer of the canary. True when that fills the bucket. */
bool containment_on_bad(struct containment *containment, const struct containment_policy *policy);
/* The canary answered well. */
static inline void containment_on_good(struct containment *containment,
                                       const struct containment_policy *policy)
{
    containment->level_ppm =
        containment->level_ppm > policy->leak_ppm ? containment->level_ppm - policy->leak_ppm : 0;
}
/* While contained: may this request of the canary's go there? Times only grow. */
bool containment_lets_through(struct containment *containment, bool is_rescuable, uint64_t now_us);
/* A request that was let through never went to the canary: another one of its kind may go. */
void containment_give_back(struct containment *containment, bool is_rescuable);
/* A request that was let through has its answer. True when that ends the containment. */
bool containment_on_trickle(struct containment *containment,
                            const struct containment_policy *policy, bool has_failed);
