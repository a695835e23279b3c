/* canary/engine/judge_restart.c — see judge_restart.h. */
#include "canary/engine/judge_restart.h"

#include <math.h>

/* log M is cut this far above the threshold; cutting only lowers it, so the guarantee stays. */
static const double ABOVE_THRESHOLD_MAX = 12.0;

void judge_restart_init(struct judge_restart *restart, const struct judge_config *config,
                        double share)
{
    restart->threshold = log(1.0 / (config->alpha * share));
    for (size_t i = 0; i < JUDGE_GRID_COUNT; i++) {
        restart->log_m[i] = log(config->mass_start / JUDGE_GRID_COUNT);
    }
    restart->log_total = judge_log_sum(restart->log_m, JUDGE_GRID_COUNT);
}

void judge_restart_update(struct judge_restart *restart, double mass, const double *evidence,
                          double cap, double phi)
{
    double fresh = mass > 0.0 ? log(mass / JUDGE_GRID_COUNT) : -INFINITY;
    double max = restart->threshold + ABOVE_THRESHOLD_MAX;
    for (size_t i = 0; i < JUDGE_GRID_COUNT; i++) {
        double gain = evidence != NULL ? fmin(cap, evidence[i] / phi) : 0.0;
        restart->log_m[i] = fmin(judge_log_add(restart->log_m[i], fresh) + gain, max);
    }
    restart->log_total = judge_log_sum(restart->log_m, JUDGE_GRID_COUNT);
}

void judge_relative_test_init(struct judge_relative_test *test, const struct judge_config *config,
                              double share, double factor, double margin)
{
    judge_restart_init(&test->restart, config, share);
    test->factor = factor;
    test->margin = margin;
    test->mass = 0.0;
}

void judge_relative_test_update(struct judge_relative_test *test, double mass,
                                const struct judge_block *block, double guess, double cap,
                                double phi)
{
    test->mass += mass;
    if (block == NULL) {
        return;
    }
    double boundary = test->factor * guess + test->margin;
    if (boundary < JUDGE_RATIO_TOP) {
        double alternatives[JUDGE_GRID_COUNT];
        double evidence[JUDGE_GRID_COUNT];
        judge_grid(boundary, alternatives);
        for (size_t i = 0; i < JUDGE_GRID_COUNT; i++) {
            evidence[i] =
                judge_block_evidence(block, alternatives[i], guess, test->factor, test->margin);
        }
        judge_restart_update(&test->restart, test->mass, evidence, cap, phi);
    } else {
        judge_restart_update(&test->restart, test->mass, NULL, cap, phi);
    }
    test->mass = 0.0;
}
