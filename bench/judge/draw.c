/* bench/judge/draw.c — see draw.h. */
#include "bench/judge/draw.h"

#include <math.h>

#include "proxy/base/check.h"

static const double MEAN_INVERTED_MAX = 10.0;

double draw_uniform(struct random *random)
{
    return ((double)(random_u64(random) >> 11) + 0.5) * 0x1p-53;
}

double draw_normal(struct random *random)
{
    double radius = sqrt(-2.0 * log(draw_uniform(random)));
    return radius * cos(6.283185307179586 * draw_uniform(random));
}

void draw_poisson_init(struct draw_poisson *poisson, double mean)
{
    CHECK(mean >= 0.0);
    *poisson = (struct draw_poisson){.mean = mean};
    if (mean < MEAN_INVERTED_MAX) {
        poisson->exp_minus_mean = exp(-mean);
        return;
    }
    double b = 0.931 + 2.53 * sqrt(mean);
    poisson->log_mean = log(mean);
    poisson->b = b;
    poisson->a = -0.059 + 0.02483 * b;
    poisson->accept_below = 0.9277 - 3.6224 / (b - 2.0);
    poisson->log_factor = log(1.1239 + 1.1328 / (b - 3.4));
}

static uint64_t invert(const struct draw_poisson *poisson, struct random *random)
{
    double rest = draw_uniform(random);
    double chance = poisson->exp_minus_mean;
    uint64_t count = 0;
    while (rest > chance && count < 1000) { /* the end is for rounding in the far tail */
        rest -= chance;
        count++;
        chance *= poisson->mean / (double)count;
    }
    return count;
}

static uint64_t reject(const struct draw_poisson *poisson, struct random *random)
{
    for (;;) {
        double u = draw_uniform(random) - 0.5;
        double v = draw_uniform(random);
        double edge = 0.5 - fabs(u);
        double count = floor((2.0 * poisson->a / edge + poisson->b) * u + poisson->mean + 0.43);
        if (edge >= 0.07 && v <= poisson->accept_below) {
            return (uint64_t)count;
        }
        if (count < 0.0 || (edge < 0.013 && v > edge)) {
            continue;
        }
        double squeezed =
            log(v) + poisson->log_factor - log(poisson->a / (edge * edge) + poisson->b);
        if (squeezed <= count * poisson->log_mean - poisson->mean - lgamma(count + 1.0)) {
            return (uint64_t)count;
        }
    }
}

uint64_t draw_poisson(const struct draw_poisson *poisson, struct random *random)
{
    return poisson->mean < MEAN_INVERTED_MAX ? invert(poisson, random) : reject(poisson, random);
}
