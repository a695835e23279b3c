/* bench/judge/source.h — simulated traffic of both versions, one look's counts at a time.
 *
 * Requests arrive as a Poisson stream, each goes to the canary with the chance `weight`, each fails
 * with its version's ratio; so what passes and what fails of each version are independent Poisson
 * counts, and four draws make a look. With a cluster size above 1 failures come that many at once.
 * Plain values; one thread. */
#pragma once
#include <stdbool.h>

#include "bench/judge/draw.h"
#include "canary/engine/judge.h"

/* What happened between two looks. */
struct look {
    uint64_t canary_count, canary_failed;
    uint64_t stable_count, stable_failed;
};

struct source_version {
    double ratio; /* that the two streams are made for */
    struct draw_poisson passed, failed;
};

struct source {
    struct random random;
    double rate; /* requests per second, both versions together */
    double weight;
    double cluster;   /* failures at a time */
    double elapsed_s; /* between two looks */
    struct source_version canary, stable;
};

void source_init(struct source *source, uint64_t seed, double rate, double weight, double cluster);
/* From now on the looks are so far apart and the versions fail so often; cheap when nothing
 * changed. */
void source_set(struct source *source, double elapsed_s, double canary_ratio, double stable_ratio);
struct look source_next(struct source *source);

/* Adds the look to the judge's counters. */
void look_count(const struct look *look, struct judge_counts *counts);
/* The seed of run `run` of an experiment with this seed; never 0. */
uint64_t source_seed(double seed, uint64_t run);
