/* canary/engine/observe.h — policies that look on: each has a judge of its own, and none acts.
 *
 * Every policy gets the counts that the service's own judge gets, at the same times, and is told of
 * every start and change of weight as that one is. So its verdict is what that judge would have
 * found with the policy's numbers, up to the moment at which one of them acts: what comes after a
 * real shift is not what would have come after another one. Heap, owned by the service's steward
 * (or by a replay); pure otherwise, the clock is an argument; one thread. */
#pragma once
#include "canary/engine/judge.h"
#include "proxy/base/err.h"

enum { OBSERVE_MAX = 16, OBSERVE_NAME_MAX = 64 };

/* Plain values. */
struct observe_policy {
    char name[OBSERVE_NAME_MAX + 1];
    struct judge_config judge;
    bool is_latency_judged;
    double instant_above; /* told, never judged: failure ratio from which there are no steps */
};

/* What a policy would have acted on. Counts are the canary's since the policy's start. */
struct observe_breach {
    enum judge_reason reason;
    bool is_instant; /* severe: to 0 at once rather than in steps */
    int64_t at_ms;   /* by the clock of the checks ... */
    int64_t wall_us; /* ... and by the wall's */
    double after_s;  /* since the policy's start */
    double count, failed;
    double client_bad;   /* bad ones that clients saw */
    double bad_per_s;    /* client_bad by time in the excursion that led to it, ... */
    double failed_per_s; /* ... and failures */
};

/* About 8 KB. */
struct observed {
    struct observe_policy policy;
    struct judge judge;
    bool is_started;
    int64_t started_ms;      /* first check since the start */
    struct judge_tally base; /* totals at the start */
    bool has_breached;
    struct observe_breach breach; /* only with has_breached */
    bool is_news;                 /* the breach was not yet told; whoever tells it clears this */
};

struct observe {
    struct observed *list; /* owned */
    size_t count;
};

/* Nothing is observed; the same as zeros. */
void observe_init(struct observe *observe);
void observe_finish(struct observe *observe);
/* These policies from now on. One that was there with the same numbers keeps its evidence, another
 * begins anew. Copies; at most OBSERVE_MAX. ERR_NOMEM: it stays as it was. */
MUST_USE enum err observe_configure(struct observe *observe, const struct observe_policy *policies,
                                    size_t policy_count);

/* One look for each policy; `counts` as for judge_check, latency where it is known. */
void observe_look(struct observe *observe, int64_t now_ms, int64_t wall_us,
                  const struct judge_counts *counts);
/* As judge_start, judge_step and judge_init: what the service's own judge was told. */
void observe_start(struct observe *observe, int64_t now_ms);
void observe_step(struct observe *observe, int64_t now_ms);
void observe_rebase(struct observe *observe);

/* The canary's answers since the policy's start. */
struct judge_tally observed_tally(const struct observed *observed);
/* The verdict of the last look; a breach stays until the next start. */
enum judge_verdict observed_verdict(const struct observed *observed);
enum judge_reason observed_reason(const struct observed *observed);
