/* How long the judge takes, and how often it is wrong: seeded days of traffic against what
 * docs/JUDGE.md promises. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "canary/engine/judge.h"
#include "proxy/base/check.h"
#include "tests/support/traffic.h"

enum { RUNS = 15, TICK_MS = 100 };

/* Seconds from the fault to the breach after a healthy quarter of an hour; `horizon_s` when there
 * was none. */
static double delay_s(uint64_t seed, double rate, double weight, double fail_ratio,
                      double horizon_s)
{
    static struct judge judge;
    static struct traffic traffic;
    judge_init(&judge, &JUDGE_CONFIG_DEFAULT);
    traffic_init(&traffic, seed, rate, weight);
    traffic.stable.fail_ratio = 0.001;
    traffic.canary.fail_ratio = 0.001;
    const int64_t fault_ms = 900000;
    int64_t end_ms = fault_ms + (int64_t)(1000.0 * horizon_s);
    for (int64_t now_ms = 0; now_ms < end_ms; now_ms += TICK_MS) {
        if (now_ms == fault_ms) {
            traffic.canary.fail_ratio = fail_ratio;
        }
        traffic_tick(&traffic, TICK_MS / 1000.0);
        if (judge_check(&judge, now_ms, &traffic.counts).verdict == JUDGE_BREACH) {
            assert_true(now_ms >= fault_ms);
            return (double)(now_ms - fault_ms) / 1000.0;
        }
    }
    return horizon_s;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void median_delay_is_what_is_documented(void **state)
{
    (void)state;
    const struct {
        double rate, weight, fail_ratio, median_s;
    } cases[] = {
        {10, 0.1, 1.0, 6.6},   {100, 0.1, 1.0, 0.9},   {100, 0.1, 0.5, 2.1}, {100, 0.1, 0.2, 5.4},
        {100, 0.1, 0.1, 11.1}, {100, 0.1, 0.06, 19.8}, {100, 0.5, 0.2, 2.3}, {1000, 0.1, 0.1, 1.3},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        double delays[RUNS];
        for (uint64_t run = 0; run < RUNS; run++) {
            double horizon_s = 10.0 * cases[i].median_s + 10.0;
            delays[run] =
                delay_s(1 + run, cases[i].rate, cases[i].weight, cases[i].fail_ratio, horizon_s);
        }
        qsort(delays, RUNS, sizeof(delays[0]), compare);
        double median_s = delays[RUNS / 2];
        print_message("%4.0f rps, weight %2.0f %%, %3.0f %% fail: %5.1f s, documented %5.1f s\n",
                      cases[i].rate, 100.0 * cases[i].weight, 100.0 * cases[i].fail_ratio, median_s,
                      cases[i].median_s);
        assert_true(median_s < 1.6 * cases[i].median_s + 0.2);
        assert_true(median_s > 0.6 * cases[i].median_s - 0.2);
    }
}

static void healthy_days_pass_without_a_rollback(void **state)
{
    (void)state;
    /* Three days of 40 requests a second at three failure ratios, looked at once a second. */
    const double ratios[] = {0.001, 0.01, 0.04};
    for (size_t i = 0; i < COUNT_OF(ratios); i++) {
        for (uint64_t day = 1; day <= 1; day++) {
            static struct judge judge;
            static struct traffic traffic;
            judge_init(&judge, &JUDGE_CONFIG_DEFAULT);
            traffic_init(&traffic, 1000 * day + i, 40.0, 0.1);
            traffic.stable.fail_ratio = ratios[i];
            traffic.canary.fail_ratio = ratios[i];
            for (int64_t now_ms = 0; now_ms < 86400000; now_ms += 1000) {
                traffic_tick(&traffic, 1.0);
                struct judge_result result = judge_check(&judge, now_ms, &traffic.counts);
                assert_int_not_equal(result.verdict, JUDGE_BREACH);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(median_delay_is_what_is_documented),
        cmocka_unit_test(healthy_days_pass_without_a_rollback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
