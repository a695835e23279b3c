/* canary/engine/judge_not_found.c — see judge_not_found.h. */
#include "canary/engine/judge_not_found.h"

#include <math.h>

/* As for failures (judge.c): trouble is on at this much evidence for twice the limit. */
static const double TROUBLE_ON = 5.0;
static const double TROUBLE_MAX = 8.0;
static const double CUSUM_MAX = 30.0;

void judge_not_found_init(struct judge_not_found *test, const struct judge_config *config)
{
    *test = (struct judge_not_found){.has_block = false};
    judge_pair_init(&test->pair);
    judge_dispersion_init(&test->dispersion, config->burst);
    judge_not_found_forget(test, config, &(struct judge_tally){.canary_count = 0.0});
}

void judge_not_found_forget(struct judge_not_found *test, const struct judge_config *config,
                            const struct judge_tally *tally)
{
    judge_relative_test_init(&test->test, config, config->share_not_found, config->relative_factor,
                             config->relative_margin);
    judge_mark_set(&test->proving, tally);
    judge_mark_set(&test->excursion, tally);
    test->cusum = 0.0;
    test->has_block = false;
    test->has_trouble = false;
    test->trouble = 0.0;
}

void judge_not_found_step(struct judge_not_found *test, int64_t now_ms)
{
    judge_pair_open(&test->pair, now_ms);
}

void judge_not_found_rebase(struct judge_not_found *test)
{
    test->canary.is_based = false;
    test->stable.is_based = false;
}

static double cap_of(const struct judge_not_found *test, const struct judge_config *config,
                     int64_t now_ms)
{
    bool is_recovering =
        test->has_trouble && (double)(now_ms - test->trouble_ms) <= config->recovering_ms;
    double rate = is_recovering ? config->cap_rate_recovering : config->cap_rate;
    return test->has_block ? fmin(config->cap, rate * (double)(now_ms - test->block_ms) / 1000.0)
                           : config->cap;
}

static void follow(struct judge_mark *mark, bool is_on, struct judge_delta canary,
                   const struct judge_not_found_input *input)
{
    if (!is_on) {
        judge_mark_set(mark, input->tally);
    } else if (canary.failed > 0.0) {
        judge_mark_failure(mark, input->since_ms, input->tally);
    }
}

/* As the absolute test marks its excursions, by the alternative that is nearest to the limit. */
static void follow_excursion(struct judge_not_found *test, const struct judge_config *config,
                             struct judge_delta canary, const struct judge_not_found_input *input)
{
    double limit = config->not_found_limit;
    double ratios[JUDGE_GRID_COUNT];
    judge_grid(limit, ratios);
    double gain = canary.failed * log(ratios[0] / limit) +
                  (canary.count - canary.failed) * (log1p(-ratios[0]) - log1p(-limit));
    test->cusum = fmin(fmax(test->cusum + gain, 0.0), CUSUM_MAX);
    follow(&test->excursion, test->cusum > 0.0, canary, input);
    follow(&test->proving, test->test.restart.log_total > 0.0, canary, input);
}

/* Both versions may lose the same files at once and get them back one after the other: while
 * stable is in trouble itself evidence comes in slowly. */
static void follow_trouble(struct judge_not_found *test, const struct judge_config *config,
                           struct judge_delta stable, int64_t now_ms)
{
    double limit = config->not_found_limit;
    double ratio = judge_trouble_ratio(limit);
    double gain = stable.failed * log(ratio / limit) +
                  (stable.count - stable.failed) * (log1p(-ratio) - log1p(-limit));
    test->trouble = fmin(fmax(test->trouble + gain, 0.0), TROUBLE_MAX);
    if (test->trouble >= TROUBLE_ON) {
        test->trouble_ms = now_ms;
        test->has_trouble = true;
    }
}

void judge_not_found_update(struct judge_not_found *test, const struct judge_config *config,
                            const struct judge_not_found_input *input)
{
    struct judge_delta canary =
        judge_counter_read(&test->canary, input->canary_count, input->canary_not_found);
    struct judge_delta stable =
        judge_counter_read(&test->stable, input->stable_count, input->stable_not_found);
    input->tally->canary_not_found += canary.failed;
    input->tally->stable_not_found += stable.failed;
    double cap = cap_of(test, config, input->now_ms);
    double phi = test->dispersion.phi;
    struct judge_block block = {0};
    double guess = 0.0;
    bool is_closed =
        judge_pair_feed(&test->pair, config, input->now_ms, canary, stable, &block, &guess);
    judge_relative_test_update(&test->test, input->mass, is_closed ? &block : NULL, guess, cap,
                               phi);
    if (is_closed) {
        test->block_ms = input->now_ms;
        test->has_block = true;
    }
    judge_dispersion_feed(&test->dispersion, input->now_ms, stable.count, stable.failed,
                          canary.count);
    follow_excursion(test, config, canary, input);
    follow_trouble(test, config, stable, input->now_ms);
}

const struct judge_mark *judge_not_found_mark(const struct judge_not_found *test)
{
    return test->cusum > 0.0 ? &test->excursion : &test->proving;
}

bool judge_not_found_is_breach(const struct judge_not_found *test,
                               const struct judge_config *config, const struct judge_tally *tally)
{
    struct judge_tally seen = judge_mark_since(&test->proving, tally);
    return test->test.restart.log_total >= test->test.restart.threshold &&
           seen.canary_count > 0.0 &&
           seen.canary_not_found >= config->not_found_limit * seen.canary_count;
}
