#include "proxy/upstream/eject.h"

enum { PPM = 1000000 };

static bool may_eject(const struct eject_policy *policy, const struct eject_crowd *crowd)
{
    uint64_t ejected_max = (uint64_t)crowd->endpoints * policy->max_ejected_ppm / PPM;
    return crowd->ejected < ejected_max && crowd->usable > 1;
}

/* Takes off what was served well since the last ejection ended. */
static uint32_t times_left(const struct eject_policy *policy, const struct eject_state *state,
                           uint64_t now_us)
{
    if (policy->eject_us == 0 || now_us <= state->until_us) {
        return state->times;
    }
    uint64_t served = (now_us - state->until_us) / policy->eject_us;
    return served < state->times ? state->times - (uint32_t)served : 0;
}

bool eject_on_failure(const struct eject_policy *policy, struct eject_state *state,
                      const struct eject_crowd *crowd, uint64_t now_us)
{
    if (policy->consecutive == 0 || state->is_ejected) {
        return false;
    }
    if (state->failures < policy->consecutive) {
        state->failures++;
    }
    if (state->failures < policy->consecutive || !may_eject(policy, crowd)) {
        return false;
    }
    uint32_t times = times_left(policy, state, now_us) + 1;
    state->times = times < EJECT_TIMES_MAX ? times : EJECT_TIMES_MAX;
    state->until_us = now_us + policy->eject_us * state->times;
    state->failures = 0;
    state->is_ejected = true;
    return true;
}

void eject_on_success(struct eject_state *state)
{
    state->failures = 0;
}

bool eject_has_returned(struct eject_state *state, uint64_t now_us)
{
    if (!state->is_ejected || now_us < state->until_us) {
        return false;
    }
    state->is_ejected = false;
    return true;
}
