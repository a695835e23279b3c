/* canary/engine/plan.c — see plan.h. */
#include "canary/engine/plan.h"

#include "proxy/base/check.h"

const struct plan PLAN_SHIFT_DEFAULT = {
    .steps_ppm = {500000, 250000, 100000, 0},
    .step_count = 4,
    .every_us = 2000000,
};

bool plan_is_shift(const struct plan *plan)
{
    if (plan->step_count == 0 || plan->step_count > PLAN_STEPS_MAX) {
        return false;
    }
    uint32_t above = PLAN_WHOLE;
    for (size_t i = 0; i < plan->step_count; i++) {
        if (plan->steps_ppm[i] >= above) {
            return false;
        }
        above = plan->steps_ppm[i];
    }
    return above == 0;
}

uint32_t plan_weight_ppm(const struct plan *plan, size_t step, uint32_t start_ppm)
{
    CHECK(start_ppm <= PLAN_WHOLE);
    if (step >= plan->step_count) {
        return 0;
    }
    return (uint32_t)((uint64_t)start_ppm * plan->steps_ppm[step] / PLAN_WHOLE);
}
