/* canary/engine/ladder.c — see ladder.h. */
#include "canary/engine/ladder.h"

#include "proxy/base/check.h"

bool ladder_is_sound(const struct ladder *ladder)
{
    if (ladder->count == 0 || ladder->count > LADDER_STEPS_MAX) {
        return false;
    }
    uint32_t below = 0;
    for (uint32_t i = 0; i < ladder->count; i++) {
        if (ladder->weights_ppm[i] <= below) {
            return false;
        }
        below = ladder->weights_ppm[i];
    }
    return below == LADDER_WHOLE && !ladder->has_gate[ladder->count - 1];
}

uint32_t ladder_weight_ppm(const struct ladder *ladder, uint32_t step)
{
    CHECK(step <= ladder->count);
    return step > 0 ? ladder->weights_ppm[step - 1] : 0;
}

uint32_t ladder_step_at(const struct ladder *ladder, uint32_t weight_ppm)
{
    uint32_t step = 0;
    while (step < ladder->count && ladder->weights_ppm[step] <= weight_ppm) {
        step++;
    }
    return step;
}
