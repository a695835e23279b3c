/* canary/engine/judge_dispersion.c — see judge_dispersion.h. */
#include "canary/engine/judge_dispersion.h"

#include <math.h>

#include "canary/engine/judge_pair.h"

enum { WINDOW_MS = 1000, WINDOWS_SKIPPED = 5 };
static const double LEVEL_DECAY = 0.9;
static const double MEMORY = 200.0;
static const double PRIOR = 10.0;
static const double PHI_MAX = 100.0;

void judge_dispersion_init(struct judge_dispersion *dispersion, double burst)
{
    *dispersion = (struct judge_dispersion){.phi = 1.0};
    if (burst >= 1.0) {
        dispersion->phi = burst;
        dispersion->is_fixed = true;
    }
}

static void measure(struct judge_dispersion *d)
{
    double prior_count = d->level_count + JUDGE_PRIOR_COUNT;
    double level = (d->level_failed + JUDGE_PRIOR_FAILED) / prior_count;
    double mean = d->count * level;
    double off = d->failed - mean;
    d->variance += fmin(off * off, PHI_MAX * fmax(d->failed, 1.0));
    d->expected += mean * (1.0 - level) * (1.0 + d->count / prior_count);
    if (d->expected > MEMORY) {
        d->variance *= MEMORY / d->expected;
        d->expected = MEMORY;
    }
    double excess = fmax((d->variance + PRIOR) / (d->expected + PRIOR) - 1.0, 0.0);
    d->phi = fmin(1.0 + excess * fmax(1.0, d->level_canary_count / d->level_count), PHI_MAX);
}

void judge_dispersion_feed(struct judge_dispersion *d, int64_t now_ms, double count, double failed,
                           double canary_count)
{
    if (d->is_fixed) {
        return;
    }
    if (!d->is_opened) {
        d->opened_ms = now_ms;
        d->is_opened = true;
    }
    d->count += count;
    d->failed += failed;
    d->canary_count += canary_count;
    if (now_ms - d->opened_ms < WINDOW_MS || d->count == 0.0) {
        return;
    }
    if (d->window_count >= WINDOWS_SKIPPED) {
        measure(d);
    } else {
        d->window_count++;
    }
    d->level_failed = LEVEL_DECAY * d->level_failed + d->failed;
    d->level_count = LEVEL_DECAY * d->level_count + d->count;
    d->level_canary_count = LEVEL_DECAY * d->level_canary_count + d->canary_count;
    d->opened_ms = now_ms;
    d->count = 0.0;
    d->failed = 0.0;
    d->canary_count = 0.0;
}
