/* canary/engine/judge_config.c — see judge_config.h. */
#include "canary/engine/judge_config.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const double DAY_MS = 86400000.0;

const struct judge_config JUDGE_CONFIG_DEFAULT = {
    .alpha = 0.01,
    .share_absolute = 0.4,
    .share_relative = 0.3,
    .share_latency = 0.2,
    .share_connect = 0.1,
    .mass_start = 0.4,
    .mass_per_day = 0.4,
    .mass_per_step = 0.02,
    .cap = 6.0,
    .cap_rate = 60.0,
    .cap_rate_recovering = 2.0,
    .recovering_ms = 10000.0,
    .burst = 0.0,
    .limit = 0.05,
    .connect_limit = 0.005,
    .relative_factor = 1.25,
    .relative_margin = 0.001,
    .promote_factor = 1.25,
    .promote_margin = 0.005,
    .promote_alpha = 0.05,
    .is_strict = false,
    .relative = JUDGE_RELATIVE_CONFIRM,
    .guard_alpha = 0.001,
    .guard_wait_ms = 2000.0,
    .block_ms_max = 900000.0,
    .latency_factor = 1.25,
    .latency_margin_us = 5000.0,
    .warm_count = 59,
};

static const double SHARE_NOT_FOUND = 0.2;

void judge_config_watch_not_found(struct judge_config *config, double limit)
{
    double left = 1.0 - SHARE_NOT_FOUND;
    config->share_absolute *= left;
    config->share_relative *= left;
    config->share_latency *= left;
    config->share_connect *= left;
    config->share_not_found = SHARE_NOT_FOUND;
    config->not_found_limit = limit;
}

double judge_config_mass(const struct judge_config *config, int64_t elapsed_ms)
{
    return elapsed_ms > 0 ? config->mass_per_day * (double)elapsed_ms / DAY_MS : 0.0;
}

double judge_trouble_ratio(double limit)
{
    return fmin(2.0 * limit, 0.5 * (1.0 + limit));
}

bool judge_config_is_equal(const struct judge_config *a, const struct judge_config *b)
{
    return memcmp(a, b, offsetof(struct judge_config, is_strict)) == 0 &&
           a->is_strict == b->is_strict && a->relative == b->relative;
}
