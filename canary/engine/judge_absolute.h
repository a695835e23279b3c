/* canary/engine/judge_absolute.h — the absolute test: the canary's failure ratio is at most
 * `limit`.
 *
 * A restart mixture over the canary's own counts, and a guard in front of it: an alternative may
 * roll back only where the canary is also proven worse than the stable version during this very
 * excursion, or where the test has stayed crossed for a while and the stable version is quiet (this
 * covers "almost no stable traffic"). So an outage that both versions share rolls nothing back.
 * Used twice: for all failures, and with a lower limit for failures to connect. An excursion of an
 * alternative is the stretch since its CUSUM left 0: the estimate of when the trouble began.
 * Embedded in the judge; one thread. */
#pragma once
#include "canary/engine/judge_mark.h"
#include "canary/engine/judge_pair.h"
#include "canary/engine/judge_restart.h"

/* One of the eight failure ratios that the limit is tested against. */
struct judge_alternative {
    double ratio;
    double failed_gain, passed_gain; /* log likelihood ratio of one request against the limit */
    double cusum;                    /* of the excursion */
    double guard;                    /* log e-value of "worse than stable" during the excursion */
    bool is_block_skipped;           /* the open block began before the excursion did */
    double stable_count, stable_failed; /* totals when the excursion began */
};

struct judge_absolute {
    struct judge_restart restart;
    struct judge_alternative alternatives[JUDGE_GRID_COUNT];
    double limit;
    double stable_count, stable_failed;
    struct judge_mark mark; /* of the canary's excursion above the limit */
    bool is_crossed;
    int64_t crossed_ms;
};

/* What one check brings. */
struct judge_absolute_input {
    int64_t now_ms;
    double mass, cap, block_cap, phi;
    struct judge_delta canary, stable;
    const struct judge_block *block; /* closed in this check, or NULL */
    double guess;
    bool is_block_pending;
    const struct judge_tally *tally; /* totals after this check */
    int64_t since_ms;                /* when the check before this one was */
};

void judge_absolute_init(struct judge_absolute *test, const struct judge_config *config,
                         double limit, double share, const struct judge_tally *tally);
void judge_absolute_update(struct judge_absolute *test, const struct judge_absolute_input *input);
/* log of that part of the mixture which may roll back now; minus infinity if none may. */
double judge_absolute_guarded(const struct judge_absolute *test, const struct judge_config *config,
                              int64_t now_ms);
/* The stretch in which the canary's failures lie above the limit (the CUSUM of the lowest
 * alternative is above 0), or NULL when they do not. */
const struct judge_mark *judge_absolute_excursion(const struct judge_absolute *test);
