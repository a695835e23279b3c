/* canary/engine/ladder.h — the steps of a rollout: weights that rise to 100 %, and pauses between
 * them.
 *
 * Steps are counted from 1; step 0 is the ground, before the first weight. A gate behind a step
 * asks for an operator before the next one. Plain value; pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { LADDER_STEPS_MAX = 32, LADDER_WHOLE = 1000000 };

struct ladder {
    uint32_t weights_ppm[LADDER_STEPS_MAX];
    bool has_gate[LADDER_STEPS_MAX]; /* behind the step */
    uint32_t count;
};

/* Rises strictly from above 0, ends in 100 %, and has no gate behind that. */
bool ladder_is_sound(const struct ladder *ladder);
/* The weight of step `step`; 0 on the ground. CHECKs that there is such a step. */
uint32_t ladder_weight_ppm(const struct ladder *ladder, uint32_t step);
/* The last step whose weight is at or below this one; 0: none is. */
uint32_t ladder_step_at(const struct ladder *ladder, uint32_t weight_ppm);
