/* canary/engine/judge_sentence.c — see judge_sentence.h. */
#include "canary/engine/judge_sentence.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { THOUSAND_DIGITS = 3 };

void judge_count_text(double count, char ret_text[JUDGE_COUNT_TEXT_SIZE])
{
    char digits[JUDGE_COUNT_TEXT_SIZE];
    int digit_count = snprintf(digits, sizeof(digits), "%.0f", fmin(fmax(count, 0.0), 1e18));
    int at = 0;
    for (int i = 0; i < digit_count; i++) {
        if (i > 0 && (digit_count - i) % THOUSAND_DIGITS == 0) {
            ret_text[at++] = ',';
        }
        ret_text[at++] = digits[i];
    }
    ret_text[at] = '\0';
}

void judge_percent_text(double ratio, char ret_text[JUDGE_COUNT_TEXT_SIZE])
{
    double percent = 100.0 * ratio;
    int decimals = percent >= 1.0 || percent == 0.0 ? 1 : 2;
    int size = snprintf(ret_text, JUDGE_COUNT_TEXT_SIZE, "%.*f", decimals, percent);
    while (size > 1 && ret_text[size - 1] == '0') {
        ret_text[--size] = '\0';
    }
    if (ret_text[size - 1] == '.') {
        ret_text[--size] = '\0';
    }
    snprintf(ret_text + size, (size_t)(JUDGE_COUNT_TEXT_SIZE - size), " %%");
}

/* "23 of 180 requests failed (12.8 %)"; `what` is "requests failed" or "connections failed". */
static void ratio_part(double count, double failed, const char *what, struct note *ret_part)
{
    char failed_text[JUDGE_COUNT_TEXT_SIZE];
    char count_text[JUDGE_COUNT_TEXT_SIZE];
    char percent[JUDGE_COUNT_TEXT_SIZE];
    judge_count_text(failed, failed_text);
    judge_count_text(count, count_text);
    judge_percent_text(count > 0.0 ? failed / count : 0.0, percent);
    note_set(ret_part, "%s of %s %s (%s)", failed_text, count_text, what, percent);
}

/* "2 of 1,620" */
static void plain_part(double count, double failed, struct note *ret_part)
{
    char failed_text[JUDGE_COUNT_TEXT_SIZE];
    char count_text[JUDGE_COUNT_TEXT_SIZE];
    judge_count_text(failed, failed_text);
    judge_count_text(count, count_text);
    note_set(ret_part, "%s of %s", failed_text, count_text);
}

static void say_few(const struct judge *judge, struct note *ret_sentence)
{
    uint64_t needed = judge->config.warm_count;
    uint64_t seen = judge->result.canary_count;
    char failed[JUDGE_COUNT_TEXT_SIZE];
    judge_count_text(judge->promote.canary_failed, failed);
    note_set(ret_sentence,
             "canary answered %llu of the %llu requests needed since its weight last changed (%s "
             "failed): %llu are missing",
             (unsigned long long)seen, (unsigned long long)needed, failed,
             (unsigned long long)(needed > seen ? needed - seen : 0));
}

static void say_counts(const struct judge *judge, const struct judge_tally *counts,
                       struct note *ret_sentence)
{
    struct note canary;
    struct note stable;
    char limit[JUDGE_COUNT_TEXT_SIZE];
    ratio_part(counts->canary_count, counts->canary_failed, "requests failed", &canary);
    plain_part(counts->stable_count, counts->stable_failed, &stable);
    judge_percent_text(judge->config.limit, limit);
    note_set(ret_sentence, "canary %s, limit %s, stable %s", canary.text, limit, stable.text);
}

static struct judge_tally tally_of_step(const struct judge *judge)
{
    const struct judge_promote *step = &judge->promote;
    return (struct judge_tally){
        .canary_count = step->canary_count,
        .canary_failed = step->canary_failed,
        .stable_count = step->stable_count,
        .stable_failed = step->stable_failed,
    };
}

void judge_sentence_counts(const struct judge *judge, struct note *ret_sentence)
{
    struct judge_excursion excursion = judge_excursion(judge, JUDGE_REASON_ABSOLUTE);
    struct judge_tally counts = excursion.has_failure ? excursion.counts : tally_of_step(judge);
    say_counts(judge, &counts, ret_sentence);
}

/* For verdicts about the time since the weight last changed. */
static void say_step(const struct judge *judge, const char *close, struct note *ret_sentence)
{
    struct judge_tally tally = tally_of_step(judge);
    struct note counts;
    say_counts(judge, &tally, &counts);
    note_set(ret_sentence, "%s; %s", counts.text, close);
}

static void say_healthy(const struct judge *judge, struct note *ret_sentence)
{
    struct note proof;
    double needed = log(1.0 / judge->config.promote_alpha);
    if (judge->promote.stable_count > 0.0) {
        note_set(&proof, "proof %.1f against the limit and %.1f against stable of %.1f needed",
                 judge->result.log_promote_absolute, judge->result.log_promote_relative, needed);
    } else {
        note_set(&proof, "proof %.1f against the limit of %.1f needed",
                 judge->result.log_promote_absolute, needed);
    }
    say_step(judge, proof.text, ret_sentence);
}

static void say_latency(const struct judge *judge, const struct judge_result *result,
                        struct note *ret_sentence)
{
    const struct judge_quantile *leader = judge_latency_leader(&judge->latency);
    double stable_ms = (double)histogram_edge_us(leader->stable_slow) / 1000.0;
    double canary_ms = (double)histogram_edge_us(leader->canary_slow) / 1000.0;
    note_set(
        ret_sentence,
        "canary is slower than stable: %g %% of stable's answers take at most %.3g ms, fewer of "
        "canary's take at most %.3g ms; evidence %.1f of %.1f needed",
        100.0 * leader->quantile, stable_ms, canary_ms, result->log_latency,
        judge_threshold(judge, JUDGE_REASON_LATENCY));
}

/* The evidence that stands behind a reason; of an absolute breach that the relative test confirmed,
 * the latter's. */
static double evidence_of(const struct judge *judge, const struct judge_result *result,
                          double *ret_needed)
{
    enum judge_reason reason = result->reason;
    if (reason == JUDGE_REASON_ABSOLUTE && result->verdict == JUDGE_BREACH &&
        judge->was_confirmed) {
        reason = JUDGE_REASON_RELATIVE;
    }
    *ret_needed = judge_threshold(judge, reason);
    switch (reason) {
    case JUDGE_REASON_CONNECT:
        return result->log_connect;
    case JUDGE_REASON_RELATIVE:
        return result->log_relative;
    case JUDGE_REASON_LATENCY:
        return result->log_latency;
    default:
        return result->log_absolute;
    }
}

static void say_not_found(const struct judge *judge, const struct judge_result *result,
                          struct note *ret_sentence)
{
    struct judge_excursion excursion = judge_excursion(judge, result->reason);
    const struct judge_tally *counts = &excursion.counts;
    char canary_404[JUDGE_COUNT_TEXT_SIZE];
    char canary_count[JUDGE_COUNT_TEXT_SIZE];
    char percent[JUDGE_COUNT_TEXT_SIZE];
    char limit[JUDGE_COUNT_TEXT_SIZE];
    struct note stable;
    judge_count_text(counts->canary_not_found, canary_404);
    judge_count_text(counts->canary_count, canary_count);
    judge_percent_text(counts->canary_count > 0.0 ? counts->canary_not_found / counts->canary_count
                                                  : 0.0,
                       percent);
    judge_percent_text(judge->config.not_found_limit, limit);
    plain_part(counts->stable_count, counts->stable_not_found, &stable);
    note_set(ret_sentence,
             "canary answered 404 to %s of %s requests (%s), limit %s, stable to %s; evidence %.1f "
             "of %.1f needed",
             canary_404, canary_count, percent, limit, stable.text, result->log_not_found,
             judge->not_found.test.restart.threshold);
}

static void say_failures(const struct judge *judge, const struct judge_result *result,
                         struct note *ret_sentence)
{
    struct judge_excursion excursion = judge_excursion(judge, result->reason);
    const struct judge_tally *counts = &excursion.counts;
    bool is_connect = result->reason == JUDGE_REASON_CONNECT;
    struct note canary;
    struct note stable;
    char limit[JUDGE_COUNT_TEXT_SIZE];
    ratio_part(counts->canary_count,
               is_connect ? counts->canary_connect_failed : counts->canary_failed,
               is_connect ? "requests failed to connect" : "requests failed", &canary);
    plain_part(counts->stable_count,
               is_connect ? counts->stable_connect_failed : counts->stable_failed, &stable);
    judge_percent_text(is_connect ? judge->config.connect_limit : judge->config.limit, limit);
    if (result->reason == JUDGE_REASON_SHARED_OUTAGE && counts->stable_failed == 0.0) {
        note_set(ret_sentence, "canary %s, stable %s; not proven yet that the canary alone fails",
                 canary.text, stable.text);
        return;
    }
    if (result->reason == JUDGE_REASON_SHARED_OUTAGE) {
        note_set(ret_sentence,
                 "both versions fail: canary %s, stable %s; shifting back would not help",
                 canary.text, stable.text);
        return;
    }
    double needed = 0.0;
    double evidence = evidence_of(judge, result, &needed);
    note_set(ret_sentence, "canary %s, limit %s, stable %s; evidence %.1f of %.1f needed",
             canary.text, limit, stable.text, evidence, needed);
}

void judge_sentence(const struct judge *judge, struct note *ret_sentence)
{
    const struct judge_result *result = judge->is_latched ? &judge->latched_result : &judge->result;
    switch (result->verdict) {
    case JUDGE_INSUFFICIENT_DATA:
        say_few(judge, ret_sentence);
        return;
    case JUDGE_OK:
        say_step(judge, "neither proven bad nor proven good", ret_sentence);
        return;
    case JUDGE_HEALTHY:
        say_healthy(judge, ret_sentence);
        return;
    default:
        break;
    }
    if (result->reason == JUDGE_REASON_LATENCY) {
        say_latency(judge, result, ret_sentence);
    } else if (result->is_not_found) {
        say_not_found(judge, result, ret_sentence);
    } else {
        say_failures(judge, result, ret_sentence);
    }
}
