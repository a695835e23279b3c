/* bench/judge/rules.h — what others decide by, fed with the same traffic as the judge.
 *
 * Written from how the projects behave:
 * - Flagger looks once an interval: the check fails below a success ratio, or without traffic;
 * failed checks add up and are never forgotten; the look after the threshold was reached rolls
 * back.
 * - Argo Rollouts measures once an interval: more failed measurements than the limit abort.
 * - A fixed window: more than 5 % of the canary's requests of the last seconds failed, looked at
 * each second, with or without a minimum of requests.
 * - Envoy's outlier detection, consecutive_5xx: five failures in a row.
 * - ... success_rate: each 10 s, below the hosts' mean less 1.9 standard deviations, over hosts
 * with 100 requests or more, at least five of them. The canary is one of ten hosts here.
 * - A Wilson interval of 99 % over all of the canary's requests, looked at each second: rolls back
 * when all of it lies above 5 %. Plain values; one thread. */
#pragma once
#include <stddef.h>

#include "bench/judge/source.h"

enum rule_kind {
    RULE_FLAGGER,
    RULE_ARGO,
    RULE_WINDOW,
    RULE_CONSECUTIVE,
    RULE_SUCCESS_RATE,
    RULE_WILSON
};

enum { RULE_WINDOW_MAX_S = 60, RULE_COUNT = 12 };

struct rule_form {
    const char *name;
    enum rule_kind kind;
    unsigned window_s;  /* or interval */
    double ratio_limit; /* of failures */
    unsigned threshold; /* failed checks, or failures in a row */
    uint64_t count_min; /* in the window */
};

extern const struct rule_form RULE_FORMS[RULE_COUNT];

struct rule {
    const struct rule_form *form;
    struct random random; /* for what counts do not tell: order, and which host */
    struct look second;   /* since the last full second */
    struct look window[RULE_WINDOW_MAX_S];
    uint64_t second_number;
    struct look sum;       /* of the window, of the interval, or of all time */
    unsigned failed_count; /* checks, or requests in a row */
    bool has_fired;
};

void rule_init(struct rule *rule, const struct rule_form *form, uint64_t seed);
/* One look; `is_second` when a full second ends with it. True from when it fired on. */
bool rule_feed(struct rule *rule, const struct look *look, bool is_second);
