/* canary/engine/judge_pair.c — see judge_pair.h. */
#include "canary/engine/judge_pair.h"

#include <math.h>

struct judge_delta judge_counter_read(struct judge_counter *counter, uint64_t count,
                                      uint64_t failed)
{
    struct judge_delta delta = {0};
    bool went_back = count < counter->count || failed < counter->failed;
    if (counter->is_based && !went_back) {
        delta.count = (double)(count - counter->count);
        delta.failed = fmin((double)(failed - counter->failed), delta.count);
    }
    *counter = (struct judge_counter){.count = count, .failed = failed, .is_based = true};
    return delta;
}

static double guess(const struct judge_pair *pair)
{
    return (pair->failed + JUDGE_PRIOR_FAILED) / (pair->count + JUDGE_PRIOR_COUNT);
}

void judge_pair_init(struct judge_pair *pair)
{
    *pair = (struct judge_pair){0};
    pair->guess = guess(pair);
}

void judge_pair_open(struct judge_pair *pair, int64_t now_ms)
{
    pair->block = (struct judge_block){0};
    pair->guess = guess(pair);
    pair->opened_ms = now_ms;
    pair->is_opened = true;
}

bool judge_pair_is_pending(const struct judge_pair *pair)
{
    return pair->block.canary_count + pair->block.stable_count > 0.0;
}

static void remember(struct judge_pair *pair, struct judge_delta stable)
{
    pair->failed += stable.failed;
    pair->count += stable.count;
    if (pair->count > JUDGE_MEMORY_COUNT) {
        pair->failed *= JUDGE_MEMORY_COUNT / pair->count;
        pair->count = JUDGE_MEMORY_COUNT;
    }
}

bool judge_pair_feed(struct judge_pair *pair, const struct judge_config *config, int64_t now_ms,
                     struct judge_delta canary, struct judge_delta stable,
                     struct judge_block *ret_block, double *ret_guess)
{
    if (!pair->is_opened) {
        pair->opened_ms = now_ms;
        pair->is_opened = true;
    }
    struct judge_block *block = &pair->block;
    block->canary_count += canary.count;
    block->canary_failed += canary.failed;
    block->stable_count += stable.count;
    block->stable_failed += stable.failed;
    remember(pair, stable);
    if (block->canary_count > 0.0 && block->stable_count > 0.0) {
        *ret_block = *block;
        *ret_guess = pair->guess;
        judge_pair_open(pair, now_ms);
        return true;
    }
    if ((double)(now_ms - pair->opened_ms) > config->block_ms_max) {
        judge_pair_open(pair, now_ms);
    }
    return false;
}
