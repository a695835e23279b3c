/* tests/support/traffic.h — seeded traffic for the judge and the rollout, under a clock that the
 * test turns.
 *
 * One call makes the requests of one tick: Poisson arrivals at `rate` per second, each goes to the
 * canary with probability `weight`, each fails with its version's ratio. Connect failures are
 * failures too. */
#pragma once
#include <math.h>
#include <stdint.h>

#include "canary/engine/judge.h"
#include "proxy/base/hash.h"

struct traffic_version {
    double fail_ratio;
    double connect_fail_ratio;
    double not_found_ratio; /* of what does not fail */
    uint64_t latency_us;    /* 0: no latency is kept */
};

struct traffic {
    struct random random;
    double rate;    /* requests per second, both versions together */
    double weight;  /* the canary's share, 0 to 1 */
    double rescued; /* share of the canary's failures that clients do not see */
    struct traffic_version canary, stable;
    struct judge_counts counts;
    struct histogram canary_latency, stable_latency;
};

static inline double traffic_chance(struct traffic *traffic)
{
    return (double)(random_u64(&traffic->random) >> 11) * 0x1p-53;
}

/* How many arrive where `mean` are expected: Knuth's product for small means, the normal limit for
 * large. */
static inline uint64_t traffic_poisson(struct traffic *traffic, double mean)
{
    if (mean > 30.0) {
        double radius = sqrt(-2.0 * log(1.0 - traffic_chance(traffic)));
        double normal = radius * cos(6.283185307179586 * traffic_chance(traffic));
        double count = floor(mean + sqrt(mean) * normal + 0.5);
        return count > 0.0 ? (uint64_t)count : 0;
    }
    double limit = exp(-mean);
    double product = traffic_chance(traffic);
    uint64_t count = 0;
    while (product > limit) {
        product *= traffic_chance(traffic);
        count++;
    }
    return count;
}

static inline void traffic_init(struct traffic *traffic, uint64_t seed, double rate, double weight)
{
    *traffic = (struct traffic){.rate = rate, .weight = weight};
    random_init(&traffic->random, seed);
}

static inline void traffic_request(struct traffic *traffic)
{
    struct judge_counts *counts = &traffic->counts;
    bool is_canary = traffic_chance(traffic) < traffic->weight;
    const struct traffic_version *version = is_canary ? &traffic->canary : &traffic->stable;
    bool is_connect = traffic_chance(traffic) < version->connect_fail_ratio;
    bool is_failed = is_connect || traffic_chance(traffic) < version->fail_ratio;
    *(is_canary ? &counts->canary_count : &counts->stable_count) += 1;
    *(is_canary ? &counts->canary_failed : &counts->stable_failed) += is_failed ? 1 : 0;
    *(is_canary ? &counts->canary_connect_failed : &counts->stable_connect_failed) +=
        is_connect ? 1 : 0;
    if (!is_failed && version->not_found_ratio > 0.0 &&
        traffic_chance(traffic) < version->not_found_ratio) {
        *(is_canary ? &counts->canary_not_found : &counts->stable_not_found) += 1;
    }
    if (is_canary && is_failed && traffic_chance(traffic) >= traffic->rescued) {
        counts->client_bad++;
    }
    if (!is_failed && version->latency_us > 0) {
        double spread = 0.5 + traffic_chance(traffic);
        histogram_record(is_canary ? &traffic->canary_latency : &traffic->stable_latency,
                         (uint64_t)((double)version->latency_us * spread));
    }
}

static inline void traffic_tick(struct traffic *traffic, double elapsed_s)
{
    uint64_t count = traffic_poisson(traffic, traffic->rate * elapsed_s);
    for (uint64_t i = 0; i < count; i++) {
        traffic_request(traffic);
    }
    if (traffic->stable.latency_us > 0) {
        traffic->counts.canary_latency = &traffic->canary_latency;
        traffic->counts.stable_latency = &traffic->stable_latency;
    }
}
