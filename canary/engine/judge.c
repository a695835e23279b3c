/* canary/engine/judge.c — see judge.h.
 *
 * Order inside a check: differences of the counters; restart mass; caps and phi, from the state
 * before; error block, absolute, connect block, connect, relative, promotion, phi; latency; trouble
 * of the stable version; verdict. */
#include "canary/engine/judge.h"

#include <math.h>

#include "canary/engine/judge_decide.h"
#include "proxy/base/check.h"

/* Trouble of the stable version: on at this much evidence for the ratio of judge_trouble_ratio, and
 * never above the maximum, so that it ends soon after the trouble does. */
static const double TROUBLE_ON = 5.0;
static const double TROUBLE_MAX = 8.0;

bool judge_is_watching_not_found(const struct judge *judge)
{
    return judge->config.not_found_limit > 0.0;
}

/* All evidence fresh; what is known of the stable version and of the counters stays. */
static void forget(struct judge *judge)
{
    const struct judge_config *config = &judge->config;
    judge_absolute_init(&judge->absolute, config, config->limit, config->share_absolute,
                        &judge->tally);
    judge_absolute_init(&judge->connect, config, config->connect_limit, config->share_connect,
                        &judge->tally);
    judge_relative_test_init(&judge->relative, config, config->share_relative,
                             config->relative_factor, config->relative_margin);
    judge_promote_init(&judge->promote, config);
    judge->step_mass = 0.0;
    judge->excursion_count = 0.0;
    judge->excursion_failed = 0.0;
    judge->has_data = false;
    judge->has_block = false;
    judge->has_trouble = false;
    judge->trouble = 0.0;
    double trouble = judge_trouble_ratio(config->limit);
    judge->trouble_failed_gain = log(trouble / config->limit);
    judge->trouble_passed_gain = log1p(-trouble) - log1p(-config->limit);
    judge_mark_set(&judge->relative_mark, &judge->tally);
    judge_mark_set(&judge->latency_mark, &judge->tally);
    if (judge_is_watching_not_found(judge)) {
        judge_not_found_forget(&judge->not_found, config, &judge->tally);
    }
}

void judge_init(struct judge *judge, const struct judge_config *config)
{
    *judge = (struct judge){.config = *config};
    judge_pair_init(&judge->pair);
    judge_pair_init(&judge->connect_pair);
    judge_dispersion_init(&judge->dispersion, config->burst);
    judge_not_found_init(&judge->not_found, config);
    forget(judge);
}

void judge_start(struct judge *judge, int64_t now_ms)
{
    forget(judge);
    judge->is_latched = false;
    judge->was_confirmed = false;
    judge->has_checked = true;
    judge->checked_ms = now_ms;
    judge_pair_open(&judge->pair, now_ms);
    judge_pair_open(&judge->connect_pair, now_ms);
    judge_not_found_step(&judge->not_found, now_ms);
    if (judge->has_latency) {
        judge_latency_start(&judge->latency, &judge->config, now_ms);
    }
}

void judge_step(struct judge *judge, int64_t now_ms)
{
    judge->step_mass += judge->config.mass_per_step;
    judge_promote_reset(&judge->promote);
    judge_pair_open(&judge->pair, now_ms);
    judge_pair_open(&judge->connect_pair, now_ms);
    judge_not_found_step(&judge->not_found, now_ms);
    if (judge->has_latency) {
        judge_latency_step(&judge->latency, &judge->config, now_ms);
    }
}

void judge_rebase(struct judge *judge)
{
    judge->canary.is_based = false;
    judge->stable.is_based = false;
    judge->canary_connect.is_based = false;
    judge->stable_connect.is_based = false;
    judge->latency.is_based = false;
    judge_not_found_rebase(&judge->not_found);
}

void judge_configure(struct judge *judge, const struct judge_config *config, int64_t now_ms)
{
    bool is_latched = judge->is_latched;
    bool was_confirmed = judge->was_confirmed;
    judge->config = *config;
    judge_dispersion_init(&judge->dispersion, config->burst);
    judge_not_found_init(&judge->not_found, config);
    judge_start(judge, now_ms);
    judge->is_latched = is_latched;
    judge->was_confirmed = was_confirmed;
}

/* What one check works with. */
struct check {
    int64_t now_ms, since_ms;
    double mass, cap, block_cap, phi;
    struct judge_delta canary, stable, canary_connect, stable_connect;
};

/* The most that may be added after `elapsed_ms` without data of that kind. */
static double cap_after(const struct judge_config *config, double rate, bool has_time,
                        int64_t elapsed_ms)
{
    return has_time ? fmin(config->cap, rate * (double)elapsed_ms / 1000.0) : config->cap;
}

static void take_caps(const struct judge *judge, struct check *check)
{
    const struct judge_config *config = &judge->config;
    double rate = config->cap_rate;
    if (judge->has_trouble &&
        (double)(check->now_ms - judge->trouble_ms) <= config->recovering_ms) {
        rate = config->cap_rate_recovering;
    }
    check->cap = cap_after(config, rate, judge->has_data, check->now_ms - judge->data_ms);
    check->block_cap = cap_after(config, rate, judge->has_block, check->now_ms - judge->block_ms);
}

static void take_counts(struct judge *judge, struct check *check, const struct judge_counts *counts)
{
    bool is_based = judge->canary.is_based;
    check->canary = judge_counter_read(&judge->canary, counts->canary_count, counts->canary_failed);
    check->stable = judge_counter_read(&judge->stable, counts->stable_count, counts->stable_failed);
    check->canary_connect = judge_counter_read(&judge->canary_connect, counts->canary_count,
                                               counts->canary_connect_failed);
    check->stable_connect = judge_counter_read(&judge->stable_connect, counts->stable_count,
                                               counts->stable_connect_failed);
    struct judge_tally *tally = &judge->tally;
    tally->canary_count += check->canary.count;
    tally->canary_failed += check->canary.failed;
    tally->canary_connect_failed += check->canary_connect.failed;
    tally->stable_count += check->stable.count;
    tally->stable_failed += check->stable.failed;
    tally->stable_connect_failed += check->stable_connect.failed;
    if (is_based && counts->client_bad >= judge->client_bad_base) {
        tally->client_bad += (double)(counts->client_bad - judge->client_bad_base);
    }
    judge->client_bad_base = counts->client_bad;
}

static struct judge_absolute_input absolute_input(const struct judge *judge,
                                                  const struct check *check)
{
    return (struct judge_absolute_input){
        .now_ms = check->now_ms,
        .since_ms = check->since_ms,
        .mass = check->mass,
        .cap = check->cap,
        .block_cap = check->block_cap,
        .phi = check->phi,
        .stable = check->stable,
        .tally = &judge->tally,
    };
}

static void check_connect(struct judge *judge, const struct check *check)
{
    struct judge_block block = {0};
    struct judge_absolute_input input = absolute_input(judge, check);
    input.canary = (struct judge_delta){check->canary.count, check->canary_connect.failed};
    input.stable = (struct judge_delta){check->stable.count, check->stable_connect.failed};
    bool is_closed = judge_pair_feed(&judge->connect_pair, &judge->config, check->now_ms,
                                     input.canary, input.stable, &block, &input.guess);
    input.block = is_closed ? &block : NULL;
    input.is_block_pending = judge_pair_is_pending(&judge->connect_pair);
    judge_absolute_update(&judge->connect, &input);
}

static void follow_relative_excursion(struct judge *judge, const struct check *check)
{
    if (judge->relative.restart.log_total <= 0.0) {
        judge->excursion_count = 0.0;
        judge->excursion_failed = 0.0;
        judge_mark_set(&judge->relative_mark, &judge->tally);
        return;
    }
    judge->excursion_count += check->canary.count;
    judge->excursion_failed += check->canary.failed;
    if (check->canary.failed > 0.0) {
        judge_mark_failure(&judge->relative_mark, check->since_ms, &judge->tally);
    }
}

static void check_errors(struct judge *judge, const struct check *check)
{
    struct judge_block block = {0};
    struct judge_absolute_input input = absolute_input(judge, check);
    input.canary = check->canary;
    bool is_closed = judge_pair_feed(&judge->pair, &judge->config, check->now_ms, check->canary,
                                     check->stable, &block, &input.guess);
    input.block = is_closed ? &block : NULL;
    input.is_block_pending = judge_pair_is_pending(&judge->pair);
    judge_absolute_update(&judge->absolute, &input);
    check_connect(judge, check);
    judge_relative_test_update(&judge->relative, check->mass, input.block, input.guess,
                               check->block_cap, check->phi);
    follow_relative_excursion(judge, check);
    judge_promote_update(&judge->promote, &judge->config, check->canary, check->stable, input.block,
                         input.guess, check->phi);
    judge_dispersion_feed(&judge->dispersion, check->now_ms, check->stable.count,
                          check->stable.failed, check->canary.count);
    if (is_closed) {
        judge->block_ms = check->now_ms;
        judge->has_block = true;
    }
}

static void check_latency(struct judge *judge, const struct check *check,
                          const struct judge_counts *counts)
{
    if (!judge->has_latency) {
        judge_latency_init(&judge->latency, &judge->config);
        judge->has_latency = true;
    }
    judge_latency_update(&judge->latency, &judge->config, check->now_ms, check->mass,
                         counts->canary_latency, counts->stable_latency, check->block_cap);
    if (judge_latency_leader(&judge->latency)->test.restart.log_total <= 0.0) {
        judge_mark_set(&judge->latency_mark, &judge->tally);
    } else {
        judge_mark_failure(&judge->latency_mark, check->since_ms, &judge->tally);
    }
}

static void check_not_found(struct judge *judge, const struct check *check,
                            const struct judge_counts *counts)
{
    struct judge_not_found_input input = {
        .now_ms = check->now_ms,
        .since_ms = check->since_ms,
        .mass = check->mass,
        .canary_count = counts->canary_count,
        .canary_not_found = counts->canary_not_found,
        .stable_count = counts->stable_count,
        .stable_not_found = counts->stable_not_found,
        .tally = &judge->tally,
    };
    judge_not_found_update(&judge->not_found, &judge->config, &input);
}

static void follow_trouble(struct judge *judge, const struct check *check)
{
    double passed = check->stable.count - check->stable.failed;
    double trouble = judge->trouble + check->stable.failed * judge->trouble_failed_gain +
                     passed * judge->trouble_passed_gain;
    judge->trouble = fmin(fmax(trouble, 0.0), TROUBLE_MAX);
    if (judge->trouble >= TROUBLE_ON) {
        judge->trouble_ms = check->now_ms;
        judge->has_trouble = true;
    }
}

struct judge_result judge_check(struct judge *judge, int64_t now_ms,
                                const struct judge_counts *counts)
{
    bool has_latency = counts->canary_latency != NULL;
    CHECK(has_latency == (counts->stable_latency != NULL));
    struct check check = {.now_ms = now_ms, .since_ms = now_ms, .mass = judge->step_mass};
    if (judge->has_checked) {
        check.since_ms = judge->checked_ms;
        check.mass += judge_config_mass(&judge->config, now_ms - judge->checked_ms);
    }
    check.phi = judge->dispersion.phi;
    judge->has_checked = true;
    judge->checked_ms = now_ms;
    judge->step_mass = 0.0;
    take_counts(judge, &check, counts);
    take_caps(judge, &check);
    check_errors(judge, &check);
    if (has_latency) {
        check_latency(judge, &check, counts);
    }
    if (judge_is_watching_not_found(judge)) {
        check_not_found(judge, &check, counts);
    }
    if (check.canary.count > 0.0) {
        judge->data_ms = now_ms;
        judge->has_data = true;
    }
    follow_trouble(judge, &check);
    judge_decide(judge, now_ms);
    return judge->result;
}
