/* The arithmetic under the judge, against what can be worked out another way. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "canary/engine/judge_math.h"
#include "proxy/base/check.h"
#include "proxy/base/hash.h"

static void assert_near(double expected, double got, double tolerance)
{
    if (!(fabs(expected - got) <= tolerance)) {
        fail_msg("expected %.17g, got %.17g", expected, got);
    }
}

static void no_evidence_adds_nothing(void **state)
{
    (void)state;
    const double none[2] = {-INFINITY, -INFINITY};
    assert_true(judge_log_add(-INFINITY, -INFINITY) == -INFINITY);
    assert_true(judge_log_add(-INFINITY, 1.5) == 1.5);
    assert_true(judge_log_add(1.5, -INFINITY) == 1.5);
    assert_true(judge_log_sum(none, 2) == -INFINITY);
    assert_near(log(5.0), judge_log_add(log(2.0), log(3.0)), 1e-15);
}

static void huge_evidence_does_not_overflow(void **state)
{
    (void)state;
    const double values[3] = {5000.0, 5000.0, -5000.0};
    assert_near(5000.0 + log(2.0), judge_log_sum(values, 3), 1e-9);
    assert_near(5000.0 + log(2.0), judge_log_add(5000.0, 5000.0), 1e-9);
}

static void grid_rises_from_the_limit_to_the_top(void **state)
{
    (void)state;
    const double limits[] = {1e-6, 0.005, 0.05, 0.5, 0.96};
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        double ratios[JUDGE_GRID_COUNT];
        judge_grid(limits[i], ratios);
        double below = limits[i];
        for (size_t k = 0; k < JUDGE_GRID_COUNT; k++) {
            assert_true(ratios[k] > below);
            below = ratios[k];
        }
        assert_near(JUDGE_RATIO_TOP, below, 1e-12);
    }
}

static double divergence(double p, double q)
{
    return p * log(p / q) + (1.0 - p) * log((1.0 - p) / (1.0 - q));
}

static void projection_is_the_nearest_point_of_the_line(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 7);
    for (int i = 0; i < 20000; i++) {
        double canary = 1e-5 + 0.96 * (double)random_below(&random, 1000000) / 1e6;
        double stable = 1e-6 + 0.90 * (double)random_below(&random, 1000000) / 1e6;
        double s = (1.0 + (double)random_below(&random, 999998)) / 1e6;
        double x = 0.0;
        double y = 0.0;
        judge_project(canary, stable, s, 1.25, 0.001, &x, &y);
        if (x >= 1.0 || x <= 0.0) {
            continue; /* that part of the line lies outside the square: no test goes there */
        }
        assert_near(1.25 * y + 0.001, x, 1e-12);
        double nearest = s * divergence(canary, x) + (1.0 - s) * divergence(stable, y);
        for (int side = -1; side <= 1; side += 2) {
            double other = y * (1.0 + 1e-4 * side);
            double other_x = 1.25 * other + 0.001;
            if (other_x < 1.0) {
                double far =
                    s * divergence(canary, other_x) + (1.0 - s) * divergence(stable, other);
                assert_true(far >= nearest - 1e-13);
            }
        }
    }
}

static void block_evidence_is_an_e_value_on_the_line(void **state)
{
    (void)state;
    /* Given: three canary and five stable requests, both exactly on the line.
     * When all 24 outcomes are weighed with their chances, then the mean of the e-value is at
     * most 1. */
    const double stable_ratios[] = {0.001, 0.02, 0.3};
    for (size_t i = 0; i < COUNT_OF(stable_ratios); i++) {
        double stable = stable_ratios[i];
        double canary = 1.25 * stable + 0.001;
        double mean = 0.0;
        for (unsigned ec = 0; ec <= 3; ec++) {
            for (unsigned eb = 0; eb <= 5; eb++) {
                const double ways_canary[] = {1, 3, 3, 1};
                const double ways_stable[] = {1, 5, 10, 10, 5, 1};
                double chance = ways_canary[ec] * pow(canary, ec) * pow(1 - canary, 3.0 - ec) *
                                ways_stable[eb] * pow(stable, eb) * pow(1 - stable, 5.0 - eb);
                struct judge_block block = {3, ec, 5, eb};
                mean += chance * exp(judge_block_evidence(&block, 0.6, stable, 1.25, 0.001));
            }
        }
        assert_true(mean <= 1.0 + 1e-12);
        assert_true(mean > 0.5);
    }
}

static void interval_holds_what_was_seen_and_narrows(void **state)
{
    (void)state;
    double width = 1.0;
    for (double count = 10.0; count <= 1e7; count *= 10.0) {
        double low = 0.0;
        double high = 0.0;
        judge_interval(count, 0.1 * count, 0.05, &low, &high);
        assert_true(low < 0.1);
        assert_true(high > 0.1);
        assert_true(high - low < width);
        width = high - low;
    }
    double low = 0.5;
    double high = 0.5;
    judge_interval(0.0, 0.0, 0.05, &low, &high);
    assert_true(low == 0.0);
    assert_true(high == 1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_evidence_adds_nothing),
        cmocka_unit_test(huge_evidence_does_not_overflow),
        cmocka_unit_test(grid_rises_from_the_limit_to_the_top),
        cmocka_unit_test(projection_is_the_nearest_point_of_the_line),
        cmocka_unit_test(block_evidence_is_an_e_value_on_the_line),
        cmocka_unit_test(interval_holds_what_was_seen_and_narrows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
