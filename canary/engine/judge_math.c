/* canary/engine/judge_math.c — see judge_math.h.
 *
 * The projection minimises s KL(canary || x) + (1 - s) KL(stable || y) on the line x = a y + d. Its
 * derivative, a s (x - canary) / (x (1 - x)) + (1 - s) (y - stable) / (y (1 - y)), grows with y and
 * has poles at both ends, where Newton's method crawls. Multiplied by both denominators it is a
 * cubic with the same single root between the two ends of the bracket and no poles: five steps
 * instead of fifty. */
#include "canary/engine/judge_math.h"

#include <math.h>
#include <stdbool.h>

#include "proxy/base/check.h"

/* Positions of the alternatives between boundary and top, as fractions of the distance in logits.
 */
static const double GRID_FRACTIONS[JUDGE_GRID_COUNT] = {0.015, 0.04, 0.08, 0.14,
                                                        0.23,  0.37, 0.58, 1.0};

enum { PROJECT_STEPS_MAX = 100, BISECT_STEPS_MAX = 200 };
/* A Newton step this small against the root leaves an error of its square. */
static const double PROJECT_STEP_MIN = 1e-12;

double judge_log_add(double x, double y)
{
    if (x == -INFINITY) {
        return y;
    }
    if (y == -INFINITY) {
        return x;
    }
    return fmax(x, y) + log1p(exp(-fabs(x - y)));
}

double judge_log_sum(const double *values, size_t count)
{
    double max = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        max = values[i] > max ? values[i] : max;
    }
    if (max == -INFINITY) {
        return max;
    }
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += exp(values[i] - max);
    }
    return max + log(sum);
}

static double logit(double p)
{
    return log(p) - log1p(-p);
}

static double logistic(double x)
{
    if (x >= 0.0) {
        return 1.0 / (1.0 + exp(-x));
    }
    double odds = exp(x);
    return odds / (1.0 + odds);
}

void judge_grid(double ratio, double ret_ratios[JUDGE_GRID_COUNT])
{
    CHECK(ratio > 0.0);
    CHECK(ratio < JUDGE_RATIO_TOP);
    double low = logit(ratio);
    double high = logit(JUDGE_RATIO_TOP);
    for (size_t i = 0; i < JUDGE_GRID_COUNT; i++) {
        ret_ratios[i] = logistic(low + GRID_FRACTIONS[i] * (high - low));
    }
}

double judge_log_ratio(double count, double failed, double p, double q)
{
    double evidence = 0.0;
    if (failed > 0.0) {
        evidence += failed * log(p / q);
    }
    if (count > failed) {
        evidence += (count - failed) * (log1p(-p) - log1p(-q));
    }
    return evidence;
}

/* The cubic and its slope at y. */
static void cubic(double canary, double stable, double s, double a, double d, double y,
                  double *ret_value, double *ret_slope)
{
    double x = a * y + d;
    double x_spread = x * (1.0 - x);
    double y_spread = y * (1.0 - y);
    *ret_value = a * s * (x - canary) * y_spread + (1.0 - s) * (y - stable) * x_spread;
    *ret_slope = a * s * (a * y_spread + (x - canary) * (1.0 - 2.0 * y)) +
                 (1.0 - s) * (x_spread + (y - stable) * a * (1.0 - 2.0 * x));
}

/* Where to begin: the root if both divergences were squares, with the spreads at the middle. */
static double project_guess(double stable, double s, double a, double d, double x)
{
    double y = 0.5 * (x + stable);
    double canary_middle = a * y + d;
    double canary_weight = a * a * s * y * (1.0 - y);
    double stable_weight = (1.0 - s) * canary_middle * (1.0 - canary_middle);
    return (canary_weight * x + stable_weight * stable) / (canary_weight + stable_weight);
}

void judge_project(double canary, double stable, double s, double a, double d, double *ret_canary,
                   double *ret_stable)
{
    if (a == 1.0 && d == 0.0) {
        *ret_stable = s * canary + (1.0 - s) * stable;
        *ret_canary = *ret_stable;
        return;
    }
    double x = (canary - d) / a;
    bool is_above = canary > a * stable + d;
    double low = is_above ? stable : fmax(x, 0.0);
    double high = is_above ? x : stable;
    double y = project_guess(stable, s, a, d, fmax(x, 0.0));
    for (int i = 0; i < PROJECT_STEPS_MAX; i++) {
        if (!(y > low && y < high)) {
            y = 0.5 * (low + high);
            if (y <= low || y >= high) {
                break;
            }
        }
        double value = 0.0;
        double slope = 0.0;
        cubic(canary, stable, s, a, d, y, &value, &slope);
        if (value > 0.0) {
            high = y;
        } else {
            low = y;
        }
        double step = value / slope;
        if (fabs(step) <= PROJECT_STEP_MIN * y) {
            y -= step;
            break;
        }
        y -= step;
    }
    *ret_canary = a * y + d;
    *ret_stable = y;
}

double judge_block_evidence(const struct judge_block *block, double canary, double stable, double a,
                            double d)
{
    double s = block->canary_count / (block->canary_count + block->stable_count);
    double null_canary = 0.0;
    double null_stable = 0.0;
    judge_project(canary, stable, s, a, d, &null_canary, &null_stable);
    return judge_log_ratio(block->canary_count, block->canary_failed, canary, null_canary) +
           judge_log_ratio(block->stable_count, block->stable_failed, stable, null_stable);
}

static double log_beta(double x, double y)
{
    int sign = 0; /* lgamma would leave it in a global */
    return lgamma_r(x, &sign) + lgamma_r(y, &sign) - lgamma_r(x + y, &sign);
}

/* Halves [inside, outside] until the doubles stop moving; the interval's end lies where `level` is
 * crossed. */
static double interval_end(double count, double failed, double level, double inside, double outside)
{
    for (int i = 0; i < BISECT_STEPS_MAX; i++) {
        double p = 0.5 * (inside + outside);
        if (p == inside || p == outside) {
            break;
        }
        double excess = level;
        if (failed > 0.0) {
            excess -= failed * log(p);
        }
        if (count > failed) {
            excess -= (count - failed) * log1p(-p);
        }
        if (excess > 0.0) {
            outside = p;
        } else {
            inside = p;
        }
    }
    return 0.5 * (inside + outside);
}

void judge_interval(double count, double failed, double alpha, double *ret_low, double *ret_high)
{
    double low = 0.0;
    double high = 1.0;
    if (count > 0.0) {
        /* Jeffreys' prior, Beta(1/2, 1/2), as the mixture. */
        double level =
            log_beta(0.5 + failed, 0.5 + count - failed) - log_beta(0.5, 0.5) + log(alpha);
        double seen = failed / count;
        low = failed > 0.0 ? interval_end(count, failed, level, seen, 0.0) : 0.0;
        high = failed < count ? interval_end(count, failed, level, seen, 1.0) : 1.0;
    }
    *ret_low = low;
    *ret_high = high;
}
