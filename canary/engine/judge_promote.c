/* canary/engine/judge_promote.c — see judge_promote.h. */
#include "canary/engine/judge_promote.h"

#include <math.h>

/* The alternatives, as fractions of the line that must not be reached. */
static const double FRACTIONS[JUDGE_PROMOTE_COUNT] = {0.02, 0.1, 0.25, 0.5, 0.75};

void judge_promote_init(struct judge_promote *promote, const struct judge_config *config)
{
    for (size_t i = 0; i < JUDGE_PROMOTE_COUNT; i++) {
        double ratio = FRACTIONS[i] * config->limit;
        promote->failed_gain[i] = log(ratio / config->limit);
        promote->passed_gain[i] = log1p(-ratio) - log1p(-config->limit);
    }
    judge_promote_reset(promote);
}

void judge_promote_reset(struct judge_promote *promote)
{
    for (size_t i = 0; i < JUDGE_PROMOTE_COUNT; i++) {
        promote->log_absolute[i] = log(1.0 / JUDGE_PROMOTE_COUNT);
        promote->log_relative[i] = log(1.0 / JUDGE_PROMOTE_COUNT);
    }
    promote->canary_count = 0.0;
    promote->canary_failed = 0.0;
    promote->stable_count = 0.0;
    promote->stable_failed = 0.0;
}

static void update_relative(struct judge_promote *promote, const struct judge_config *config,
                            const struct judge_block *block, double guess, double phi)
{
    double boundary = config->promote_factor * guess + config->promote_margin;
    if (boundary >= JUDGE_RATIO_TOP) {
        return;
    }
    for (size_t i = 0; i < JUDGE_PROMOTE_COUNT; i++) {
        double evidence = judge_block_evidence(block, FRACTIONS[i] * boundary, guess,
                                               config->promote_factor, config->promote_margin);
        promote->log_relative[i] += evidence / phi;
    }
}

void judge_promote_update(struct judge_promote *promote, const struct judge_config *config,
                          struct judge_delta canary, struct judge_delta stable,
                          const struct judge_block *block, double guess, double phi)
{
    promote->canary_count += canary.count;
    promote->canary_failed += canary.failed;
    promote->stable_count += stable.count;
    promote->stable_failed += stable.failed;
    double passed = canary.count - canary.failed;
    for (size_t i = 0; i < JUDGE_PROMOTE_COUNT; i++) {
        double evidence =
            canary.failed * promote->failed_gain[i] + passed * promote->passed_gain[i];
        promote->log_absolute[i] += evidence / phi;
    }
    if (block != NULL) {
        update_relative(promote, config, block, guess, phi);
    }
}

double judge_promote_log_absolute(const struct judge_promote *promote)
{
    return judge_log_sum(promote->log_absolute, JUDGE_PROMOTE_COUNT);
}

double judge_promote_log_relative(const struct judge_promote *promote)
{
    return judge_log_sum(promote->log_relative, JUDGE_PROMOTE_COUNT);
}
