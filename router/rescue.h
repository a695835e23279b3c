/* router/rescue.h — how much of the canary's harm the stable version is asked to make good.
 *
 * A token bucket per service and worker: every request of the service earns a part of a token, a
 * rescue costs a whole one, and it is full at the start. What a request earns is at least the
 * canary's weight, so that at equal load a rescue is only what stable would have served without a
 * canary. Pure; the worker that owns the budget. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "router/split.h"

enum { RESCUE_TOKENS_MAX = 100 };

/* Zeroed memory is a full bucket. */
struct rescue_budget {
    uint32_t spent_ppm; /* of tokens; at most RESCUE_TOKENS_MAX of them */
};

/* A request of the service came; `gain_ppm` of a token is earned, at most a whole one. */
static inline void rescue_earn(struct rescue_budget *budget, uint32_t gain_ppm)
{
    budget->spent_ppm = budget->spent_ppm > gain_ppm ? budget->spent_ppm - gain_ppm : 0;
}

/* Takes a token; false when there is no whole one. */
static inline bool rescue_spend(struct rescue_budget *budget)
{
    uint32_t spent_ppm = budget->spent_ppm + SPLIT_TOTAL;
    if (spent_ppm > (uint32_t)RESCUE_TOKENS_MAX * SPLIT_TOTAL) {
        return false;
    }
    budget->spent_ppm = spent_ppm;
    return true;
}
