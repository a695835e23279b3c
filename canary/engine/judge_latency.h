/* canary/engine/judge_latency.h — is the canary slower than the stable version?
 *
 * At three quantiles of the stable version's latency: "slow" is, for stable, above that quantile t,
 * and for the canary above max(1.25 t, t + 5 ms); the relative test then asks whether more canary
 * than stable requests are slow. t comes from a discounted histogram and is frozen while a block is
 * open, so it may move. A sequential test of stochastic order with its tolerance inside the
 * thresholds (Howard & Ramdas 2022). Embedded in the judge; one thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "canary/engine/judge_dispersion.h"
#include "canary/engine/judge_restart.h"
#include "metrics/histogram.h"

enum { JUDGE_QUANTILE_COUNT = 3 };

struct judge_quantile {
    double quantile;
    struct judge_relative_test test;
    struct judge_dispersion dispersion;
    struct judge_block block; /* failed: slow */
    int64_t opened_ms;
    bool is_opened;
    bool is_watching;                  /* there was enough stable traffic to place the thresholds */
    bool is_closed;                    /* the block closed in this check */
    unsigned stable_slow, canary_slow; /* first slow bucket of either */
    double guess;
};

struct judge_latency {
    double histogram[HISTOGRAM_BUCKETS]; /* of stable, discounted */
    double total;
    struct histogram canary, stable; /* as last read */
    bool is_based;
    struct judge_quantile quantiles[JUDGE_QUANTILE_COUNT];
};

void judge_latency_init(struct judge_latency *latency, const struct judge_config *config);
/* A new rollout: evidence is dropped, the histogram is kept. */
void judge_latency_start(struct judge_latency *latency, const struct judge_config *config,
                         int64_t now_ms);
/* The weight changed: open blocks are dropped. */
void judge_latency_step(struct judge_latency *latency, const struct judge_config *config,
                        int64_t now_ms);
/* Cumulative histograms; the first reading sets the base. */
void judge_latency_update(struct judge_latency *latency, const struct judge_config *config,
                          int64_t now_ms, double mass, const struct histogram *canary,
                          const struct histogram *stable, double cap);
/* The quantile with the most evidence; its test.restart has the numbers. */
const struct judge_quantile *judge_latency_leader(const struct judge_latency *latency);
