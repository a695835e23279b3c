/* canary/engine/judge_pair.h — from cumulative counters to differences, and from differences to
 * blocks.
 *
 * A pair collects what both versions did until both were seen: a block. The guess at the stable
 * version's failure ratio is frozen when a block opens, so that it never depends on the outcomes it
 * is used on. Embedded in the judge; one thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "canary/engine/judge_config.h"
#include "canary/engine/judge_math.h"

/* Pseudo-counts of the guess, and how many requests it remembers. */
#define JUDGE_PRIOR_FAILED 0.05
#define JUDGE_PRIOR_COUNT  10.0
#define JUDGE_MEMORY_COUNT 20000.0

/* A cumulative counter and the failures among it, as last read. */
struct judge_counter {
    uint64_t count, failed;
    bool is_based; /* false: the next reading only sets the base */
};

struct judge_delta {
    double count, failed;
};

/* What happened since the last reading. A counter that went backwards (its process restarted)
 * contributes nothing and its new value becomes the base; more failures than requests (a torn read)
 * are cut. */
struct judge_delta judge_counter_read(struct judge_counter *counter, uint64_t count,
                                      uint64_t failed);

struct judge_pair {
    double failed, count; /* the stable version's, discounted to JUDGE_MEMORY_COUNT requests */
    struct judge_block block;
    double guess;
    int64_t opened_ms;
    bool is_opened; /* false: opened_ms is set by the next reading */
};

void judge_pair_init(struct judge_pair *pair);
/* Drops the open block and opens a new one with a fresh guess. */
void judge_pair_open(struct judge_pair *pair, int64_t now_ms);
bool judge_pair_is_pending(const struct judge_pair *pair);
/* Adds what happened; true when that closed a block, which is then given with the guess it was
 * opened with. */
bool judge_pair_feed(struct judge_pair *pair, const struct judge_config *config, int64_t now_ms,
                     struct judge_delta canary, struct judge_delta stable,
                     struct judge_block *ret_block, double *ret_guess);
