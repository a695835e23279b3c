/* canary/engine/judge_not_found.h — does the canary answer 404 more often than it should?
 *
 * A static site never answers 5xx: when a release lost its files, its 404s are all there is to see.
 * They cannot be judged by a limit alone, because every public site has its share of them from
 * crawlers and old links. So this is a further detector with a ledger and a part of the budget of
 * its own: the relative test over 404s, which breaches where the canary is proven to answer more of
 * them than the stable version and its own ratio over the excursion is at the limit (the rule that
 * `relative: confirm` has for failures). Clusters of 404s (a crawler comes by) are measured and
 * allowed for as those of failures are. Embedded in the judge, and only fed when there is a limit;
 * one thread. */
#pragma once
#include "canary/engine/judge_dispersion.h"
#include "canary/engine/judge_mark.h"
#include "canary/engine/judge_pair.h"
#include "canary/engine/judge_restart.h"

struct judge_not_found {
    struct judge_counter canary, stable;
    struct judge_pair pair;
    struct judge_dispersion dispersion;
    struct judge_relative_test test;
    struct judge_mark proving;   /* since evidence was last <= 0: what the limit is held to */
    struct judge_mark excursion; /* since the canary's 404s lie above the limit: what is told */
    double cusum;                /* above 0 exactly in an excursion */
    bool has_block, has_trouble;
    int64_t block_ms, trouble_ms;
    double trouble; /* CUSUM: does the stable version itself answer far more 404s than it may? */
};

/* What one check brings. */
struct judge_not_found_input {
    int64_t now_ms, since_ms; /* of this check, and of the one before */
    double mass;
    uint64_t canary_count, canary_not_found; /* cumulative, as in judge_counts */
    uint64_t stable_count, stable_not_found;
    struct judge_tally *tally; /* totals after this check; the 404s are added here */
};

/* Fresh in every respect. */
void judge_not_found_init(struct judge_not_found *test, const struct judge_config *config);
/* All evidence is dropped, what is known of the stable version is kept. */
void judge_not_found_forget(struct judge_not_found *test, const struct judge_config *config,
                            const struct judge_tally *tally);
/* The weight changed, or the rollout starts: the open block is dropped. */
void judge_not_found_step(struct judge_not_found *test, int64_t now_ms);
void judge_not_found_rebase(struct judge_not_found *test);
void judge_not_found_update(struct judge_not_found *test, const struct judge_config *config,
                            const struct judge_not_found_input *input);
/* The stretch that the detector's verdict is about; valid until the next update. */
const struct judge_mark *judge_not_found_mark(const struct judge_not_found *test);
/* Proven worse than stable, and seen at the limit. */
bool judge_not_found_is_breach(const struct judge_not_found *test,
                               const struct judge_config *config, const struct judge_tally *tally);
