/* canary/engine/judge_mark.h — running totals, and a place in them from which an excursion is
 * counted.
 *
 * This decides nothing: it is what records, sentences and the severity of a breach are told from.
 * The first failure is dated by the check before the one that saw it, so that a duration measured
 * from it is never too short. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Totals since the judge began, resets of counters left out. */
struct judge_tally {
    double canary_count, canary_failed;
    double canary_connect_failed;
    double stable_count, stable_failed;
    double stable_connect_failed;
    double canary_not_found, stable_not_found; /* 404s, where they are judged */
    double client_bad;                         /* bad canary responses that clients saw */
};

struct judge_mark {
    struct judge_tally at;   /* the totals when the excursion began */
    struct judge_tally seen; /* ... and after the check that saw its first failure */
    int64_t first_failure_ms;
    bool has_failure;
};

static inline void judge_mark_set(struct judge_mark *mark, const struct judge_tally *tally)
{
    mark->at = *tally;
    mark->has_failure = false;
}

static inline void judge_mark_failure(struct judge_mark *mark, int64_t at_ms,
                                      const struct judge_tally *tally)
{
    if (!mark->has_failure) {
        mark->seen = *tally;
        mark->first_failure_ms = at_ms;
        mark->has_failure = true;
    }
}

/* What happened from one total to a later one. */
static inline struct judge_tally judge_tally_since(const struct judge_tally *from,
                                                   const struct judge_tally *tally)
{
    return (struct judge_tally){
        .canary_count = tally->canary_count - from->canary_count,
        .canary_failed = tally->canary_failed - from->canary_failed,
        .canary_connect_failed = tally->canary_connect_failed - from->canary_connect_failed,
        .stable_count = tally->stable_count - from->stable_count,
        .stable_failed = tally->stable_failed - from->stable_failed,
        .stable_connect_failed = tally->stable_connect_failed - from->stable_connect_failed,
        .canary_not_found = tally->canary_not_found - from->canary_not_found,
        .stable_not_found = tally->stable_not_found - from->stable_not_found,
        .client_bad = tally->client_bad - from->client_bad,
    };
}

/* What happened since the mark. */
static inline struct judge_tally judge_mark_since(const struct judge_mark *mark,
                                                  const struct judge_tally *tally)
{
    return judge_tally_since(&mark->at, tally);
}
