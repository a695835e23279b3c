/* canary/engine/judge_decide.c — see judge_decide.h. */
#include "canary/engine/judge_decide.h"

#include <math.h>

#include "proxy/base/check.h"

/* Fewer requests than this say nothing of a ratio: then it is that of the whole excursion. With 3
 * the answer is as often "at once" as if requests were looked at one by one, at any rate of
 * failures and however long a check takes. */
static const double LATER_COUNT_MIN = 3.0;

static const char *const VERDICT_NAMES[] = {"insufficient_data", "ok", "suspicious", "breach",
                                            "healthy"};
static const char *const REASON_NAMES[] = {"none",    "connect",       "absolute", "relative",
                                           "latency", "shared_outage", "health"};
_Static_assert(COUNT_OF(VERDICT_NAMES) == JUDGE_VERDICT_COUNT, "a name for each verdict");
_Static_assert(COUNT_OF(REASON_NAMES) == JUDGE_REASON_COUNT, "a name for each reason");

const char *judge_verdict_name(enum judge_verdict verdict)
{
    CHECK(verdict < JUDGE_VERDICT_COUNT);
    return VERDICT_NAMES[verdict];
}

const char *judge_reason_name(enum judge_reason reason)
{
    CHECK(reason < JUDGE_REASON_COUNT);
    return REASON_NAMES[reason];
}

double judge_threshold(const struct judge *judge, enum judge_reason reason)
{
    switch (reason) {
    case JUDGE_REASON_CONNECT:
        return judge->connect.restart.threshold;
    case JUDGE_REASON_ABSOLUTE:
    case JUDGE_REASON_SHARED_OUTAGE:
        return judge->absolute.restart.threshold;
    case JUDGE_REASON_RELATIVE:
        return judge->relative.restart.threshold;
    case JUDGE_REASON_LATENCY:
        return judge->has_latency ? judge->latency.quantiles[0].test.restart.threshold : 0.0;
    case JUDGE_REASON_NONE:
    case JUDGE_REASON_HEALTH:
    case JUDGE_REASON_COUNT:
        break;
    }
    return 0.0;
}

static const struct judge_mark *excursion_mark(const struct judge *judge, enum judge_reason reason)
{
    const struct judge_mark *mark = NULL;
    if (reason == JUDGE_REASON_RELATIVE && judge->result.is_not_found) {
        return judge_not_found_mark(&judge->not_found);
    }
    if (reason == JUDGE_REASON_LATENCY) {
        return &judge->latency_mark;
    }
    if (reason == JUDGE_REASON_RELATIVE) {
        return &judge->relative_mark;
    }
    if (reason == JUDGE_REASON_CONNECT) {
        mark = judge_absolute_excursion(&judge->connect);
    }
    if (mark == NULL) {
        mark = judge_absolute_excursion(&judge->absolute);
    }
    return mark != NULL ? mark : &judge->relative_mark;
}

/* In an excursion of 404s it is they that fail. */
static struct judge_tally with_not_found(struct judge_tally counts)
{
    counts.canary_failed += counts.canary_not_found;
    counts.stable_failed += counts.stable_not_found;
    return counts;
}

static struct judge_tally excursion_counts(const struct judge *judge, enum judge_reason reason,
                                           const struct judge_tally *from)
{
    struct judge_tally counts = judge_tally_since(from, &judge->tally);
    bool is_not_found = reason == JUDGE_REASON_RELATIVE && judge->result.is_not_found;
    return is_not_found ? with_not_found(counts) : counts;
}

static struct judge_tally later_counts(const struct judge *judge, enum judge_reason reason,
                                       const struct judge_mark *mark)
{
    return mark->has_failure ? excursion_counts(judge, reason, &mark->seen)
                             : (struct judge_tally){0};
}

struct judge_excursion judge_excursion(const struct judge *judge, enum judge_reason reason)
{
    if (judge->is_latched && reason == judge->latched_reason) {
        return (struct judge_excursion){
            .has_failure = judge->latched_mark.has_failure,
            .first_failure_ms = judge->latched_mark.first_failure_ms,
            .base = judge->latched_mark.at,
            .counts = judge->latched_tally,
            .later = judge->latched_later,
        };
    }
    const struct judge_mark *mark = excursion_mark(judge, reason);
    return (struct judge_excursion){
        .has_failure = mark->has_failure,
        .first_failure_ms = mark->first_failure_ms,
        .base = mark->at,
        .counts = excursion_counts(judge, reason, &mark->at),
        .later = later_counts(judge, reason, mark),
    };
}

static bool has_ratio(const struct judge_tally *counts, double ratio)
{
    return counts->canary_failed > 0.0 && counts->canary_failed >= ratio * counts->canary_count;
}

bool judge_excursion_has_ratio(const struct judge_excursion *excursion, double ratio)
{
    return has_ratio(&excursion->counts, ratio) ||
           (excursion->later.canary_count >= LATER_COUNT_MIN &&
            has_ratio(&excursion->later, ratio));
}

static bool is_relative_confirmed(const struct judge *judge)
{
    return judge->excursion_count > 0.0 &&
           judge->excursion_failed >= judge->config.limit * judge->excursion_count;
}

static void decide_breach(struct judge *judge, int64_t now_ms, struct judge_result *result)
{
    double connect_allowed = judge_absolute_guarded(&judge->connect, &judge->config, now_ms);
    bool is_relative = result->log_relative >= judge->relative.restart.threshold;
    enum judge_relative action = judge->config.relative;
    if (connect_allowed >= judge->connect.restart.threshold) {
        result->reason = JUDGE_REASON_CONNECT;
    } else if (result->log_absolute_allowed >= judge->absolute.restart.threshold) {
        result->reason = JUDGE_REASON_ABSOLUTE;
    } else if (is_relative && action == JUDGE_RELATIVE_ROLLBACK) {
        result->reason = JUDGE_REASON_RELATIVE;
    } else if (is_relative && action == JUDGE_RELATIVE_CONFIRM && is_relative_confirmed(judge)) {
        result->reason = JUDGE_REASON_ABSOLUTE;
        judge->was_confirmed = true;
    } else if (judge_is_watching_not_found(judge) &&
               judge_not_found_is_breach(&judge->not_found, &judge->config, &judge->tally)) {
        result->reason = JUDGE_REASON_RELATIVE;
        result->is_not_found = true;
    } else if (judge->has_latency &&
               result->log_latency >= judge_threshold(judge, JUDGE_REASON_LATENCY)) {
        result->reason = JUDGE_REASON_LATENCY;
    } else {
        return;
    }
    result->verdict = JUDGE_BREACH;
}

static void decide_suspicion(const struct judge *judge, struct judge_result *result)
{
    double connect = judge->connect.restart.threshold;
    double absolute = judge->absolute.restart.threshold;
    if (result->log_connect >= connect || result->log_absolute >= absolute) {
        result->reason = JUDGE_REASON_SHARED_OUTAGE;
    } else if (result->log_connect >= 0.5 * connect) {
        result->reason = JUDGE_REASON_CONNECT;
    } else if (result->log_absolute >= 0.5 * absolute) {
        result->reason = JUDGE_REASON_ABSOLUTE;
    } else if (result->log_relative >= 0.5 * judge->relative.restart.threshold &&
               judge->config.relative != JUDGE_RELATIVE_OFF) {
        result->reason = JUDGE_REASON_RELATIVE;
    } else if (judge_is_watching_not_found(judge) &&
               result->log_not_found >= 0.5 * judge->not_found.test.restart.threshold) {
        result->reason = JUDGE_REASON_RELATIVE;
        result->is_not_found = true;
    } else if (judge->has_latency &&
               result->log_latency >= 0.5 * judge_threshold(judge, JUDGE_REASON_LATENCY)) {
        result->reason = JUDGE_REASON_LATENCY;
    } else {
        return;
    }
    result->verdict = JUDGE_SUSPICIOUS;
}

static void decide_promotion(const struct judge *judge, struct judge_result *result)
{
    double needed = log(1.0 / judge->config.promote_alpha);
    bool is_relative_proven =
        result->log_promote_relative >= needed || judge->promote.stable_count == 0.0;
    if (result->log_promote_absolute >= needed && is_relative_proven) {
        result->verdict = JUDGE_HEALTHY;
    } else if (result->canary_count < judge->config.warm_count) {
        result->verdict = JUDGE_INSUFFICIENT_DATA;
    }
}

static void latch(struct judge *judge, const struct judge_result *result)
{
    const struct judge_mark *mark = excursion_mark(judge, result->reason);
    judge->latched_mark = *mark;
    judge->latched_tally = excursion_counts(judge, result->reason, &mark->at);
    judge->latched_later = later_counts(judge, result->reason, mark);
    judge->latched_result = *result;
    judge->latched_reason = result->reason;
    judge->is_latched = true;
}

void judge_decide(struct judge *judge, int64_t now_ms)
{
    struct judge_result *result = &judge->result;
    *result = (struct judge_result){
        .verdict = JUDGE_OK,
        .log_absolute = judge->absolute.restart.log_total,
        .log_absolute_allowed = judge_absolute_guarded(&judge->absolute, &judge->config, now_ms),
        .log_connect = judge->connect.restart.log_total,
        .log_relative = judge->relative.restart.log_total,
        .log_latency = judge->has_latency
                           ? judge_latency_leader(&judge->latency)->test.restart.log_total
                           : -INFINITY,
        .log_not_found = judge_is_watching_not_found(judge)
                             ? judge->not_found.test.restart.log_total
                             : -INFINITY,
        .log_promote_relative = judge_promote_log_relative(&judge->promote),
        .log_promote_absolute = judge_promote_log_absolute(&judge->promote),
        .canary_count = (uint64_t)judge->promote.canary_count,
        .phi = judge->dispersion.phi,
    };
    if (judge->is_latched) {
        result->verdict = JUDGE_BREACH;
        result->reason = judge->latched_reason;
        result->is_not_found = judge->latched_result.is_not_found;
        return;
    }
    decide_breach(judge, now_ms, result);
    if (result->verdict == JUDGE_BREACH) {
        latch(judge, result);
        return;
    }
    decide_suspicion(judge, result);
    if (result->verdict != JUDGE_SUSPICIOUS) {
        decide_promotion(judge, result);
    }
}
