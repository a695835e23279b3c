/* canary/engine/judge_dispersion.h — how many failures come at a time.
 *
 * The ratio of variance to mean of the stable version's failures per second, at least 1: failures
 * that come c at a time give c, and all evidence is divided by it (a quasi-likelihood). Where the
 * canary has more traffic than the stable version its clusters may be larger, and the excess is
 * scaled by that. Only windows that are closed are used, so the value is known before the data it
 * is applied to. Embedded in the judge; one thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct judge_dispersion {
    double phi; /* the answer, from 1 to 100 */
    bool is_fixed;
    bool is_opened;
    int64_t opened_ms;
    double count, failed, canary_count;                   /* the open window */
    double level_count, level_failed, level_canary_count; /* about the last ten windows */
    double variance, expected;                            /* observed against independent */
    unsigned window_count;
};

/* `burst` >= 1 fixes the answer, below that it is measured. */
void judge_dispersion_init(struct judge_dispersion *dispersion, double burst);
void judge_dispersion_feed(struct judge_dispersion *dispersion, int64_t now_ms, double count,
                           double failed, double canary_count);
