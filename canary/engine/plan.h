/* canary/engine/plan.h — a list of weights and the time between them.
 *
 * The shift back is a plan whose steps fall: each says which share of the weight at the breach is
 * left. Plain value; pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAN_STEPS_MAX = 16, PLAN_WHOLE = 1000000 };

struct plan {
    uint32_t steps_ppm[PLAN_STEPS_MAX]; /* of the weight it starts from */
    size_t step_count;
    uint64_t every_us;
};

/* 50 %, 25 %, 10 %, 0 %, two seconds apart; static. */
extern const struct plan PLAN_SHIFT_DEFAULT;

/* Falls strictly from below 100 % and ends in 0. */
bool plan_is_shift(const struct plan *plan);
/* What is left of `start_ppm` after step `step` (from 0); 0 beyond the last. */
uint32_t plan_weight_ppm(const struct plan *plan, size_t step, uint32_t start_ppm);
