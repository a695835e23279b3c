/* canary/engine/judge_promote.h — when is the canary proven good?
 *
 * Evidence since the last change of weight against "fails at the limit or above" (absolute) and
 * against "fails more than factor * stable's ratio + margin" (relative): a mixture over five ratios
 * below each line, without restarts. Healthy needs both, so no correction for two tests is due.
 * Embedded in the judge; one thread. */
#pragma once
#include "canary/engine/judge_config.h"
#include "canary/engine/judge_pair.h"

enum { JUDGE_PROMOTE_COUNT = 5 };

struct judge_promote {
    double log_absolute[JUDGE_PROMOTE_COUNT];
    double log_relative[JUDGE_PROMOTE_COUNT];
    double failed_gain[JUDGE_PROMOTE_COUNT], passed_gain[JUDGE_PROMOTE_COUNT]; /* absolute */
    double canary_count, canary_failed, stable_count,
        stable_failed; /* since the change of weight */
};

void judge_promote_init(struct judge_promote *promote, const struct judge_config *config);
/* The weight changed: what was proven is proven for another weight. */
void judge_promote_reset(struct judge_promote *promote);
/* `block` is the one that closed in this check, or NULL; `guess` is the stable ratio frozen with
 * it. */
void judge_promote_update(struct judge_promote *promote, const struct judge_config *config,
                          struct judge_delta canary, struct judge_delta stable,
                          const struct judge_block *block, double guess, double phi);
double judge_promote_log_absolute(const struct judge_promote *promote);
double judge_promote_log_relative(const struct judge_promote *promote);
