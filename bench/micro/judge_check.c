/* bench/micro/judge_check.c — what one look of the judge costs, without and with latency.
 *
 * Every check closes a block of both versions at 1,000 requests a second, some failing: the full
 * work each time. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "canary/engine/judge.h"

enum { PASSES = 7, CHECKS = 20000, TICK_MS = 100 };

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return 1e9 * (double)time.tv_sec + (double)time.tv_nsec;
}

static double pass_us(bool has_latency)
{
    static struct judge judge;
    static struct histogram canary;
    static struct histogram stable;
    judge_init(&judge, &JUDGE_CONFIG_DEFAULT);
    struct judge_counts counts = {0};
    if (has_latency) {
        counts.canary_latency = &canary;
        counts.stable_latency = &stable;
    }
    double begin = now_ns();
    for (unsigned i = 0; i < CHECKS; i++) {
        counts.canary_count += 10;
        counts.stable_count += 90;
        counts.canary_failed += i % 50 == 0;
        counts.stable_failed += i % 7 == 0;
        canary.buckets[100 + i % 16] += 10;
        stable.buckets[100 + i % 16] += 90;
        judge_check(&judge, (int64_t)i * TICK_MS, &counts);
    }
    return (now_ns() - begin) / CHECKS / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, bool has_latency, double target_us)
{
    double passes[PASSES];
    for (int i = 0; i < PASSES; i++) {
        passes[i] = pass_us(has_latency);
    }
    qsort(passes, PASSES, sizeof(passes[0]), compare);
    printf("%s\t%.2f\tus\t%g\n", name, passes[PASSES / 2], target_us);
}

int main(void)
{
    report("judge_check", false, 8.0);
    report("judge_check_with_latency", true, 25.0);
    return 0;
}
