/* bench/judge/latency.c — the canary answers well, and late. */
#include <math.h>
#include <stdio.h>

#include "bench/judge/experiments.h"
#include "bench/judge/source.h"

static const double LOG_SPREAD = 0.5; /* of the lognormal times */

struct slow_trial {
    struct judge judge;
    struct source source;
    struct judge_counts counts;
    struct histogram canary, stable;
};

static void record(struct random *random, struct histogram *histogram, uint64_t count,
                   double median_ms, double slow_share, double slow_factor)
{
    for (uint64_t i = 0; i < count; i++) {
        double time_us = 1000.0 * median_ms * exp(LOG_SPREAD * draw_normal(random));
        if (slow_share > 0.0 && draw_uniform(random) < slow_share) {
            time_us *= slow_factor;
        }
        histogram_record(histogram, (uint64_t)time_us);
    }
}

static void run_once(struct slow_trial *trial, const struct options *options, unsigned run)
{
    struct judge_config config = options_judge(options);
    *trial = (struct slow_trial){0};
    trial->counts.canary_latency = &trial->canary;
    trial->counts.stable_latency = &trial->stable;
    judge_init(&trial->judge, &config);
    source_init(&trial->source, source_seed(options->seed, run), options->rate, options->weight,
                1.0);
    source_set(&trial->source, options->tick_ms / 1000.0, options->canary, options->stable);
    int64_t fault_ms = (int64_t)(1000.0 * options->healthy_s);
    int64_t end_ms = fault_ms + (int64_t)(1000.0 * options->horizon_s);
    uint64_t count_before = 0;
    judge_check(&trial->judge, 0, &trial->counts);
    for (int64_t now_ms = (int64_t)options->tick_ms; now_ms <= end_ms;
         now_ms += (int64_t)options->tick_ms) {
        bool is_slow = now_ms > fault_ms;
        struct random *random = &trial->source.random;
        struct look look = source_next(&trial->source);
        look_count(&look, &trial->counts);
        record(random, &trial->stable, look.stable_count - look.stable_failed, options->stable_ms,
               0.0, 1.0);
        record(random, &trial->canary, look.canary_count - look.canary_failed,
               is_slow ? options->canary_ms : options->stable_ms,
               is_slow ? options->slow_share : 0.0, options->slow_factor);
        if (!is_slow) {
            count_before = trial->counts.canary_count;
        }
        if (judge_check(&trial->judge, now_ms, &trial->counts).verdict == JUDGE_BREACH) {
            printf("%u\t%s\t%.1f\t%llu\n", run, is_slow ? "found" : "before",
                   (double)(now_ms - fault_ms) / 1000.0,
                   (unsigned long long)(trial->counts.canary_count - count_before));
            return;
        }
    }
    printf("%u\tnever\t0\t0\n", run);
}

void experiment_latency(const struct options *options)
{
    static struct slow_trial trial;
    for (unsigned run = 0; run < (unsigned)options->runs; run++) {
        run_once(&trial, options, run);
    }
}
