/* canary/engine/judge.h — is the canary bad? A sequential test that may be looked at all the time.
 *
 * Ten times a second the controller hands over cumulative counts of both versions and gets a
 * verdict with its evidence. Four detectors (absolute limit, relative to stable, connect, latency)
 * share a budget, and a fifth for 404s where it is asked for: a healthy canary is rolled back in at
 * most one of a hundred day-long rollouts, at any traffic and any schedule of checks. One check is
 * a fixed amount of work and allocates nothing. docs/JUDGE.md tells why;
 * tests/data/judge/vectors.json holds the numbers that must come out. Embedded by its owner; pure,
 * the clock is an argument; one thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "canary/engine/judge_absolute.h"
#include "canary/engine/judge_config.h"
#include "canary/engine/judge_dispersion.h"
#include "canary/engine/judge_latency.h"
#include "canary/engine/judge_not_found.h"
#include "canary/engine/judge_pair.h"
#include "canary/engine/judge_promote.h"
#include "canary/engine/judge_restart.h"

/* The numbers are stable: they stand in the vectors and in stored records. */
enum judge_verdict {
    JUDGE_INSUFFICIENT_DATA,
    JUDGE_OK, /* neither proven bad nor proven good */
    JUDGE_SUSPICIOUS,
    JUDGE_BREACH,
    JUDGE_HEALTHY,
    JUDGE_VERDICT_COUNT
};

enum judge_reason {
    JUDGE_REASON_NONE,
    JUDGE_REASON_CONNECT,
    JUDGE_REASON_ABSOLUTE,
    JUDGE_REASON_RELATIVE,
    JUDGE_REASON_LATENCY,
    JUDGE_REASON_SHARED_OUTAGE,
    JUDGE_REASON_HEALTH, /* the tripwire's, never the judge's own */
    JUDGE_REASON_COUNT
};

/* "insufficient_data", "shared_outage": as API, metrics and records write them; static. */
const char *judge_verdict_name(enum judge_verdict verdict);
const char *judge_reason_name(enum judge_reason reason);

/* Cumulative since the process began; failed includes connect_failed. */
struct judge_counts {
    uint64_t canary_count, canary_failed, canary_connect_failed;
    uint64_t stable_count, stable_failed, stable_connect_failed;
    uint64_t canary_not_found, stable_not_found; /* 404s that did not fail otherwise */
    uint64_t client_bad; /* bad canary answers that clients saw: told, never judged */
    /* Both or neither; borrowed during the check. */
    const struct histogram *canary_latency, *stable_latency;
};

/* Evidence in nats; minus infinity where a test had nothing to say. */
struct judge_result {
    enum judge_verdict verdict;
    enum judge_reason reason;
    double log_absolute;         /* without the guard */
    double log_absolute_allowed; /* the part that may roll back */
    double log_connect;
    double log_relative;
    double log_latency;
    double log_not_found;
    double log_promote_relative;
    double log_promote_absolute;
    uint64_t canary_count; /* since the weight last changed */
    double phi;            /* failures come this many at a time */
    bool is_not_found;     /* the reason `relative` is about 404s */
};

struct judge {
    struct judge_config config;
    struct judge_counter canary, stable, canary_connect, stable_connect;
    struct judge_pair pair, connect_pair;
    struct judge_dispersion dispersion;
    struct judge_absolute absolute, connect;
    struct judge_relative_test relative;
    struct judge_promote promote;
    struct judge_latency latency;
    struct judge_not_found not_found; /* only used with a limit */
    bool has_latency;
    bool has_checked;
    int64_t checked_ms;
    double step_mass;                         /* waits for the next check */
    double excursion_count, excursion_failed; /* canary, since relative evidence was last <= 0 */
    bool has_data, has_block, has_trouble;    /* ... and when: */
    int64_t data_ms, block_ms, trouble_ms;
    double trouble; /* CUSUM: is the stable version in trouble itself? */
    double trouble_failed_gain, trouble_passed_gain;

    /* Told, never judged. */
    struct judge_tally tally;
    uint64_t client_bad_base;
    struct judge_mark relative_mark, latency_mark;

    /* A breach stays until judge_start, with the numbers it was decided on. */
    bool is_latched;
    enum judge_reason latched_reason;
    bool was_confirmed; /* the relative test decided, at the absolute limit */
    struct judge_result latched_result;
    struct judge_mark latched_mark;
    struct judge_tally latched_tally; /* over the excursion, */
    struct judge_tally latched_later; /* ... and from the check after its first failure on */
    struct judge_result result;       /* of the last check */
};

/* Fresh in every respect: another service, or another stable version. Copies `config`. */
void judge_init(struct judge *judge, const struct judge_config *config);
/* A new rollout: all evidence and the latch are dropped, what is known of the stable version is
 * kept. */
void judge_start(struct judge *judge, int64_t now_ms);
/* The weight of the canary changed. */
void judge_step(struct judge *judge, int64_t now_ms);
/* The counters now belong to other objects: the next check only takes their values as the base. */
void judge_rebase(struct judge *judge);
/* Other numbers from now on: evidence starts anew, a latched breach stays. Copies `config`. */
void judge_configure(struct judge *judge, const struct judge_config *config, int64_t now_ms);

/* One look; valid until the next call in `judge->result` too. */
struct judge_result judge_check(struct judge *judge, int64_t now_ms,
                                const struct judge_counts *counts);

/* Are 404s judged? */
bool judge_is_watching_not_found(const struct judge *judge);
/* log of what the test behind `reason` must reach; 0 where there is none. */
double judge_threshold(const struct judge *judge, enum judge_reason reason);

/* The canary's present excursion, as the test behind `reason` dates it. */
struct judge_excursion {
    bool has_failure;
    int64_t first_failure_ms;  /* of the check before the one that saw it; only with has_failure */
    struct judge_tally base;   /* totals when it began */
    struct judge_tally counts; /* since then */
    struct judge_tally later;  /* the same without the check that saw the first failure */
};

/* Did the canary fail at this ratio or above? The successes of the check that saw the first failure
 * may be older than that failure: where the later checks suffice for a ratio, theirs counts too. */
bool judge_excursion_has_ratio(const struct judge_excursion *excursion, double ratio);

/* After a breach: the excursion that led to it, with the counts of that moment. */
/* Of 404s: they are counted as failures in it. */
struct judge_excursion judge_excursion(const struct judge *judge, enum judge_reason reason);
