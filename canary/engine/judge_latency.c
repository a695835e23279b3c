/* canary/engine/judge_latency.c — see judge_latency.h. */
#include "canary/engine/judge_latency.h"

#include <math.h>

#include "canary/engine/judge_pair.h"

static const double QUANTILES[JUDGE_QUANTILE_COUNT] = {0.50, 0.95, 0.99};
/* Stable answers beyond a quantile before it is believed. */
static const double TAIL_MIN = 20.0;

/* Places the thresholds of a quantile on the stable version's histogram as it is now. */
static void place(struct judge_quantile *quantile, const struct judge_config *config,
                  const struct judge_latency *latency)
{
    const double *histogram = latency->histogram;
    double needed = quantile->quantile * latency->total;
    double below = 0.0;
    unsigned bucket = 0;
    while (bucket < HISTOGRAM_BUCKETS - 1 && below + histogram[bucket] < needed) {
        below += histogram[bucket];
        bucket++;
    }
    unsigned slow = bucket + 1;
    quantile->stable_slow = slow;
    double stable_us =
        (double)histogram_edge_us(slow < HISTOGRAM_BUCKETS ? slow : HISTOGRAM_BUCKETS - 1);
    double canary_us =
        fmax(config->latency_factor * stable_us, stable_us + config->latency_margin_us);
    unsigned canary_slow = slow;
    while (canary_slow < HISTOGRAM_BUCKETS - 1 &&
           (double)histogram_edge_us(canary_slow) < canary_us) {
        canary_slow++;
    }
    quantile->canary_slow = canary_slow;
    double tail = 0.0;
    for (unsigned i = slow; i < HISTOGRAM_BUCKETS; i++) {
        tail += histogram[i];
    }
    quantile->guess = (tail + JUDGE_PRIOR_COUNT * (1.0 - quantile->quantile)) /
                      (latency->total + JUDGE_PRIOR_COUNT);
}

static void quantile_open(struct judge_quantile *quantile, const struct judge_config *config,
                          const struct judge_latency *latency, int64_t now_ms)
{
    quantile->block = (struct judge_block){0};
    quantile->opened_ms = now_ms;
    quantile->is_opened = true;
    quantile->is_watching = latency->total >= TAIL_MIN / (1.0 - quantile->quantile);
    if (quantile->is_watching) {
        place(quantile, config, latency);
    }
}

static void quantile_forget(struct judge_quantile *quantile, const struct judge_config *config)
{
    double share = config->share_latency / JUDGE_QUANTILE_COUNT;
    judge_relative_test_init(&quantile->test, config, share, 1.0, 0.0);
}

void judge_latency_init(struct judge_latency *latency, const struct judge_config *config)
{
    *latency = (struct judge_latency){0};
    for (size_t i = 0; i < JUDGE_QUANTILE_COUNT; i++) {
        latency->quantiles[i].quantile = QUANTILES[i];
        judge_dispersion_init(&latency->quantiles[i].dispersion, config->burst);
        quantile_forget(&latency->quantiles[i], config);
    }
}

void judge_latency_step(struct judge_latency *latency, const struct judge_config *config,
                        int64_t now_ms)
{
    for (size_t i = 0; i < JUDGE_QUANTILE_COUNT; i++) {
        quantile_open(&latency->quantiles[i], config, latency, now_ms);
    }
}

void judge_latency_start(struct judge_latency *latency, const struct judge_config *config,
                         int64_t now_ms)
{
    for (size_t i = 0; i < JUDGE_QUANTILE_COUNT; i++) {
        quantile_forget(&latency->quantiles[i], config);
    }
    judge_latency_step(latency, config, now_ms);
}

/* What was answered since the last reading, by bucket. */
struct latency_delta {
    double canary[HISTOGRAM_BUCKETS], stable[HISTOGRAM_BUCKETS];
    double canary_total, stable_total;
};

static double histogram_delta(const struct histogram *now, const struct histogram *base,
                              double ret_delta[HISTOGRAM_BUCKETS])
{
    double total = 0.0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count =
            now->buckets[i] > base->buckets[i] ? now->buckets[i] - base->buckets[i] : 0;
        ret_delta[i] = (double)count;
        total += ret_delta[i];
    }
    return total;
}

static double sum_from(const double counts[HISTOGRAM_BUCKETS], unsigned first)
{
    double sum = 0.0;
    for (unsigned i = first; i < HISTOGRAM_BUCKETS; i++) {
        sum += counts[i];
    }
    return sum;
}

static void quantile_update(struct judge_quantile *quantile, int64_t now_ms, double mass,
                            const struct latency_delta *delta, double cap)
{
    struct judge_block closed = {0};
    double guess = quantile->guess;
    double phi = quantile->dispersion.phi;
    quantile->is_closed = false;
    if (quantile->is_watching) {
        struct judge_block *block = &quantile->block;
        double stable_slow = sum_from(delta->stable, quantile->stable_slow);
        block->canary_count += delta->canary_total;
        block->canary_failed += sum_from(delta->canary, quantile->canary_slow);
        block->stable_count += delta->stable_total;
        block->stable_failed += stable_slow;
        quantile->is_closed = block->canary_count > 0.0 && block->stable_count > 0.0;
        closed = *block;
        judge_dispersion_feed(&quantile->dispersion, now_ms, delta->stable_total, stable_slow,
                              delta->canary_total);
    }
    judge_relative_test_update(&quantile->test, mass, quantile->is_closed ? &closed : NULL, guess,
                               cap, phi);
}

static void remember(struct judge_latency *latency, const struct latency_delta *delta)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        latency->histogram[i] += delta->stable[i];
    }
    latency->total += delta->stable_total;
    if (latency->total > JUDGE_MEMORY_COUNT) {
        double factor = JUDGE_MEMORY_COUNT / latency->total;
        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
            latency->histogram[i] *= factor;
        }
        latency->total = JUDGE_MEMORY_COUNT;
    }
}

void judge_latency_update(struct judge_latency *latency, const struct judge_config *config,
                          int64_t now_ms, double mass, const struct histogram *canary,
                          const struct histogram *stable, double cap)
{
    struct latency_delta delta = {0};
    if (latency->is_based) {
        delta.canary_total = histogram_delta(canary, &latency->canary, delta.canary);
        delta.stable_total = histogram_delta(stable, &latency->stable, delta.stable);
    }
    latency->canary = *canary;
    latency->stable = *stable;
    latency->is_based = true;
    for (size_t i = 0; i < JUDGE_QUANTILE_COUNT; i++) {
        struct judge_quantile *quantile = &latency->quantiles[i];
        if (!quantile->is_opened) {
            quantile_open(quantile, config, latency, now_ms);
        }
        quantile_update(quantile, now_ms, mass, &delta, cap);
    }
    remember(latency, &delta);
    for (size_t i = 0; i < JUDGE_QUANTILE_COUNT; i++) {
        struct judge_quantile *quantile = &latency->quantiles[i];
        bool is_old = (double)(now_ms - quantile->opened_ms) > config->block_ms_max;
        if (quantile->is_closed || !quantile->is_watching || is_old) {
            quantile_open(quantile, config, latency, now_ms);
        }
    }
}

const struct judge_quantile *judge_latency_leader(const struct judge_latency *latency)
{
    const struct judge_quantile *leader = &latency->quantiles[0];
    for (size_t i = 1; i < JUDGE_QUANTILE_COUNT; i++) {
        const struct judge_quantile *quantile = &latency->quantiles[i];
        if (quantile->test.restart.log_total > leader->test.restart.log_total) {
            leader = quantile;
        }
    }
    return leader;
}
