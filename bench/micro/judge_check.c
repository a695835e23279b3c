/* bench/micro/judge_check.c — what one look of the judge costs, without and with latency, and one
 * of all the policies that a service may have looking on.
 *
 * Every check closes a block of both versions at 1,000 requests a second, some failing: the full
 * work each time. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "canary/engine/observe.h"

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

static double observers_us(void)
{
    static struct histogram canary;
    static struct histogram stable;
    struct observe_policy policies[OBSERVE_MAX];
    struct observe observe;
    for (unsigned i = 0; i < OBSERVE_MAX; i++) {
        policies[i] =
            (struct observe_policy){.judge = JUDGE_CONFIG_DEFAULT, .is_latency_judged = true};
        policies[i].judge.limit = 0.05 + 0.01 * i;
        policies[i].name[0] = (char)('a' + i);
    }
    observe_init(&observe);
    if (observe_configure(&observe, policies, OBSERVE_MAX) != OK) {
        return 0.0;
    }
    struct judge_counts counts = {.canary_latency = &canary, .stable_latency = &stable};
    double begin = now_ns();
    for (unsigned i = 0; i < CHECKS / OBSERVE_MAX; i++) {
        counts.canary_count += 10;
        counts.stable_count += 90;
        counts.canary_failed += i % 50 == 0;
        counts.stable_failed += i % 7 == 0;
        canary.buckets[100 + i % 16] += 10;
        stable.buckets[100 + i % 16] += 90;
        observe_look(&observe, (int64_t)i * TICK_MS, 0, &counts);
    }
    double took_us = (now_ns() - begin) / ((double)CHECKS / OBSERVE_MAX) / 1e3;
    observe_finish(&observe);
    return took_us;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double plain_us(void)
{
    return pass_us(false);
}

static double latency_us(void)
{
    return pass_us(true);
}

static void report(const char *name, double (*pass)(void), double target_us)
{
    double passes[PASSES];
    for (int i = 0; i < PASSES; i++) {
        passes[i] = pass();
    }
    qsort(passes, PASSES, sizeof(passes[0]), compare);
    printf("%s\t%.2f\tus\t%g\n", name, passes[PASSES / 2], target_us);
}

int main(void)
{
    report("judge_check", plain_us, 8.0);
    report("judge_check_with_latency", latency_us, 25.0);
    report("observe_16_policies", observers_us, 400.0);
    return 0;
}
