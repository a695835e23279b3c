/* canary/engine/judge_restart.h — a mixture of tests that are restarted all the time.
 *
 * Each of eight alternatives carries log M, the odds against a healthy canary; every check first
 * adds a little fresh mass, then multiplies by the likelihood ratio of what was seen: M <- (M +
 * mass/8) * L. An hour of health can therefore not be saved up, and E[M] stays below the mass given
 * out, so that M >= 1/alpha has at most alpha times that probability however often one looks (Shin,
 * Ramdas & Rinaldo 2024: e-detectors of Shiryaev-Roberts type). The relative test on top of it
 * compares blocks of both versions. Embedded in the judge; one thread. */
#pragma once
#include "canary/engine/judge_config.h"
#include "canary/engine/judge_math.h"

struct judge_restart {
    double log_m[JUDGE_GRID_COUNT];
    double threshold; /* log(1 / alpha of this test), nats */
    double log_total; /* of the mixture, after the last update */
};

void judge_restart_init(struct judge_restart *restart, const struct judge_config *config,
                        double share);
/* `evidence` per alternative, or NULL for none; each is divided by phi and cut at `cap`. */
void judge_restart_update(struct judge_restart *restart, double mass, const double *evidence,
                          double cap, double phi);

/* Null hypothesis: canary's ratio <= factor * stable's + margin, stable's unknown and moving. */
struct judge_relative_test {
    struct judge_restart restart;
    double factor, margin;
    double mass; /* collected while a block is open */
};

void judge_relative_test_init(struct judge_relative_test *test, const struct judge_config *config,
                              double share, double factor, double margin);
/* `block` is the one that closed in this check, or NULL; `guess` is the stable ratio frozen with
 * it. */
void judge_relative_test_update(struct judge_relative_test *test, double mass,
                                const struct judge_block *block, double guess, double cap,
                                double phi);
