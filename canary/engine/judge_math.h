/* canary/engine/judge_math.h — the arithmetic under the judge: likelihood ratios, a grid of
 * alternatives, a projection.
 *
 * All evidence is in nats (natural logarithms of e-values); minus infinity is "none" and travels
 * freely, so nothing here may be built with -ffast-math. Pure; any thread. Sources: Turner, Ly &
 * Grünwald 2021 and Turner & Grünwald 2022 for the block e-value; Robbins 1970 for the confidence
 * sequence. */
#pragma once
#include <stddef.h>

enum { JUDGE_GRID_COUNT = 8 };

/* The largest failure ratio that is ever used as an alternative. */
#define JUDGE_RATIO_TOP 0.97

/* What both versions did in one stretch of time; counts are whole numbers held as doubles. */
struct judge_block {
    double canary_count, canary_failed;
    double stable_count, stable_failed;
};

/* log(exp(x) + exp(y)), also where either is minus infinity. */
double judge_log_add(double x, double y);
/* log of the sum of exp(values[i]); minus infinity when all are. */
double judge_log_sum(const double *values, size_t count);

/* Eight failure ratios between the boundary `ratio` of a hypothesis and JUDGE_RATIO_TOP, spread
 * over the logits; 0 < ratio < JUDGE_RATIO_TOP. */
void judge_grid(double ratio, double ret_ratios[JUDGE_GRID_COUNT]);

/* log likelihood ratio of `failed` failures among `count` requests, ratio p against ratio q; 0 < p,
 * q < 1. */
double judge_log_ratio(double count, double failed, double p, double q);

/* The point of the line canary = a * stable + d that is nearest, in Kullback-Leibler divergence
 * weighted by the canary's share s of the requests, to (canary, stable); it works from both sides.
 * Newton's method on the cubic that the stationarity condition is, kept inside a bracket by
 * bisection. */
void judge_project(double canary, double stable, double s, double a, double d, double *ret_canary,
                   double *ret_stable);

/* log e-value of a block for the alternative (canary, stable) against "the canary's ratio is at
 * most a * stable's
 * + d, whatever the stable's is" (for an alternative below the line: at least). Both counts of the
 * block > 0. */
double judge_block_evidence(const struct judge_block *block, double canary, double stable, double a,
                            double d);

/* Interval for a failure ratio that holds at all times at once with probability 1 - alpha: for
 * display only. */
void judge_interval(double count, double failed, double alpha, double *ret_low, double *ret_high);
