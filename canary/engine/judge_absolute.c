/* canary/engine/judge_absolute.c — see judge_absolute.h. */
#include "canary/engine/judge_absolute.h"

#include <math.h>

static const double CUSUM_MAX = 30.0;
static const double GUARD_MIN = -12.0;

void judge_absolute_init(struct judge_absolute *test, const struct judge_config *config,
                         double limit, double share, const struct judge_tally *tally)
{
    *test = (struct judge_absolute){.limit = limit};
    judge_restart_init(&test->restart, config, share);
    double ratios[JUDGE_GRID_COUNT];
    judge_grid(limit, ratios);
    for (size_t i = 0; i < JUDGE_GRID_COUNT; i++) {
        struct judge_alternative *alternative = &test->alternatives[i];
        alternative->ratio = ratios[i];
        alternative->failed_gain = log(ratios[i] / limit);
        alternative->passed_gain = log1p(-ratios[i]) - log1p(-limit);
    }
    judge_mark_set(&test->mark, tally);
}

/* Evidence of a block for "canary fails at `ratio`, stable at `guess`" against "canary fails no
 * more than stable": with slope 1 and no margin the projection is the weighted mean. */
static double guard_evidence(const struct judge_block *block, double ratio, double guess)
{
    return judge_block_evidence(block, ratio, guess, 1.0, 0.0);
}

static void update_guard(struct judge_alternative *alternative,
                         const struct judge_absolute_input *input)
{
    if (input->block == NULL) {
        return;
    }
    if (input->guess >= alternative->ratio) {
        alternative->guard = GUARD_MIN; /* stable looks as bad as this alternative */
    } else if (!alternative->is_block_skipped) {
        double gain = guard_evidence(input->block, alternative->ratio, input->guess) / input->phi;
        alternative->guard = fmax(alternative->guard + fmin(input->block_cap, gain), GUARD_MIN);
    }
    alternative->is_block_skipped = false;
}

static void update_excursion(struct judge_absolute *test, struct judge_alternative *alternative,
                             const struct judge_absolute_input *input, double evidence)
{
    double cusum = alternative->cusum + fmin(input->cap, evidence / input->phi);
    if (cusum > 0.0) {
        alternative->cusum = fmin(cusum, CUSUM_MAX);
        return;
    }
    alternative->cusum = 0.0;
    alternative->guard = 0.0;
    alternative->stable_count = test->stable_count;
    alternative->stable_failed = test->stable_failed;
    alternative->is_block_skipped = input->is_block_pending;
}

/* The alternative nearest to the limit leaves 0 first and comes back last. */
static void follow_mark(struct judge_absolute *test, const struct judge_absolute_input *input)
{
    if (test->alternatives[0].cusum <= 0.0) {
        judge_mark_set(&test->mark, input->tally);
    } else if (input->canary.failed > 0.0) {
        judge_mark_failure(&test->mark, input->since_ms, input->tally);
    }
}

void judge_absolute_update(struct judge_absolute *test, const struct judge_absolute_input *input)
{
    test->stable_count += input->stable.count;
    test->stable_failed += input->stable.failed;
    double evidence[JUDGE_GRID_COUNT];
    for (size_t i = 0; i < JUDGE_GRID_COUNT; i++) {
        const struct judge_alternative *alternative = &test->alternatives[i];
        double passed = input->canary.count - input->canary.failed;
        evidence[i] =
            input->canary.failed * alternative->failed_gain + passed * alternative->passed_gain;
    }
    judge_restart_update(&test->restart, input->mass, evidence, input->cap, input->phi);
    for (size_t i = 0; i < JUDGE_GRID_COUNT; i++) {
        update_guard(&test->alternatives[i], input);
        update_excursion(test, &test->alternatives[i], input, evidence[i]);
    }
    follow_mark(test, input);
    bool was_crossed = test->is_crossed;
    test->is_crossed = test->restart.log_total >= test->restart.threshold;
    if (test->is_crossed && !was_crossed) {
        test->crossed_ms = input->now_ms;
    }
}

/* Since the excursion began the stable version had fewer failures than the limit allows. */
static bool is_stable_quiet(const struct judge_absolute *test,
                            const struct judge_alternative *alternative)
{
    double count = test->stable_count - alternative->stable_count;
    double failed = test->stable_failed - alternative->stable_failed;
    return failed < fmax(1.0, test->limit * count);
}

double judge_absolute_guarded(const struct judge_absolute *test, const struct judge_config *config,
                              int64_t now_ms)
{
    if (config->is_strict) {
        return test->restart.log_total;
    }
    double needed = log(JUDGE_GRID_COUNT / config->guard_alpha);
    bool has_waited =
        test->is_crossed && (double)(now_ms - test->crossed_ms) >= config->guard_wait_ms;
    double allowed[JUDGE_GRID_COUNT];
    for (size_t i = 0; i < JUDGE_GRID_COUNT; i++) {
        const struct judge_alternative *alternative = &test->alternatives[i];
        bool may_roll_back =
            alternative->guard >= needed || (has_waited && is_stable_quiet(test, alternative));
        allowed[i] = may_roll_back ? test->restart.log_m[i] : -INFINITY;
    }
    return judge_log_sum(allowed, JUDGE_GRID_COUNT);
}

const struct judge_mark *judge_absolute_excursion(const struct judge_absolute *test)
{
    return test->alternatives[0].cusum > 0.0 ? &test->mark : NULL;
}
