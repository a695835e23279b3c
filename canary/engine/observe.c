#include "canary/engine/observe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/check.h"

void observe_init(struct observe *observe)
{
    *observe = (struct observe){NULL, 0};
}

void observe_finish(struct observe *observe)
{
    free(observe->list);
    observe_init(observe);
}

static void begin(struct observed *observed, const struct observe_policy *policy)
{
    *observed = (struct observed){.policy = *policy};
    judge_init(&observed->judge, &policy->judge);
}

static bool is_equal(const struct observe_policy *a, const struct observe_policy *b)
{
    bool is_same_ratio =
        !(a->instant_above < b->instant_above) && !(a->instant_above > b->instant_above);
    return strcmp(a->name, b->name) == 0 && judge_config_is_equal(&a->judge, &b->judge) &&
           a->is_latency_judged == b->is_latency_judged && is_same_ratio;
}

static const struct observed *find(const struct observe *observe,
                                   const struct observe_policy *policy)
{
    for (size_t i = 0; i < observe->count; i++) {
        if (is_equal(&observe->list[i].policy, policy)) {
            return &observe->list[i];
        }
    }
    return NULL;
}

enum err observe_configure(struct observe *observe, const struct observe_policy *policies,
                           size_t policy_count)
{
    CHECK(policy_count <= OBSERVE_MAX);
    if (policy_count == 0) {
        observe_finish(observe);
        return OK;
    }
    struct observed *list = calloc(policy_count, sizeof *list);
    if (list == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < policy_count; i++) {
        const struct observed *kept = find(observe, &policies[i]);
        if (kept != NULL) {
            list[i] = *kept;
        } else {
            begin(&list[i], &policies[i]);
        }
    }
    free(observe->list);
    *observe = (struct observe){list, policy_count};
    return OK;
}

/* What a rate is divided by: an excursion of one look has no length of its own. */
static double excursion_s(const struct judge_excursion *excursion, int64_t now_ms)
{
    double elapsed_s = 0.0;
    if (excursion->has_failure) {
        elapsed_s = (double)(now_ms - excursion->first_failure_ms) / 1000.0;
    }
    return fmax(elapsed_s, 0.1);
}

static void note_breach(struct observed *observed, int64_t now_ms, int64_t wall_us)
{
    const struct judge_result *result = &observed->judge.result;
    struct judge_excursion excursion = judge_excursion(&observed->judge, result->reason);
    struct judge_tally tally = observed_tally(observed);
    const struct judge_tally *counts = &excursion.counts;
    double elapsed_s = excursion_s(&excursion, now_ms);
    bool is_bad = judge_excursion_has_ratio(&excursion, observed->policy.instant_above);
    observed->has_breached = true;
    observed->is_news = true;
    observed->breach = (struct observe_breach){
        .reason = result->reason,
        .is_instant = result->reason == JUDGE_REASON_CONNECT || is_bad,
        .at_ms = now_ms,
        .wall_us = wall_us,
        .after_s = (double)(now_ms - observed->started_ms) / 1000.0,
        .count = tally.canary_count,
        .failed = tally.canary_failed,
        .client_bad = tally.client_bad,
        .bad_per_s = counts->client_bad / elapsed_s,
        .failed_per_s = counts->canary_failed / elapsed_s,
    };
}

static void look(struct observed *observed, int64_t now_ms, int64_t wall_us,
                 const struct judge_counts *counts)
{
    struct judge_counts seen = *counts;
    if (!observed->policy.is_latency_judged) {
        seen.canary_latency = NULL;
        seen.stable_latency = NULL;
    }
    if (!observed->is_started) {
        observed->is_started = true;
        observed->started_ms = now_ms;
    }
    struct judge_result result = judge_check(&observed->judge, now_ms, &seen);
    if (result.verdict == JUDGE_BREACH && !observed->has_breached) {
        note_breach(observed, now_ms, wall_us);
    }
}

void observe_look(struct observe *observe, int64_t now_ms, int64_t wall_us,
                  const struct judge_counts *counts)
{
    for (size_t i = 0; i < observe->count; i++) {
        look(&observe->list[i], now_ms, wall_us, counts);
    }
}

void observe_start(struct observe *observe, int64_t now_ms)
{
    for (size_t i = 0; i < observe->count; i++) {
        struct observed *observed = &observe->list[i];
        judge_start(&observed->judge, now_ms);
        observed->base = observed->judge.tally;
        observed->is_started = true;
        observed->started_ms = now_ms;
        observed->has_breached = false;
        observed->is_news = false;
    }
}

void observe_step(struct observe *observe, int64_t now_ms)
{
    for (size_t i = 0; i < observe->count; i++) {
        judge_step(&observe->list[i].judge, now_ms);
    }
}

void observe_rebase(struct observe *observe)
{
    for (size_t i = 0; i < observe->count; i++) {
        struct observe_policy policy = observe->list[i].policy;
        begin(&observe->list[i], &policy);
    }
}

struct judge_tally observed_tally(const struct observed *observed)
{
    struct judge_mark mark = {.at = observed->base};
    return judge_mark_since(&mark, &observed->judge.tally);
}

enum judge_verdict observed_verdict(const struct observed *observed)
{
    return observed->judge.result.verdict;
}

enum judge_reason observed_reason(const struct observed *observed)
{
    return observed->judge.result.reason;
}
