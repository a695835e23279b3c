#include "router/containment.h"

#include "proxy/base/check.h"
#include "router/split.h"

struct containment_policy containment_policy(uint64_t bad_max, uint64_t worker_count,
                                             uint32_t limit_ppm)
{
    CHECK(worker_count > 0);
    CHECK(limit_ppm < SPLIT_TOTAL);
    if (bad_max == 0) {
        return (struct containment_policy){0};
    }
    uint64_t least_ppm = (uint64_t)CONTAINMENT_SHARE_MIN * SPLIT_TOTAL;
    uint64_t share_ppm = bad_max * SPLIT_TOTAL / worker_count;
    uint64_t leak_ppm = (uint64_t)limit_ppm * SPLIT_TOTAL / (SPLIT_TOTAL - limit_ppm);
    return (struct containment_policy){
        .share_ppm = (uint32_t)(share_ppm > least_ppm ? share_ppm : least_ppm),
        .leak_ppm = (uint32_t)leak_ppm,
        .limit_ppm = limit_ppm,
    };
}

void containment_follow(struct containment *containment, uint32_t weight_ppm)
{
    if (weight_ppm == 0) {
        *containment = (struct containment){.is_idle = true};
    } else {
        containment->is_idle = false;
    }
}

bool containment_on_bad(struct containment *containment, const struct containment_policy *policy)
{
    if (policy->share_ppm == 0 || containment->is_contained || containment->is_idle) {
        return false;
    }
    containment->level_ppm += SPLIT_TOTAL;
    if (containment->level_ppm < policy->share_ppm) {
        return false;
    }
    *containment = (struct containment){.is_contained = true};
    return true;
}

/* Keeps the mean rate when requests come a little late, and saves nothing up. */
static uint64_t tick(uint64_t last_us, uint64_t gap_us, uint64_t now_us)
{
    return now_us - last_us < 2 * gap_us ? last_us + gap_us : now_us;
}

bool containment_lets_through(struct containment *containment, bool is_rescuable, uint64_t now_us)
{
    CHECK(containment->is_contained);
    if (is_rescuable) {
        if (now_us - containment->rescuable_us < CONTAINMENT_RESCUABLE_US) {
            return false;
        }
        containment->rescuable_us =
            tick(containment->rescuable_us, CONTAINMENT_RESCUABLE_US, now_us);
        return true;
    }
    if (now_us - containment->rescuable_us < CONTAINMENT_UNSAFE_US ||
        now_us - containment->unsafe_us < CONTAINMENT_UNSAFE_US) {
        return false;
    }
    containment->unsafe_us = now_us;
    return true;
}

void containment_give_back(struct containment *containment, bool is_rescuable)
{
    uint64_t *last_us = is_rescuable ? &containment->rescuable_us : &containment->unsafe_us;
    uint64_t gap_us = is_rescuable ? CONTAINMENT_RESCUABLE_US : CONTAINMENT_UNSAFE_US;
    if (containment->is_contained && *last_us >= gap_us) { /* else it began anew since */
        *last_us -= gap_us;
    }
}

bool containment_on_trickle(struct containment *containment,
                            const struct containment_policy *policy, bool has_failed)
{
    if (!containment->is_contained) {
        return false;
    }
    containment->trickle_count++;
    containment->trickle_failed += has_failed;
    if (containment->trickle_count < CONTAINMENT_ANSWERS) {
        return false;
    }
    uint64_t failed_ppm = (uint64_t)containment->trickle_failed * SPLIT_TOTAL;
    bool is_below = failed_ppm < (uint64_t)containment->trickle_count * policy->limit_ppm;
    containment->trickle_count = 0;
    containment->trickle_failed = 0;
    containment->is_contained = !is_below;
    return is_below;
}
