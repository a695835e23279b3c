/* bench/judge/draw.h — seeded draws for simulated traffic: counts per look, not single requests.
 *
 * Poisson counts are exact: by inversion below a mean of ten, above it by the transformed rejection
 * of Hörmann 1993 ("The transformed rejection method for generating Poisson random variables",
 * algorithm PTRS). What a mean needs is worked out once and kept. Plain values; any thread. */
#pragma once
#include <stdint.h>

#include "proxy/base/hash.h"

/* Uniform in (0, 1). */
double draw_uniform(struct random *random);
double draw_normal(struct random *random);

struct draw_poisson {
    double mean;
    double exp_minus_mean;                           /* below ten */
    double log_mean, a, b, accept_below, log_factor; /* from ten on */
};

/* mean >= 0. */
void draw_poisson_init(struct draw_poisson *poisson, double mean);
uint64_t draw_poisson(const struct draw_poisson *poisson, struct random *random);
